"""Lab 09's sweeps: numbers of every pair of five seeds, at every setting, from a shipped table."""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.dictionaries.seeds import SEEDS

FILE = "dictionaries/grokking-113/sweeps.csv"


def read() -> pd.DataFrame:
    """A row for each pair of seeds at each setting.

    Columns: sweep; width, k, steps, learning_rate (the setting); seed_a, seed_b; decoder and before (PWMCC of decoders
    after and before training), live_decoder and live_before (the same of live latents), activation (PWMCC of codes),
    alive (share of latents that fire), explained_variance, moved (mean cosine of decoder rows with their start).
    """
    from labs_src import paths
    from labs_src.models.manifest import verified

    return pd.read_csv(verified(paths.DATA / FILE))


def of_pairs(rows: pd.DataFrame, values: pd.Series | str) -> Float[Tensor, "seed seed"]:
    """One setting's values as a symmetric table of seeds, NaN on the diagonal.

    Raises:
        ValueError: the rows are not one setting's, or a pair is missing.
    """
    values = rows[values] if isinstance(values, str) else values
    table = torch.full((len(SEEDS), len(SEEDS)), torch.nan, dtype=torch.float64)
    if len(rows) != len(SEEDS) * (len(SEEDS) - 1) // 2:
        raise ValueError(f"one setting has a row for each pair of {len(SEEDS)} seeds; got {len(rows)} rows")
    for a, b, value in zip(rows.seed_a, rows.seed_b, values, strict=True):
        i, j = SEEDS.index(a), SEEDS.index(b)
        table[i, j] = table[j, i] = float(value)
    return table
