"""Lab 01's figures: the data they are drawn from, and titles that follow it."""

from __future__ import annotations

import math

import pytest
import torch

from labs_src.figures import attribution, basis, gradients, reading

NAMES = ["embedding", "position", "L0H0", "L0 bias", "L0 MLP", "L1H0", "L1 bias", "L1 MLP"]


def labelled(figure):
    layout = figure.plotly.layout
    assert layout.xaxis.title.text and (layout.yaxis.title.text or layout.yaxis.autorange == "reversed")
    assert len(figure.title) < 110 and figure.alt
    return figure


def test_growth_adds_writes_by_depth():
    parts = torch.zeros(len(NAMES), 1, 2, 4)
    parts[:, :, :, 0] = torch.arange(1.0, len(NAMES) + 1)[:, None, None]  # all the same way: lengths add
    states = torch.stack([parts[:2].sum(0), parts[:5].sum(0), parts.sum(0)])
    data = labelled(reading.growth(NAMES, parts, states)).data
    assert data["stream"].tolist() == data["sum of the writes' lengths"].tolist() == [3.0, 15.0, 36.0]


def test_growth_tells_cancelling_writes():
    parts = torch.zeros(len(NAMES), 1, 1, 4)
    parts[0, ..., 0], parts[7, ..., 0] = 2.0, -1.0
    states = torch.stack([parts[:2].sum(0), parts[:5].sum(0), parts.sum(0)])
    figure = reading.growth(NAMES, parts, states)
    assert "0.5-fold" in figure.title and "33%" in figure.title and figure.title.endswith("shorter after block 1")


def test_lens_of_sequence():
    tokens, vocabulary = torch.tensor([0, 2, 1, 2, 1]), ["<bos>", "ba", "be"]
    log_probs = torch.full((2, 5, 3), math.log(1 / 3))
    log_probs[1, :4] = torch.eye(3)[tokens[1:]].mul(0.7).add(0.1).log()
    figure = labelled(reading.lens_of_sequence(log_probs, tokens, vocabulary, second_copy=2))
    assert "0% right from the embedding, 100% after the last block" in figure.title
    last = figure.data[figure.data["state"] == "after block 0"]
    assert last["first choice"].tolist() == last["right next token"].tolist() == ["be", "ba", "be", "ba"]
    assert last["probability of the right one"].tolist() == pytest.approx([0.8] * 4)


def test_lens_of_sequence_refuses_what_is_not_a_distribution():
    tokens, halves = torch.tensor([0, 2, 1, 2, 1]), torch.full((2, 5, 3), 0.5).log()
    with pytest.raises(ValueError, match=r"sum to 1\.5, not 1"):
        reading.lens_of_sequence(halves, tokens, ["a", "b", "c"], second_copy=2)


def test_lens_loss_names_the_text_that_gains_most():
    losses = {"first copy": torch.tensor([5.0, 5.1]), "second copy": torch.tensor([5.0, 0.2])}
    figure = labelled(reading.lens_loss(losses, entropy=1.9))
    assert "second copy most: 5.0 → 0.2" in figure.title and len(figure.data) == 4


def test_shares_kinds_and_total():
    values = torch.tensor([0.0, 0.0, 1.0, 0.0, -0.5, 3.0, 0.0, 0.5, 1.0])
    figure = labelled(attribution.shares([*NAMES, "norm and output biases"], values))
    assert "5.0 logits" in figure.title and "100%" in figure.title and "L1H0" in figure.title
    assert figure.data["kind"].tolist()[-2:] == ["MLP", "bias"]


def test_direct_against_ablation_counts_the_quiet_but_needed():
    direct, effect = torch.zeros(8), torch.zeros(8)
    effect[2], effect[3], effect[5], direct[5] = 9.0, 6.0, 9.0, 8.0
    figure = labelled(attribution.direct_against_ablation(NAMES, direct, effect, total=9.2))
    assert figure.title.startswith("2 of 8 writers") and "1 of them over 95% of all 9.2" in figure.title
    assert "L0H0 (9.0 lost), L0 bias (6.0 lost)" in figure.alt


def test_singular_values_are_counted():
    spectra = {"with": torch.tensor([2.0, 1.0, 0.5]), "without": torch.tensor([1.0, 0.05, 0.0])}
    figure = labelled(gradients.singular_values(spectra))
    assert "0 with; 2 without, of 3" in figure.title


def test_depth_figures():
    ends = {(True, True): 1.1, (False, False): 1e-6, (True, False): 90.0, (False, True): 4.0}
    ratios = {key: [1.0, end] for key, end in ends.items()}
    figure = labelled(gradients.against_depth([1, 32], ratios))
    assert "1e-06 (no skip, no norm)" in figure.title and "1.10 (skip, norm)" in figure.title
    evenness = {True: [40.0, 11.0], False: [20.0, 1.5]}
    figure = labelled(gradients.evenness_against_depth([1, 32], evenness, width=64, seeds=8))
    assert "40.0 → 11.0 (skip, norm), 20.0 → 1.5 (no skip, norm)" in figure.title and "of 64" in figure.alt


def test_logit_changes_says_which():
    assert "1 changes the logits: b" in labelled(basis.logit_changes({"a": 1e-6, "b": 2.0})).title
    assert "none" in labelled(basis.logit_changes({"a": 0.0})).title


def test_interference_of_relu_is_none_in_its_own_basis():
    data = labelled(basis.interference(lambda x, y: (x + 0 * y, y))).data
    spread = data.groupby(["basis", "first in"])["first out"].agg(lambda v: v.max() - v.min())
    assert (spread.abs() < 1e-6).all()
