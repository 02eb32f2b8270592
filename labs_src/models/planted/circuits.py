"""What can be planted, as data: a list of ``Circuit`` is both the builder's input and the answer key.

Features are indices into ``directions.Features``. "A attends to B" means that a token holding A, as the query, puts
its attention on an earlier token that holds B. "writes C" means that the head then adds C where it attends from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from labs_src.models.planted.directions import Features

KINDS = ("attend", "like-to-like", "repulsion", "tetrad", "previous", "induction", "sink")
STRENGTH = {"attend": 150.0, "previous": 35.0, "induction": 180.0, "sink": 8.0}
"""Pre-softcap affinity of directions scaled to root mean square 1. What a token shows is about a seventh of it, since
its residual holds other things too; ``sink`` is weak, so that a token with nothing to attend to looks at BOS."""

WRITE = 1.5
"""What a head adds of the feature that it writes at full attention, in units of what a token holds of a feature."""


@dataclass(frozen=True)
class Circuit:
    """One planted circuit.

    Attributes:
        kind: one of ``KINDS``. "tetrad": query and key both hold the difference of two features, so that each of them
            attends to itself and avoids the other. "previous" and "induction" are whole heads (every id class);
            "sink": every token a little to BOS.
        layer, head: where.
        query, key: features; for "like-to-like" equal, for "tetrad" the two; None where the kind says it all.
        writes: the feature that is added at the query's position; None for none.
        sign: +1 adds it, -1 takes it away.
        strength: pre-softcap affinity, positive; "repulsion" uses it as a negative one.
        distance: attend only to a key this many tokens back; None for anywhere.
    """

    kind: str
    layer: int
    head: int
    query: int | None = None
    key: int | None = None
    writes: int | None = None
    sign: int = 1
    strength: float = 150.0
    distance: int | None = None

    def describe(self, features: Features) -> dict[str, Any]:
        """For a card: names instead of indices, nothing that is None."""
        row = {k: v for k, v in asdict(self).items() if v is not None}
        return row | {k: features.names[row[k]] for k in ("query", "key", "writes") if k in row}


@dataclass(frozen=True)
class QKEntry:
    """A cell of a head's query-key table: ``strength`` is the affinity before the softcap, at no distance."""

    layer: int
    head: int
    query: int
    key: int
    strength: float
    kind: str
    distance: int | None = None


@dataclass(frozen=True)
class OVEntry:
    """A cell of a head's value-output table: the head reads ``reads`` and adds ``strength`` times ``writes``."""

    layer: int
    head: int
    reads: int
    writes: int
    strength: float
    kind: str


def qk_entries(circuits: Sequence[Circuit], features: Features) -> Iterator[QKEntry]:
    """Every planted feature pair of the query-key tables.

    A circuit with a distance holds its ``strength`` at that distance only; at no distance its cell is what the
    builder leaves there, which is at most 0. Previous-token heads and sinks connect the mean, not features.
    """
    for c in circuits:
        if c.kind == "induction":
            pairs = [(i, features.n_ids + i, c.strength) for i in range(features.n_ids)]
        elif c.kind == "tetrad":
            a, b = c.query, c.key
            pairs = [(a, a, c.strength), (b, b, c.strength), (a, b, -c.strength), (b, a, -c.strength)]
        elif c.kind in ("previous", "sink"):
            continue
        else:
            pairs = [(c.query, c.key, -c.strength if c.kind == "repulsion" else c.strength)]
        for query, key, strength in pairs:
            yield QKEntry(c.layer, c.head, query, key, strength, c.kind, c.distance)


def ov_entries(circuits: Sequence[Circuit], features: Features) -> Iterator[OVEntry]:
    """Every planted feature pair of the value-output tables."""
    for c in circuits:
        n = features.n_ids
        if c.kind == "previous":
            pairs = [(i, n + i) for i in range(n)]
        elif c.kind == "induction":
            pairs = [(i, i) for i in range(n)]
        else:
            pairs = [] if c.writes is None else [(c.key, c.writes)]
        for reads, writes in pairs:
            yield OVEntry(c.layer, c.head, reads, writes, c.sign * WRITE, c.kind)


def standard(features: Features, seed: int = 0) -> list[Circuit]:
    """The circuits of the shipped models, for 2 layers of 4 heads in 2 groups.

    Layer 0 is local, layer 1 global. L0H0 previous token, L1H0 induction, L1H1 nothing (a control). Each of the other
    five: 6 attend (one of which takes a feature away), 2 like-to-like, 1 repulsion, 2 tetrads, a sink. The last head
    of each layer also attends at one distance only. Within a layer no two circuits share a feature, and layer 1 reads
    nothing that layer 0 writes (a feature taken away twice matches itself), but for one chain: the first query of L1H2
    is what the first circuit of L0H1 writes.

    Raises:
        ValueError: with fewer than 84 content features.
    """
    if len(features.content) < 84:
        raise ValueError(f"the standard list needs 84 content features; there are {len(features.content)}")
    rng = np.random.default_rng(seed)
    found = [Circuit("previous", 0, 0, strength=STRENGTH["previous"])]
    found += [Circuit("induction", 1, 0, strength=STRENGTH["induction"]), _sink(1, 0)]
    chained, written = None, set()
    for layer, heads in ((0, (1, 2, 3)), (1, (2, 3))):
        pool = [int(f) for f in rng.permutation(list(features.content)) if f not in written]
        for head in heads:
            distance = {(0, 3): 5, (1, 3): 9}.get((layer, head))
            found += [_sink(layer, head), *_content_head(layer, head, pool, rng, distance, chained)]
            chained = None  # the first head of layer 1 alone
        written = {c.writes for c in found if c.kind == "attend"}
        chained = next(c.writes for c in found if (c.layer, c.head, c.kind) == (0, 1, "attend"))
    return found


def _sink(layer: int, head: int) -> Circuit:
    return Circuit("sink", layer, head, strength=STRENGTH["sink"])


def _content_head(
    layer: int, head: int, pool: list[int], rng: np.random.Generator, distance: int | None, first_query: int | None
) -> Iterator[Circuit]:
    def strength() -> float:
        return round(STRENGTH["attend"] * float(rng.uniform(0.8, 1.2)), 3)

    for i in range(6):
        query = first_query if i == 0 and first_query is not None else pool.pop()
        sign = -1 if i == 5 else 1
        yield Circuit("attend", layer, head, query, pool.pop(), pool.pop(), sign=sign, strength=strength())
    for _ in range(2):
        feature = pool.pop()
        yield Circuit("like-to-like", layer, head, feature, feature, strength=strength())
    yield Circuit("repulsion", layer, head, pool.pop(), pool.pop(), strength=strength())
    for _ in range(2):
        yield Circuit("tetrad", layer, head, pool.pop(), pool.pop(), strength=strength())
    if distance is not None:
        yield Circuit("attend", layer, head, pool.pop(), pool.pop(), pool.pop(), strength=strength(), distance=distance)
