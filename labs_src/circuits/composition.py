"""How much a head of layer 1 reads of what a head of layer 0 writes, from weights alone.

The score of Elhage et al. 2021 is |A B| / (|A| |B|) in Frobenius norms, with A the OV circuit of the earlier head and
B what the later head does with the stream: W_QK for queries, its transpose for keys, W_OV for values. Two random
matrices do not score 0, so the score means nothing without a baseline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits.weights import Factored, ov, qk

if TYPE_CHECKING:
    from labs_src.models.attention_only import AttentionOnly

KINDS = ("Q", "K", "V")


def score(a: Factored, b: Factored) -> float:
    """|a b| / (|a| |b|), between 0 and 1."""
    return float((a @ b).norm() / (a.norm() * b.norm()))


def reader(model: AttentionOnly, layer: int, head: int, kind: str) -> Factored:
    """The matrix with which a head reads the stream through its queries, keys or values.

    Raises:
        ValueError: `kind` is not Q, K or V.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "V":
        return ov(model, layer, head)
    return qk(model, layer, head) if kind == "Q" else qk(model, layer, head).T


def scores(model: AttentionOnly, kind: str) -> Float[Tensor, "head_0 head_1"]:
    """The score of every head of layer 0 with every head of layer 1."""
    heads = range(model.cfg.n_heads)
    return torch.tensor([[score(ov(model, 0, i), reader(model, 1, j, kind)) for j in heads] for i in heads])


def random_baseline(d_model: int, d_head: int, draws: int = 200, seed: int = 0) -> Float[Tensor, "draws"]:
    """Scores of pairs of Gaussian matrices with the same shape and rank as a head's."""
    g = torch.Generator().manual_seed(seed)

    def draw() -> Factored:
        return Factored(torch.randn(d_model, d_head, generator=g), torch.randn(d_head, d_model, generator=g))

    return torch.tensor([score(draw(), draw()) for _ in range(draws)])
