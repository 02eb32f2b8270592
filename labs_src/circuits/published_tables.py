"""The published attention-feature tables (Bostock 2024) beside our own entries, and which fold they were made with.

The post multiplies decoder rows by "the RMS norm coefficients" and does not say which: the stored number gamma, or the
factor 1 + gamma that the model uses. Both are computed for the listed pairs, and also none; what fits is said. The
published values are plain dot products: rows of the dictionary as they stand, no attention scale, no softcap.
Published numbers are compared with, never tuned to; where they come from stands in ``data/published/README.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from labs_src import paths
from labs_src.circuits import bases, features, folding, tables
from labs_src.circuits.folding import GAINS
from labs_src.circuits.tables import Pairs
from labs_src.models.manifest import verified

if TYPE_CHECKING:
    from labs_src.models import Loaded

NAME = re.compile(r"(?P<kind>qk|ov)_layer(?P<layer>\d+)_head(?P<head>\d+)_(?P<list>top|cross_positive)")
SIDES = {"qk": ("query_feature", "key_feature"), "ov": ("value_feature", "output_feature")}
WIDTH, LAYERS = 16_384, 26
"""Of the dictionary and the model that the tables are of."""

SEEDS = "training_seeds/tables.csv"
"""What lab 06 states about one trained model, of others; made by ``benchmarks/table_seeds.py``."""

CLOSE = 0.05
"""A fold reproduces a table if the median entry is off by less than this share of it."""


@dataclass(frozen=True)
class Published:
    """One published list.

    Attributes:
        name: of its file.
        kind: "qk" or "ov".
        layer, head: whose.
        pairs: left is the query (or value) feature, right the key (or output) feature.
        cross: whether pairs of a feature with itself were left out, and negative ones.
    """

    name: str
    kind: str
    layer: int
    head: int
    pairs: Pairs
    cross: bool


def of_frame(name: str, frame: pd.DataFrame) -> Published:
    """A list from its table, by the columns of its kind.

    Raises:
        ValueError: the name does not say kind, layer and head, or a column is missing.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is not like 'qk_layer13_head0_top'")
    if missing := {"value", *SIDES[found["kind"]]} - set(frame):
        raise ValueError(f"{name} has no column {', '.join(sorted(missing))}")
    left, right = (torch.tensor(frame[column].to_numpy()) for column in SIDES[found["kind"]])
    pairs = Pairs(torch.tensor(frame["value"].to_numpy(), dtype=torch.float32), left, right)
    return Published(name, found["kind"], int(found["layer"]), int(found["head"]), pairs, found["list"] != "top")


def load(name: str) -> Published:
    """A published list by name, such as "qk_layer13_head7_top"."""
    return of_frame(name, pd.read_csv(verified(f"published/{name}.csv")))


def load_all() -> dict[str, Published]:
    """Every published list by name."""
    names = sorted(path.stem for path in (paths.DATA / "published").glob("*.csv") if NAME.fullmatch(path.stem))
    return {name: load(name) for name in names}


def training_seeds() -> pd.DataFrame:
    """A row for each statement of lab 06, a column for each model: the shipped one, and others from other seeds."""
    rows = pd.read_csv(verified(SEEDS))
    return rows.pivot_table(index="statement", columns="model", values="value", sort=False).reset_index()


def ours(model: Any, one: Published, gain: str, before: Tensor, after: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Factors of the table that a published list was taken from.

    Args:
        model: a Gemma-2.
        one: which table.
        gain: what a norm's stored weight was taken for, both before and after attention; one of ``folding.GAINS``.
        before: decoder rows of the dictionary of what enters the layer, as they stand [F, d_model].
        after: encoder columns, as rows, of the dictionary of what leaves it [G, d_model]; OV only.
    """
    folded = folding.fold(model, one.layer, gain=gain, post=gain)
    if one.kind == "qk":
        return features.queries(folded, one.head, before), features.keys(folded, one.head, before)
    return features.values(folded, one.head, before), features.pre_outputs(folded, one.head, after)


def compare(
    model: Any, given: Mapping[str, Published], before: Mapping[int, Tensor], after: Mapping[int, Tensor]
) -> pd.DataFrame:
    """Every list under every fold.

    Args:
        model: a Gemma-2.
        given: lists by name.
        before, after: by layer, as for ``ours``.

    Returns:
        rows with table, fold, entries, correlation (with the published values), error (median of the absolute
        difference over the published absolute value), scale (ours over theirs, by least squares) and overlap (share of
        the published pairs among as many of our own strongest).
    """
    rows = []
    for name, one in given.items():
        for gain in GAINS:
            left, right = ours(model, one, gain, before[one.layer], after.get(one.layer))
            value = (left[one.pairs.left] * right[one.pairs.right]).sum(1)
            theirs = one.pairs.value
            rows.append(
                {
                    "table": name,
                    "fold": gain,
                    "entries": len(theirs),
                    "correlation": float(torch.corrcoef(torch.stack([value, theirs]))[0, 1]),
                    "error": float(((value - theirs).abs() / theirs.abs()).median()),
                    "scale": float((value * theirs).sum() / (theirs * theirs).sum()),
                    "overlap": _overlap(left, right, one),
                }
            )
    return pd.DataFrame(rows)


def _overlap(left: Tensor, right: Tensor, one: Published) -> float:
    top, bottom = tables.strongest(left, right, len(one.pairs), cross=one.cross)
    mine = top if one.cross else tables.by_size(top, bottom, len(one.pairs))
    pairs = [set(zip(p.left.tolist(), p.right.tolist(), strict=True)) for p in (mine, one.pairs)]
    return len(pairs[0] & pairs[1]) / len(pairs[1])


def of_model(loaded: Loaded, given: Mapping[str, Published] | None = None) -> pd.DataFrame:
    """``compare`` for a loaded model. No rows if it is not of the shape that the published tables are of."""
    given = load_all() if given is None else given
    layers = {one.layer for one in given.values()}
    width = max(int(max(one.pairs.left.max(), one.pairs.right.max())) for one in given.values())
    known = loaded.dictionaries
    if max(layers) >= folding.n_layers(loaded.model) or bases.leaving(max(layers)) not in known:
        return pd.DataFrame()
    before = {layer: known[bases.entering(layer, known)].W_dec for layer in layers}
    after = {layer: known[bases.leaving(layer)].W_enc.T.contiguous() for layer in layers}
    if any(len(rows) <= width for rows in before.values()):
        return pd.DataFrame()
    return compare(loaded.model, given, before, after)


def verdict(table: pd.DataFrame) -> str:
    """In words: which fold reproduces the published numbers, or that none does, or that there is nothing to compare."""
    if table.empty:
        return "The published tables are of Gemma-2-2B's layer 13. This is another model: nothing to compare."
    each = table.pivot(index="table", columns="fold", values="error")
    beside = [
        f"{name}: median entry off by " + ", ".join(f"{row[fold]:.1%} ({fold})" for fold in GAINS)
        for name, row in each.iterrows()
    ]
    mean = table.groupby("fold")[["error", "correlation", "overlap"]].mean().sort_values("error")
    lines = [
        f"fold {fold!r}, all tables: median entry off by {row.error:.1%}, correlation {row.correlation:.3f}, "
        f"{row.overlap:.0%} of the published pairs among our strongest"
        for fold, row in mean.iterrows()
    ]
    best = mean.index[0]
    end = (
        f"The published numbers are those of fold {best!r}."
        if mean.error.iloc[0] < CLOSE
        else f"None reproduces them. Nearest is {best!r}; scale, dictionary or weights must differ in something else."
    )
    return "\n".join([*beside, *lines, end])
