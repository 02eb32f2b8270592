"""How much of what was planted a method finds: weight tables and behaviour, on one planted model."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import torch

from labs_src.circuits import findings, folding, head_tables
from labs_src.circuits.features import Rows
from labs_src.models.planted import probe

ACTS = 0.5
"""A planted attention circuit acts when its query gives its key more than half of its attention."""


@dataclass(frozen=True)
class TableScores:
    """Means over the heads in which something is planted.

    Attributes:
        recall, precision: see ``findings.Score``.
        exact: share of the heads in which both are 1.
        margin: of the worst head.
        confident_recall: planted entries above the bound of ``findings.confident``, of those at no distance.
        confident_false: entries above it that were not planted, in all heads of the model.
    """

    recall: float
    precision: float
    exact: float
    margin: float
    confident_recall: float
    confident_false: int


def of_tables(model: Any, key: dict[str, Any], kind: str, rows: Rows, out: Rows | None = None) -> TableScores:
    """Score every head's table of one kind.

    Args:
        model: a planted model, a bridge or the Hugging Face one.
        key: its answer key, with the lists "qk" and "ov".
        kind: "qk" or "ov".
        rows: the planted directions.
        out: output directions of the OV tables; the planted ones if None.
    """
    scores, found, wanted, false = [], 0, 0, 0
    for layer in range(folding.n_layers(model)):
        folded = folding.fold(model, layer)
        for head in range(folded.n_heads):
            planted = findings.planted_entries(key[kind], kind, layer, head)
            if kind == "qk":
                factors = head_tables.qk_factors(folded, head, rows)
            else:
                factors = head_tables.ov_factors(folded, head, rows, rows if out is None else out)
            table = head_tables.table(kind, layer, head, *factors, k=max(200, 4 * len(planted)))
            sure = findings.confident(table)
            sure = set(zip(sure.left.tolist(), sure.right.tolist(), strict=True))
            found, wanted, false = (
                found + len(sure & set(planted)),
                wanted + len(planted),
                false + len(sure - set(planted)),
            )
            if planted:
                scores.append(findings.score(factors[0] @ factors[1].T, planted))
    return TableScores(
        recall=mean(s.recall for s in scores),
        precision=mean(s.precision for s in scores),
        exact=mean(s.recall == s.precision == 1 for s in scores),
        margin=min(s.margin for s in scores),
        confident_recall=found / wanted,
        confident_false=false,
    )


@dataclass(frozen=True)
class Behaviour:
    """What circuits do when the model runs.

    Attributes:
        attention: mean attention of the "attend" circuits from query to key.
        acting: share of them above ``ACTS``.
        induction: the induction head's attention to what followed.
        signs: share of all circuits that move attention to their key in the planted direction at all.
    """

    attention: float
    acting: float
    induction: float
    signs: float


def of_behaviour(planted: Any, n: int = 4, length: int = 32, seed: int = 0) -> Behaviour:
    """Run a planted model on prompts made for each circuit (``probe.acts``)."""
    acts = probe.acts(planted.model, planted.circuits, planted.features, planted.words, seed, n, length)
    attend = [a.attention for a in acts if a.circuit.kind == "attend"]
    repeated = probe.repeated(planted.words, planted.features.n_ids, n=n)
    sign = [a.log_ratio * (-1 if a.circuit.kind == "repulsion" else 1) > 0 for a in acts]
    return Behaviour(
        attention=mean(attend),
        acting=mean(a > ACTS for a in attend),
        induction=probe.induction_score(planted.model, 1, 0, repeated),
        signs=mean(sign),
    )


def acting(planted: Any, n: int = 4, length: int = 32, seed: int = 0) -> float:
    """``of_behaviour(...).acting`` alone, from the same prompts, without controls and other circuits: much faster."""
    rng = np.random.default_rng(seed)
    joining = [c for c in planted.circuits if c.kind in probe.JOINING]
    made = [(c, *probe.prompts(c, planted.circuits, planted.words, rng, n, length)) for c in joining]
    made = [(c, tokens, at) for c, tokens, _, at in made if c.kind == "attend"]
    pattern = probe.observe(planted.model, torch.cat([tokens for _, tokens, _ in made])).pattern
    rows = torch.arange(n)
    found = (
        pattern[c.layer, i * n : (i + 1) * n, c.head, -1][rows, torch.from_numpy(at)].mean()
        for i, (c, _, at) in enumerate(made)
    )
    return mean(float(attention) > ACTS for attention in found)
