"""From a list of circuits to the weight matrices of one layer, before norms' gains are divided out.

Everything is in the *folded* basis: rows read a residual scaled to root mean square 1. A feature pair takes one
dimension of a head ("channel"): the query row holds r f_A, the key row r f_B, with r chosen so that two directions of
root mean square 1 meet with the circuit's strength. Query heads of a group share keys and values, and their channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from labs_src.models.planted import norms, rotary
from labs_src.models.planted.circuits import KINDS, Circuit, ov_entries
from labs_src.models.planted.directions import Features


class NoRoom(ValueError):
    """The listed circuits do not fit into the heads; the message says where and what to move."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the model. ``window`` is what a query of a local (even) layer can see, itself included."""

    n_layers: int = 2
    n_heads: int = 4
    n_kv: int = 2
    d_head: int = 64
    d_mlp: int = 128
    n_ctx: int = 128
    window: int = 32
    theta: float = 1e4


@dataclass
class Layer:
    """Folded weights of one block, as (out, in)."""

    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


@dataclass
class _Group:
    """What is still free in the keys and values of one group of heads."""

    at: str
    slow: list[int]
    values: list[int]
    peaked: Circuit | None = None
    sink: int | None = None
    read: dict[int, int] = field(default_factory=dict)  # feature -> value channel

    def channel(self) -> int:
        if not self.slow:
            raise NoRoom(
                f"{self.at}: all slow dimensions of its keys are taken; move a circuit to another group of heads"
            )
        return self.slow.pop(0)


def layer(circuits: Sequence[Circuit], features: Features, shape: Shape, index: int) -> Layer:
    """Folded weights of block ``index``: its circuits, the carrier, and an MLP that only carries.

    Raises:
        NoRoom: if a group of heads has no dimension left, or two circuits that need its fast pairs.
        ValueError: for a circuit that names a head, feature, kind or distance which is not there.
    """
    d, e = features.mean.numel(), shape.d_head
    w = Layer(
        q=torch.zeros(shape.n_heads * e, d),
        k=torch.zeros(shape.n_kv * e, d),
        v=torch.zeros(shape.n_kv * e, d),
        o=torch.zeros(d, shape.n_heads * e),
        gate=torch.zeros(shape.d_mlp, d),
        up=torch.zeros(shape.d_mlp, d),
        down=torch.zeros(d, shape.d_mlp),
    )
    half = e // 2
    slow = [i + s for i in range(half - 1, rotary.FAST - 1, -1) for s in (0, half)]  # the slowest pairs first
    groups = [_Group(f"layer {index}, key-value group {g}", list(slow), list(range(1, e))) for g in range(shape.n_kv)]
    _carrier(w, features, shape)
    mine = [c for c in circuits if c.layer == index]
    for c in mine:
        check(c, features, shape)
        group = c.head * shape.n_kv // shape.n_heads
        _attention(c, features, shape, w, groups[group], c.head * e, group * e)
    for entry in ov_entries(mine, features):
        group = entry.head * shape.n_kv // shape.n_heads
        free = groups[group]
        if entry.reads not in free.read:
            if not free.values:
                raise NoRoom(f"{free.at}: all value channels are taken; move a circuit that writes to another group")
            free.read[entry.reads] = free.values.pop(0)
            w.v[group * e + free.read[entry.reads]] += features.directions[entry.reads]
        w.o[:, entry.head * e + free.read[entry.reads]] += entry.strength * features.directions[entry.writes]
    return w


def check(c: Circuit, features: Features, shape: Shape) -> None:
    """One clear message for a circuit that cannot be meant.

    Raises:
        ValueError: says which circuit, what is wrong and what is possible.
    """
    if c.kind not in KINDS:
        raise ValueError(f"{c}: there is no kind {c.kind!r}; kinds are {', '.join(KINDS)}")
    if not (0 <= c.layer < shape.n_layers and 0 <= c.head < shape.n_heads):
        raise ValueError(f"{c}: layers are 0 to {shape.n_layers - 1}, heads 0 to {shape.n_heads - 1}")
    for name in ("query", "key", "writes"):
        f = getattr(c, name)
        needed = name != "writes" and c.kind in ("attend", "like-to-like", "repulsion", "tetrad")
        if f is None and needed:
            raise ValueError(f"{c}: kind {c.kind!r} needs a {name} feature")
        if f is not None and not 0 <= f < len(features):
            raise ValueError(f"{c}: {name} {f} is no feature; there are {len(features)}")
    if not 0 < c.strength <= 300:
        raise ValueError(
            f"{c}: strength must lie above 0 and at most 300; beyond that the softcap ties everything at its cap"
        )
    reach = shape.window if c.layer % 2 == 0 else shape.n_ctx
    if c.distance is not None and (c.kind != "attend" or not 1 <= c.distance < reach):
        raise ValueError(f"{c}: only 'attend' takes a distance, from 1 to {reach - 1} in this layer")


def _attention(c: Circuit, features: Features, shape: Shape, w: Layer, group: _Group, q0: int, k0: int) -> None:
    f = features.directions
    if c.kind == "induction":
        for i in range(features.n_ids):
            _pair(w, features, shape, q0, k0, group.channel(), f[i], f[features.n_ids + i], c.strength)
    elif c.kind == "tetrad":
        difference = f[c.query] - f[c.key]
        _pair(w, features, shape, q0, k0, group.channel(), difference, difference, c.strength)
    elif c.kind == "sink":
        if group.sink is None:
            group.sink = group.channel()
            w.k[k0 + group.sink] = _scale(features, shape, STRENGTH_OF_SHARED_KEY) * f[features.bos]
        ratio = c.strength / STRENGTH_OF_SHARED_KEY
        w.q[q0 + group.sink] += ratio * _scale(features, shape, STRENGTH_OF_SHARED_KEY) * features.mean
    elif c.kind == "previous":
        _peaked(c, features, shape, w, group, q0, k0, features.mean, features.mean, 1)
    elif c.distance is not None:
        _peaked(c, features, shape, w, group, q0, k0, f[c.query], f[c.key], c.distance)
    else:
        sign = -1 if c.kind == "repulsion" else 1
        _pair(w, features, shape, q0, k0, group.channel(), f[c.query], sign * f[c.key], c.strength)


STRENGTH_OF_SHARED_KEY = 8.0
"""Sinks of a group share one key row, made for this strength; a head's own strength is in its query row."""


def _scale(features: Features, shape: Shape, strength: float) -> float:
    """r with r^2 d_model d_head^-0.5 = strength: what two directions of root mean square 1 then score."""
    return (strength / (features.mean.numel() * shape.d_head**-0.5)) ** 0.5


def _pair(
    w: Layer, features: Features, shape: Shape, q0: int, k0: int, channel: int, query: Tensor, key: Tensor, g: float
) -> None:
    r = _scale(features, shape, g)
    w.q[q0 + channel] += r * query
    w.k[k0 + channel] += r * key


def _peaked(
    c: Circuit,
    features: Features,
    shape: Shape,
    w: Layer,
    group: _Group,
    q0: int,
    k0: int,
    query: Tensor,
    key: Tensor,
    distance: int,
) -> None:
    """A score with one peak over distance: fast pairs for the shape, a slow one that lowers all of it.

    The score is S sum_i a_i cos(angle_i (delta - distance)), and S (1 - gap) is subtracted, so that it is S gap = the
    circuit's strength at the distance and at most 0 elsewhere.
    """
    if group.peaked is not None:
        raise NoRoom(
            f"{group.at}: {c.kind!r} and {group.peaked.kind!r} both need its fast pairs, which tell distances apart; "
            "one circuit with a distance, or a previous-token head, fits into a group"
        )
    group.peaked, half = c, shape.d_head // 2
    weights, gap = rotary.peak(distance, shape.d_head, shape.theta, shape.n_ctx)
    angles = rotary.frequencies(shape.d_head, shape.theta)
    r = _scale(features, shape, c.strength / gap)
    for i, a in enumerate(
        weights
    ):  # score cos(angle delta + phi) from the query at phase phi, with phi = -angle distance
        phi = torch.tensor(-angles[i] * distance)
        w.q[q0 + i] += r * a**0.5 * float(phi.cos()) * query
        w.q[q0 + i + half] += r * a**0.5 * float(phi.sin()) * query
        w.k[k0 + i] += r * a**0.5 * key
    _pair(w, features, shape, q0, k0, group.channel(), -query, key, c.strength / gap * (1 - gap))


def _carrier(w: Layer, features: Features, shape: Shape) -> None:
    """Coordinate 0: each head writes its part of a constant that sets the size of the block's output."""
    d, e = features.mean.numel(), shape.d_head
    root, share = d**0.5, 2 * norms.SHARE
    for group in range(shape.n_kv):
        w.v[group * e] = features.mean / (root * share)  # about 1 on any token
    for head in range(shape.n_heads):
        w.o[0, head * e] = norms.CARRIER * root / shape.n_heads
    w.gate[0] = w.up[0] = 0.3 * features.mean
    w.down[0, 0] = norms.CARRIER


def strength_at(distance: int, circuit: Circuit, shape: Shape) -> float:
    """Pre-softcap affinity at a distance of a circuit that has a distance of its own."""
    weights, gap = rotary.peak(circuit.distance, shape.d_head, shape.theta, shape.n_ctx)
    angles = rotary.frequencies(shape.d_head, shape.theta)
    fast = sum(a * torch.cos(torch.tensor(angles[i] * (distance - circuit.distance))) for i, a in enumerate(weights))
    slow = torch.cos(torch.tensor(angles[-1] * distance))
    return float(circuit.strength / gap * (fast - (1 - gap) * slow))
