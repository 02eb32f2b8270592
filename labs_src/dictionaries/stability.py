"""Would another seed have found the same features? Agreement of two dictionaries, in blocks, with what chance gives.

PWMCC (pairwise maximum cosine correlation) of two sets of vectors: the largest |cosine| of each vector with any of the
other set, averaged over the set, and over both directions. On decoder rows it compares directions; on columns of codes
(a latent's activation over samples) it compares when latents fire. Also called MMCS (Sharkey et al. 2022).

Rows are vectors throughout; a vector of zeros has cosine 0 with everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 1024
"""Rows of the similarity matrix that are held at a time."""


@dataclass(frozen=True)
class Matches:
    """The nearest row of the other set, for each row of both: |cosine| and index."""

    a: Float[Tensor, " n_a"]
    a_index: Int[Tensor, " n_a"]
    b: Float[Tensor, " n_b"]
    b_index: Int[Tensor, " n_b"]

    @property
    def pwmcc(self) -> float:
        """Mean of the two directions' means."""
        return float((self.a.mean(dtype=torch.float64) + self.b.mean(dtype=torch.float64)) / 2)


def lengths(A: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Length of each row, without a squared copy of A."""
    return torch.linalg.vector_norm(A, dim=1)


def matches(A: Float[Tensor, "n_a d"], B: Float[Tensor, "n_b d"], block: int = BLOCK) -> Matches:
    """Nearest neighbours by |cosine|, holding ``block`` rows of the similarity matrix and no copy of A or B.

    Raises:
        ValueError: the rows have different lengths, or there are none.
    """
    if A.dim() != 2 or B.dim() != 2 or A.shape[1] != B.shape[1] or not len(A) or not len(B):
        raise ValueError(
            f"two sets of vectors of one length are compared, (n, d) each; got {tuple(A.shape)} and {tuple(B.shape)}. "
            "Decoders go in as (d_sae, d_in), codes transposed, as (d_sae, samples)."
        )
    inverse = [torch.where(n > 0, 1 / n, torch.zeros_like(n)) for n in (lengths(A), lengths(B))]
    a, a_index = torch.empty(len(A), dtype=A.dtype), torch.empty(len(A), dtype=torch.long)
    b, b_index = torch.full((len(B),), -1.0, dtype=A.dtype), torch.zeros(len(B), dtype=torch.long)
    for start in range(0, len(A), block):
        rows = slice(start, min(start + block, len(A)))
        S = (A[rows] @ B.T).mul_(inverse[0][rows, None]).mul_(inverse[1]).abs_()
        a[rows], a_index[rows] = S.max(1)
        largest, at = S.max(0)
        better = largest > b
        b[better], b_index[better] = largest[better], at[better] + start
    return Matches(a, a_index, b, b_index)


def pwmcc(A: Float[Tensor, "n_a d"], B: Float[Tensor, "n_b d"], block: int = BLOCK) -> float:
    """PWMCC of two sets of vectors: decoders as they stand; codes (sample, latent) transposed."""
    return matches(A, B, block).pwmcc


def alive(z: Float[Tensor, "sample latent"]) -> Bool[Tensor, " latent"]:
    """Which latents fire at all on these samples."""
    return (z != 0).any(0)


@dataclass(frozen=True)
class AliveSplit:
    """Activation PWMCC taken apart: ``total == fraction * value``, exactly.

    Attributes:
        fraction: live latents among those of both dictionaries.
        value: mean of the largest |cosine| over the live latents of both.
        total: over all latents.
    """

    fraction: float
    value: float
    total: float


def alive_split(z1: Float[Tensor, "sample latent"], z2: Float[Tensor, "sample latent"]) -> AliveSplit:
    """Activation PWMCC as alive fraction times the value among live latents, for dictionaries of one width.

    A latent that never fires has cosine 0 with everything, so it adds nothing to the sums and one to their length.

    Raises:
        ValueError: the widths differ, so that one weight for both directions does not exist.
    """
    if z1.shape[1] != z2.shape[1]:
        raise ValueError(f"the dictionaries have {z1.shape[1]} and {z2.shape[1]} latents; this needs equal widths")
    found = matches(z1.T, z2.T)
    on = torch.cat([alive(z1), alive(z2)])
    best = torch.cat([found.a, found.b]).double()
    return AliveSplit(float(on.double().mean()), float(best[on].mean()) if on.any() else 0.0, found.pwmcc)


def effective_rank(h: Float[Tensor, "row d"]) -> float:
    """exp of the entropy of the normalised singular values of h about its mean (Roy and Vetterli 2007)."""
    s = torch.linalg.svdvals((h - h.mean(0)).double())
    p = s / s.sum()
    return float(torch.special.entr(p).sum().exp())


def principal(W: Float[Tensor, "n d"], r: int) -> Float[Tensor, "r d"]:
    """The r leading right singular vectors: the directions in which rows of W are longest together."""
    if not 1 <= r <= W.shape[1]:
        raise ValueError(f"the rank should be from 1 to {W.shape[1]}, the dimension of the rows; got {r}")
    return torch.linalg.eigh(W.double().T @ W.double()).eigenvectors[:, -r:].T


def subspace_overlap(A: Float[Tensor, "n_a d"], B: Float[Tensor, "n_b d"], r: int) -> float:
    """Overlap tr(P_A P_B) / r of the projectors on the r leading directions: 1 the same space, r/d by chance."""
    return float((principal(A, r) @ principal(B, r).T).pow(2).sum() / r)


def moved(start: Float[Tensor, "*n d"], end: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """Cosine of each row with where it started; 1 is not turned at all."""
    return torch.nn.functional.cosine_similarity(start, end, dim=-1)


def pairs(things: Sequence, statistic: Callable[..., float]) -> Float[Tensor, "seed seed"]:
    """A statistic of every pair, symmetric; NaN on the diagonal."""
    table = torch.full((len(things), len(things)), torch.nan, dtype=torch.float64)
    for i, j in torch.combinations(torch.arange(len(things))).tolist():
        table[i, j] = table[j, i] = statistic(things[i], things[j])
    return table


def jackknife(table: Float[Tensor, "seed seed"], level: float = 0.95) -> tuple[float, float, float]:
    """Mean over pairs of seeds, and an interval that leaves out one seed at a time: (mean, low, high).

    Pairs that share a seed are not independent: ten pairs of five seeds are five draws, not ten.

    Raises:
        ValueError: fewer than three seeds.
    """
    from scipy.stats import t

    n = len(table)
    if n < 3:
        raise ValueError(f"leaving out one seed needs three at least; got {n}")
    mean = float(table.double().nanmean())
    left = torch.stack([table[keep][:, keep].double().nanmean() for keep in (torch.arange(n) != i for i in range(n))])
    half = float(t.ppf(0.5 + level / 2, n - 1)) * float(((left - left.mean()) ** 2).sum() * (n - 1) / n) ** 0.5
    return mean, mean - half, mean + half
