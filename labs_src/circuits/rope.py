"""Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864) in the pairing of Gemma's code.

Dimension i is paired with i + d_head / 2 ("halves", also called rotate-half) and the pair turned by
position * theta ** (-2 i / d_head). A query at t and a key at s <= t only meet through their distance:

    logit = q . R(-(t - s)) k        rotate the key by minus the distance

The other common pairing, (2 i, 2 i + 1) ("interleaved"), gives other numbers for the same weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

PAIRINGS = ("halves", "interleaved")

DISTANCE_BINS = ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 1024))
"""Half-open ranges of distances that share one rotation in the errata's prediction."""


def frequencies(d_head: int, theta: float) -> Float[Tensor, " pair"]:
    """Angle per position of each pair, fastest first [d_head / 2]."""
    return theta ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)


def rotate(
    x: Float[Tensor, "*rows d_head"], position: float | Int[Tensor, "*rows"], theta: float, pairing: str = "halves"
) -> Float[Tensor, "*rows d_head"]:
    """Turn every pair of dimensions by its angle at a position.

    Args:
        x: queries or keys.
        position: one for all, or a tensor whose shape broadcasts with that of x without its last axis. May be
            negative, or a fraction.
        theta: base of the angles.
        pairing: one of ``PAIRINGS``.

    Raises:
        ValueError: no such pairing, or an odd d_head.
    """
    if pairing not in PAIRINGS:
        raise ValueError(f"a pairing is one of {', '.join(map(repr, PAIRINGS))}, not {pairing!r}")
    if x.shape[-1] % 2:
        raise ValueError(f"rotary positions turn pairs of dimensions; d_head is {x.shape[-1]}, which is odd")
    position = torch.as_tensor(position, dtype=torch.float64)
    angle = position[..., None] * frequencies(x.shape[-1], theta)  # in float64: far positions turn many times
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    half = x.shape[-1] // 2
    one, two = (x[..., :half], x[..., half:]) if pairing == "halves" else (x[..., 0::2], x[..., 1::2])
    turned = (one * cos - two * sin, two * cos + one * sin)
    return torch.cat(turned, -1) if pairing == "halves" else torch.stack(turned, -1).flatten(-2)


def key_at(
    k: Float[Tensor, "*rows d_head"], distance: float | Int[Tensor, "*rows"], theta: float, pairing: str = "halves"
) -> Float[Tensor, "*rows d_head"]:
    """Keys as a query ``distance`` positions later meets them: rotated by minus the distance."""
    return rotate(k, -torch.as_tensor(distance, dtype=torch.float64), theta, pairing)


def centre(bin: tuple[int, int]) -> float:
    """The distance at the middle of a bin."""
    return (bin[0] + bin[1]) / 2


def bin_of(distance: Int[Tensor, "*rows"]) -> Int[Tensor, "*rows"]:
    """Index into ``DISTANCE_BINS``; what is farther than the last bin's end counts to the last."""
    ends = torch.tensor([end for _, end in DISTANCE_BINS[:-1]])
    return torch.bucketize(distance.contiguous(), ends, right=True)
