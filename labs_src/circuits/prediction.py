"""Do weights and codes of the residual stream predict where a head attends?

    predicted logit(t, s) = a(t) @ B_delta @ a(s),  delta = t - s,  a = code of the raw residual, divided by its rms

against the log of the attention weight, by Spearman's rank correlation within each query row. Every choice that can
be got wrong is a named switch (``Switches``); the defaults are right, ``THREE_BUGS`` is the pipeline as first published
and ``errata_method`` the errata's corrected one, which still leaves things out. Source: the errata ("Correcting the
Weight-Space Map: Three Bugs and a Cleaner Picture").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labs_src.circuits import features, folding, rope
from labs_src.circuits.bases import Basis
from labs_src.circuits.folding import GAINS, Folded
from labs_src.circuits.ranks import pearson, ranks

POINTS = ("pre_norm", "post_norm")
DISTANCES = ("exact", "binned")
DIVIDED = ("code", "vector")
BANDS = {"local": (0, 4), "mid": (16, 32), "long": (128, 256), "far": (256, 1 << 30)}
"""Ranges of distances (half open) in which rho is also taken by itself."""

FEWEST, MOST = 3, 256
"""Keys that a query row must have, and how many are sampled if there are more."""


@dataclass(frozen=True)
class Switches:
    """What a prediction does; the defaults are right.

    Attributes:
        fold: of the norm's gain into W_Q and W_K, one of ``folding.GAINS``.
        pairing: of the rotation, one of ``rope.PAIRINGS``.
        point: "pre_norm" encodes the raw block input; "post_norm" encodes what the norm
            hands on, as if that were the residual.
        bias: whether the basis's bias (a dictionary's b_dec) is part of the prediction.
        features: how many directions, drawn at random, are kept; None for all.
        seed: of that draw.
        distances: "exact", or "binned": one rotation for all distances in a bin (``rope.DISTANCE_BINS``), its centre's.
        divided: what 1 / rms is applied to. "code": encode the vector as it stands, as dictionaries were trained, and
            divide the code; "vector": divide first, then encode. Only an encoder without bias and threshold would not
            notice. The errata's text can be read as either; its definitions say the second.
    """

    fold: str = "1+gamma"
    pairing: str = "halves"
    point: str = "pre_norm"
    bias: bool = True
    features: int | None = None
    seed: int = 0
    distances: str = "exact"
    divided: str = "code"

    def __post_init__(self) -> None:
        named = {"fold": GAINS, "pairing": rope.PAIRINGS, "point": POINTS, "distances": DISTANCES, "divided": DIVIDED}
        for name, known in named.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(map(repr, known))}, not {getattr(self, name)!r}")

    def but(self, **changes: Any) -> Switches:
        """The same with some switches changed."""
        return replace(self, **changes)


RIGHT = Switches()
BUGS: dict[str, dict[str, Any]] = {
    "gamma": {"fold": "gamma"},
    "rope": {"pairing": "interleaved"},
    "activation": {"point": "post_norm"},
}
"""The three bugs, as changes of the right switches."""

THREE_BUGS = RIGHT.but(**{name: value for change in BUGS.values() for name, value in change.items()})
"""The pipeline as it was first published, all else right."""


def left_out(width: int) -> dict[str, dict[str, Any]]:
    """What the errata's corrected method does without, each as a change of the right switches.

    Args:
        width: of the dictionary; an eighth of it is kept (the errata kept 2048 of 16384).
    """
    return {
        "bias": {"bias": False},
        "features": {"features": max(1, width // 8)},
        "distances": {"distances": "binned"},
        "scale": {"divided": "vector"},
    }


def errata_method(width: int) -> Switches:
    """The errata's corrected method: everything in ``left_out`` at once."""
    return RIGHT.but(**{name: value for change in left_out(width).values() for name, value in change.items()})


@dataclass(frozen=True)
class Seen:
    """What one layer saw and did on some text.

    Attributes:
        layer: its number.
        x: [batch, pos, d_model], the raw block input.
        scores: [batch, head, query, key], the model's own logits after its softcap; what it may not see is very low.
        eps: of the model's norms.
        gamma: [d_model], the stored gain of the norm before attention.
    """

    layer: int
    x: Float[Tensor, "batch pos d_model"]
    scores: Float[Tensor, "batch head query key"]
    eps: float
    gamma: Float[Tensor, " d_model"]


@torch.no_grad()
def look(model: Any, ids: Int[Tensor, "batch pos"], layers: Iterable[int] | None = None) -> dict[int, Seen]:
    """Run a model on text and keep each layer's input and attention logits.

    Within a row the logits are in the order of the log of the attention weights (softmax only shifts them), and unlike
    those they do not underflow.

    Args:
        model: a raw-weight bridge of a Gemma-2.
        ids: text of one length.
        layers: all if None.
    """
    layers = list(range(folding.n_layers(model)) if layers is None else layers)
    names = [f"blocks.{layer}.{name}" for layer in layers for name in ("hook_resid_pre", "attn.hook_attn_scores")]
    _, cache = model.run_with_cache(ids, names_filter=names)
    config = model.original_model.config
    blocks = model.original_model.model.layers
    return {
        layer: Seen(
            layer,
            cache[f"blocks.{layer}.hook_resid_pre"].float(),
            cache[f"blocks.{layer}.attn.hook_attn_scores"].float(),
            config.rms_norm_eps,
            blocks[layer].input_layernorm.weight.detach().float(),
        )
        for layer in layers
    }


def codes(seen: Seen, basis: Basis, point: str = "pre_norm", divided: str = "code") -> tuple[Tensor, Tensor]:
    """Codes of each token, divided by the token's rms, and what the bias must be multiplied by.

    Args:
        seen: of the layer.
        basis: its ``encode`` is applied to unscaled vectors.
        point: one of ``POINTS``. After the norm the vector has been divided already.
        divided: one of ``DIVIDED``.

    Returns:
        [batch, pos, F] and [batch, pos, 1].
    """
    size = folding.rms(seen.x, seen.eps)
    if point == "post_norm":
        return basis.encode(seen.x / size * (1 + seen.gamma)), torch.ones_like(size)
    if divided == "vector":
        return basis.encode(seen.x / size), torch.ones_like(size)
    return basis.encode(seen.x) / size, 1 / size


@torch.no_grad()
def predict(
    model: Any, seen: Seen, basis: Basis, switches: Switches = RIGHT, folded: Folded | None = None
) -> Float[Tensor, "batch head query key"]:
    """Predicted logits of every head of a layer, for all pairs (those that attention never sees included).

    a(t) @ B_delta @ a(s) is computed as (a(t) @ Q) . R(-delta) (a(s) @ K): the same sum, without B. No softcap: it
    changes no order within a row if it comes last, and B's own cap would make the sum mean something else.

    Args:
        model: the weights; may be None with ``folded``.
        seen: from ``look``.
        basis: directions and codes.
        switches: how.
        folded: weights, if they are at hand; must be folded as ``switches.fold`` says.
    """
    folded = folded or folding.fold(model, seen.layer, gain=switches.fold)
    used = basis if switches.features is None else basis.subset(min(switches.features, len(basis)), switches.seed)[0]
    a, one = codes(seen, used, switches.point, switches.divided)
    x = a @ used.directions + (one * used.bias if switches.bias else 0.0)
    q = torch.einsum("bpd,hde->bhpe", x, folded.W_Q)
    k = torch.einsum("bpd,hde->bhpe", x, folded.W_K).repeat_interleave(folded.n_heads // folded.n_kv, 1)
    return products(q, k, folded, switches)


def products(
    q: Float[Tensor, "batch head pos d_head"],
    k: Float[Tensor, "batch head pos d_head"],
    folded: Folded,
    switches: Switches = RIGHT,
) -> Float[Tensor, "batch head query key"]:
    """q(t) . R(-delta) k(s) * scale for every pair of positions, at exact distances or at those of bins' centres."""
    pos = torch.arange(q.shape[2])
    if switches.distances == "exact":
        q, k = (rope.rotate(x, pos, folded.theta, switches.pairing) for x in (q, k))
        return q @ k.transpose(-1, -2) * folded.scale
    which = rope.bin_of((pos[:, None] - pos).clamp(min=0))
    out = torch.zeros(*q.shape[:3], len(pos))
    for i in which.unique().tolist():
        turned = rope.key_at(k, rope.centre(rope.DISTANCE_BINS[i]), folded.theta, switches.pairing)
        out = torch.where(which == i, q @ turned.transpose(-1, -2), out)
    return out * folded.scale


@dataclass(frozen=True)
class Rho:
    """How well a prediction orders the keys of each query.

    Attributes:
        heads: [head], mean over query rows and prompts.
        rows: query rows that were compared, all heads together.
        skipped: rows left out because one side was constant.
    """

    heads: Float[Tensor, " head"]
    rows: int
    skipped: int

    @property
    def mean(self) -> float:
        """Mean over heads."""
        return float(self.heads.nanmean())


@dataclass(frozen=True)
class Truth:
    """What a prediction of one layer is compared with: the rows, and the ranks of the real logits in them.

    Attributes:
        mask: [1 or batch, head, query, key], the keys that count.
        ranks: [batch, head, query, key].
    """

    mask: Bool[Tensor, "batch head query key"]
    ranks: Float[Tensor, "batch head query key"]


def truth(seen: Seen, folded: Folded, first: int = 1, seed: int = 0, reach: tuple[int, int] | None = None) -> Truth:
    """The rows of a layer that predictions are compared on.

    Args:
        seen: from ``look``.
        folded: its window counts, its weights do not.
        first: keys and queries before this position are left out. 1 leaves out <bos>, which the dictionaries were not
            trained on.
        seed: with the layer and the head, of the sample of keys where there are more than ``MOST``.
        reach: only keys at these distances (half open), such as one of ``BANDS``.
    """
    n, heads = seen.x.shape[1], seen.scores.shape[1]
    pos = torch.arange(n)
    distance = pos[:, None] - pos
    mask = folded.allowed(n) & (pos >= first)
    if reach is not None:
        mask &= (distance >= reach[0]) & (distance < reach[1])
    mask = mask.expand(1, heads, n, n)
    if int(mask.sum(-1).max()) > MOST:
        mask = torch.stack([_sampled(mask[0, h], (seed, seen.layer, h)) for h in range(heads)])[None]
    mask = mask & (mask.sum(-1, keepdim=True) >= FEWEST)
    mask = mask.expand(seen.scores.shape)
    return Truth(mask, ranks(seen.scores, mask))


def _sampled(mask: Bool[Tensor, "query key"], seeds: tuple[int, int, int]) -> Tensor:
    """At most ``MOST`` keys of each row, drawn at random."""
    seed, layer, head = seeds
    draw = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + layer * 1009 + head))
    draw = draw.masked_fill(~mask, -1.0)
    kept = torch.zeros_like(mask).scatter_(-1, draw.topk(MOST, -1).indices, True)
    return mask & kept


def rho(predicted: Float[Tensor, "batch head query key"], real: Truth) -> Rho:
    """Spearman's correlation of each query row, averaged over rows and prompts for each head."""
    found = pearson(ranks(predicted, real.mask), real.ranks, real.mask)  # [batch, head, query]
    counted = real.mask.any(-1)
    usable = counted & ~found.isnan()
    total = found.masked_fill(~usable, 0).sum((0, 2))
    n = usable.sum((0, 2))
    heads = (total / n.clamp(min=1)).masked_fill(n == 0, float("nan"))
    return Rho(heads, int(counted.sum()), int((counted & ~usable).sum()))


@torch.no_grad()
def by_layer(
    model: Any,
    seen: Mapping[int, Seen],
    bases: Mapping[int, Basis],
    variants: Mapping[str, Switches],
    first: int = 1,
) -> list[dict[str, Any]]:
    """rho of every layer under several sets of switches, as tidy rows.

    Args:
        model: the weights.
        seen: from ``look``.
        bases: by layer.
        variants: name and switches.
        first: as for ``truth``.

    Returns:
        rows with layer, variant, rho (mean over heads), heads (a list), rows, skipped.
    """
    out = []
    for layer, s in seen.items():
        folds = {v.fold: folding.fold(model, layer, gain=v.fold) for v in variants.values()}
        real = truth(s, next(iter(folds.values())), first)
        for name, switches in variants.items():
            found = rho(predict(model, s, bases[layer], switches, folds[switches.fold]), real)
            row = {"layer": layer, "variant": name, "rho": found.mean, "heads": found.heads.tolist()}
            out.append(row | {"rows": found.rows, "skipped": found.skipped})
    return out


def by_distance(
    predicted: Float[Tensor, "batch head query key"],
    seen: Seen,
    folded: Folded,
    bands: Mapping[str, tuple[int, int]] = BANDS,
    first: int = 1,
) -> dict[str, Rho]:
    """rho within ranges of distances; a range that no query reaches, or only with too few keys, is left out."""
    out = {}
    for name, reach in bands.items():
        real = truth(seen, folded, first, reach=reach)
        if real.mask.any():
            out[name] = rho(predicted, real)
    return out


def sign_stability(overall: Rho, bands: Mapping[str, Rho]) -> Float[Tensor, " head"]:
    """Per head, the share of the ranges of distances in which rho has the sign of the overall rho."""
    signs = torch.stack([band.heads.sign() == overall.heads.sign() for band in bands.values()])
    return signs.float().mean(0)


def affinity_logits(
    codes_: Float[Tensor, "pos F"], folded: Folded, head: int, basis: Basis, distance: float
) -> Float[Tensor, "query key"]:
    """a(t) @ B_distance @ a(s) with B made in full and not capped: the definition, for tests and for the curious."""
    return codes_ @ features.affinity(folded, head, basis, distance=distance, cap=False) @ codes_.T
