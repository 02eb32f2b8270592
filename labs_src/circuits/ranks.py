"""Spearman's rank correlation of many masked rows at once, ties averaged, as scipy's for each row."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ranks(values: Float[Tensor, "*rows n"], mask: Bool[Tensor, "*rows n"]) -> Float[Tensor, "*rows n"]:
    """Rank of each entry among those of its row that count, from 0, ties averaged; 0 where the mask is off."""
    shown = values.double().masked_fill(~mask, float("inf")).contiguous()
    order = shown.sort(-1).values
    low = torch.searchsorted(order, shown)
    high = torch.searchsorted(order, shown, right=True)
    return ((low + high - 1) / 2).masked_fill(~mask, 0).double()


def spearman(
    a: Float[Tensor, "*rows n"], b: Float[Tensor, "*rows n"], mask: Bool[Tensor, "*rows n"]
) -> Float[Tensor, "*rows"]:
    """Rank correlation of each row over the entries that count; NaN where either side is constant there.

    Args:
        a, b: same shape; entries that count are finite.
        mask: broadcasts to that shape.
    """
    mask = mask.expand(a.shape)
    return pearson(ranks(a, mask), ranks(b, mask), mask)


def pearson(
    a: Float[Tensor, "*rows n"], b: Float[Tensor, "*rows n"], mask: Bool[Tensor, "*rows n"]
) -> Float[Tensor, "*rows"]:
    """Correlation of each row over the entries that count; NaN where either side is constant there."""
    n = mask.sum(-1, keepdim=True).clamp(min=1)
    a, b = ((x - (x * mask).sum(-1, keepdim=True) / n) * mask for x in (a.double(), b.double()))
    aa, bb = (a * a).sum(-1), (b * b).sum(-1)
    flat = (aa <= 1e-12) | (bb <= 1e-12)
    return ((a * b).sum(-1) / (aa * bb).clamp(min=1e-300).sqrt()).masked_fill(flat, float("nan"))
