"""What chance gives: dictionaries that have learned nothing (by shape, by space), pairs whose relation is destroyed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.dictionaries import seeds as several
from labs_src.dictionaries.stability import pwmcc


def gaussian(d_sae: int, d_in: int, n: int = 5, seed: int = 0, statistic: Callable[..., float] = pwmcc) -> Tensor:
    """A statistic of n independent pairs of Gaussian dictionaries (d_sae, d_in): (n,)."""
    rng = np.random.default_rng(seed)

    def one() -> Tensor:
        return torch.from_numpy(rng.normal(size=(d_sae, d_in))).float()

    return torch.tensor([statistic(one(), one()) for _ in range(n)], dtype=torch.float64)


def at_start(d_sae: int, d_in: int, n: int = 5, seed: int = 0, statistic: Callable[..., float] = pwmcc) -> Tensor:
    """The same of untrained SAEs (Kaiming-uniform decoders), by seeds other than the trained ones: (n,)."""
    W = several.start([10_000 * (seed + 1) + i for i in range(2 * n)], d_in, d_sae).W_dec
    return torch.tensor([statistic(W[2 * i], W[2 * i + 1]) for i in range(n)], dtype=torch.float64)


def expected(d_sae: int, d_in: int) -> float:
    """Mean PWMCC of random directions, by integration instead of sampling.

    The squared cosine of two random directions in d dimensions follows Beta(1/2, (d - 1)/2); the largest of d_sae
    independent cosines is above t with probability 1 - F(t^2)^d_sae.
    """
    from scipy.integrate import quad
    from scipy.stats import beta

    law = beta(0.5, (d_in - 1) / 2)
    return float(quad(lambda t: 1 - law.cdf(t * t) ** d_sae, 0, 1, limit=200)[0])


def permuted(
    A: Float[Tensor, "n_a d"],
    B: Float[Tensor, "n_b d"],
    statistic: Callable[..., float] = pwmcc,
    n: int = 20,
    seed: int = 0,
    signs: bool = True,
) -> Float[Tensor, " n"]:
    """A statistic with the axes of B put in another order: what is left when only the relation to A is destroyed.

    Lengths and angles among the rows of B stay as they are, which random directions of the same shape do not have.

    Args:
        signs: also flip the sign of each axis by chance. Not for codes, whose axes are samples and never negative.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(n):
        order = torch.from_numpy(rng.permutation(B.shape[1]))
        flip = torch.from_numpy(rng.choice([-1.0, 1.0], B.shape[1])).to(B.dtype) if signs else 1.0
        values.append(statistic(A, B[:, order] * flip))
    return torch.tensor(values, dtype=torch.float64)


def same_space(
    A: Float[Tensor, "n_a d"],
    B: Float[Tensor, "n_b d"],
    statistic: Callable[..., float] = pwmcc,
    n: int = 2,
    seed: int = 0,
) -> Float[Tensor, " n"]:
    """A statistic of Gaussian rows that fill the space as the rows of A and of B do: what a shared space gives alone.

    Each side keeps its own number of rows and its own second moment of directions (rows at length 1, about the origin,
    since a direction and its opposite count as one). Features are gone: no row is where a row of A or B was.
    """
    rng = np.random.default_rng(seed)

    def root(W: Tensor) -> Tensor:
        W = torch.nn.functional.normalize(W.double(), dim=1)
        values, vectors = torch.linalg.eigh(W.T @ W / len(W))
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # the symmetric root has no free signs

    roots = root(A), root(B)

    def draw(W: Tensor, R: Tensor) -> Tensor:
        return (torch.from_numpy(rng.normal(size=tuple(W.shape))) @ R).float()

    pairs = ([draw(W, R) for W, R in zip((A, B), roots, strict=True)] for _ in range(n))
    return torch.tensor([statistic(*pair) for pair in pairs], dtype=torch.float64)


def interval(values: Float[Tensor, " n"], level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of the values."""
    low, high = torch.as_tensor(values, dtype=torch.float64).quantile(
        torch.tensor([0.5 - level / 2, 0.5 + level / 2], dtype=torch.float64)
    )
    return float(low), float(high)
