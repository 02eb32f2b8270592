"""QK and OV circuits of an attention-only model, kept as two thin factors.

Row-vector convention, as the model computes: `x @ W`. A circuit between vocabulary entries has d_vocab^2 numbers and
rank d_head; its two factors have 2 * d_vocab * d_head. Source: Elhage et al. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Complex, Float
from torch import Tensor

if TYPE_CHECKING:
    from labs_src.models.attention_only import AttentionOnly


@dataclass(frozen=True)
class Factored:
    """The matrix `left @ right`, not multiplied out.

    Attributes:
        left: (rows, rank).
        right: (rank, columns).
    """

    left: Float[Tensor, "rows rank"]
    right: Float[Tensor, "rank columns"]

    def __post_init__(self) -> None:
        if self.left.shape[-1] != self.right.shape[0]:
            raise ValueError(f"factors of shape {tuple(self.left.shape)} and {tuple(self.right.shape)} do not fit")

    @property
    def full(self) -> Float[Tensor, "rows columns"]:
        """The product."""
        return self.left @ self.right

    @property
    def T(self) -> Factored:
        return Factored(self.right.T, self.left.T)

    def __matmul__(self, other: Factored) -> Factored:
        return Factored(self.left, (self.right @ other.left) @ other.right)

    def norm(self) -> Tensor:
        """Frobenius norm from the small matrices: |LR|^2 = trace(L^T L R R^T)."""
        return ((self.left.T @ self.left) * (self.right @ self.right.T)).sum().clamp_min(0).sqrt()

    def eigenvalues(self) -> Complex[Tensor, "rank"]:
        """The eigenvalues that can differ from zero: those of `right @ left`."""
        return torch.linalg.eigvals(self.right @ self.left)


def ov(model: AttentionOnly, layer: int, head: int) -> Factored:
    """What a head writes for what it reads: `W_V W_O`, (d_model, d_model)."""
    return Factored(model.W_V[layer, head], model.W_O[layer, head])


def qk(model: AttentionOnly, layer: int, head: int) -> Factored:
    """Which key a query goes with: `W_Q W_K^T`, (d_model of the query, d_model of the key). Not scaled."""
    return Factored(model.W_Q[layer, head], model.W_K[layer, head].T)


def full_ov(model: AttentionOnly, layer: int, head: int) -> Factored:
    """The OV circuit between tokens, `W_E W_V W_O W_U`: (source token, predicted token)."""
    inner = ov(model, layer, head)
    return Factored(model.W_E @ inner.left, inner.right @ model.W_U)


def full_qk(model: AttentionOnly, layer: int, head: int) -> Factored:
    """The QK circuit between tokens, `W_E W_Q W_K^T W_E^T`: (query token, key token). Not scaled."""
    inner = qk(model, layer, head)
    return Factored(model.W_E @ inner.left, inner.right @ model.W_E.T)


def full_k_composition(model: AttentionOnly, previous: int | list[int], induction: int) -> Factored:
    """`W_E W_QK (W_E W_OV_prev)^T`: (query token, token before the key). Not scaled.

    Args:
        model: A two-layer attention-only model.
        previous: A head of layer 0, or several whose writes add up.
        induction: A head of layer 1.
    """
    heads = [previous] if isinstance(previous, int) else list(previous)
    written = model.W_E @ sum(ov(model, 0, head).full for head in heads)
    inner = qk(model, 1, induction)
    return Factored(model.W_E @ inner.left, inner.right @ written.T)
