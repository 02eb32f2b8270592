"""Do two numbers about heads go together? Rank correlation, with depth taken out, and with an interval over heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, spearmanr
from torch import Tensor


@dataclass(frozen=True)
class Association:
    """A rank correlation over n heads and its bootstrap interval."""

    rho: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def rank_correlation(x: Tensor, y: Tensor, groups: Tensor | None = None) -> float:
    """Spearman's correlation of two vectors; with groups, of what is left when each group's mean rank is taken out.

    Args:
        x, y: a number per head.
        groups: a number per head, such as its layer. Two numbers that both change with depth go together across layers
            without having to do with each other; within layers they do not.

    Raises:
        ValueError: the vectors differ in length, or one of them is constant (within every group).
    """
    if x.dim() != 1 or x.shape != y.shape:
        raise ValueError(f"one number per head is needed on both sides; got {tuple(x.shape)} and {tuple(y.shape)}")
    a, b = x.double().numpy(), y.double().numpy()
    found = _correlation(a, b, None if groups is None else groups.numpy())
    if not np.isfinite(found):
        raise ValueError("one side is constant, so there is no order to compare")
    return found


def beyond(x: Tensor, y: Tensor, given: Tensor) -> float:
    """Spearman's correlation of x and y with a third vector's share taken out of both (partial rank correlation).

    Raises:
        ValueError: as ``rank_correlation``; or x or y has the order of ``given``, so that nothing is left.
    """
    xy, xg, yg = (rank_correlation(*pair) for pair in ((x, y), (x, given), (y, given)))
    left = (1 - xg**2) * (1 - yg**2)
    if left < 1e-9:
        raise ValueError("one side has the order of the third vector; nothing is left beyond it")
    return (xy - xg * yg) / left**0.5


def associate(
    x: Tensor, y: Tensor, groups: Tensor | None = None, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Association:
    """`rank_correlation` with a percentile bootstrap interval: heads drawn with replacement, within groups if given.

    Few heads make a wide interval, and that is what is to be seen.
    """
    rho = rank_correlation(x, y, groups)
    a, b = x.double().numpy(), y.double().numpy()
    labels = None if groups is None else np.unique(groups.numpy(), return_inverse=True)[1]
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = _draw(rng, len(a), labels)
        found.append(_correlation(a[drawn], b[drawn], None if labels is None else labels[drawn]))
    kept = np.asarray(found)[np.isfinite(found)]
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Association(rho, float(low), float(high), len(a))


def _draw(rng: np.random.Generator, n: int, labels: np.ndarray | None) -> np.ndarray:
    if labels is None:
        return rng.integers(n, size=n)
    parts = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    return np.concatenate([rng.choice(part, len(part)) for part in parts])


def _correlation(a: np.ndarray, b: np.ndarray, groups: np.ndarray | None) -> float:
    if groups is None:
        constant = np.ptp(a) == 0 or np.ptp(b) == 0
        return float("nan") if constant else float(spearmanr(a, b).statistic)
    a, b = (_within(rankdata(v), groups) for v in (a, b))
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 1e-9 else float("nan")


def _within(ranks: np.ndarray, groups: np.ndarray) -> np.ndarray:
    _, labels = np.unique(groups, return_inverse=True)
    means = np.bincount(labels, ranks) / np.bincount(labels)
    return ranks - means[labels]
