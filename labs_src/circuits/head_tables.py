"""A head's two tables of feature pairs, read from weights alone (Bostock 2024, "Attention-Feature Tables").

QK: how strongly a query that is feature i asks for a key that is feature j. OV: how much of output direction j the head
adds for a value that is feature i. Weights come folded (``folding.fold``). Entries are scores before the softcap, with
the attention scale, for rows of root mean square 1; the 1 / rms of a real token stays outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.circuits import features, rope, tables
from labs_src.circuits.features import Rows
from labs_src.circuits.folding import Folded
from labs_src.circuits.tables import Pairs

KINDS = ("qk", "ov")
SIDES = {"qk": ("query", "key"), "ov": ("value", "output")}
"""What the rows and the columns of a table are."""


@dataclass(frozen=True)
class Table:
    """Both ends of a table, and the scale on which to judge them.

    Attributes:
        kind: one of ``KINDS``.
        layer, head: whose.
        top, bottom: the largest entries and the smallest.
        mean, std: over all entries of the table.
        shape: rows, columns.
    """

    kind: str
    layer: int
    head: int
    top: Pairs
    bottom: Pairs
    mean: float
    std: float
    shape: tuple[int, int]

    def by_size(self, k: int | None = None) -> Pairs:
        """Both ends by absolute value."""
        return tables.by_size(self.top, self.bottom, k)

    def z(self, pairs: Pairs) -> Float[Tensor, " k"]:
        """How many standard deviations of the table an entry lies from its mean; infinite where all else is equal."""
        return (pairs.value.double() - self.mean) / self.std if self.std else _without_spread(pairs.value, self.mean)


def qk_factors(folded: Folded, head: int, rows: Rows, distance: float = 0) -> tuple[Tensor, Tensor]:
    """Scaled queries [F, d_head], and keys [F, d_head] as they stand ``distance`` positions before."""
    keys = rope.key_at(features.keys(folded, head, rows), distance, folded.theta)
    return features.queries(folded, head, rows) * folded.scale, keys


def ov_factors(folded: Folded, head: int, rows: Rows, out: Rows) -> tuple[Tensor, Tensor]:
    """Values [F, d_head], and pre-outputs [G, d_head] of the output directions (encoder columns of the next layer)."""
    return features.values(folded, head, rows), features.pre_outputs(folded, head, out)


def table(
    kind: str,
    layer: int,
    head: int,
    left: Tensor,
    right: Tensor,
    k: int,
    *,
    cross: bool = False,
    block: int | None = None,
) -> Table:
    """The ends of a table from its factors; see ``tables.strongest``. With fewer than k entries, all of them."""
    if kind not in KINDS:
        raise ValueError(f"a table is one of {', '.join(map(repr, KINDS))}, not {kind!r}")
    size = len(left) * len(right) - (min(len(left), len(right)) if cross else 0)
    top, bottom = tables.strongest(left, right, min(k, size), cross=cross, block=block)
    return Table(kind, layer, head, top.cpu(), bottom.cpu(), *tables.moments(left, right), (len(left), len(right)))


def qk(folded: Folded, head: int, rows: Rows, k: int = 100, *, distance: float = 0, cross: bool = False) -> Table:
    """The query-key table of a head: rows are query features, columns key features.

    Args:
        folded: the layer.
        head: query head.
        rows: feature directions, root mean square 1.
        k: entries of each end.
        distance: how far back the key stands.
        cross: only pairs of two different features.
    """
    return table("qk", folded.layer, head, *qk_factors(folded, head, rows, distance), k, cross=cross)


def ov(folded: Folded, head: int, rows: Rows, out: Rows, k: int = 100) -> Table:
    """The value-output table of a head: rows are value features, columns output directions."""
    return table("ov", folded.layer, head, *ov_factors(folded, head, rows, out), k)


def every(folded: Folded, rows: Rows, out: Rows, k: int = 100) -> Iterator[Table]:
    """Both tables of every head of a layer."""
    for head in range(folded.n_heads):
        yield qk(folded, head, rows, k)
        yield ov(folded, head, rows, out, k)


def _without_spread(value: Tensor, mean: float) -> Tensor:
    away = value.double() - mean
    return torch.where(away.abs() <= 1e-6 * abs(mean), 0.0, away.sign() * torch.inf)
