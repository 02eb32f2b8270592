"""Lab 06: what attention really does, by distance, and how spread out it is."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _pattern(rng, batch: int = 3, n: int = 9) -> torch.Tensor:
    scores = normal(rng, batch, n, n, scale=2.0).masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)


def _distance_inputs(rng) -> dict:
    return {"pattern": _pattern(rng), "distances": sorted(int(d) for d in rng.choice(8, 4, replace=False))}


def _attention_by_loop(pattern, distances) -> torch.Tensor:
    out = []
    for d in distances:
        found = [float(p[t, t - d]) for p in pattern for t in range(d, p.shape[0])]
        out.append(sum(found) / len(found))
    return torch.tensor(out)


_DISTANCE_MISTAKES = (
    Mistake("these are later keys: query t looks back, at key t - distance", lambda p, d: torch.stack([p.diagonal(x, 1, 2).mean() for x in d])),
    Mistake("divided by all queries; the first `distance` queries have no such key and do not count", lambda p, d: torch.stack([p.diagonal(-x, 1, 2).sum(1).mean() / p.shape[1] for x in d])),
    Mistake("that is the sum over queries; take the mean", lambda p, d: torch.stack([p.diagonal(-x, 1, 2).sum(1).mean() for x in d])),
    Mistake("that is attention to key number `distance`, not to the key at that distance", lambda p, d: torch.stack([p[:, :, x].mean() for x in d])),
    Mistake("only the last query counts here; take the mean over all queries", lambda p, d: torch.stack([p[:, -1, p.shape[1] - 1 - x].mean() for x in d])),
    Mistake("these are distances 0, 1, 2 ..; use the ones in `distances`", lambda p, d: torch.stack([p.diagonal(-x, 1, 2).mean() for x in range(len(d))])),
)  # fmt: skip


def _entropy_by_loop(pattern) -> torch.Tensor:
    out = torch.zeros(pattern.shape[:2])
    for b, rows in enumerate(pattern.tolist()):
        for t, row in enumerate(rows):
            out[b, t] = -sum(p * math.log(p) for p in row if p > 0)
    return out


_ENTROPY_MISTAKES = (
    Mistake("0 * log(0) gave NaN; what is masked adds nothing: clamp inside the log", lambda p: -(p * p.log()).sum(-1)),
    Mistake("the sign: entropy is minus the sum of p log p", lambda p: (p * p.clamp(min=1e-12).log()).sum(-1)),
    Mistake("in bits; use the natural log", lambda p: -(p * p.clamp(min=1e-12).log2()).sum(-1)),
    Mistake("summed over queries; sum over keys, for each query", lambda p: -(p * p.clamp(min=1e-12).log()).sum(-2)),
    Mistake("that is one number for everything; return one for each query", lambda p: -(p * p.clamp(min=1e-12).log()).sum(-1).mean()),
    Mistake("that is the mean over keys; entropy is their sum", lambda p: -(p * p.clamp(min=1e-12).log()).mean(-1)),
)  # fmt: skip


def _entropy_inputs(rng) -> dict:
    return {"pattern": _pattern(rng, 3, 7)}


MEAN_ATTENTION_AT = Exercise(
    name="mean_attention_at",
    lab="06",
    title="Attention by distance",
    parts=(Part("mean attention at each distance", 2, _distance_inputs, expect(_attention_by_loop, axes="distance", mistakes=_DISTANCE_MISTAKES)),),
    hints=(
        "In a pattern [query, key], where do all cells with query - key = 3 stand?",
        "On a diagonal below the main one: pattern.diagonal(-distance, 1, 2).",
        "torch.stack([pattern.diagonal(-d, 1, 2).mean() for d in distances])",
    ),
    read_again="7 What the bias says about distance",
    difficulty=2,
    importance=3,
    minutes=5,
)  # fmt: skip


ATTENTION_ENTROPY = Exercise(
    name="attention_entropy",
    lab="06",
    title="How spread out attention is",
    parts=(Part("entropy of every query's attention", 2, _entropy_inputs, expect(_entropy_by_loop, axes="batch query", mistakes=_ENTROPY_MISTAKES)),),
    hints=(
        "Minus the sum over keys of p log p. What does a masked key, p = 0, add?",
        "p log p goes to 0 with p, but the computer says 0 * -inf = NaN.",
        "-(pattern * pattern.clamp(min=1e-12).log()).sum(-1)",
    ),
    read_again="9 Heads with small tables",
    difficulty=2,
    importance=3,
    minutes=5,
)  # fmt: skip
