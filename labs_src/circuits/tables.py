"""The strongest feature pairs of a head, exactly, without ever holding the table of all pairs.

A head's table has an entry for every pair of features: `left @ right.T`, with a row of `left` for each query (or value)
and a row of `right` for each key (or output). At Gemma's size that is 16384 x 16384 entries for each of 208 heads and
two circuits. Here it is made a block of rows at a time, in one buffer. A row whose largest entry does not reach the
k-th best of what was seen is never looked at again, so that what is left to sort is a few entries.

The result is that of sorting the whole table by value, equal values by row, then by column: what a table holds twice
has an order too. Scores are in the dtype of the factors: bfloat16 has three digits, so many of its entries are equal.
A softcap keeps the order, so tables are ranked and stored before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_ENTRIES = {"cpu": 1 << 23, "cuda": 1 << 26}
"""Entries of a block, by device: small enough for a cache, large enough for a fast matrix product."""

MANY = 1 << 14
"""More candidates than this in one block are cut down to the k best before they are listed."""


@dataclass(frozen=True)
class Pairs:
    """Entries of a table, strongest first.

    Attributes:
        value: the entries.
        left: their rows: the query's feature in a QK table, the value's feature in an OV table.
        right: their columns: the key's feature, or the output's.
    """

    value: Float[Tensor, " k"]
    left: Int[Tensor, " k"]
    right: Int[Tensor, " k"]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, rows: Tensor | slice) -> Pairs:
        return Pairs(self.value[rows], self.left[rows], self.right[rows])

    def cpu(self) -> Pairs:
        return Pairs(self.value.cpu(), self.left.cpu(), self.right.cpu())


def strongest(
    left: Float[Tensor, "rows d"],
    right: Float[Tensor, "columns d"],
    k: int,
    *,
    cross: bool = False,
    block: int | None = None,
) -> tuple[Pairs, Pairs]:
    """The k largest entries of `left @ right.T`, largest first, and the k smallest, smallest first.

    Args:
        left, right: factors of one dtype (float32, bfloat16, ...) on one device.
        k: how many of each.
        cross: leave out the diagonal, on which a feature meets itself.
        block: rows at a time; chosen by device if None.

    Raises:
        ValueError: factors that do not fit together or hold numbers that are not finite, or k larger than the table.
    """
    _check(left, right, k, cross)
    rows, columns = len(left), len(right)
    block = min(rows, block or max(1, BLOCK_ENTRIES.get(left.device.type, 1 << 23) // columns))
    buffer = torch.empty(block, columns, dtype=left.dtype, device=left.device)
    top, bottom = _Best(k, columns, 1, left), _Best(k, columns, -1, left)
    for first in range(0, rows, block):
        part = buffer[: min(block, rows - first)]
        torch.mm(left[first : first + block], right.T, out=part)
        for best in (top, bottom):
            if cross:
                part.diagonal(first).fill_(-best.sign * torch.inf)
            best.offer(part, first)
    found = top.pairs(), bottom.pairs()
    if not all(pairs.value.isfinite().all() for pairs in found):
        raise ValueError(f"the table overflows {left.dtype}; scale the factors down or use float32")
    return found


def by_size(top: Pairs, bottom: Pairs, k: int | None = None) -> Pairs:
    """Both ends as one list by absolute value, each entry once; equal ones stay in order, positive first.

    With the k largest and the k smallest of a table this is its k largest by absolute value.
    """
    value, left, right = (torch.cat([getattr(p, name) for p in (top, bottom)]) for name in ("value", "left", "right"))
    seen: set[tuple[int, int]] = set()
    keep = []
    for i in value.float().abs().sort(descending=True, stable=True).indices.tolist():
        if (pair := (int(left[i]), int(right[i]))) not in seen:
            seen.add(pair)
            keep.append(i)
    return Pairs(value, left, right)[torch.tensor(keep[:k], dtype=torch.long, device=value.device)]


def moments(left: Float[Tensor, "rows d"], right: Float[Tensor, "columns d"]) -> tuple[float, float]:
    """Mean and standard deviation over all entries of `left @ right.T`, from two d x d matrices.

    The sum of squares of a product is `trace(L^T L R^T R)`. What rounding leaves of a constant table's deviation is 0.
    """
    left, right, n = left.double(), right.double(), len(left) * len(right)
    mean = float(left.sum(0) @ right.sum(0)) / n
    square = float(((left.T @ left) * (right.T @ right)).sum()) / n
    variance = square - mean**2
    return mean, variance**0.5 if variance > 1e-12 * square else 0.0


class _Best:
    """The best k entries so far, of blocks that come in the order of their rows. `sign` -1 keeps the smallest."""

    def __init__(self, k: int, columns: int, sign: int, like: Tensor) -> None:
        self.k, self.columns, self.sign = k, columns, sign
        self.value = torch.empty(0, dtype=like.dtype, device=like.device)  # times sign, so that larger is better
        self.at = torch.empty(0, dtype=torch.long, device=like.device)  # row * columns + column

    def pairs(self) -> Pairs:
        return Pairs(self.value * self.sign, self.at // self.columns, self.at % self.columns)

    def offer(self, block: Tensor, first_row: int) -> None:
        best = block.amax(1) if self.sign > 0 else -block.amin(1)
        held = float(self.value[-1]) if len(self.value) == self.k else -torch.inf
        # k rows reach the k-th largest row maximum, so at least k entries do, and fewer than k rows exceed it
        reached = float(best.topk(self.k).values[-1]) if len(best) >= self.k else -torch.inf
        floor = max(held, reached)
        places = [self._above(block, best, floor)]
        if reached > held and (missing := self.k - len(places[0][0])) > 0:
            # an entry that equals the last one held comes after it in the order; one that equals `reached` may be in
            places.append(self._equal(block, best, reached, missing))
        i, j = (torch.cat(x) for x in zip(*places, strict=True))
        if not len(i):
            return
        value = torch.cat([self.value, block[i, j] * self.sign])
        at = torch.cat([self.at, (i + first_row) * self.columns + j])
        # stable: entries held stand before new ones, new ones of one value in the order of the table
        value, order = value.sort(descending=True, stable=True)
        self.value, self.at = value[: self.k], at[order[: self.k]]

    def _above(self, block: Tensor, best: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """Places of the entries above a bound; of very many only the k best."""
        rows = (
            (best > floor).nonzero().squeeze(1) if floor > -torch.inf else torch.arange(len(best), device=best.device)
        )
        part = self._rows(block, rows)
        mask = part > floor if floor > -torch.inf else torch.ones_like(part, dtype=torch.bool)
        i, j = mask.nonzero(as_tuple=True) if int(mask.sum()) <= max(MANY, 2 * self.k) else _first_best(part, self.k)
        return rows[i], j

    def _equal(self, block: Tensor, best: Tensor, value: float, n: int) -> tuple[Tensor, Tensor]:
        """Places of the first n entries that equal a value."""
        rows = (best >= value).nonzero().squeeze(1)
        i, j = _first(self._rows(block, rows) == value, n)
        return rows[i], j

    def _rows(self, block: Tensor, rows: Tensor) -> Tensor:
        part = block if len(rows) == len(block) else block[rows]
        return part if self.sign > 0 else -part


def _first_best(part: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Places of the k largest entries in the order of the table, the first ones where values are equal."""
    k = min(k, part.numel())
    last = part.flatten().topk(k).values[-1]
    above = (part > last).nonzero(as_tuple=True)
    equal = _first(part == last, k - len(above[0]))
    i, j = (torch.cat(x) for x in zip(above, equal, strict=True))
    order = (i * part.shape[1] + j).argsort()
    return i[order], j[order]


def _first(mask: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Places of the first n true entries, without listing the others."""
    needed = int((mask.sum(1).cumsum(0) < n).sum()) + 1  # rows that hold them
    i, j = mask[:needed].nonzero(as_tuple=True)
    return i[:n], j[:n]


def _check(left: Tensor, right: Tensor, k: int, cross: bool) -> None:
    if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(
            f"factors are (rows, d) and (columns, d) with one d; got {tuple(left.shape)} and {tuple(right.shape)}"
        )
    if left.dtype != right.dtype or left.device != right.device or not left.is_floating_point():
        raise ValueError(
            f"factors share one floating dtype and one device; got {left.dtype} on {left.device} and "
            f"{right.dtype} on {right.device}"
        )
    size = len(left) * len(right) - (min(len(left), len(right)) if cross else 0)
    if not 1 <= k <= size:
        raise ValueError(f"k lies between 1 and {size}, the number of pairs; got {k}")
    for name, factor in (("left", left), ("right", right)):
        if not factor.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")
