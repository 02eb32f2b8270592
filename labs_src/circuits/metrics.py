"""One number about a head: metrics of B (where it looks) and of W2F (what it writes), as the errata defines them.

Softmax goes along rows: over the keys that a query direction could choose. Sources: the errata and its code (see
"Definitions" in the docs); effective rank is Roy and Vetterli 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import features, rope
from labs_src.circuits.features import Rows
from labs_src.circuits.folding import Folded

DELTAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Distances at which RoPE stability is taken."""


def selectivity(B: Float[Tensor, "F G"]) -> float:
    """Mean over rows of the largest softmax weight: 1 when each query direction has one key, 1 / G when none has."""
    return float(B.softmax(-1).amax(-1).mean())


def selectivity_over_uniform(B: Float[Tensor, "F G"]) -> float:
    """``selectivity`` divided by 1 / G, what equal weights give ("Sel x U")."""
    return selectivity(B) * B.shape[-1]


def diagonal_mass(B: Float[Tensor, "F F"]) -> float:
    """Mean softmax weight that a direction gives to itself: identity or copy routing."""
    return float(_square(B).softmax(-1).diagonal().mean())


def diagonal_dominance(B: Float[Tensor, "F F"]) -> float:
    """Share of rows whose largest entry is the diagonal one."""
    return float((_square(B).argmax(-1) == torch.arange(len(B))).float().mean())


def asymmetry(B: Float[Tensor, "F F"]) -> float:
    """Frobenius norm of B - B.T over that of B: 0 for a symmetric B, 2 for an antisymmetric one."""
    return float((_square(B) - B.T).norm() / B.norm())


def effective_rank(B: Float[Tensor, "F G"]) -> float:
    """exp of the entropy of the singular values divided by their sum."""
    return _effective_rank(torch.linalg.svdvals(B.double()))


def effective_rank_factored(left: Float[Tensor, "F d"], right: Float[Tensor, "G d"]) -> float:
    """``effective_rank`` of ``left @ right.T`` (no softcap) from two small QR decompositions."""
    a, b = (torch.linalg.qr(rows.double()).R for rows in (left, right))
    return _effective_rank(torch.linalg.svdvals(a @ b.T))


def _effective_rank(s: Tensor) -> float:
    p = s / s.sum()
    return float(torch.exp(-(p * p.clamp(min=1e-300).log()).sum()))


def rope_stability(
    folded: Folded, head: int, rows: Rows, deltas: Sequence[int] = DELTAS, pairing: str = "halves"
) -> Float[Tensor, " delta"]:
    """Cosine between B at distance 0 and B at each distance, flattened. B with its softcap."""
    at_zero = features.affinity(folded, head, rows, pairing=pairing)
    at = (features.affinity(folded, head, rows, distance=delta, pairing=pairing) for delta in deltas)
    return torch.stack([torch.cosine_similarity(at_zero.flatten(), B.flatten(), dim=0) for B in at])


def rope_stability_factored(
    q: Float[Tensor, "F d_head"],
    k: Float[Tensor, "G d_head"],
    theta: float,
    deltas: Sequence[int] = DELTAS,
    pairing: str = "halves",
) -> Float[Tensor, " delta"]:
    """``rope_stability`` without the softcap, from two d_head x d_head matrices instead of F x G ones.

    <Q K^T, Q K'^T> = sum over entries of (Q^T Q) * (K^T K'), so B is never made.
    """
    gram = q.T @ q

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (gram * (a.T @ b)).sum()

    at = [rope.key_at(k, delta, theta, pairing) for delta in deltas]
    return torch.stack([inner(k, b) / (inner(k, k) * inner(b, b)).sqrt() for b in at])


def rope_auc(stability: Float[Tensor, " delta"], deltas: Sequence[int] = DELTAS) -> float:
    """Area under stability against log2(distance), distances from 1 on, over the length of that axis.

    Raises:
        ValueError: fewer than two distances, or one below 1.
    """
    if len(deltas) < 2 or min(deltas) < 1:
        raise ValueError("the area needs at least two distances, all of them 1 or more")
    x = torch.tensor([math.log2(d) for d in deltas], dtype=stability.dtype)
    return float(torch.trapezoid(stability, x) / (x[-1] - x[0]))


def band_energy(rows: Float[Tensor, "F d_head"], bands: int = 4) -> Float[Tensor, " band"]:
    """Share of the energy of queries (or keys) in each of four equal bands of rotation pairs, fastest first.

    Raises:
        ValueError: the pairs do not divide into the bands.
    """
    half = rows.shape[-1] // 2
    if half % bands:
        raise ValueError(f"{half} rotation pairs do not divide into {bands} bands")
    pairs = rows[:, :half].pow(2) + rows[:, half:].pow(2)
    return pairs.sum(0).reshape(bands, -1).sum(1) / pairs.sum()


def routing(B: Float[Tensor, "F F"]) -> dict[str, float]:
    """Every metric of B that needs nothing else."""
    return {
        "selectivity": selectivity(B),
        "selectivity_over_uniform": selectivity_over_uniform(B),
        "diagonal_mass": diagonal_mass(B),
        "diagonal_dominance": diagonal_dominance(B),
        "asymmetry": asymmetry(B),
        "effective_rank": effective_rank(B),
    }


def writing(W2F: Float[Tensor, "F F"]) -> dict[str, float]:
    """Metrics of W2F (cosines): copy score and dominance, transform, broadcast, suppression.

    Returns:
        copy_score: mean diagonal. copy_dominance: share of rows whose largest entry is the diagonal one. transform:
        largest entry off the diagonal. broadcast: largest column sum. suppression: largest absolute value of the
        negative entries off the diagonal, 0 if there are none.
    """
    diagonal = _square(W2F).diagonal()
    off = W2F - torch.diag_embed(diagonal)
    off.fill_diagonal_(float("-inf"))
    lowest = off.clone().fill_diagonal_(float("inf")).amin()
    return {
        "copy_score": float(diagonal.mean()),
        "copy_dominance": diagonal_dominance(W2F),
        "transform": float(off.amax()),
        "broadcast": float(W2F.sum(0).amax()),
        "suppression": float((-lowest).clamp(min=0)),
    }


def _square(B: Tensor) -> Tensor:
    if B.dim() != 2 or B.shape[0] != B.shape[1]:
        raise ValueError(f"the diagonal means 'itself' only where rows and columns are the same; B is {tuple(B.shape)}")
    return B
