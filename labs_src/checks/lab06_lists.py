"""Lab 06, second part: lists of pairs, the answer key, tetrads, and what recurs."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Listed


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


def _pair_list(rng, tetrads: int) -> dict:
    """A list as printed: planted tetrads, near misses of every sort, and loose pairs, in random order."""
    features = [int(f) for f in rng.choice(16384, 4 * tetrads + 30, replace=False)]
    used: dict[tuple[int, int], float] = {}

    def value(sign: int) -> float:
        return sign * round(float(rng.uniform(0.05, 0.4)), 4)

    def square(a: int, b: int, signs: tuple[int, ...], leave: int | None = None) -> None:
        for n, (cell, sign) in enumerate(zip(((a, a), (b, b), (a, b), (b, a)), signs, strict=True)):
            if n != leave:
                used[cell] = value(sign)

    for _ in range(tetrads):
        square(features.pop(), features.pop(), (1, 1, -1, -1))
    for leave in range(4):  # one of the four is not in the list
        square(*sorted((features.pop(), features.pop())), (1, 1, -1, -1), leave)
    square(features.pop(), features.pop(), (1, 1, 1, -1))
    square(features.pop(), features.pop(), (1, -1, -1, -1))
    square(features.pop(), features.pop(), (-1, -1, 1, 1))
    a, b = features.pop(), features.pop()  # they only avoid each other
    used[a, b], used[b, a] = value(-1), value(-1)
    used[features.pop(), features.pop()] = value(1)
    used[features.pop(), features.pop()] = value(-1)
    used[features[0], features[0]] = value(-1)  # a feature that avoids itself
    cells = [list(used)[i] for i in rng.permutation(len(used)).tolist()]
    return {
        "values": torch.tensor([used[cell] for cell in cells]),
        "queries": torch.tensor([i for i, _ in cells]),
        "keys": torch.tensor([j for _, j in cells]),
    }


def _tetrad_inputs(rng) -> dict:
    return _pair_list(rng, 3)


def _tetrads_by_sets(values, queries, keys) -> list:
    entries = list(zip(values.tolist(), queries.tolist(), keys.tolist(), strict=True))
    plus = {(i, j) for v, i, j in entries if v > 0}
    minus = {(i, j) for v, i, j in entries if v < 0}
    found = [[a, b] for a, b in sorted(minus) if a < b and (b, a) in minus and {(a, a), (b, b)} <= plus]
    return found


def _loose(values, queries, keys, *, need=("aa", "bb", "ba"), signs=True, ordered=False) -> list:
    sign = {(i, j): v > 0 for v, i, j in zip(values.tolist(), queries.tolist(), keys.tolist(), strict=True)}
    out = []
    for (a, b), positive in sign.items():
        cells = {"aa": (a, a), "bb": (b, b), "ba": (b, a)}
        if a == b or (signs and positive) or (ordered and a > b):
            continue
        if all(cells[n] in sign and (not signs or sign[cells[n]] == (n != "ba")) for n in need):
            out.append([min(a, b), max(a, b)])
    return sorted([list(p) for p in {tuple(p) for p in out}])


def _judge_tetrads(inputs, value) -> str | None:
    if not isinstance(value, list | tuple | torch.Tensor):
        return f"expected a list of pairs (a, b); got {type(value).__name__}"
    value = value.tolist() if isinstance(value, torch.Tensor) else list(value)
    try:
        given = [tuple(int(x) for x in pair) for pair in value]
    except (TypeError, ValueError):
        return "every tetrad is a pair of features (a, b)"
    if any(len(pair) != 2 for pair in given):
        return "every tetrad is a pair of features (a, b)"
    wanted = [tuple(pair) for pair in _tetrads_by_sets(*inputs.values())]
    if sorted(given) == wanted:
        return None
    if sorted({tuple(sorted(pair)) for pair in given}) == wanted:
        return "every tetrad is there twice, or as (larger, smaller); give each once, as (smaller, larger)"
    asked = {
        "entries are only looked up, their signs are not: (a,a) and (b,b) must be positive, the two others negative": {"signs": False},
        "the like-to-like entries are not asked for: each of the two features must attend to itself": {"need": ("ba",)},
        "(b, a) is not asked for: both cross pairs must be in the list and negative": {"need": ("aa", "bb")},
        "(b, b) is not asked for: each of the two features must attend to itself": {"need": ("aa", "ba"), "ordered": True},
        "(a, a) is not asked for: each of the two features must attend to itself": {"need": ("bb", "ba"), "ordered": True},
        "only one of them is asked to attend to itself: each of the two features must": {"need": ("aa", "ba")},
    }  # fmt: skip
    named = {message: _loose(*inputs.values(), **change) for message, change in asked.items()}
    for message, wrong in named.items():
        if sorted({tuple(sorted(pair)) for pair in given}) == [tuple(pair) for pair in wrong]:
            return message
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    return f"{len(missing)} tetrads are missing, {len(extra)} are not tetrads" + (
        f", such as {extra[0]}" if extra else ""
    )


def _like_and_cross_by_loop(values, queries, keys) -> dict:
    like, avoiding, cross = 0, 0, []
    for place, (v, i, j) in enumerate(zip(values.tolist(), queries.tolist(), keys.tolist(), strict=True)):
        if i == j:
            like, avoiding = like + 1, avoiding + (v < 0)
        elif v > 0:
            cross.append(place)
    return {"like_to_like": like, "avoiding": avoiding, "cross": torch.tensor(cross)}


def _like(values, queries, keys, **change) -> dict:
    return _like_and_cross_by_loop(values, queries, keys) | change


_LIKE_MISTAKES = (
    Mistake("like_to_like: only positive ones are counted; count all entries of a feature with itself", lambda v, q, k: _like(v, q, k, like_to_like=int(((q == k) & (v > 0)).sum()))),
    Mistake("avoiding: these are all negative entries; only those of a feature with itself", lambda v, q, k: _like(v, q, k, avoiding=int((v < 0).sum()))),
    Mistake("cross: negative pairs are among them; keep the positive ones", lambda v, q, k: _like(v, q, k, cross=(q != k).nonzero().squeeze(1))),
    Mistake("cross is True and False here; return the places in the list", lambda v, q, k: _like(v, q, k, cross=(q != k) & (v > 0))),
    Mistake("cross holds values here; return the places in the list", lambda v, q, k: _like(v, q, k, cross=v[(q != k) & (v > 0)])),
    Mistake("cross: like-to-like pairs are among them; the two features must differ", lambda v, q, k: _like(v, q, k, cross=(v > 0).nonzero().squeeze(1))),
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

LIKE_AND_CROSS = Exercise(
    name="like_and_cross",
    lab="06",
    title="A feature with itself, and with others",
    parts=(Part("pairs of a feature with itself counted, positive cross pairs found", 2, _tetrad_inputs, expect(_like_and_cross_by_loop, mistakes=_LIKE_MISTAKES)),),
    hints=(
        "Two masks: queries == keys, and values > 0.",
        "Combine masks with &. The places where a mask is true: mask.nonzero().",
        "same.sum(), (same & (values < 0)).sum(), (~same & (values > 0)).nonzero().squeeze(1)",
    ),
    read_again="5 Patterns in a published table",
    difficulty=1,
    importance=3,
    minutes=5,
)  # fmt: skip

FIND_TETRADS = Exercise(
    name="find_tetrads",
    lab="06",
    title="Two features that exclude each other",
    parts=(Part("every tetrad, once, and no near miss", 4, _tetrad_inputs, _judge_tetrads, probe=Listed()),),
    hints=(
        "Put the list into a dict first: (query, key) -> value. Then ask for the four entries of every pair a < b.",
        "Go through the negative entries (a, b) with a < b. What must the entries (b, a), (a, a), (b, b) be? sign.get(cell, 0) is 0 for what is not listed.",
        "[(a, b) for (a, b), v in value.items() if a < b and v < 0 and value.get((b, a), 0) < 0 and value.get((a, a), 0) > 0 and ...]",
    ),
    read_again="5 Patterns in a published table",
    difficulty=3,
    importance=4,
    minutes=12,
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
