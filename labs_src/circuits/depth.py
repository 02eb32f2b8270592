"""Random stacks of MLP blocks, with and without the skip and the norm: what a gradient looks like after many blocks."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

WIDTH = 64
POSITIONS = 32


def stack(depth: int, seed: int, width: int = WIDTH) -> list[tuple[Tensor, Tensor]]:
    """(W_in, W_out) of each block: Gaussian, standard deviation 1/sqrt(inputs), no biases."""
    g = torch.Generator().manual_seed(seed)
    shapes = ((width, 4 * width), (4 * width, width))
    return [tuple(torch.randn(s, generator=g) / math.sqrt(s[0]) for s in shapes) for _ in range(depth)]


def run(
    x: Float[Tensor, "pos d_model"], blocks: list[tuple[Tensor, Tensor]], skip: bool, norm: bool
) -> Float[Tensor, "pos d_model"]:
    """x -> (x if skip) + GELU(norm(x) W_in) W_out, block after block, and a last norm where there are norms."""
    size = (x.shape[-1],)
    for W_in, W_out in blocks:
        F_x = F.gelu((F.layer_norm(x, size) if norm else x) @ W_in) @ W_out
        x = x + F_x if skip else F_x
    return F.layer_norm(x, size) if norm else x


def first_layer_gradient(depth: int, skip: bool, norm: bool, seed: int) -> float:
    """Norm of the gradient of a random linear read-out with respect to the first block's weights.

    Args:
        depth: Number of blocks.
        skip: Whether each block adds to the stream, or replaces it.
        norm: Whether each block reads through a LayerNorm (pre-norm).
        seed: Of the weights, the input and the read-out; the first block is the same at every depth.
    """
    g = torch.Generator().manual_seed(10_000 + seed)
    x, direction = torch.randn(2, POSITIONS, WIDTH, generator=g)
    blocks = stack(depth, seed)
    first = [W.requires_grad_() for W in blocks[0]]
    (run(x, blocks, skip, norm) * direction).sum().backward()
    return math.sqrt(sum(float(W.grad.pow(2).sum()) for W in first))


def gradient_ratios(depths: list[int], skip: bool, norm: bool, seeds: int) -> list[float]:
    """First-layer gradient norm at each depth over that at depth 1, each a mean over seeds."""
    mean = {d: sum(first_layer_gradient(d, skip, norm, s) for s in range(seeds)) / seeds for d in {1, *depths}}
    return [mean[depth] / mean[1] for depth in depths]


def spectrum(depth: int, skip: bool, seed: int) -> Float[Tensor, "d_model"]:
    """Singular values of d output / d input of a pre-norm stack at one position, largest first."""
    x = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(10_000 + seed))
    blocks = stack(depth, seed)
    J = torch.func.jacrev(lambda v: run(v[None], blocks, skip, norm=True)[0])(x[0])
    return torch.linalg.svdvals(J.double())


def participation_ratio(singular_values: Float[Tensor, "d_model"]) -> float:
    """How evenly directions come through, (sum s^2)^2 / sum s^4: from 1 (one takes everything) to d_model (all alike).

    It does not count directions: one large singular value among many that are not zero gives about 1.
    """
    squares = singular_values.double().pow(2)
    return float(squares.sum().pow(2) / squares.pow(2).sum())
