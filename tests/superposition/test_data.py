"""Feature data: probabilities, groups, and messages for bad input."""

from __future__ import annotations

import pytest
import torch

from labs_src.superposition.data import Features, make, pairs, sweep
from labs_src.superposition.losses import co_activation, moments

N = 200_000


def sample(features: Features, seed: int = 0) -> torch.Tensor:
    return features.sample(N, torch.Generator().manual_seed(seed))


def test_shape_range_and_probability():
    x = sample(make([1.0, 0.3, 0.05], 4))
    assert x.shape == (N, 3, 4) and float(x.min()) == 0 and float(x.max()) <= 1
    assert torch.allclose((x > 0).float().mean((0, 2)), torch.tensor([1.0, 0.3, 0.05]), atol=0.003)


@pytest.mark.parametrize("p", [1.0, 0.3, 0.05])
def test_magnitudes_are_uniform_whatever_the_probability(p):
    x = sample(make(p, 1)).flatten()
    on = x[x > 0].sort().values.double()
    rank = torch.linspace(0, 1, len(on), dtype=torch.float64)
    assert float((on - rank).abs().max()) * len(on) ** 0.5 < 2.5


@pytest.mark.parametrize("groups", [{}, {"correlated": ((0, 1), (2, 3))}, {"anticorrelated": ((0, 1, 2),)}])
def test_moments_are_those_of_the_samples(groups):
    features = make([0.2], 5, **groups)
    x = sample(features)[:, 0].double()
    on = (x > 0).double()
    mean, second = moments(features)
    assert torch.allclose(on.T @ on / N, co_activation(features)[0].double(), atol=0.005)
    assert torch.allclose(x.mean(0), mean[0].double(), atol=0.005)
    assert torch.allclose(x.T @ x / N, second[0].double(), atol=0.003)


def test_correlated_features_keep_magnitudes_of_their_own():
    x = sample(make([0.5], 2, correlated=((0, 1),)))[:, 0]
    both = x[(x > 0).all(1)]
    assert abs(float(torch.corrcoef(both.T)[0, 1])) < 0.02


def test_same_seed_same_sample():
    features = make([0.5], 3)
    assert torch.equal(sample(features, 5), sample(features, 5))
    assert not torch.equal(sample(features, 5), sample(features, 6))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda: make([0.0], 3), "above 0"),
        (lambda: make([1.2], 3), "at most at 1"),
        (lambda: make([float("nan")], 3), "above 0"),
        (lambda: make([0.6], 4, anticorrelated=pairs(4)), "at most 1/2"),
        (lambda: make([0.1], 4, correlated=((0, 1), (1, 2))), "one group only"),
        (lambda: make([0.1], 4, correlated=((3, 4),)), "one group only"),
        (lambda: Features(torch.tensor([0.1, 0.2])), "instances, features"),
        (lambda: Features(torch.tensor([[0.1, 0.2]]), correlated=((0, 1),)), "same probability"),
    ],
)
def test_bad_input_gets_one_clear_message(bad, says):
    with pytest.raises(ValueError, match=says):
        bad()


def test_sweep_goes_from_always_to_lowest():
    p = sweep(8, 0.05)
    assert p[0] == 1 and torch.isclose(p[-1], torch.tensor(0.05)) and bool((p.diff() < 0).all())
