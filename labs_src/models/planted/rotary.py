"""Rotation pairs of a head and what each is used for.

RoPE turns pair (i, i + d_head/2) by ``position * theta**(-2i/d_head)``. Slow pairs hardly turn within a prompt, so that
a feature pair put there attends anywhere. Fast pairs tell distances apart: a weighted sum of their cosines has one
peak, and a linear program finds the weights whose peak stands out most.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.optimize import linprog

FAST = 20
"""Pairs 0 .. FAST-1 tell distances apart (of 32); the others hold feature pairs."""


def frequencies(d_head: int, theta: float) -> np.ndarray:
    """Angle per position of each pair [d_head / 2]."""
    return theta ** (-2 * np.arange(d_head // 2) / d_head)


@cache
def peak(distance: int, d_head: int, theta: float, reach: int) -> tuple[tuple[float, ...], float]:
    """Weights on the fast pairs, summing to 1, for a peak of sum_i w_i cos(angle_i (delta - distance)) at ``distance``.

    Returns:
        the weights, and the gap: 1 minus the largest value at any other distance below ``reach``.
    """
    angles = frequencies(d_head, theta)[:FAST]
    others = np.array([delta for delta in range(reach) if delta != distance])
    curves = np.cos(np.outer(others - distance, angles))  # [other distance, pair]
    rows = np.concatenate([curves, -np.ones((len(others), 1))], 1)  # curves @ w - t <= 0, minimise t
    found = linprog(
        np.r_[np.zeros(FAST), 1.0],
        A_ub=rows,
        b_ub=np.zeros(len(others)),
        A_eq=np.r_[np.ones(FAST), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * FAST + [(None, None)],
    )
    weights = np.clip(found.x[:FAST], 0, None)
    return tuple(weights / weights.sum()), float(1 - found.x[-1])
