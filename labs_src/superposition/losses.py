"""Losses in closed form: what a set of directions costs before anything is trained.

The linear model x' = W^T W x + b, with G = W^T W, errs by e = (G - I) x + b, so its expected loss needs only the first
and second moments of the data. With the output ReLU two features can share a dimension, and that case is exact too.
The derivation in the notes (seed 002) fixes G_ii = 1 (unit codes) and so drops the first term of

    L = sum_i I_i [ (G_ii - 1)^2 + sum_{j != i} G_ij^2 ]        (independent features, mean 0, variance 1)
"""

from __future__ import annotations

import torch

from labs_src.superposition.data import Features


def co_activation(features: Features) -> torch.Tensor:
    """m_ij = P(i and j are both on), with P(i is on) on the diagonal: [instances, features, features]."""
    p = features.probability
    m = p[:, :, None] * p[:, None, :]
    for groups, factor in ((features.correlated, 1.0), (features.anticorrelated, 0.0)):
        for group in groups:
            for i in group:
                for j in group:
                    m[:, i, j] = factor * p[:, i]
    index = torch.arange(features.n_features)
    m[:, index, index] = p
    return m


def moments(features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [instances, features] and second moments E[x_i x_j] [instances, features, features] of uniform features.

    Given that it is on, a magnitude has the mean 1/2 and the second moment 1/3, and two of them are independent.
    """
    m = co_activation(features)
    index = torch.arange(features.n_features)
    second = m / 4
    second[:, index, index] = m[:, index, index] / 3
    return features.probability / 2, second


def linear_loss(
    W: torch.Tensor, importance: torch.Tensor | float, second: torch.Tensor, mean=None, b=None
) -> torch.Tensor:
    """[instances]: E sum_i I_i e_i^2 for e = (W^T W - I) x + b.

    Args:
        W: [instances, d_hidden, n_features].
        importance: A number, [features] or [instances, features].
        second: E[x x^T], [instances, features, features] (the identity for mean 0 and variance 1).
        mean: E[x], [instances, features]; needed where there is a bias.
        b: [instances, features]; none by default.
    """
    gap = W.mT @ W - torch.eye(W.shape[-1], dtype=W.dtype)
    error = torch.einsum("...ij,...jk,...ik->...i", gap, second.expand(*gap.shape), gap)
    if b is not None:
        if mean is None:
            raise ValueError(
                "With a bias the loss needs the mean of the data as well: linear_loss(W, I, second, mean, b)."
            )
        error = error + 2 * b * torch.einsum("...ij,...j->...i", gap, mean.expand(b.shape)) + b**2
    return (torch.as_tensor(importance, dtype=W.dtype) * error).sum(-1)


def best_bias(W: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """The bias that takes the mean out of the linear model's error, b = -(G - I) E[x]; the covariance is left."""
    gap = W.mT @ W - torch.eye(W.shape[-1], dtype=W.dtype)
    return -torch.einsum("...ij,...j->...i", gap, mean)


def dropped_loss(probability, importance=1.0):
    """A feature that is not represented costs I Var(x) = I (p/3 - p^2/4): its output is the mean, through the bias."""
    return importance * (probability / 3 - probability**2 / 4)


def antipodal_loss(probability, first=1.0, second=1.0):
    """Two independent features on one axis, W = [1, -1], b = 0, output ReLU: (I_1 + I_2) p^2 / 6.

    Alone, each is read back exactly and leaves the other at ReLU(-x) = 0. Both on, each errs by the smaller of the two
    magnitudes, and E[min(u, v)^2] = 1/6 for uniform u and v. So the penalty goes with p^2 and the benefit with p.
    """
    return (first + second) * probability**2 / 6


def critical_probability(ratio):
    """Below it two features should share one dimension: 2r / (1 + 2.5 r), r the smaller importance over the larger.

    From antipodal_loss < dropped_loss of the less important feature.
    """
    return 2 * ratio / (1 + 2.5 * ratio)
