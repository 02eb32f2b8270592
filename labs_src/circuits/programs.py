"""Feature programs: query feature i attends to key feature j, which writes feature k.

A head's strongest routes (entries of B) are joined, at the key, with its strongest writes (entries of W2F); a triplet
scores B[i, j] * |W2F[j, k]|. A key without a strong write of its own is given a write to itself. That fallback is a
choice of the method and nothing that was found: it is flagged, counted, and left out of `histogram` unless asked for.
Also here: what several programs share, and pairs of features that attend to or avoid each other. Source: the errata
("Correcting the Weight-Space Map") and its first post.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

KINDS = ("suppress", "reinforce", "shift", "cross-copy", "relay", "transform")
"""suppress: the write is negative. Else by which features are the same: reinforce i = j = k, shift i = j, cross-copy
j = k, relay i = k, transform none."""

MANY = 3
"""How many queries make an aggregate, and how many writes a broadcast."""


@dataclass(frozen=True)
class Program:
    """One triplet.

    Attributes:
        query, key, write: features i, j, k.
        route: B[i, j]. strength: W2F[j, k], with its sign.
        fallback: the write was not found but filled in.
    """

    query: int
    key: int
    write: int
    route: float
    strength: float
    fallback: bool = False

    @property
    def score(self) -> float:
        return self.route * abs(self.strength)

    @property
    def kind(self) -> str:
        return kind(self.query, self.key, self.write, self.strength)


def kind(query: int, key: int, write: int, strength: float) -> str:
    """One of `KINDS`; a negative write comes first."""
    if strength < 0:
        return "suppress"
    if query == key:
        return "reinforce" if key == write else "shift"
    if key == write:
        return "cross-copy"
    return "relay" if query == write else "transform"


def routes(B: Float[Tensor, "F F"], candidates: int = 100, share: float = 0.1) -> list[tuple[int, int, float]]:
    """The strongest entries of B as (query, key, value): the top `share` of the `candidates` largest, positive only."""
    keep = min(max(1, round(share * candidates)), B.numel())
    found = B.flatten().topk(keep)
    cells = ((*divmod(at, B.shape[1]), value) for at, value in zip(found.indices.tolist(), found.values.tolist()))
    return [(i, j, value) for i, j, value in cells if value > 0]


def strong_writes(
    W2F: Float[Tensor, "F G"], keys: Sequence[int], candidates: int = 100, share: float = 0.2, most: int = 5
) -> dict[int, list[tuple[int, float]]]:
    """By key, the writes (feature, value) that count as explicit, strongest first.

    Candidates are the largest entries of the keys' rows, by absolute value; the top `share` of them count, at most
    `most` per key. A key whose writes are all weaker than those of other keys has none.

    Args:
        W2F: what each feature makes the head write.
        keys: rows that matter, those of the routes.
        candidates: how many entries are looked at, all keys together.
        share: of the candidates that counts.
        most: per key.
    """
    rows = W2F[list(keys)]
    keep = min(max(1, round(share * candidates)), rows.numel())
    found: dict[int, list[tuple[int, float]]] = {}
    for at in rows.abs().flatten().topk(keep).indices.tolist():
        row, feature = divmod(at, rows.shape[1])
        mine = found.setdefault(keys[row], [])
        if len(mine) < most:
            mine.append((feature, float(rows[row, feature])))
    return found


def programs(
    B: Float[Tensor, "F F"],
    W2F: Float[Tensor, "F F"],
    *,
    candidates: int = 100,
    route_share: float = 0.1,
    write_share: float = 0.2,
    most: int = 5,
) -> list[Program]:
    """A head's programs, highest score first.

    Args:
        B: affinities, before the softcap or after it (the order of routes is the same).
        W2F: cosines.
        candidates: routes, and writes, that are looked at.
        route_share, write_share: of them that counts.
        most: writes per key.

    Raises:
        ValueError: B and W2F are not square of one size.
    """
    if B.dim() != 2 or B.shape[0] != B.shape[1] or B.shape != W2F.shape:
        raise ValueError(f"B and W2F are square and of one size; got {tuple(B.shape)} and {tuple(W2F.shape)}")
    found = routes(B, candidates, route_share)
    explicit = strong_writes(W2F, sorted({j for _, j, _ in found}), candidates, write_share, most) if found else {}
    out = []
    for i, j, route in found:
        out += [Program(i, j, k, route, strength) for k, strength in explicit.get(j, [])]
        if j not in explicit:
            out.append(Program(i, j, j, route, float(W2F[j, j]), fallback=True))
    return sorted(out, key=lambda p: p.score, reverse=True)


def fallback_fraction(found: Sequence[Program]) -> float:
    """Share of the programs whose write was filled in; 0 of none."""
    return sum(p.fallback for p in found) / max(1, len(found))


def histogram(found: Sequence[Program], trusted: bool = True) -> dict[str, int]:
    """How many programs of each kind; `trusted` leaves the fallbacks out."""
    return {name: sum(p.kind == name and not (trusted and p.fallback) for p in found) for name in KINDS}


def sets(found: Sequence[Program], many: int = MANY) -> dict[str, list[tuple[int, int]]]:
    """What several programs share, fallbacks left out.

    Returns:
        aggregate: (key, write) that at least `many` different queries reach. broadcast: (query, key) with at least
        `many` different writes.
    """
    explicit = [p for p in found if not p.fallback]
    queries: dict[tuple[int, int], set[int]] = {}
    writes: dict[tuple[int, int], set[int]] = {}
    for p in explicit:
        queries.setdefault((p.key, p.write), set()).add(p.query)
        writes.setdefault((p.query, p.key), set()).add(p.write)
    return {
        "aggregate": [pair for pair, them in queries.items() if len(them) >= many],
        "broadcast": [pair for pair, them in writes.items() if len(them) >= many],
    }


def mutual_routing(B: Float[Tensor, "F F"], n: int = 20) -> list[tuple[int, int, float]]:
    """Pairs i < j that attend to each other: (i, j, the smaller of B[i, j] and B[j, i]), largest first, positive only.

    At most n. `candidates` for tetrads are pairs for which this is negative and both diagonals are positive; see
    `circuits.findings`.
    """
    both = torch.minimum(B, B.T).triu(1) + torch.full_like(B, -torch.inf).tril()
    found = both.flatten().topk(min(n, B.numel()))
    cells = ((*divmod(at, len(B)), value) for at, value in zip(found.indices.tolist(), found.values.tolist()))
    return [cell for cell in cells if cell[2] > 0]


def exclusion_zones(B: Float[Tensor, "F G"], n: int = 20) -> list[tuple[int, int, float]]:
    """The n most negative entries of B, (query, key, value): what a query feature keeps its head away from."""
    found = (-B).flatten().topk(min(n, B.numel()))
    cells = ((*divmod(at, B.shape[1]), -value) for at, value in zip(found.indices.tolist(), found.values.tolist()))
    return [cell for cell in cells if cell[2] < 0]


@dataclass(frozen=True)
class Collision:
    """Two heads that write the same features. shared: how many of their top writes; opposed: of those, how many with
    opposite sign."""

    first: int
    second: int
    shared: int
    opposed: int


def write_collisions(W2F: Mapping[int, Float[Tensor, "F G"]], n: int = 20) -> list[Collision]:
    """For each pair of heads, the features that both are among the n that each can write most strongly.

    A feature's strength for a head is its entry of largest absolute value over all keys, which also gives the sign.
    """
    strongest = {}
    for head, matrix in W2F.items():
        at = matrix.abs().argmax(0)
        value = matrix[at, torch.arange(matrix.shape[1])]
        top = value.abs().topk(min(n, len(value))).indices.tolist()
        strongest[head] = {k: float(value[k]) for k in top}
    out = []
    for a, b in combinations(strongest, 2):
        shared = strongest[a].keys() & strongest[b].keys()
        out.append(Collision(a, b, len(shared), sum(strongest[a][k] * strongest[b][k] < 0 for k in shared)))
    return out
