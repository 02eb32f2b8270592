"""What further training moved, head by head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from labs_src import models
from labs_src.circuits import compare, folding


@pytest.fixture(scope="module")
def base():
    return models.load("mini-gemma").model


def test_it_is_the_change_of_query_rows_and_output_columns(base):
    folded = folding.fold(base, 1)
    W_Q, W_O = folded.W_Q.clone(), folded.W_O.clone()
    W_Q[2] += 0.1
    W_O[2, 3] *= 2
    got = compare.head_change(folded, replace(folded, W_Q=W_Q, W_O=W_O))
    moved = W_Q[2].numel() * 0.01 + float(folded.W_O[2, 3].pow(2).sum())
    whole = float(folded.W_Q[2].pow(2).sum() + folded.W_O[2].pow(2).sum())
    assert float(got[2]) == pytest.approx((moved / whole) ** 0.5, rel=1e-4)
    assert got[[0, 1, 3]].tolist() == [0, 0, 0]


def test_shared_keys_belong_to_no_head(base):
    folded = folding.fold(base, 1)
    tuned = replace(folded, W_K=folded.W_K * 2)
    assert compare.head_change(folded, tuned).abs().max() == 0
    assert compare.group_change(folded, tuned).min() > 0


def test_a_model_does_not_differ_from_itself(base):
    assert compare.models(base, base).abs().max() == 0


def test_every_head_of_the_tuned_model_moved(base):
    tuned = models.load("mini-gemma-it").model
    change = compare.models(base, tuned)
    assert change.shape == (6, 4) and change.min() > 0.01 and change.max() < 0.5


def test_stored_weights_are_those_of_the_model(base):
    weights, attn = compare.stored(base, 2, gain="none"), base.original_model.model.layers[2].self_attn
    for name, w in weights.items():
        assert torch.equal(w, getattr(attn, name).weight)
    folded = compare.stored(base, 2)
    gain = 1 + base.original_model.model.layers[2].input_layernorm.weight
    assert torch.allclose(folded["k_proj"], attn.k_proj.weight * gain)


def test_other_shapes_are_refused(base):
    with pytest.raises(ValueError, match="differ in shape"):
        compare.head_change(folding.fold(base, 0), folding.fold(models.load("planted-packed").model, 0))
