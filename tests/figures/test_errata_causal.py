"""Lab 07's causal figures: titles say what the data say."""

from __future__ import annotations

import pandas as pd
import pytest

from labs_src.figures import errata_causal as figures


def effects(rows):
    """(head, how, change, half width) -> a table."""
    columns = ["head", "how", "change", "half"]
    table = pd.DataFrame(rows, columns=columns)
    table["layer"] = table["head"].str[1].astype(int)
    return table.assign(low=table.change - table.half, high=table.change + table.half)


@pytest.fixture
def table():
    rows = [
        ("L0H0", "zero", 0.3, 0.1),
        ("L0H0", "mean", 0.2, 0.1),
        ("L0H1", "zero", -0.3, 0.1),
        ("L0H1", "mean", 0.2, 0.1),
    ]
    rows += [
        ("L1H0", "zero", -0.3, 0.1),
        ("L1H0", "mean", -0.3, 0.1),
        ("L1H1", "zero", 0.1, 0.2),
        ("L1H1", "mean", 0.3, 0.1),
    ]
    return effects(rows)


def test_only_what_is_clear_in_both_ablations_is_named(table):
    figure = figures.ablations(table)
    assert figure.title == "Clear in both ablations: L0H0 helps when taken away, 1 hurt"
    assert len(figure.plotly.data) == 2 and len(figure.data) == 8
    none = figures.ablations(table.assign(low=-1.0, high=1.0))
    assert "no head help" in none.title and "0 hurt" in none.title


def test_opposite_signs_count_only_when_both_are_clear(table):
    assert figures.opposed_heads(table) == ["L0H1"]
    assert figures.disagreement(table).title == "L0H1 helps in one ablation and hurts in the other"
    assert "No head" in figures.disagreement(table[table["head"] != "L0H1"]).title


def test_quality_and_effect_states_both_correlations():
    table = pd.DataFrame({"head": ["L0H0", "L1H0"], "layer": [0, 1], "rho": [0.9, 0.8], "size": [0.3, 0.1]})
    figure = figures.quality_and_effect(table, 0.7, -0.1)
    assert "+0.70" in figure.title and "-0.10" in figure.title
    assert "nats" in figure.plotly.layout.yaxis.title.text


def test_written_has_a_line_for_each_comparison_in_both_panels():
    rows = [(layer, name, 0.1 * layer, v) for layer in range(3) for name, v in (("codes", 0.1), ("linear", 0.9))]
    figure = figures.written(pd.DataFrame(rows, columns=["layer", "compared", "jaccard", "spearman"]))
    assert len(figure.plotly.data) == 4 and "0.90 linear" in figure.title


def test_filled_in_programs_are_counted():
    table = pd.DataFrame({"kind": ["shift", "relay"], "found": [3, 5], "filled": [2, 0]})
    figure = figures.program_histogram(table, pd.DataFrame({"share": [0.1, 0.2], "fallback": [0.5, 0.0]}))
    assert figure.title.startswith("2 of 10 programs are filled in") and "0% to 50%" in figure.title


def test_tuned_gives_the_rank_of_heads_that_help():
    rows = [("L0H0", 0, 0, 0.1), ("L0H1", 0, 1, 0.3), ("L1H0", 1, 0, 0.2), ("L1H1", 1, 1, 0.05)]
    table = pd.DataFrame(rows, columns=["head", "layer", "index", "change"])
    assert figures.tuned(table, ["L1H0"]).title == "By how far tuning moved 4 heads: L1H0 is number 2"
    assert "no head helps" in figures.tuned(table, []).title
