"""Lab 09's figures: titles computed from the data, axes labelled, tidy data."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from labs_src.figures import stability, stability_sweeps


def _axes(figure):
    return figure.plotly.layout.xaxis.title.text, figure.plotly.layout.yaxis.title.text


def test_against_chance_says_each_gap():
    table = pd.DataFrame(
        {"name": ["a", "b"], "mean": [0.5, 0.3], "low": [0.4, 0.2], "high": [0.6, 0.4], "chance": [0.3] * 2}
    )
    figure = stability.against_chance(table, "PWMCC")
    assert figure.title == "Agreement over chance: a 0.500 over 0.300, b 0.300 over 0.300"
    assert figure.plotly.data[0].error_x.array == pytest.approx((0.1, 0.1))
    assert figure.plotly.layout.yaxis.ticktext == ("a", "b")
    longer = pd.concat([table, table.assign(name=["c", "d"], chance=[0.0, 0.4])], ignore_index=True)
    said = "Least over chance: d 0.300 over 0.400; most: c 0.500 over 0.000"
    assert stability.against_chance(longer, "PWMCC").title == said
    figure = stability.against_chance(table.assign(space=[0.45, float("nan")]), "PWMCC")
    assert figure.title == "Agreement over chance: a 0.500 over 0.450, b 0.300 over 0.300"
    assert [trace.name for trace in figure.plotly.data][1:] == ["untrained", "random, same space"]


def test_pair_values_and_answers():
    figure = stability.pair_values({"codes": torch.tensor([0.04, 0.06])}, 0.3, "PWMCC")
    assert figure.title == "Mean over 2 pairs: codes 0.050; random directions 0.300" and len(figure.data) == 2
    table = pd.DataFrame({"step": [0, 10, 20], "accuracy": [0.0, 0.5, 1.0]})
    assert stability.answers(table).title == "Unseen pairs: above 99% after 20 steps"
    assert stability.answers(table.head(2)).title == "Unseen pairs: never above 99%"


def test_lengths_count_short_and_silent():
    norms, alive = torch.tensor([0.5, 0.5, 0.7, 0.001]), torch.tensor([False, False, True, True])
    figure = stability.lengths(norms, alive, 0.5, 0.01, "Seed 1")
    assert figure.title == "Seed 1: 1 rows are shorter than 0.01; 2 of 4 latents never fire"
    assert figure.data["count"].sum() == 4 and all(_axes(figure))


def test_sparsity_says_the_change():
    table = pd.DataFrame({"test": ["a", "a", "b", "b"], "silent": [0.1, 0.9] * 2, "value": [0.5, 0.5, 0.7, 0.1]})
    assert stability.sparsity(table).title == "From least to most zeros: a +0.000; b -0.600"


def test_sweep_overlap_turned():
    table = pd.DataFrame(
        {"series": ["s"] * 2, "x": [16, 1024], "gap": [0.4, 0.03], "low": [0.3, 0.02], "high": [0.5, 0.04]}
    )
    figure = stability_sweeps.sweep(table, "latents")
    assert figure.title == "s: highest +0.400 at 16, +0.030 at 1024" and figure.plotly.layout.xaxis.type == "log"
    humped = pd.concat([table, table.assign(x=[64, 2048], gap=[0.6, 0.1])])
    assert stability_sweeps.sweep(humped, "latents").title == "s: highest +0.600 at 64, +0.100 at 2048"
    table = pd.DataFrame({"series": ["s", "s"], "r": [8, 128], "overlap": [0.5, 1.0]})
    figure = stability_sweeps.overlap(table, 128)
    assert figure.title == "Of 8 leading directions, shared: s 0.50; chance 0.06"
    assert figure.plotly.data[-1].y == pytest.approx((8 / 128, 1))
    table = pd.DataFrame({"series": ["s", "s"], "steps": [50, 900], "degrees": [3.0, 20.0], "gap": [0.0, 0.02]})
    assert stability_sweeps.turned(table).title == "Step 900: rows turned by 20 degrees, agreement +0.020 beyond chance"
