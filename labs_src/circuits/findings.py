"""What a table of feature pairs says: like-to-like and cross pairs, tetrads, duplicates, and how much of it is right.

A list of entries (``tables.Pairs``) is enough for all of it; the table itself is only needed where it is scored against
an answer key, on planted models, where it is small. Like-to-like pairs and mutual-exclusion tetrads: Bostock 2024.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.circuits.head_tables import Table
from labs_src.circuits.tables import Pairs

CONFIDENT = 8.0
"""Standard deviations, before the softcap. Heads with Gaussian weights hardly ever reach it: one in some hundreds. Real
heads whose matrices are rotated do, by their singular values (``baselines.rotated_heads``).
"""

NOTHING = 1e-3
"""A score or a write of this size changes nothing that a model does."""

SAME = 0.7
"""Latents whose directions have a larger cosine than this are taken for one feature."""


def like_to_like(pairs: Pairs) -> Pairs:
    """Entries in which a feature meets itself."""
    return pairs[pairs.left == pairs.right]


def cross(pairs: Pairs) -> Pairs:
    """Entries in which two different features meet."""
    return pairs[pairs.left != pairs.right]


def tetrads(pairs: Pairs) -> list[tuple[int, int]]:
    """Pairs of features of which each attends to itself and avoids the other: (A,A)+ (B,B)+ (A,B)- (B,A)-.

    Args:
        pairs: a query-key list with entries of both signs, in any order.

    Returns:
        (smaller feature, larger feature), sorted.
    """
    sign = {
        (i, j): v > 0
        for v, i, j in zip(pairs.value.tolist(), pairs.left.tolist(), pairs.right.tolist(), strict=True)
        if v
    }
    return sorted(
        (a, b)
        for (a, b), positive in sign.items()
        if a < b
        and not positive
        and sign.get((b, a)) is False
        and sign.get((a, a)) is True
        and sign.get((b, b)) is True
    )


def confident(table: Table, z: float = CONFIDENT, least: float = NOTHING) -> Pairs:
    """Entries more than ``z`` standard deviations from the table's mean, by size; only those that the table kept.

    Args:
        table: of a head.
        z: the bound.
        least: smaller entries do not count. A head without any circuit has a table of rounding errors, and those have
            standard deviations too.
    """
    both = table.by_size()
    return both[(table.z(both).abs() > z) & (both.value.abs() > least)]


def duplicates(directions: Float[Tensor, "F d"], cosine: float = SAME, block: int = 1024) -> Int[Tensor, " F"]:
    """A group number for each latent: latents joined by a chain of cosines above ``cosine`` share one.

    A dictionary that was trained often holds a feature several times. Groups are numbered by their first latent.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    unit = torch.nn.functional.normalize(directions, dim=1)
    found = [
        (unit[i : i + block] @ unit.T > cosine).nonzero() + torch.tensor([i, 0]) for i in range(0, len(unit), block)
    ]
    i, j = torch.cat(found).T.numpy()
    group = connected_components(coo_matrix((i >= 0, (i, j)), (len(unit),) * 2), directed=False)[1]
    return torch.from_numpy(group).long()


def merged(pairs: Pairs, left: Int[Tensor, " F"], right: Int[Tensor, " G"]) -> Pairs:
    """A list in which duplicates count once: of each pair of groups only the first, which is the strongest.

    Args:
        pairs: strongest first.
        left, right: group of each row and each column, as from ``duplicates``. The result holds groups for features.
    """
    seen: set[tuple[int, int]] = set()
    keep = []
    groups = left[pairs.left], right[pairs.right]
    for n, pair in enumerate(zip(*(g.tolist() for g in groups), strict=True)):
        if pair not in seen:
            seen.add(pair)
            keep.append(n)
    rows = torch.tensor(keep, dtype=torch.long)
    return Pairs(pairs.value[rows], groups[0][rows], groups[1][rows])


def collapsed(
    table: Float[Tensor, "F G"], left: Int[Tensor, " F"], right: Int[Tensor, " G"]
) -> Float[Tensor, "groups groups_right"]:
    """``merged`` for a whole table: of each pair of groups the entry with the largest absolute value."""
    shape = int(left.max()) + 1, int(right.max()) + 1
    cell = (left[:, None] * shape[1] + right[None]).flatten()
    value = table.flatten()
    size = torch.zeros(shape[0] * shape[1]).scatter_reduce(0, cell, value.abs(), "amax")
    positive = torch.zeros(shape[0] * shape[1]).scatter_reduce(0, cell, value.clamp(min=0), "amax")
    return torch.where(positive >= size, size, -size).view(shape)


@dataclass(frozen=True)
class Score:
    """A table against its answer key.

    Attributes:
        recall: share of the planted entries among the n strongest, n being how many are planted.
        precision: n over the entries that are at least as strong as the weakest planted one.
        margin: the weakest planted entry over the strongest of the others; above 1 both shares are 1.
        planted: n.
    """

    recall: float
    precision: float
    margin: float
    planted: int


def score(
    table: Float[Tensor, "F G"], planted: Mapping[tuple[int, int], float], ignored: Collection[tuple[int, int]] = ()
) -> Score:
    """Precision and recall of a whole table, entries ranked by absolute value.

    Args:
        table: all entries.
        planted: (row, column) and the sign that the entry has to have; an entry of the wrong sign counts as 0.
        ignored: entries that count neither as planted nor as found.

    Raises:
        ValueError: nothing is planted.
    """
    if not planted:
        raise ValueError("there is no answer key for this table; score it where something is planted")
    rows, columns = (torch.tensor(x) for x in zip(*planted, strict=True))
    right = (table[rows, columns] * torch.tensor([float(v > 0) * 2 - 1 for v in planted.values()])).clamp(min=0)
    others = table.abs().clone()
    others[rows, columns] = -1.0
    for pair in ignored:
        others[pair] = -1.0
    others, weakest, n = others.flatten(), right.min(), len(planted)
    above = int((others >= weakest).sum())
    strongest = others.topk(min(n, len(others))).values
    # a planted entry is among the n strongest if fewer than n entries beat it
    beaten = torch.searchsorted(strongest.flip(0), right, right=False)
    ahead = (len(strongest) - beaten) + (right[None] > right[:, None]).sum(1)
    return Score(
        recall=float((ahead < n).float().mean()) if weakest >= 0 else 0.0,
        precision=n / (n + above),
        margin=float(weakest / strongest[0]) if strongest[0] > 0 else float("inf"),
        planted=n,
    )


def planted_entries(
    key: list[dict], kind: str, layer: int, head: int, distance: int = 0
) -> dict[tuple[int, int], float]:
    """The planted cells of one head's table, from a card's ``answer_key["qk"]`` or ``["ov"]``.

    A circuit that acts at one distance only has its strength there, and whatever ``strength`` says at distance 0; at
    other distances it is left out.

    Returns:
        {(row, column): strength}.
    """
    sides = {"qk": ("query", "key"), "ov": ("reads", "writes")}[kind]
    found = {}
    for entry in key:
        if (entry["layer"], entry["head"]) != (layer, head):
            continue
        own = entry.get("distance")
        if own is None or distance in (0, own):
            strength = entry["strength_at_distance"] if own is not None and distance == own else entry["strength"]
            found[tuple(entry[side] for side in sides)] = strength
    return found
