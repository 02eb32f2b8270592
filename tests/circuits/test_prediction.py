"""The prediction by its definition, pair by pair; rank correlations against scipy; every switch matters."""

from __future__ import annotations

import math

import pytest
import torch
from gemmas import gemma
from scipy.stats import spearmanr

from labs_src import models
from labs_src.circuits import bases, folding, prediction, ranks, rope
from labs_src.circuits.prediction import RIGHT, Seen
from labs_src.language import corpus


@pytest.fixture(scope="module")
def mini():
    loaded = models.load("mini-gemma")
    seen = prediction.look(loaded.model, corpus.token_ids("validation", 3, 21)[:, :60], layers=(2, 3))
    made = {layer: bases.from_dictionary(loaded.dictionaries[bases.entering(layer)]) for layer in seen}
    return loaded.model, seen, made


def small():
    """A layer of a random model with a made-up basis of fewer directions than there are dimensions."""
    g = torch.Generator().manual_seed(0)
    model, x = gemma("random"), 4 * torch.randn(2, 17, 48, generator=g)
    gamma = model.model.layers[1].input_layernorm.weight.detach()
    seen = Seen(1, x, torch.randn(2, 6, 17, 17, generator=g), 1e-6, gamma)
    basis = bases.Basis("made up", bases.unit_rms(torch.randn(30, 48, generator=g)), torch.randn(48, generator=g))
    return model, seen, basis


@pytest.mark.parametrize("distances", ["exact", "binned"])
@pytest.mark.parametrize("bias", [True, False])
def test_predicted_logit_is_a_B_a(distances, bias):
    """Sum over pairs of features of code times B times code, B at the pair's own distance; the bias is one more."""
    model, seen, basis = small()
    switches = RIGHT.but(distances=distances, bias=bias)
    folded = folding.fold(model, 1)
    got = prediction.predict(model, seen, basis, switches)
    size = float(basis.bias.pow(2).mean().sqrt())
    with_bias = bases.Basis("and bias", torch.cat([basis.directions, basis.bias[None] / size]), torch.zeros(48))
    a = basis.encode(seen.x[1])
    one = torch.full((17, 1), size if bias else 0.0)
    a = torch.cat([a, one], 1) / folding.rms(seen.x[1])
    for t, s in ((16, 0), (16, 15), (9, 9), (12, 3), (5, 1)):
        distance = t - s
        if distances == "binned":
            distance = rope.centre(next(b for b in rope.DISTANCE_BINS if b[0] <= t - s < b[1]))
        for head in (0, 4):
            B = prediction.affinity_logits(a, folded, head, with_bias, distance)
            assert float(got[1, head, t, s]) == pytest.approx(float(B[t, s]), rel=2e-3, abs=2e-3)


def test_exact_codes_give_the_models_own_logits(mini):
    model, seen, _ = mini
    eye = bases.Basis("identity", math.sqrt(128) * torch.eye(128), torch.zeros(128))
    exact = bases.Basis("identity", eye.directions, eye.bias, coder=lambda x: x / math.sqrt(128))
    for layer, s in seen.items():
        folded = folding.fold(model, layer)
        got = folded.cap(prediction.predict(model, s, exact))
        where = folded.allowed(60).expand(got.shape)
        assert (got - s.scores)[where].abs().max() < 1e-2
        assert prediction.rho(got, prediction.truth(s, folded)).mean > 0.9999


def test_spearman_equals_scipy():
    g = torch.Generator().manual_seed(3)
    a = torch.randn(4, 5, 40, generator=g).round(decimals=1)  # ties
    b = (a + torch.randn(4, 5, 40, generator=g)).round(decimals=0)
    mask = torch.rand(4, 5, 40, generator=g) > 0.3
    a[0, 0] = 2.0
    found = ranks.spearman(a, b, mask)
    assert found[0, 0].isnan()
    for i in range(4):
        for j in range(5):
            if (i, j) != (0, 0):
                wanted = spearmanr(a[i, j][mask[i, j]].numpy(), b[i, j][mask[i, j]].numpy()).statistic
                assert float(found[i, j]) == pytest.approx(wanted, abs=1e-9)


def test_rows_of_rho(mini):
    """Causal, inside the window, without <bos>, three keys or more; every row against scipy."""
    model, seen, made = mini
    s = seen[2]
    folded = folding.fold(model, 2)
    predicted, real = prediction.predict(model, s, made[2]), prediction.truth(s, folded)
    wanted = []
    for head in range(4):
        rows = []
        for b in range(3):
            for t in range(60):
                allowed = [key for key in range(1, t + 1) if t - key < 32]
                if len(allowed) >= 3:
                    rows.append(spearmanr(predicted[b, head, t, allowed], s.scores[b, head, t, allowed]).statistic)
        wanted.append(sum(rows) / len(rows))
    found = prediction.rho(predicted, real)
    assert found.heads.tolist() == pytest.approx(wanted, abs=1e-6)
    assert found.rows == 3 * 4 * 57 and found.skipped == 0
    assert found.mean == pytest.approx(sum(wanted) / 4)


def test_constant_rows_are_skipped_and_counted(mini):
    model, seen, _ = mini
    real = prediction.truth(seen[3], folding.fold(model, 3))
    predicted = seen[3].scores.clone()
    predicted[0] = 1.0
    found = prediction.rho(predicted, real)
    assert found.skipped == found.rows // 3 and found.mean == pytest.approx(1.0)
    nothing = prediction.rho(torch.zeros_like(predicted), real)
    assert nothing.skipped == nothing.rows and math.isnan(nothing.mean)


def test_many_keys_are_sampled_with_a_seed_per_head():
    folded = folding.fold(gemma("random"), 1)
    assert folded.window is None
    seen = Seen(1, torch.zeros(1, 300, 48), torch.randn(1, 6, 300, 300), 1e-6, torch.zeros(48))
    mask = prediction.truth(seen, folded, seed=1).mask
    assert mask.sum(-1).max() == prediction.MOST
    assert torch.equal(mask, prediction.truth(seen, folded, seed=1).mask)
    assert not torch.equal(mask[0, 0], mask[0, 1]) and not torch.equal(
        mask, prediction.truth(seen, folded, seed=2).mask
    )
    assert not (mask & ~folded.allowed(300)).any()


SWITCHED = [
    {"fold": "gamma"}, {"fold": "none"}, {"pairing": "interleaved"}, {"point": "post_norm"}, {"bias": False},
    {"features": 100}, {"distances": "binned"}, {"divided": "vector"},
]  # fmt: skip


@pytest.mark.parametrize("change", SWITCHED, ids=str)
def test_every_switch_makes_prediction_worse(mini, change):
    model, seen, made = mini
    variants = {"right": RIGHT, "wrong": RIGHT.but(**change)}
    rows = prediction.by_layer(model, seen, made, variants)
    for layer in (2, 3):
        rho = {row["variant"]: row["rho"] for row in rows if row["layer"] == layer}
        assert rho["right"] > 0.95 and rho["wrong"] < rho["right"] - 0.05
    assert {row["layer"] for row in rows} == {2, 3} and len(rows[0]["heads"]) == 4


def test_post_norm_encodes_what_the_norm_hands_on():
    model, seen, basis = small()
    a, one = prediction.codes(seen, basis, "post_norm")
    torch.testing.assert_close(a, basis.encode(model.model.layers[1].input_layernorm(seen.x)))
    assert torch.equal(one, torch.ones(2, 17, 1))


def test_distances_and_signs(mini):
    model, seen, made = mini
    s, folded = seen[3], folding.fold(model, 3)
    predicted = prediction.predict(model, s, made[3])
    bands = prediction.by_distance(predicted, s, folded)
    assert set(bands) == {"local", "mid"}  # nothing in this text is farther away
    predicted = predicted.clone()
    near = (torch.arange(60)[:, None] - torch.arange(60)) < 4
    flipped = torch.where(near, -predicted, predicted)
    again = prediction.by_distance(flipped, s, folded)
    assert again["local"].mean == pytest.approx(-bands["local"].mean) and again["mid"].mean == bands["mid"].mean
    overall = prediction.rho(predicted, prediction.truth(s, folded))
    assert prediction.sign_stability(overall, bands).tolist() == [1.0] * 4
    assert prediction.sign_stability(overall, again).tolist() == [0.5] * 4


def test_errata_method_and_names():
    s = prediction.errata_method(16384)
    assert (s.features, s.bias, s.distances, s.divided) == (2048, False, "binned", "vector")
    assert s.but(features=None, bias=True, distances="exact", divided="code") == RIGHT
    with pytest.raises(ValueError, match="'pre_norm', 'post_norm'"):
        RIGHT.but(point="after")
