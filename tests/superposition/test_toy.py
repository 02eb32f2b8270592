"""The fast trainer: its gradients are autograd's, it learns what it should on five seeds, and it stops at NaN."""

from __future__ import annotations

import pytest
import torch

from labs_src.superposition import toy
from labs_src.superposition.data import make, pairs, sweep
from labs_src.superposition.geometry import cosines, kept, max_abs_cosine, norms
from labs_src.superposition.toy import HIDDEN_RELU, LINEAR, TOY, Kind, best_of, train

IMPORTANCE = 0.9 ** torch.arange(5.0)
SEEDS = range(5)


@pytest.mark.parametrize(
    "kind",
    [TOY, LINEAR, HIDDEN_RELU, Kind(hidden_relu=True, activity_penalty=0.3), Kind(activity_penalty=0.2)],
    ids=str,
)
@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_equal_autograd(kind, seed):
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(3, 2, 7, generator=g, dtype=torch.float64).requires_grad_()
    b = torch.randn(3, 7, generator=g, dtype=torch.float64).requires_grad_()
    x = torch.rand(11, 3, 7, generator=g, dtype=torch.float64)
    importance = torch.rand(3, 7, generator=g, dtype=torch.float64)
    h = toy.hidden(W, x, kind)
    loss = toy.loss(toy.forward(W, b, x, kind), x, importance) + kind.activity_penalty * h.abs().sum(-1).mean(0)
    expected = torch.autograd.grad(loss.sum(), (W, b))
    got = toy.gradients(W.detach(), b.detach(), x.transpose(0, 1), importance, kind)
    for a, c in zip(got, expected):
        assert torch.allclose(a, c, rtol=1e-10, atol=1e-12)


def test_optimiser_is_adam():
    """One instance, every batch the same: the hand-written update against torch.optim.Adam with the same cosine."""
    features = make([1.0], 3)
    fixed = features.sample(16, torch.Generator().manual_seed(9))

    class Same:
        instances, n_features, probability = 1, 3, features.probability

        def sample(self, batch, generator):
            return fixed

    ours = train(Same(), 2, steps=20, lr=0.05, snapshots=20)
    W, b = ours.history[0].clone().requires_grad_(), torch.zeros(1, 3, requires_grad=True)
    adam = torch.optim.Adam([W, b], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 20)
    for _ in range(20):
        adam.zero_grad()
        toy.loss(toy.forward(W, b, fixed), fixed, torch.ones(3)).sum().backward()
        adam.step()
        schedule.step()
    assert torch.allclose(ours.W, W.detach(), atol=1e-4) and torch.allclose(ours.b, b.detach(), atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_five_in_two_on_every_seed(seed):
    model, losses = best_of(4, make(sweep(8, 1 / 20)[[0, -1]], 5), 2, IMPORTANCE, seed=seed, steps=3000, lr=2e-2)
    assert losses.shape == (4, 2)
    assert kept(model.W).tolist() == [2, 5]
    assert set(norms(model.W[0]).topk(2).indices.tolist()) == {0, 1}
    assert float(max_abs_cosine(model.W[0])) < 0.1
    angle = torch.atan2(model.W[1, 1], model.W[1, 0]).rad2deg().sort().values
    assert float((torch.cat((angle.diff(), angle[:1] + 360 - angle[-1:])) - 72).abs().max()) <= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_correlated_and_anticorrelated_on_every_seed(seed):
    for groups, held in (("correlated", lambda c: abs(c) < 0.1), ("anticorrelated", lambda c: c < -0.9)):
        model, _ = best_of(8, make([0.05], 4, **{groups: pairs(4)}), 2, seed=seed, steps=1000, lr=2e-2)
        assert all(held(float(cosines(model.W)[0, i, i + 1])) for i in (0, 2)), groups


def test_equal_importance_leaves_dense_features_neither_whole_nor_orthogonal():
    """Any two-dimensional subspace is as good: what makes dense features orthogonal is that some matter more."""
    model, _ = best_of(4, make(1.0, 5), 2, seed=0, steps=3000, lr=2e-2)
    assert float(model.W.pow(2).sum()) == pytest.approx(2, abs=0.1)
    assert float(max_abs_cosine(model.W[0], 0.3)) > 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_model_never_superposes(seed):
    model = train(make(sweep(4, 1 / 20), 5), 2, IMPORTANCE, kind=LINEAR, seed=seed)
    assert bool((model.W.pow(2).sum((1, 2)) < 2.1).all())


def test_same_seed_same_weights():
    a, b = (train(make([0.3], 5), 2, seed=4, steps=50).W for _ in range(2))
    assert torch.equal(a, b)


def test_snapshots_include_first_and_last():
    model = train(make([0.3], 5), 2, steps=40, snapshots=4)
    assert model.steps == (0, 10, 20, 30, 40) and model.history.shape == (5, 1, 2, 5)
    assert torch.equal(model.history[-1], model.W)


class Broken:
    """NaN in the data from the third batch on."""

    instances, n_features = 1, 3

    def __init__(self):
        self.calls = 0

    def sample(self, batch, generator):
        self.calls += 1
        return torch.full((batch, 1, 3), float("nan") if self.calls >= 3 else 0.5)


def test_nan_stops_with_the_step_and_the_cause():
    with pytest.raises(toy.Diverged, match=r"step 3: .*data holds NaN"):
        train(Broken(), 2)
    with pytest.raises(toy.Diverged, match=r"step 1: .*importance"):
        train(make([0.5], 3), 2, torch.tensor([1.0, float("nan"), 1.0]))
    with pytest.raises(toy.Diverged, match=r"learning rate 1e[+]15 is too high"):
        train(make([0.5], 3), 2, lr=1e15)
