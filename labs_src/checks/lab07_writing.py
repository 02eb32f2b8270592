"""Lab 07: what a head writes, predicted from weights and codes, and names for heads by what they write."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Each

# predicted_change ----------------------------------------------------------------------------------------------------


def _reading(rng) -> dict:
    n, f, g = 6, 5, 7
    alpha = normal(rng, n, n, scale=1.5).masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf).softmax(-1)
    return {
        "alpha": alpha,
        "a": normal(rng, n, f).relu(),
        "one": torch.from_numpy(rng.uniform(0.2, 2.5, n)).float(),
        "W2F": normal(rng, f, g),
        "b_write": 1.5 * normal(rng, g),
    }


def _change_by_loop(alpha, a, one, W2F, b_write):
    out = torch.zeros(len(alpha), W2F.shape[1], dtype=torch.float64)
    for t in range(len(alpha)):
        for s in range(len(alpha)):
            for k in range(W2F.shape[1]):
                read = sum(float(a[s, j]) * float(W2F[j, k]) for j in range(len(W2F)))
                out[t, k] += float(alpha[t, s]) * (read + float(one[s]) * float(b_write[k]))
    return out


_CHANGE_MISTAKES = (
    Mistake("the bias is left out: every key holds b besides its features, divided by its rms", lambda al, a, one, W, b: al @ a @ W),
    Mistake("the bias is not divided by the rms; `one` is 1 / rms of each key", lambda al, a, one, W, b: al @ (a @ W) + b),
    Mistake("the bias is added with the query's own 1 / rms; it is read at the keys, so it is weighted by attention", lambda al, a, one, W, b: al @ (a @ W) + one[:, None] * b),
    Mistake("the bias is multiplied by the rms; `one` is 1 / rms already", lambda al, a, one, W, b: al @ (a @ W + b / one[:, None])),
    Mistake("the attention is transposed: row t of alpha says what query t looks at", lambda al, a, one, W, b: al.T @ (a @ W + one[:, None] * b)),
    Mistake("no attention: this is what each key holds, not what each query gets", lambda al, a, one, W, b: a @ W + one[:, None] * b),
    Mistake("the codes are divided by the rms once more; `a` is divided already", lambda al, a, one, W, b: al @ ((a @ W + b) * one[:, None])),
    Mistake("that is the bias's part alone", lambda al, a, one, W, b: (al @ one)[:, None] * b),
)  # fmt: skip


# write_archetype -----------------------------------------------------------------------------------------------------


def _matrix(rng, diagonal: float, n: int = 9, largest: float = 0.4, lowest: float = -0.4) -> torch.Tensor:
    """Small noise off the diagonal, one largest and one lowest entry, a mean diagonal; columns add up to next to 0."""
    W = torch.from_numpy(rng.uniform(-0.03, 0.03, (n, n))).float()
    W -= W.mean(0)
    W.fill_diagonal_(0.0)
    W[torch.arange(n), torch.arange(n)] = diagonal + torch.from_numpy(rng.uniform(-0.02, 0.02, n)).float()
    i, j, k = rng.permutation(n)[:3].tolist()
    W[i, j], W[k, j] = largest, lowest
    return W


def _column(rng, W: torch.Tensor, value: float) -> torch.Tensor:
    """Every key writes one feature a little: a column sum of about value * n, no entry above the threshold."""
    W = W.clone()
    W[:, int(rng.integers(W.shape[1]))] += value
    return W


def _own(W: torch.Tensor, value: float) -> torch.Tensor:
    W = W.clone()
    W[3, 3] = value
    return W


def _plain_cases(rng) -> dict:
    return {
        "cases": [
            _matrix(rng, 0.6),
            _matrix(rng, 0.15, largest=0.7),
            _column(rng, _matrix(rng, 0.1, largest=0.2, lowest=-0.1), 0.25),
            _matrix(rng, 0.2, largest=0.3, lowest=-0.8),
            _matrix(rng, 0.2, largest=0.3, lowest=-0.35),
        ]
    }


def _edge_cases(rng) -> dict:
    """Several rules hold, or a rule holds half: the order and the exact quantities decide."""
    row = _matrix(rng, 0.2, largest=0.05, lowest=-0.05)
    row[int(rng.integers(9))] += 0.3  # a row sum above three times the copy score, no column sum
    row.diagonal().clamp_(max=0.45)
    return {
        "cases": [
            _matrix(rng, 0.6, largest=0.55, lowest=-0.9),  # copy comes first
            _column(rng, _matrix(rng, 0.1, largest=0.6, lowest=-0.7), 0.2),  # transform before broadcast and suppress
            _column(rng, _matrix(rng, 0.1, largest=0.2, lowest=-0.9), 0.3),  # broadcast before suppress
            _matrix(rng, 0.2, largest=0.15, lowest=-0.3),  # dominant diagonal, but a low copy score
            _own(_matrix(rng, 0.15, largest=0.3, lowest=-0.3), 0.8),  # one feature copies itself: no transform
            _matrix(rng, -0.2, largest=0.1, lowest=-0.1),  # a negative copy score: three times it is below any sum
            _matrix(rng, 0.2, largest=0.3, lowest=-0.8),
            row,
            *_one_rules(rng),  # dominance by rows and by columns give other names
            _shuffled(rng),  # high copy score from a few, but another entry is largest in most rows
        ]
    }


def _shuffled(rng) -> torch.Tensor:
    W = _matrix(rng, 0.33, largest=0.1, lowest=-0.1)
    n = len(W)
    for i in range(n - 1):
        W[i, (i + 1) % n] = 0.4  # largest in its row, and below 0.5
        W[i, (i + 2) % n] = -0.4
    return W


def _one_rules(rng) -> list[torch.Tensor]:
    """A row that is the largest in every column but copies otherwise, and a column that is the largest in every row."""
    row = _matrix(rng, 0.35, largest=0.1, lowest=-0.1)
    own = row.diagonal().clone()
    row[int(rng.integers(len(row)))] = 0.45  # above every diagonal entry, below 0.5
    row[torch.arange(len(row)), torch.arange(len(row))] = own
    column = _matrix(rng, 0.35, largest=0.1, lowest=-0.1)
    own = column.diagonal().clone()
    column[:, int(rng.integers(len(column)))] = 0.45
    column[torch.arange(len(column)), torch.arange(len(column))] = own
    return [row, column]


def _name(
    W, order="ctbs", dominance=True, score=True, by_column=False, own=False, row=False, absolute=False, share=3.0
):
    n = len(W)
    entries = [[float(v) for v in r] for r in W]
    copy_score = sum(entries[i][i] for i in range(n)) / n
    rivals = [list(c) for c in zip(*entries, strict=True)] if by_column else entries
    copy_dominance = sum(entries[i][i] == max(rivals[i]) for i in range(n)) / n
    others = [entries[i][j] for i in range(n) for j in range(n) if i != j or own]
    sums = [sum(r) for r in entries] if row else [sum(r[j] for r in entries) for j in range(n)]
    if absolute:
        sums = [sum(abs(v) for v in r) for r in zip(*entries, strict=True)]
    holds = {
        "c": (copy_dominance > 0.3 or not dominance) and (copy_score > 0.3 or not score),
        "t": max(others) > 0.5,
        "b": max(sums) > share * copy_score,
        "s": max([0.0, *(-v for v in others)]) > 0.5,
    }
    names = {"c": "copy", "t": "transform", "b": "broadcast", "s": "suppress"}
    return next((names[rule] for rule in order if holds[rule]), "diffuse")


def _each(**changed):
    return lambda cases: [_name(W, **changed) for W in cases]


_ARCHETYPE_MISTAKES = (
    Mistake("the rules are tested in another order; the first that holds gives the name: copy, transform, broadcast, suppress", _each(order="cbts")),
    Mistake("the rules are tested in another order; the first that holds gives the name: copy, transform, broadcast, suppress", _each(order="tcbs")),
    Mistake("the rules are tested in another order; the first that holds gives the name: copy, transform, broadcast, suppress", _each(order="ctsb")),
    Mistake("the rules are tested in another order; the first that holds gives the name: copy, transform, broadcast, suppress", _each(order="sbtc")),
    Mistake("dominance is counted over columns; a row asks what one feature writes", _each(by_column=True)),
    Mistake("the diagonal counts as a transform; only entries off the diagonal do", _each(own=True)),
    Mistake("copy needs both: dominance above 0.3 and a copy score above 0.3", _each(score=False)),
    Mistake("copy needs both: dominance above 0.3 and a copy score above 0.3", _each(dominance=False)),
    Mistake("row sums were taken; broadcast is about one written feature, a column", _each(row=True)),
    Mistake("absolute values are added up for broadcast; writes of opposite sign cancel", _each(absolute=True)),
    Mistake("the column sum is compared with the copy score itself; three times that is asked", _each(share=1.0)),
    Mistake("the same name for every head", lambda cases: ["diffuse"] * len(cases)),
)  # fmt: skip


PREDICTED_CHANGE = Exercise(
    name="predicted_change",
    lab="07",
    title="What a head should write, from weights and codes",
    parts=(
        Part(
            "features and bias, weighted by attention",
            3,
            _reading,
            expect(_change_by_loop, axes="query feature", mistakes=_CHANGE_MISTAKES),
        ),
    ),
    hints=(
        "First what each key offers, a row for each key; then attention mixes the rows.",
        "A key offers a @ W2F, and the bias's write b_write times its own 1 / rms.",
        "alpha @ (a @ W2F + one[:, None] * b_write)",
    ),
    read_again="13 What a head writes",
    difficulty=2,
    importance=4,
    minutes=6,
)

WRITE_ARCHETYPE = Exercise(
    name="write_archetype",
    lab="07",
    title="A name for a head, by thresholds",
    parts=(
        Part("a clear case of each name", 2, _plain_cases, expect(_each(), mistakes=_ARCHETYPE_MISTAKES), Each()),
        Part("several rules hold", 2, _edge_cases, expect(_each(), mistakes=_ARCHETYPE_MISTAKES), Each()),
    ),
    hints=(
        "Compute five numbers, then one `if` for each name, in the given order.",
        "Off the diagonal: off = W2F[~torch.eye(len(W2F), dtype=torch.bool)]. A column sum is W2F.sum(0).",
        "dominance = (W2F.argmax(1) == torch.arange(len(W2F))).float().mean(); score = W2F.diagonal().mean(); then the four tests",
    ),
    read_again="13 What a head writes",
    difficulty=2,
    importance=2,
    minutes=9,
)

EXERCISES = (PREDICTED_CHANGE, WRITE_ARCHETYPE)
