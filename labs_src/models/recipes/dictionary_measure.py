"""Do dictionary reconstructions predict what attention really computes? Spearman correlations by layer.

Predicted, from codes through reconstructions with the decoder bias, at exact positions:

    logit(query t, key s) = (R_t W_Q (1 + gamma) x_hat_t) . (R_s W_K (1 + gamma) x_hat_s) scale / (rms_t rms_s)

with the norm's gain folded, the rotation in halves (pairs i, i + d_head / 2) and the true rms. The real ones are the
model's own, after its softcap, which changes no order. All pairs of a head and prompt are ranked together; within each
query row, and with every other choice as a switch, it is ``labs_src.circuits.prediction``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from scipy.stats import spearmanr
from torch import Tensor

from labs_src.circuits import folding, prediction
from labs_src.circuits.bases import entering
from labs_src.dictionaries.gemma_scope import Dictionary

MISTAKES = ("gamma", "interleaved", "post_norm", "no_bias")
"""gamma: the stored gain, without the 1. interleaved: rotation of pairs 2i, 2i + 1. post_norm: codes of the normed
vector, as if it were the residual. no_bias: reconstructions without b_dec."""


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
    out = []
    for layer, seen in prediction.look(model, ids).items():
        d = dictionaries[entering(layer)]
        right, legacy = folding.fold(model, layer), folding.fold(model, layer, gain="gamma")
        size, x_hat = folding.rms(seen.x, seen.eps), d.decode(d.encode(seen.x))
        normed = seen.x / size * (1 + seen.gamma)
        predicted = {
            "correct": _logits(x_hat / size, right),
            "gamma": _logits(x_hat / size, legacy),
            "interleaved": _logits(x_hat / size, right, "interleaved"),
            "post_norm": _logits(d.decode(d.encode(normed)) / size, right),
            "no_bias": _logits((x_hat - d.b_dec) / size, right),
        }
        reach = right.allowed(ids.shape[1]) & (torch.arange(ids.shape[1]) >= 1)
        out.append({"layer": layer, **{name: _spearman(seen.scores, p, reach) for name, p in predicted.items()}})
    return out


def _logits(x: Tensor, folded: folding.Folded, pairing: str = "halves") -> Tensor:
    """[batch, head, query, key], from vectors divided by their rms."""
    q, k = (torch.einsum("bpd,hde->bhpe", x, W) for W in (folded.W_Q, folded.W_K))
    k = k.repeat_interleave(folded.n_heads // folded.n_kv, 1)
    return prediction.products(q, k, folded, prediction.RIGHT.but(pairing=pairing))


def _spearman(real: Tensor, predicted: Tensor, reach: Tensor) -> float:
    pairs = [(a[reach], b[reach]) for a, b in zip(real.flatten(0, 1), predicted.flatten(0, 1))]
    return float(sum(spearmanr(a.numpy(), b.numpy()).statistic for a, b in pairs) / len(pairs))


def table(rows: list[dict[str, float]]) -> str:
    """As plain text."""
    names = [name for name in rows[0] if name != "layer"]
    lines = ["layer " + " ".join(f"{name:>12}" for name in names)]
    return "\n".join(lines + [f"{r['layer']:5} " + " ".join(f"{r[name]:12.3f}" for name in names) for r in rows])
