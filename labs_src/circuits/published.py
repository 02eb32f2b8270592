"""Tables that lab 07 compares with: the errata's published rho by layer, and the same lab on models of other seeds.

Published numbers are compared with, never tuned to. Where they come from stands in ``data/published/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from labs_src.models.manifest import verified

ERRATA = "published/errata_spearman_by_layer.csv"
SEEDS = "training_seeds/errata.csv"
"""Made by ``benchmarks/errata_seeds.py``."""

CAUSAL = "training_seeds/errata_causal.csv"
"""Made by ``benchmarks/errata_seeds_causal.py``."""

COLUMNS = {
    "pre_fix": "before the fixes",
    "fixed_sae": "after the fixes, dictionary",
    "fixed_token": "after the fixes, tokens",
}


def errata() -> pd.DataFrame:
    """Columns layer, pre_fix, fixed_sae, fixed_token: mean Spearman rho over 8 heads and 20 prompts; NaN is missing."""
    return pd.read_csv(verified(ERRATA))


def training_seeds() -> pd.DataFrame:
    """Columns model, variant, layer, rho: lab 07's numbers for the shipped model and for models of other seeds."""
    return pd.read_csv(verified(SEEDS))


def training_seeds_causal() -> pd.DataFrame:
    """Columns model, statement, value: what lab 07 says about causes, writes and programs, of the same models."""
    return pd.read_csv(verified(CAUSAL))


def distances(ours: Mapping[str, Sequence[float]], theirs: pd.DataFrame) -> pd.DataFrame:
    """How far each of our ways is from each published column.

    Args:
        ours: way of computing -> rho of every layer.
        theirs: published, a row for each layer.

    Returns:
        rows with published, ours, mean_abs_difference and correlation over the layers that have both; nearest first.
        No rows if the layers are not as many: then it is another model.
    """
    rows = []
    for column in [name for name in theirs if name != "layer"]:
        for way, values in ours.items():
            if len(values) != len(theirs):
                continue
            pair = pd.DataFrame({"a": list(values), "b": theirs[column]}).dropna()
            gap, spread = float((pair.a - pair.b).abs().mean()), float(pair.a.std() * pair.b.std())
            corr = float(np.corrcoef(pair.a, pair.b)[0, 1]) if spread > 0 else float("nan")
            rows.append({"published": column, "ours": way, "mean_abs_difference": gap, "correlation": corr})
    columns = ["published", "ours", "mean_abs_difference", "correlation"]
    return pd.DataFrame(rows, columns=columns).sort_values(["published", "mean_abs_difference"], ignore_index=True)


def verdict(ours: Mapping[str, Sequence[float]], theirs: pd.DataFrame) -> str:
    """In words: for each published column our nearest way; for another model only the means of both."""
    table = distances(ours, theirs)
    if table.empty:
        n = len(next(iter(ours.values())))
        published = "; ".join(f"{name} {theirs[column].mean():.2f}" for column, name in COLUMNS.items())
        here = "; ".join(f"{way} {sum(values) / len(values):.2f}" for way, values in ours.items())
        return (
            f"Means over layers. Published: {published}. Here: {here}.\n"
            f"Their model has {len(theirs)} layers and this one {n}, so layer by layer is for the Gemma tier."
        )
    best = table.groupby("published", sort=False).head(2)
    lines = []
    for column, part in best.groupby("published", sort=False):
        first, second = part.ours.iloc[0], part.ours.iloc[-1]
        gap, next_gap = part.mean_abs_difference.iloc[0], part.mean_abs_difference.iloc[-1]
        lines.append(
            f"Published, {COLUMNS.get(column, column)}: nearest is ours with {first!r} (mean difference {gap:.3f}; "
            f"next {second!r}, {next_gap:.3f})."
        )
    return "\n".join(lines)
