"""One-to-one matching of two dictionaries: two latents may not both claim the same partner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

LARGEST = 8192
"""Latents of a dictionary up to which the assignment is solved: it needs the whole similarity matrix, twice."""


@dataclass(frozen=True)
class Matching:
    """Partners of the rows of A among those of B (-1 for none), and the |cosine| of each pair."""

    partner: Int[Tensor, " n_a"]
    cosine: Float[Tensor, " pair"]

    @property
    def mean(self) -> float:
        """Mean |cosine| over the pairs."""
        return float(self.cosine.mean(dtype=torch.float64))


def hungarian(A: Float[Tensor, "n_a d"], B: Float[Tensor, "n_b d"]) -> Matching:
    """The one-to-one matching with the largest sum of |cosine| (Kuhn 1955; scipy's solver).

    Raises:
        ValueError: more than ``LARGEST`` rows; the assignment cannot be solved in blocks.
    """
    from scipy.optimize import linear_sum_assignment

    if max(len(A), len(B)) > LARGEST:
        raise ValueError(
            f"a one-to-one matching of {len(A)} and {len(B)} rows needs the whole similarity matrix. Take at most "
            f"{LARGEST} rows, such as the live latents, or compare with stability.matches, which works in blocks."
        )
    unit = [torch.nn.functional.normalize(W, dim=1) for W in (A, B)]
    S = (unit[0] @ unit[1].T).abs()
    rows, columns = (torch.from_numpy(index) for index in linear_sum_assignment(S.numpy(), maximize=True))
    partner = torch.full((len(A),), -1)
    partner[rows] = columns
    return Matching(partner, S[rows, columns])


def mean_cosine(A: Float[Tensor, "n_a d"], B: Float[Tensor, "n_b d"]) -> float:
    """Mean |cosine| of the best one-to-one matching."""
    return hungarian(A, B).mean
