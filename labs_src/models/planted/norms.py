"""The four norms of a block: gains spread without changing what circuits do, and the carrier that keeps writes linear.

A norm after attention divides by the size of what the heads wrote, so that an idle head would be blown up to full size
and a write would not grow with attention. The carrier prevents it: every head also writes one large constant onto
coordinate 0, which then sets the size, and the post-norm's gain of 0 there takes it out again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CARRIER = 3.0
"""Size of the carrier over the size of one full write: 1 would leave 0.95 of a write of 1.5, 3 leaves about 1.3."""

SHARE = 7**-0.5
"""A feature's share of a typical token: 1 / sqrt(4 + 1 + 1 + 1), from 2 b + two content features + one id."""

PRE_SPREAD, POST_SPREAD, FINAL = 0.5, 0.3, 0.3


@dataclass(frozen=True)
class Gains:
    """1 + gamma of the norms of one block, each [d_model]."""

    before_attention: Tensor
    after_attention: Tensor
    before_mlp: Tensor
    after_mlp: Tensor

    @property
    def attention_spread(self) -> Tensor:
        """The random factor of the post-attention gain, to be divided out of W_O's rows [d_model]."""
        return _spread_of(self.after_attention)

    @property
    def mlp_spread(self) -> Tensor:
        """The random factor of the post-MLP gain, to be divided out of W_down's rows [d_model]."""
        return _spread_of(self.after_mlp)


def _spread_of(gain: Tensor) -> Tensor:
    factor = gain / (CARRIER / SHARE)
    factor[0] = 1.0  # the carrier's coordinate, whose gain is 0
    return factor


def gains(d_model: int, generator: torch.Generator, spread: float = 1.0) -> Gains:
    """Random gains; ``spread`` 0 makes all plain, 1 is as shipped. What the circuits do does not depend on it."""

    def factors(sigma: float) -> Tensor:
        return (spread * sigma * torch.randn(d_model, generator=generator)).exp()

    def after() -> Tensor:
        gain = CARRIER / SHARE * factors(POST_SPREAD)
        gain[0] = 0.0
        return gain

    return Gains(factors(PRE_SPREAD), after(), factors(PRE_SPREAD), after())
