"""Does W2F predict what a head writes? Predicted against actual changes of feature activations.

    predicted(t) = sum over s of  alpha(t, s) * (a(s) @ W2F + one(s) * b @ W_V W_O @ out)

alpha is the head's real attention, a(s) the code of the raw block input divided by its rms, W2F the plain dot products
of what each direction writes with the rows `out` (columns of the next dictionary's encoder). The second summand is the
basis's bias, divided by the rms; the errata's version leaves it out. The norm after attention divides all heads'
writes at a token by one rms, which changes no order at that token; it is divided by anyway, so that sizes can be
compared. Actual: codes of what leaves the layer, minus codes of the same without the head. Metrics of W2F itself are in
`circuits.metrics`, the names of heads in `circuits.archetypes`. Source: the errata ("Correcting the Weight-Space Map").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from sklearn.metrics import ndcg_score
from torch import Tensor

from labs_src.circuits import features, folding
from labs_src.circuits.bases import Basis
from labs_src.circuits.features import Rows
from labs_src.circuits.folding import Folded

TOP = 20


@dataclass(frozen=True)
class Seen:
    """What one layer's attention read and wrote on some text.

    Attributes:
        layer: its number.
        x: [batch, pos, d_model], the raw block input. eps: of the model's norms.
        pattern: [batch, head, query, key], attention weights.
        z: [batch, pos, head, d_head], each head's output before W_O.
        post_rms: [batch, pos, 1], what the norm after attention divided by.
        leaving: [batch, pos, d_model], the stream after the layer.
    """

    layer: int
    x: Float[Tensor, "batch pos d_model"]
    eps: float
    pattern: Float[Tensor, "batch head query key"]
    z: Float[Tensor, "batch pos head d_head"]
    post_rms: Float[Tensor, "batch pos 1"]
    leaving: Float[Tensor, "batch pos d_model"]


@torch.no_grad()
def look(model: Any, ids: Int[Tensor, "batch pos"], layers: Iterable[int] | None = None) -> dict[int, Seen]:
    """Run a raw-weight bridge of a Gemma-2 on text of one length; all layers if None."""
    layers = list(range(folding.n_layers(model)) if layers is None else layers)
    config = model.original_model.config
    wanted = ("hook_resid_pre", "attn.hook_pattern", "attn.hook_z", "ln1_post.hook_scale", "hook_resid_post")
    names = [f"blocks.{layer}.{name}" for layer in layers for name in wanted]
    _, cache = model.run_with_cache(ids, names_filter=names)
    out = {}
    for layer in layers:
        x, pattern, z, scale, leaving = (cache[f"blocks.{layer}.{name}"].float() for name in wanted)
        z = z if z.dim() == 4 else z.unflatten(-1, (config.num_attention_heads, -1))
        out[layer] = Seen(layer, x, config.rms_norm_eps, pattern, z, scale, leaving)
    return out


def head_write(seen: Seen, folded: Folded, head: int) -> Float[Tensor, "batch pos d_model"]:
    """What the head really added to the stream. `folded` with the right gain of the norm after attention."""
    return seen.z[:, :, head] @ folded.W_O[head] / seen.post_rms


def predicted_change(
    seen: Seen, folded: Folded, head: int, basis: Basis, out: Rows, *, bias: bool = True, cosine: bool = False
) -> Float[Tensor, "batch pos G"]:
    """The formula above for one head, W2F never made unless cosines are asked for.

    Args:
        seen: of the layer. folded: its weights.
        head: query head.
        basis: of the codes.
        out: rows [G, d_model] that the write is read with: a dictionary's `W_enc.T`, or a basis.
        bias: whether the basis's bias is part of what is read.
        cosine: W2F of cosines, as in the writing metrics. A weak writer then counts as much as a strong one.
    """
    size = folding.rms(seen.x, seen.eps)
    codes = basis.encode(seen.x) / size
    alpha = seen.pattern[:, head]
    if cosine:
        found = alpha @ codes @ features.writes(folded, head, basis, out)
        one = alpha @ (1 / size)
        return found + one * features.writes(folded, head, basis.bias[None], out) if bias else found
    read = codes @ basis.directions + (basis.bias / size if bias else 0.0)
    return alpha @ features.written(folded, head, read) @ features.directions(out).T / seen.post_rms


def actual_change(
    seen: Seen, folded: Folded, head: int, encode: Callable[[Tensor], Tensor]
) -> Float[Tensor, "batch pos G"]:
    """Codes of the stream that leaves the layer, minus codes of the same stream without what the head wrote.

    The direct effect alone: that the layer's MLP read the head's write as well is not counted.

    Args:
        encode: of a dictionary or basis at the layer's end; or `x @ W_enc`, for the change before the threshold.
    """
    return encode(seen.leaving) - encode(seen.leaving - head_write(seen, folded, head))


@dataclass(frozen=True)
class Agreement:
    """Means over tokens. rows: tokens that were compared; skipped: tokens at which one side did not change."""

    jaccard: float
    ndcg: float
    spearman: float
    rows: int
    skipped: int


def agreement(predicted: Float[Tensor, "*token G"], actual: Float[Tensor, "*token G"], k: int = TOP) -> Agreement:
    """How well the largest predicted changes are the largest actual ones, token by token.

    jaccard: of the k features with the largest absolute change on either side; where fewer than k changed, as many as
    changed. ndcg: at k, gain |actual|, order by |predicted| (Järvelin and Kekäläinen 2002; scikit-learn's). spearman:
    of the signed changes, over all features, ties averaged.

    Raises:
        ValueError: the shapes differ, or no token can be compared.
    """
    if predicted.shape != actual.shape:
        raise ValueError(f"predicted and actual changes differ in shape: {predicted.shape} and {actual.shape}")
    p, a = (t.flatten(0, -2).double() for t in (predicted, actual))
    usable = (a != a[:, :1]).any(1) & (p != p[:, :1]).any(1)
    if not usable.any():
        raise ValueError("at no token do both sides change: is the head's output zero here?")
    p, a = p[usable], a[usable]
    top = [_jaccard(x.abs(), y.abs(), k) for x, y in zip(p, a, strict=True)]
    gain = float(ndcg_score(a.abs().numpy(), p.abs().numpy(), k=k))
    return Agreement(sum(top) / len(top), gain, _spearman(p, a), int(usable.sum()), int((~usable).sum()))


def _jaccard(p: Tensor, a: Tensor, k: int) -> float:
    k = min(k, int((a > 0).sum()))
    one, two = (set(t.topk(k).indices.tolist()) for t in (p, a))
    return len(one & two) / max(1, len(one | two))


def _spearman(p: Tensor, a: Tensor) -> float:
    one, two = (torch.from_numpy(rankdata(t.numpy(), axis=1)) for t in (p, a))
    one, two = one - one.mean(1, keepdim=True), two - two.mean(1, keepdim=True)
    return float(((one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1))).mean())
