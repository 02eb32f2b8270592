"""Taking a head's work away: everywhere (zero, mean), or along one path only.

Path ablation uses that this model is linear up to the softmax: queries, keys and values are linear in the stream, so
what a head of layer 0 contributes to a key of layer 1 can be subtracted from it and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from labs_src.models.attention_only import AttentionOnly

Tokens = Int[Tensor, "batch pos"]
Logits = Float[Tensor, "batch pos vocab"]


def ablate_heads(model: AttentionOnly, tokens: Tokens, heads: Iterable[tuple[int, int]], how: str = "mean") -> Logits:
    """Logits with the output of some heads replaced.

    Args:
        model: An attention-only model.
        tokens: With BOS.
        heads: (layer, head) pairs.
        how: "zero", or "mean": the head's average over the batch at each position, so that what does not depend on
            the text stays.

    Raises:
        ValueError: `how` is something else.
    """
    if how not in ("zero", "mean"):
        raise ValueError(f"how must be 'zero' or 'mean', got {how!r}")
    chosen: dict[int, list[int]] = {}
    for layer, head in heads:
        chosen.setdefault(layer, []).append(head)

    def replace(result: Tensor, name: str) -> Tensor:
        which = chosen[int(name.split(".")[1])]
        new = result.clone()
        part = result[:, :, which]
        new[:, :, which] = 0.0 if how == "zero" else part.mean(0, keepdim=True).expand_as(part)
        return new

    return model.run_with_hooks(tokens, [(f"blocks.{layer}.attn.hook_result", replace) for layer in chosen])


def path_writes(
    model: AttentionOnly, written: Float[Tensor, "batch pos head_0 d_model"], heads: list[int], into: str = "k"
) -> Float[Tensor, "batch pos head d_head"]:
    """What some layer-0 heads put into the q, k or v of every layer-1 head.

    Args:
        model: A two-layer attention-only model.
        written: What each head of layer 0 wrote (`blocks.0.attn.hook_result`).
        heads: Heads of layer 0.
        into: "q", "k" or "v".

    Raises:
        ValueError: `into` is something else.
    """
    if into not in ("q", "k", "v"):
        raise ValueError(f"into must be 'q', 'k' or 'v', got {into!r}")
    weight = {"q": model.W_Q, "k": model.W_K, "v": model.W_V}[into][1]
    return torch.einsum("bpd,hde->bphe", written[:, :, heads].sum(2), weight)


def rescaled(vectors: Float[Tensor, "... d"], to: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """`vectors`, each with the norm of its partner in `to`: other content, the same amount."""
    return vectors * to.norm(dim=-1, keepdim=True) / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def subtract(
    model: AttentionOnly, tokens: Tokens, removed: Float[Tensor, "batch pos head d_head"], into: str = "k"
) -> tuple[Logits, Float[Tensor, "batch head query key"]]:
    """Logits and layer-1 patterns when `removed` is taken out of the q, k or v of layer 1, and nothing else changes."""
    patterns: list[Tensor] = []
    hooks = [
        (f"blocks.1.attn.hook_{into}", lambda value, name: value - removed),
        ("blocks.1.attn.hook_pattern", lambda pattern, name: patterns.append(pattern)),
    ]
    return model.run_with_hooks(tokens, hooks), patterns[0]


def ablate_path(
    model: AttentionOnly, tokens: Tokens, heads: list[int], into: str = "k"
) -> tuple[Logits, Float[Tensor, "batch head query key"]]:
    """`subtract` what some layer-0 heads write into the q, k or v ("q", "k" or "v") of every layer-1 head."""
    _, cache = model.run_with_cache(tokens)
    return subtract(model, tokens, path_writes(model, cache["blocks.0.attn.hook_result"], heads, into), into)
