"""Detectors against patterns whose answer is known, and against what the recipes measure."""

from __future__ import annotations

import pytest
import torch

from labs_src.circuits import heads
from labs_src.language import markov
from labs_src.models.attention_only import AttentionOnly
from labs_src.models.recipes import measure

LENGTH = 5
N = 1 + 2 * LENGTH


def one_hot_pattern(back: int) -> torch.Tensor:
    """A head that puts everything `back` tokens back, or on BOS where there is no such token."""
    pattern = torch.zeros(2, 1, N, N)
    for query in range(N):
        pattern[:, 0, query, max(query - back, 0)] = 1.0
    return pattern


@pytest.mark.parametrize(
    ("back", "detector"), [(0, "current"), (1, "previous"), (LENGTH - 1, "induction"), (N, "first")]
)
def test_each_detector_finds_its_own_head_and_no_other(back, detector):
    scores = {name: float(fn(one_hot_pattern(back))) for name, fn in heads.DETECTORS.items()}
    assert scores.pop(detector) == 1.0
    scores.pop("first", None)  # short of a key, a head rests on BOS: itself for query 0, the previous token for query 1
    assert all(value <= 1 / (N - 1) + 1e-6 for value in scores.values())


def test_same_definitions_as_the_recipes():
    model = AttentionOnly(seed=3).requires_grad_(False)
    _, cache = model.run_with_cache(markov.repeated_tokens(3, 9, 0))
    for pattern in heads.patterns(cache):
        assert torch.allclose(heads.previous_token_scores(pattern), measure.previous_token_scores(pattern))
        assert torch.allclose(heads.induction_scores(pattern), measure.induction_scores(pattern))


def test_a_table_has_a_row_for_each_head_and_detector():
    _, cache = AttentionOnly(seed=3).requires_grad_(False).run_with_cache(markov.repeated_tokens(2, 6, 0))
    table = heads.score_table(cache)
    assert len(table) == 2 * 4 * len(heads.DETECTORS)
    assert set(table["name"]) == {f"L{layer}H{head}" for layer in range(2) for head in range(4)}


def test_bad_inputs_say_what_is_wrong():
    with pytest.raises(ValueError, match="odd number"):
        heads.induction_scores(torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"0\.\.7"):
        heads.offset_scores(torch.ones(1, 1, 8, 8), 8)
