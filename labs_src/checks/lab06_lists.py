"""Lab 06, second part: lists of pairs, the answer key, and what recurs."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect
from labs_src.checks.contract import Exercise, Part


def _distinct(rng, rows: int, columns: int) -> torch.Tensor:
    """A table whose absolute values are all different, of both signs."""
    n = rows * columns
    size = torch.from_numpy(rng.permutation(n) + 1.0).float() / 10
    sign = torch.from_numpy(rng.choice([-1.0, 1.0], n)).float()
    return (size * sign).view(rows, columns)


def _strongest_inputs(rng) -> dict:
    return {"table": _distinct(rng, 6, 9), "k": int(rng.integers(5, 9))}


def _sorted_entries(table, k, key=lambda v: -abs(v)) -> tuple:
    entries = [(v, i, j) for i, row in enumerate(table.tolist()) for j, v in enumerate(row)]
    best = sorted(entries, key=lambda e: key(e[0]))[:k]
    return tuple(torch.tensor(list(column)) for column in zip(*best, strict=True))


def _by_rows(table, k) -> tuple:
    v, i, j = _sorted_entries(table, k)
    return v, i * table.shape[1] + j, i * 0


_STRONGEST_MISTAKES = (
    Mistake("these are the largest entries; strongest means by absolute value, so negative ones count", lambda t, k: _sorted_entries(t, k, lambda v: -v)),
    Mistake("the values lost their sign", lambda t, k: (_sorted_entries(t, k)[0].abs(), *_sorted_entries(t, k)[1:])),
    Mistake("rows and columns are swapped", lambda t, k: (lambda v, i, j: (v, j, i))(*_sorted_entries(t, k))),
    Mistake("weakest first; the strongest should come first", lambda t, k: tuple(x.flip(0) for x in _sorted_entries(t, k))),
    Mistake("row = index // n_columns, column = index % n_columns; these divide by the number of rows", lambda t, k: (lambda v, i, j: (v, (i * t.shape[1] + j) // t.shape[0], (i * t.shape[1] + j) % t.shape[0]))(*_sorted_entries(t, k))),
    Mistake("these are the weakest entries", lambda t, k: _sorted_entries(t, k, abs)),
)  # fmt: skip


def _score_inputs(rng) -> dict:
    table, n = _distinct(rng, 6, 8), 5
    order = table.abs().flatten().argsort(descending=True).tolist()
    # three of the five strongest are planted, the others stand at ranks 7 to 12: neither share is 1, and they differ
    places = [order[int(r)] for r in (*rng.choice(5, 3, replace=False), *(7 + rng.choice(6, 2, replace=False)))]
    planted = torch.tensor([[p // 8, p % 8] for p in rng.permutation(places).tolist()])
    assert len(planted) == n
    return {"table": table, "planted": planted}


def _score_by_counting(table, planted) -> tuple:
    cells = {tuple(cell) for cell in planted.tolist()}
    ranked = sorted(((abs(v), i, j) for i, row in enumerate(table.tolist()) for j, v in enumerate(row)), reverse=True)
    hits = sum((i, j) in cells for _, i, j in ranked[: len(cells)])
    weakest = max(rank for rank, (_, i, j) in enumerate(ranked) if (i, j) in cells)
    return hits / len(cells), len(cells) / (weakest + 1)


def _signed_score(table, planted) -> tuple:
    return _score_by_counting((table + 1000.0), planted)


_SCORE_MISTAKES = (
    Mistake("entries are ranked with their sign; a strong negative entry counts as well", _signed_score),
    Mistake("recall and precision are swapped", lambda t, p: _score_by_counting(t, p)[::-1]),
    Mistake("precision repeats recall: it should be n over all entries that reach the weakest planted one", lambda t, p: (_score_by_counting(t, p)[0],) * 2),
    Mistake("the weakest planted entry is itself at least as strong as the weakest: count >=, not >", lambda t, p: (_score_by_counting(t, p)[0], len(p) / (len(p) / _score_by_counting(t, p)[1] - 1))),
    Mistake("precision counts only the entries that were not planted; those above the weakest are all of them", lambda t, p: (_score_by_counting(t, p)[0], len(p) / (len(p) / _score_by_counting(t, p)[1] - len(p)))),
)  # fmt: skip


def _recurrence_inputs(rng) -> dict:
    n = 12
    lists = [torch.from_numpy(rng.integers(0, n, (6, 2))) for _ in range(4)]
    common = int(rng.integers(n))
    for pairs in lists[:3]:
        pairs[0] = torch.tensor([common, common])  # a feature with itself is in the list once
    return {"lists": lists, "n_features": n}


def _recurrence_by_loop(lists, n_features) -> torch.Tensor:
    return torch.tensor([sum(any(f in pair for pair in pairs.tolist()) for pairs in lists) for f in range(n_features)])


def _counted(lists, n, columns=(0, 1), once=True) -> torch.Tensor:
    out = torch.zeros(n)
    for pairs in lists:
        flat = pairs[:, list(columns)].flatten()
        out += torch.bincount(flat.unique() if once else flat, minlength=n)
    return out


_RECURRENCE_MISTAKES = (
    Mistake("a feature that stands several times in one head's list is counted several times; count heads", lambda a, n: _counted(a, n, once=False)),
    Mistake("only queries are counted; a feature recurs as a key too", lambda a, n: _counted(a, n, (0,))),
    Mistake("only keys are counted; a feature recurs as a query too", lambda a, n: _counted(a, n, (1,))),
    Mistake("a head whose list has a feature as query and as key counts twice; count heads", lambda a, n: _counted(a, n, (0,)) + _counted(a, n, (1,))),
    Mistake("that is the share of heads; return the number", lambda a, n: _counted(a, n) / len(a)),
)  # fmt: skip


STRONGEST_PAIRS = Exercise(
    name="strongest_pairs",
    lab="06",
    title="The strongest entries of a table",
    parts=(Part("values, rows and columns, strongest first", 3, _strongest_inputs, expect(_sorted_entries, names=("values", "rows", "columns"), mistakes=_STRONGEST_MISTAKES)),),
    hints=(
        "Flatten the table, take the k best places, and turn each place back into a row and a column.",
        "places = table.abs().flatten().topk(k).indices",
        "rows, columns = places // table.shape[1], places % table.shape[1]; the values are table[rows, columns]",
    ),
    read_again="2 The query-key table",
    difficulty=2,
    importance=4,
    minutes=6,
)  # fmt: skip

RECALL_AND_PRECISION = Exercise(
    name="recall_and_precision",
    lab="06",
    title="A table against its answer key",
    parts=(Part("recall and precision", 3, _score_inputs, expect(_score_by_counting, names=("recall", "precision"), mistakes=_SCORE_MISTAKES)),),
    hints=(
        "Take absolute values once, then only ask which entries reach a bound.",
        "strong = table[planted rows, planted columns].abs(). For recall the bound is the n-th largest entry of the table, for precision strong.min().",
        "(strong >= size.flatten().topk(n).values[-1]).float().mean(), n / (size >= strong.min()).sum()",
    ),
    read_again="3 Against the answer key",
    difficulty=3,
    importance=4,
    minutes=9,
)  # fmt: skip

RECURRENCES = Exercise(
    name="recurrences",
    lab="06",
    title="Features that come up in many heads",
    parts=(Part("in how many heads' lists each feature stands", 2, _recurrence_inputs, expect(_recurrence_by_loop, axes="feature", mistakes=_RECURRENCE_MISTAKES)),),
    hints=(
        "For one head: which features stand in its list at all? unique() answers that.",
        "torch.bincount(indices, minlength=n_features) counts; do it for each list's unique features, then add up.",
        "sum(torch.bincount(pairs.flatten().unique(), minlength=n_features) for pairs in lists)",
    ),
    read_again="8 What the norm gain does",
    difficulty=2,
    importance=2,
    minutes=6,
)  # fmt: skip
