"""Both sides of the lab's parity tests: equal when everything is right, and first different where a bug is."""

from __future__ import annotations

import pytest
import torch

from labs_src import models
from labs_src.circuits import parity, rope
from labs_src.circuits.prediction import RIGHT
from labs_src.language import corpus


@pytest.fixture(scope="module")
def model():
    return models.load("mini-gemma").model


@pytest.mark.parametrize("which", parity.PROJECTIONS)
def test_projections(model, which):
    x = parity.vectors(model)
    for layer in (0, 5):
        W, gamma = parity.weights(model, layer, which)
        wanted = parity.theirs(model, layer, which)(x)
        right, legacy = (parity.ours(model, W * gain)(x) for gain in (1 + gamma, gamma))
        assert parity.relative_errors(right, wanted).max() < 1e-4 and parity.cosines(right, wanted).min() > 0.99999
        assert parity.cosines(legacy, wanted).max() < 0.99
        own = model.original_model.model.layers[layer]
        own = getattr(own.self_attn, f"{which}_proj")(own.input_layernorm(x[None])).unflatten(-1, (-1, 32))[0]
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)


def test_rotary_cases(model):
    distances = torch.tensor([0, 1, 5, 60])
    for layer in (0, 3):
        q, k, wanted = parity.rotary_cases(model, layer, distances)
        theta = 10000.0
        got, off = (
            (q * rope.key_at(k, distances[:, None], theta, pairing)).sum(-1) * 32**-0.5 for pairing in rope.PAIRINGS
        )
        assert (got - wanted).abs().max() < 1e-3 and (off - wanted)[1:].abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({}, None),
        ({"point": "post_norm"}, "encoder input"),
        ({"fold": "gamma"}, "queries"),
        ({"fold": "none"}, "queries"),
        ({"pairing": "interleaved"}, "rotated queries"),
    ],
    ids=str,
)
def test_first_difference(model, change, stage):
    ids = corpus.token_ids("validation", 2, 21)
    for layer in (2, 3):
        a, b = parity.our_stages(model, layer, ids, RIGHT.but(**change)), parity.model_stages(model, layer, ids)
        assert list(a) == list(b) == list(parity.STAGES)
        off = [name for name in a if (a[name] - b[name]).norm() > 1e-3 * b[name].norm()]
        assert (off[0] if off else None) == stage
