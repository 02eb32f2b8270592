"""What B would look like if nothing were learnt: four nulls, and two corrections for directions that overlap; and for
whole heads, weights that are random in two ways.

Softmax gets peakier with scale, so each null is rescaled until the standard deviation of its B is that of the real B.
Comparing with a null at another scale compares scales.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import features
from labs_src.circuits.bases import unit_rms
from labs_src.circuits.features import Rows
from labs_src.circuits.folding import Folded


def _draw(shape: torch.Size | tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def random_weights(folded: Folded, head: int, rows: Rows, seed: int = 0) -> Tensor:
    """Uncapped B with random W_Q and W_K. The overlap of directions stays."""
    f, d = features.directions(rows), folded.d_head
    W_Q, W_K = _draw((2, f.shape[1], d), seed)
    return (f @ W_Q) @ (f @ W_K).T


def random_directions(folded: Folded, head: int, rows: Rows, seed: int = 0) -> Tensor:
    """Uncapped B of as many random directions, the same for query and key."""
    f = unit_rms(_draw(features.directions(rows).shape, seed))
    return features.affinity(folded, head, f, cap=False)


def independent_directions(folded: Folded, head: int, rows: Rows, seed: int = 0) -> Tensor:
    """Uncapped B of random directions, others for the query than for the key: nothing can look for itself."""
    q, k = (unit_rms(rows_) for rows_ in _draw((2, *features.directions(rows).shape), seed))
    return features.affinity(folded, head, q, k, cap=False)


def permuted_keys(folded: Folded, head: int, rows: Rows, seed: int = 0) -> Tensor:
    """Uncapped real B with its columns in another order: the values stay, the diagonal does not."""
    B = features.affinity(folded, head, rows, cap=False)
    return B[:, torch.randperm(B.shape[1], generator=torch.Generator().manual_seed(seed))]


NULLS: dict[str, Callable[..., Tensor]] = {
    "random W_Q and W_K": random_weights,
    "random directions": random_directions,
    "independent directions": independent_directions,
    "permuted keys": permuted_keys,
}


def null(name: str, folded: Folded, head: int, rows: Rows, seed: int = 0) -> Float[Tensor, "F F"]:
    """B of one of ``NULLS``, capped, with the standard deviation of the real capped B.

    Raises:
        ValueError: no such null.
    """
    if name not in NULLS:
        raise ValueError(f"nulls are {', '.join(NULLS)}; not {name!r}")
    real = features.affinity(folded, head, rows)
    return rescaled(NULLS[name](folded, head, rows, seed), float(real.std()), folded.cap)


def rescaled(scores: Tensor, std: float, cap: Callable[[Tensor], Tensor] = lambda x: x, steps: int = 40) -> Tensor:
    """``cap(c * scores)`` with the c that gives a standard deviation, found by halving an interval.

    Args:
        scores: before the softcap.
        std: wanted; one that the cap cannot reach gives the nearest.
        cap: the softcap.
        steps: halvings.
    """
    part = scores.flatten()[:: max(1, scores.numel() // 30_000)]  # the search needs no more than a sample
    low, high = 0.0, 4.0 * std / max(float(part.std()), 1e-12)
    while float(cap(high * part).std()) < std and high < 1e6:
        high *= 4
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if float(cap(middle * part).std()) < std else (low, middle)
    return cap((low + high) / 2 * scores)


def gram(rows: Rows) -> Float[Tensor, "F F"]:
    """Cosines between directions: what any head that compares a direction with itself sees without being taught."""
    f = torch.nn.functional.normalize(features.directions(rows), dim=-1)
    return f @ f.T


def minus_gram(B: Float[Tensor, "F F"], rows: Rows) -> Float[Tensor, "F F"]:
    """B without its part along the Gram matrix of the directions (a least-squares fit of one factor)."""
    G = gram(rows)
    return B - (B * G).sum() / (G * G).sum() * G


def whitened(rows: Rows, floor: float = 1e-3) -> Float[Tensor, "F d_model"]:
    """Directions after G ** -1/2: as near to orthonormal as F rows in d_model dimensions can be, each of RMS 1.

    With more directions than dimensions G is singular; the pseudo-inverse leaves rows whose covariance is the identity.

    Args:
        rows: directions.
        floor: singular values below this share of the largest are left out.
    """
    f = features.directions(rows)
    U, s, V = torch.linalg.svd(f, full_matrices=False)
    keep = s > floor * s[0]
    return unit_rms(U[:, keep] @ V[keep])


MATRICES = ("W_Q", "W_K", "W_V", "W_O")


def gaussian_heads(folded: Folded, source: torch.Generator) -> Folded:
    """The layer with Gaussian matrices of the same standard deviation. Neither features nor singular values stay."""
    drawn = {}
    for name in MATRICES:
        weight = getattr(folded, name)
        drawn[name] = torch.randn(weight.shape, generator=source).to(weight) * weight.std()
    return replace(folded, **drawn)


def rotated_heads(folded: Folded, source: torch.Generator) -> Folded:
    """The layer with every matrix of every head turned by a random rotation of the residual stream.

    Singular values, and so how few directions carry a head's scores, stay as they are. Which features they are does
    not: query, key, value and output sides are turned apart. What such heads show comes from the spectrum alone.
    """
    turned = {}
    for name in MATRICES:
        weight = getattr(folded, name)
        side = weight.transpose(1, 2) if name == "W_O" else weight  # [head, d_model, d_head]
        # weight = frame @ R; another frame, drawn evenly, is the same as a rotation of d_model, and much smaller
        frame, R = torch.linalg.qr(torch.randn(side.shape, generator=source).to(side))
        frame = frame * R.diagonal(dim1=1, dim2=2).sign()[:, None]  # else the first row always has one sign
        new = frame @ torch.linalg.qr(side)[1]
        turned[name] = new.transpose(1, 2).contiguous() if name == "W_O" else new
    return replace(folded, **turned)
