"""Planted problems and recovery scores."""

import math

import pytest
import torch

from labs_src.dictionaries import planted, recovery
from labs_src.dictionaries.sae import new_sae


def test_pentagon_is_even_and_turned():
    W = planted.pentagon(3, 0)
    torch.testing.assert_close(W.norm(dim=-1), torch.ones(3, 5))
    assert (W[0, 0] @ W[0, 1]).item() == pytest.approx(math.cos(2 * math.pi / 5), abs=1e-5)
    assert (W[0] - W[1]).abs().max() > 0.01


def test_features_are_uniform_and_never_all_absent():
    x = planted.features(4000, 3, 5, 0.1, seed=1)
    assert x.shape == (4000, 3, 5) and bool(x.any(-1).all())
    present = x[x > 0]
    assert abs(float(present.mean()) - 0.5) < 0.02 and float(present.max()) > 0.95
    expected = 0.1 / (1 - 0.9**5)
    torch.testing.assert_close((x > 0).float().mean(0), torch.full((3, 5), expected), rtol=0, atol=0.03)


def test_problem_repeats_and_differs_by_seed():
    W = planted.pentagon(2, 0)
    a, b, c = (planted.problem(W, 0.1, seed, n=50, held_out=20) for seed in (0, 0, 1))
    assert torch.equal(a.h, b.h) and not torch.equal(a.h, c.h)
    assert a.h.shape == (50, 2, 2) and a.held_out.shape == (20, 2, 2)


def test_recovered_wants_a_live_latent_of_the_same_sign():
    directions = torch.eye(3)[None]
    W_dec = torch.stack([3 * torch.eye(3)[0], -torch.eye(3)[1], torch.eye(3)[2]])[None]
    alive = torch.tensor([[True, True, False]])
    assert recovery.recovered(directions, W_dec, alive).tolist() == [[True, False, False]]
    assert recovery.recovered_instances(directions, W_dec, torch.ones(1, 3, dtype=torch.bool)) == 0


def test_scores_of_the_right_answer():
    problem = planted.problem(planted.random_directions(2, 4, 12, 0), 0.1, 0, n=10, held_out=2000)
    sae = new_sae(2, 12, 4, aligned=True)
    sae.W_dec.copy_(problem.directions)
    sae.W_enc.copy_(torch.linalg.pinv(problem.directions))  # fewer features than dimensions: exact
    s = recovery.scores(sae, problem.held_out, problem.directions)
    assert s.instances == 2 and float(s.dead.max()) == 0
    torch.testing.assert_close(s.explained_variance, torch.ones(2), rtol=1e-4, atol=1e-4)
    assert s.row()["recovered instances"] == 2


def test_explained_variance_of_the_mean_is_zero():
    h = torch.randn(50, 3) + 5
    assert abs(float(recovery.explained_variance(h, h.mean(0).expand_as(h)))) < 1e-5
    assert float(recovery.explained_variance(h, h)) == 1


def test_interval_agrees_with_scipy():
    from scipy import stats

    values = [0.2, 0.5, 0.9, 0.4]
    mean, low, high = recovery.interval(torch.tensor(values))
    wanted = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert (low, high) == pytest.approx(wanted, abs=1e-6) and mean == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least two seeds"):
        recovery.interval(torch.tensor([1.0]))


def test_matched_follows_the_decoder():
    directions = torch.eye(3)[None, :2]
    W_dec = torch.tensor([[[0.0, 0.9, 0.1], [0.0, 0.0, 1.0], [2.0, 0.1, 0.0]]])
    W_enc = torch.arange(9.0).view(1, 3, 3)
    encoder, decoder = recovery.matched(directions, W_enc, W_dec)
    assert torch.equal(decoder[0], W_dec[0, [2, 0]]) and torch.equal(encoder[0], W_enc[0].T[[2, 0]])


def test_refitted_restores_shrunk_sizes():
    sae = new_sae(1, 8, 4, 0, aligned=True)
    sae.W_dec = torch.eye(8)[None, :4]  # orthogonal, so that every latent fires
    sae.W_enc, sae.b_dec = sae.W_dec.mT, sae.b_dec + 0.3
    z = torch.rand(50, 1, 4, generator=torch.Generator().manual_seed(1)) + 1.0
    h = sae.decode(z)
    sae.b_enc.fill_(-0.2)  # with sizes that are too small
    assert (sae.encode(h) > 0).all() and not torch.allclose(sae.decode(sae.encode(h)), h, atol=1e-2)
    assert torch.allclose(recovery.refitted(sae, h), h, atol=1e-4)
