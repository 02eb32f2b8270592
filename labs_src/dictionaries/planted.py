"""Activations with known features: lab 03's sparse amounts of a few directions, added up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from labs_src.superposition import data


def pentagon(instances: int, seed: int = 0, n_features: int = 5) -> Tensor:
    """Directions of a regular polygon in the plane, each instance turned by an angle of its own.

    Returns:
        (instances, n_features, 2), rows of length 1: what lab 03's toy model finds for 5 features in 2 dimensions.
    """
    g = torch.Generator().manual_seed(seed)
    turn = torch.rand(instances, 1, generator=g) * 2 * math.pi
    angle = turn + torch.arange(n_features) * 2 * math.pi / n_features
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def random_directions(instances: int, n_features: int, d_in: int, seed: int = 0) -> Tensor:
    """Gaussian directions of length 1: (instances, n_features, d_in)."""
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(instances, n_features, d_in, generator=g)
    return W / W.norm(dim=-1, keepdim=True)


def features(n: int, instances: int, n_features: int, probability: float, seed: int = 0) -> Tensor:
    """n rows of lab 03's features for each instance, leaving out the empty rows, which teach nothing.

    With 5 features at probability 0.025, seven rows of eight are empty.

    Returns:
        (n, instances, n_features): zero, or uniform on [0, 1].
    """
    g = torch.Generator().manual_seed(seed)
    source = data.make([probability] * instances, n_features)
    some = 1 - (1 - probability) ** n_features
    kept: list[Tensor] = [torch.empty(0, n_features) for _ in range(instances)]
    while min(map(len, kept)) < n:
        x = source.sample(int(1.05 * n / some) + 64, generator=g)
        kept = [torch.cat([kept[i], x[x[:, i].any(-1), i]])[:n] for i in range(instances)]
    return torch.stack(kept, dim=1)


@dataclass(frozen=True)
class Planted:
    """A problem with a known answer: directions (instances, n_features, d_in), activations to train on and held out."""

    directions: Tensor
    h: Tensor
    held_out: Tensor


def problem(directions: Tensor, probability: float, seed: int = 0, n: int = 8192, held_out: int = 2048) -> Planted:
    """Activations of lab 03's features in `directions`: n rows to train on, and others to measure on."""
    instances, n_features, _ = directions.shape
    h = activations(features(n + held_out, instances, n_features, probability, seed), directions)
    return Planted(directions, h[:n], h[n:])


def together(problems: list[Planted]) -> Planted:
    """The instances of several problems side by side, so that they train in one run."""
    return Planted(
        *(
            torch.cat([getattr(p, name) for p in problems], dim)
            for name, dim in (("directions", 0), ("h", 1), ("held_out", 1))
        )
    )


def activations(x: Tensor, directions: Tensor) -> Tensor:
    """h = x @ directions. x: (n, instances, n_features), directions: (instances, n_features, d_in)."""
    return torch.einsum("nif,ifd->nid", x, directions)
