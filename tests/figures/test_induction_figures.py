"""Titles, axes, alt text and data of lab 02's figures follow from the numbers that they are given."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from labs_src.figures import attention_patterns, explorer, head_scores, induction_loss, phase_change, vocab_circuits


def axes(figure) -> set[str]:
    """Every axis title of a figure."""
    return {axis.title.text for axis in (*figure.plotly.select_xaxes(), *figure.plotly.select_yaxes())} - {None}


def causal(n: int, back: int) -> torch.Tensor:
    pattern = torch.zeros(n, n)
    for query in range(n):
        pattern[query, max(query - back, 0)] = 1.0
    return pattern


def test_loss_by_position_states_both_halves():
    loss = torch.cat([torch.full((5, 6), 5.2), torch.full((5, 6), 0.3)], 1)
    loss[:, 6] = 4.0  # the first token of the second copy is left out
    figure = induction_loss.loss_by_position(loss, uniform=4.84)
    assert "5.2" in figure.title and "0.30" in figure.title
    assert list(figure.data["predicted position"]) == list(range(1, 13))
    assert axes(figure) == {"position of the predicted token", "loss (nats)"}


def test_patterns_name_the_distance_that_is_attended():
    figure = attention_patterns.grid({"L0H0": causal(9, 1), "L1H3": causal(9, 4)})
    assert dict(zip(figure.data["head"], figure.data["distance"], strict=True)) == {"L0H0": 1, "L1H3": 4}
    assert "L1H3 attends most often 4 back" in figure.alt
    assert {"query", "key"} <= axes(figure)
    assert len(json.dumps(figure.bundle())) < 20_000


def test_percent_keeps_one_byte_each():
    values = attention_patterns.percent(torch.tensor([[0.004, 0.5], [1.0, 0.0]]))
    assert values.dtype == np.uint8 and values.tolist() == [[0, 50], [100, 0]]


def test_detector_grid_names_the_best_heads():
    rows = [
        ("L0H0", "previous", 0.2),
        ("L0H1", "previous", 0.9),
        ("L0H0", "induction", 0.7),
        ("L0H1", "induction", 0.1),
    ]
    figure = head_scores.detector_grid(pd.DataFrame(rows, columns=["name", "detector", "score"]))
    assert "L0H1 (0.90)" in figure.title and "L0H0 (0.70)" in figure.title
    assert list(figure.data["score"]) == [0.9, 0.7, 0.2, 0.1]  # the table shows the first rows only


def test_ablations_name_the_dearest_head():
    rows = [("L0H0", "zero", 3.0), ("L0H0", "mean", 1.0), ("L1H0", "zero", 0.2), ("L1H0", "mean", 0.2)]
    figure = head_scores.ablated_losses(pd.DataFrame(rows, columns=["head", "how", "loss"]), intact=0.1)
    assert "L0H0 2.90" in figure.title and "at most 0.10" in figure.title
    assert list(figure.data["head"])[:2] == ["L0H0", "L0H0"]
    paths = pd.DataFrame([("intact", 0.9, 0.1), ("cut", 0.1, 5.0)], columns=["path", "induction", "loss"])
    assert "cut: score 0.10, loss 5.00" in head_scores.path_ablations(paths, "a title").alt


def test_composition_counts_what_is_above_the_band():
    rows = [(k, f"L0H{i} to L1H0", "g", s) for k, s in [("Q", 0.1), ("K", 0.3), ("V", 0.1)] for i in range(2)]
    scores = pd.DataFrame(rows, columns=["kind", "pair", "group", "score"])
    figure = head_scores.composition_dots(scores, np.linspace(0.1, 0.2, 50))
    assert "0 of 2 for Q, 2 of 2 for K, 0 of 2 for V" in figure.alt
    marked = scores.assign(group=["few" if k == "K" else "many" for k in scores["kind"]])
    assert list(head_scores.composition_dots(marked, np.linspace(0.1, 0.2, 50)).data["group"])[:2] == ["few", "few"]
    assert figure.title.startswith("Highest: K-composition of L0H0 to L1H0, 0.300")


def test_a_circuit_that_is_not_diagonal_is_not_called_so():
    circuit = torch.eye(4)
    names = ["ba", "be", "bi", "bo"]
    diagonal = vocab_circuits.circuit_heatmap(circuit, "OV", "source", "predicted", tokens=names)
    assert "1.0 on the diagonal, 0.0 off it" in diagonal.title
    assert list(diagonal.plotly.data[0].x) == names and "%{z" in diagonal.plotly.data[0].hovertemplate
    figure = vocab_circuits.circuit_heatmap(circuit.roll(1, 0), "OV", "source", "predicted")
    assert "0.0 on the diagonal, 0.3 off it" in figure.title
    assert axes(figure) == {"source", "predicted"}


def test_terms_sum_to_the_logit():
    weights, inputs = torch.tensor([1.0, -2.0, 4.0, 0.5]), torch.tensor([0.1, 0.2, 0.6, 0.1])
    figure = vocab_circuits.terms(weights, inputs, 2, ["a", "b", "c", "d"], top=2)
    assert figure.data["term"].sum() == pytest.approx(float(weights @ inputs), rel=1e-5)
    assert "2.4" in figure.title and "“c”" in figure.title


def test_source_grid_names_the_largest_pair():
    figure = vocab_circuits.source_grid(torch.tensor([[0.0, 3.0], [1.0, -2.0]]), ["embedding", "L0H0"])
    assert "query from embedding, key from L0H0 (3.0 of 2.0)" in figure.title


HISTORY = [
    {"step": s, "loss_first": 5.0, "loss_second": loss, "previous": p, "induction": i}
    for s, loss, p, i in [(0, 5.0, 0.1, 0.0), (10, 4.9, 0.9, 0.1), (20, 0.2, 0.9, 0.8)]
]


def test_history_states_when_scores_rise():
    assert (
        phase_change.history_curves(HISTORY).title
        == "First score above 0.5: previous-token at step 10, induction at step 20"
    )
    assert "induction never" in phase_change.history_curves(HISTORY[:2]).title
    chains = [entry | {"loss_chains": 4.8} for entry in HISTORY]
    assert (
        len(phase_change.history_curves(chains).plotly.data)
        == len(phase_change.history_curves(HISTORY).plotly.data) + 1
    )


def test_each_slider_step_shows_its_own_checkpoint():
    frames = [
        {
            **entry,
            "previous": causal(7, 1),
            "induction": causal(7, 2),
            "previous_score": 0.5,
            "induction_score": 0.1 * i,
        }
        for i, entry in enumerate(HISTORY)
    ]
    figure = phase_change.checkpoint_slider(frames, ("L0H0", "L1H0"), active=1)
    (slider,) = figure.plotly.layout.sliders
    assert [step.label for step in slider.steps] == ["0", "10", "20"] and slider.active == 1
    for i, step in enumerate(slider.steps):
        visible = step.args[0]["visible"]
        assert len(visible) == len(figure.plotly.data) and visible[0] is True
        assert [j for j, v in enumerate(visible[1:]) if v] == [3 * i, 3 * i + 1, 3 * i + 2]
        assert f"Step {step.label}:" in step.args[1]["title.text"]
    shown = [trace.visible is not False for trace in figure.plotly.data]
    assert shown == list(slider.steps[1].args[0]["visible"])


def test_the_explorer_carries_its_script():
    view = explorer.attention_explorer(causal(3, 1)[None], ["a", "b", "c"], ["L0H0"])
    assert "unpkg" not in view.data.split("<script", 1)[0] and "AttentionHeads" in view.data
    assert len(view.data) > 500_000  # the script itself, not a link to it
