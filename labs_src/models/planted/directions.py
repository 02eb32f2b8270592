"""Feature directions of a planted model: one unit vector per feature, none on the carrier's coordinate.

Coordinate 0 of the residual stream is the carrier's (see ``norms``). The mean direction ``b``, which every token holds
and a dictionary learns as its decoder bias, is orthogonal to every feature. With as many features as dimensions are
left the directions are orthonormal; with more they are packed, so that the largest cosine between two is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

N_IDS = 20


@dataclass(frozen=True)
class Features:
    """Named directions.

    Attributes:
        names: one per feature: ``id0`` .., ``prev0`` .., ``bos``, ``c0`` .. (content).
        directions: unit rows [feature, d_model].
        mean: the mean direction ``b``, a unit vector [d_model].
        n_ids: number of token classes (``id``), and of "the previous token's class was" features (``prev``).
    """

    names: tuple[str, ...]
    directions: Float[Tensor, "feature d_model"]
    mean: Float[Tensor, " d_model"]
    n_ids: int = N_IDS

    @property
    def bos(self) -> int:
        """Index of the feature that only the first token holds."""
        return 2 * self.n_ids

    @property
    def content(self) -> range:
        """Indices of the content features."""
        return range(2 * self.n_ids + 1, len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def largest_cosine(self) -> float:
        """Largest absolute cosine between two features."""
        return float((self.directions @ self.directions.T).fill_diagonal_(0).abs().max())


def names(n_content: int, n_ids: int = N_IDS) -> tuple[str, ...]:
    """Feature names in order."""
    ids = [f"id{i}" for i in range(n_ids)] + [f"prev{i}" for i in range(n_ids)]
    return (*ids, "bos", *(f"c{i}" for i in range(n_content)))


def orthonormal(d_model: int = 128, n_ids: int = N_IDS, seed: int = 0) -> Features:
    """As many orthonormal features as fit beside the carrier and the mean: d_model - 2.

    Raises:
        ValueError: if not even one content feature fits.
    """
    n = d_model - 2
    if n < 2 * n_ids + 2:
        raise ValueError(f"{n_ids} ids need d_model of at least {2 * n_ids + 4}; got {d_model}")
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(d_model - 1, d_model - 1, generator=g, dtype=torch.float64))[0]
    rows = torch.cat([torch.zeros(d_model - 1, 1, dtype=torch.float64), basis], 1).float()
    return Features(names(n - 2 * n_ids - 1, n_ids), rows[1:], rows[0], n_ids)


def packed(n_features: int = 504, d_model: int = 128, n_ids: int = N_IDS, seed: int = 0, steps: int = 400) -> Features:
    """More features than dimensions, their cosines pushed down by gradient descent on the sum of their sixth powers.

    Takes about ten CPU seconds for 504 features in 128 dimensions.

    Raises:
        ValueError: if there are no more features than dimensions (use ``orthonormal``).
    """
    if n_features <= d_model - 2:
        raise ValueError(f"{n_features} features fit at right angles into {d_model} dimensions: use orthonormal()")
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(n_features, d_model - 2, generator=g), dim=1)
    velocity = torch.zeros_like(x)
    for step in range(steps):
        gram = (x @ x.T).fill_diagonal_(0)
        gradient = gram.pow(5) @ x  # of sum |cosine|^6, up to a factor
        gradient = gradient / gradient.norm(dim=1, keepdim=True).max()
        velocity = 0.9 * velocity + gradient
        x = torch.nn.functional.normalize(x - 0.03 * (1 - step / steps) * velocity, dim=1)
    # coordinate 0 is the carrier's, coordinate 1 becomes the mean; a rotation then hides which is which
    turn = torch.linalg.qr(torch.randn(d_model - 1, d_model - 1, generator=g))[0]
    rows = torch.zeros(n_features + 1, d_model)
    rows[0, 1:] = turn[0]
    rows[1:, 1:] = x @ turn[1:]
    return Features(names(n_features - 2 * n_ids - 1, n_ids), rows[1:], rows[0], n_ids)
