"""Do dictionary reconstructions predict what attention really computes? Spearman correlations by layer.

Predicted, from codes through reconstructions with the decoder bias, at exact positions:

    logit(query t, key s) = (R_t W_Q (1 + gamma) x_hat_t) . (R_s W_K (1 + gamma) x_hat_s) scale / (rms_t rms_s)

with the norm's gain folded, the rotation in halves (pairs i, i + d_head / 2) and the true rms. The real ones are made
of the queries and keys that the model itself rotated, before the softcap. Beside them, three mistakes that people make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from labs_src.dictionaries.gemma_scope import Dictionary

MISTAKES = ("gamma", "interleaved", "post_norm", "no_bias")
"""gamma: the stored gain, without the 1. interleaved: rotation of pairs 2i, 2i + 1. post_norm: codes of the normed
vector, as if it were the residual. no_bias: reconstructions without b_dec."""


def entering(layer: int) -> str:
    """Hook point of the dictionary that reads what enters a layer, by Gemma Scope's names."""
    return f"blocks.{layer - 1}.hook_resid_post" if layer else "blocks.0.hook_resid_pre"


def rotated(
    x: Float[Tensor, "batch pos head d_head"], theta: float, interleaved: bool = False
) -> Float[Tensor, "batch pos head d_head"]:
    """Rotary positions 0, 1, ... applied; pairs (i, i + d_head / 2), or (2i, 2i + 1)."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1])[:, None] * theta ** (-torch.arange(half) / half)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    one, two = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = (one * cos - two * sin, two * cos + one * sin)
    return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)


@torch.no_grad()
def attention(
    model: Any, dictionaries: Mapping[str, Dictionary], ids: Int[Tensor, "batch pos"]
) -> list[dict[str, float]]:
    """Per layer the mean over heads and prompts of Spearman over pairs (query, key) in reach, <bos> left out.

    Args:
        model: a raw-weight bridge of a Gemma-2.
        dictionaries: by hook point; those of ``entering(layer)`` are used.

    Returns:
        a row per layer: layer, correct, and each of ``MISTAKES``.
    """
    config = model.original_model.config
    n_layers, pos = config.num_hidden_layers, torch.arange(ids.shape[1])
    wanted = ("hook_resid_pre", "attn.hook_rot_q", "attn.hook_rot_k")
    names = [f"blocks.{layer}.{name}" for layer in range(n_layers) for name in wanted]
    _, cache = model.run_with_cache(ids, names_filter=names)
    out = []
    for layer in range(n_layers):
        attn = _Attention(model, layer, config)
        x, q, k = (cache[f"blocks.{layer}.{name}"] for name in wanted)
        real = attn.products(q.transpose(1, 2), k.transpose(1, 2))
        d = dictionaries[entering(layer)]
        rms, x_hat = (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt(), d.decode(d.encode(x))
        normed = x / rms * (1 + attn.gamma)
        predicted = {
            "correct": attn.logits(x_hat, rms, 1 + attn.gamma),
            "gamma": attn.logits(x_hat, rms, attn.gamma),
            "interleaved": attn.logits(x_hat, rms, 1 + attn.gamma, interleaved=True),
            "post_norm": attn.logits(d.decode(d.encode(normed)), rms, 1 + attn.gamma),
            "no_bias": attn.logits(x_hat - d.b_dec, rms, 1 + attn.gamma),
        }
        delta = pos[:, None] - pos
        reach = (delta >= 0) & (pos >= 1)
        if config.layer_types[layer] == "sliding_attention":
            reach &= delta < config.sliding_window
        out.append({"layer": layer, **{name: _spearman(real, p, reach) for name, p in predicted.items()}})
    return out


class _Attention:
    """The weights of one attention layer."""

    def __init__(self, model: Any, layer: int, config: Any) -> None:
        self.W_Q, self.W_K = model.blocks[layer].attn.W_Q, model.blocks[layer].attn.W_K  # [head, d_model, d_head]
        self.gamma = model.original_model.model.layers[layer].input_layernorm.weight
        self.theta, self.scale = config.rope_parameters["rope_theta"], config.query_pre_attn_scalar**-0.5

    def logits(self, x: Tensor, rms: Tensor, gain: Tensor, interleaved: bool = False) -> Tensor:
        """[batch, head, query, key]"""
        q, k = (
            rotated(torch.einsum("bpd,hdk->bphk", x / rms * gain, W), self.theta, interleaved)
            for W in (self.W_Q, self.W_K)
        )
        return self.products(q.transpose(1, 2), k.transpose(1, 2))

    def products(self, q: Tensor, k: Tensor) -> Tensor:
        """Of rotated queries and keys [batch, head, pos, d_head]."""
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        return q @ k.transpose(-1, -2) * self.scale


def _spearman(real: Tensor, predicted: Tensor, reach: Tensor) -> float:
    pairs = [(a[reach], b[reach]) for a, b in zip(real.flatten(0, 1), predicted.flatten(0, 1))]
    return float(sum(spearmanr(a.numpy(), b.numpy()).statistic for a, b in pairs) / len(pairs))


def table(rows: list[dict[str, float]]) -> str:
    """As plain text."""
    names = [name for name in rows[0] if name != "layer"]
    lines = ["layer " + " ".join(f"{name:>12}" for name in names)]
    return "\n".join(lines + [f"{r['layer']:5} " + " ".join(f"{r[name]:12.3f}" for name in names) for r in rows])
