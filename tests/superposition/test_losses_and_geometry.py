"""Closed forms against Monte Carlo, geometry against figures that can be drawn by hand."""

from __future__ import annotations

import math

import pytest
import torch

from labs_src.superposition import geometry, losses
from labs_src.superposition.data import make, sweep
from labs_src.superposition.toy import LINEAR, best_of, forward, loss


def polygon(n: int) -> torch.Tensor:
    angle = torch.arange(n) * 2 * math.pi / n
    return torch.stack((angle.cos(), angle.sin()))


@pytest.mark.parametrize("groups", [{}, {"correlated": ((0, 1),)}, {"anticorrelated": ((2, 3),)}], ids=str)
def test_linear_loss_is_the_mean_over_samples(groups):
    features = make([1.0, 0.3] if "anticorrelated" not in groups else [0.4, 0.1], 4, **groups)
    g = torch.Generator().manual_seed(0)
    W, b, importance = torch.randn(2, 3, 4, generator=g), torch.randn(2, 4, generator=g) / 3, torch.rand(4, generator=g)
    mean, second = losses.moments(features)
    x = features.sample(400_000, g)
    measured = loss(forward(W, b, x, LINEAR), x, importance)
    assert torch.allclose(losses.linear_loss(W, importance, second, mean, b), measured, rtol=0.01)
    with pytest.raises(ValueError, match="mean"):
        losses.linear_loss(W, importance, second, b=b)


def test_zero_mean_unit_variance_is_own_plus_interference():
    W, importance = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(1)), torch.rand(5)
    G = (W.mT @ W)[0]
    own = (importance * (G.diagonal() - 1) ** 2).sum()
    interference = (importance * (G**2).sum(1)).sum() - (importance * G.diagonal() ** 2).sum()
    assert torch.isclose(losses.linear_loss(W, importance, torch.eye(5))[0], own + interference)


def test_with_the_best_bias_sparsity_only_scales_the_linear_loss():
    """Own error and interference get the same factor, p/3 - p²/4."""
    W, importance = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(2)), torch.rand(5)
    unit = losses.linear_loss(W, importance, torch.eye(5))
    for p in (1.0, 0.2, 0.01):
        mean, second = losses.moments(make([p], 5))
        got = losses.linear_loss(W, importance, second, mean, losses.best_bias(W, mean))
        assert torch.allclose(got, (p / 3 - p**2 / 4) * unit, rtol=1e-3)


@pytest.mark.parametrize("p", [0.1, 0.6])
def test_two_features(p):
    x = make([p], 2).sample(2_000_000, torch.Generator().manual_seed(0))
    W = torch.tensor([[[1.0, -1.0]]])
    measured = loss(forward(W, torch.zeros(1, 2), x), x, torch.tensor([1.0, 0.5]))
    assert math.isclose(float(measured), losses.antipodal_loss(p, 1.0, 0.5), rel_tol=0.015)
    assert math.isclose(float(x[..., 1].var()), losses.dropped_loss(p), rel_tol=0.01)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_critical_probability_is_where_the_losses_meet(ratio):
    p = losses.critical_probability(ratio)
    assert math.isclose(losses.antipodal_loss(p, 1.0, ratio), losses.dropped_loss(p, ratio), rel_tol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_trained_phases_follow_the_closed_form(seed):
    p, r = (t.reshape(-1) for t in torch.meshgrid(sweep(6, 0.05), torch.logspace(-0.9, 0.9, 6), indexing="ij"))
    weights = torch.stack((torch.ones_like(r), r), 1) / r.clamp(min=1)[:, None]
    model, _ = best_of(6, make(p, 2), 1, weights, seed=seed, steps=600, batch=64, lr=2e-2)
    assert float((geometry.phase(model.W, 1) == geometry.predicted_phase(p, r)).float().mean()) > 0.9


@pytest.mark.parametrize("n", [5, 6, 9])
def test_polygon_geometry(n):
    W = polygon(n)[None]
    assert torch.allclose(geometry.dimensionality(W), torch.full((1, n), 2 / n), atol=1e-5)
    assert torch.allclose(geometry.interference(W), torch.full((1, n), n / 2 - 1), atol=1e-4)
    assert int(geometry.kept(W)) == n and torch.allclose(geometry.norms(W), torch.ones(1, n))


def test_degenerate_directions():
    W = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(geometry.dimensionality(W), torch.tensor([0.5, 0.0, 0.5]))
    assert bool(torch.isfinite(geometry.cosines(W)).all())
    assert float(geometry.max_abs_cosine(W)) == pytest.approx(1)
    assert float(geometry.max_abs_cosine(W[:, :2])) == 0
    assert geometry.features_per_neuron(W).tolist() == [2, 0]
    assert float(geometry.axis_alignment(W)) == pytest.approx(1)


def test_phases():
    W = torch.tensor([[[1.0, 0.1]], [[0.1, 1.0]], [[1.0, -1.0]]])
    assert [geometry.PHASES[i] for i in geometry.phase(W, 1).tolist()] == [
        "not represented",
        "own dimension",
        "superposed",
    ]
