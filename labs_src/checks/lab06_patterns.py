"""Lab 06: patterns in a published list: a feature with itself, cross pairs, tetrads."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from labs_src.checks.compare import Mistake, difference
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Listed


def by_entry(inputs, value, wanted, mistakes, **how) -> list[str]:
    """A message for each entry of a dict that is wrong: its own mistakes first, so that two at once are both named."""
    messages = []
    for name, right in wanted.items():
        gap = difference(value[name], right, name=name, **how)
        if gap is None:
            continue
        made = ((m.message, m.value(*inputs.values())) for m in mistakes[name])
        named = (
            text
            for text, wrong in made
            if difference(wrong, right, **how) is not None and difference(value[name], wrong, **how) is None
        )
        message = next(named, None)
        messages.append(gap if message is None else f"{name}: {message}")
    return messages


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


_LIKE_MISTAKES = {
    "like_to_like": (
        Mistake("only positive ones are counted; count all entries of a feature with itself", lambda v, q, k: int(((q == k) & (v > 0)).sum())),
        Mistake("only negative ones are counted; count all entries of a feature with itself", lambda v, q, k: int(((q == k) & (v < 0)).sum())),
        Mistake("these are pairs of two different features; count those where query and key are one feature", lambda v, q, k: int((q != k).sum())),
        Mistake("that is the whole list; count those where query and key are one feature", lambda v, q, k: len(v)),
        Mistake("return how many there are, not which", lambda v, q, k: q == k),
        Mistake("return how many there are, not where they stand", lambda v, q, k: (q == k).nonzero().squeeze(1)),
    ),
    "avoiding": (
        Mistake("these are all negative entries; only those of a feature with itself", lambda v, q, k: int((v < 0).sum())),
        Mistake("these are the positive ones; a feature that avoids itself has a negative entry", lambda v, q, k: int(((q == k) & (v > 0)).sum())),
        Mistake("these are negative pairs of two different features; count those of a feature with itself", lambda v, q, k: int(((q != k) & (v < 0)).sum())),
        Mistake("these are all pairs of a feature with itself; count the negative ones", lambda v, q, k: int((q == k).sum())),
        Mistake("return how many there are, not which", lambda v, q, k: (q == k) & (v < 0)),
        Mistake("return how many there are, not where they stand", lambda v, q, k: ((q == k) & (v < 0)).nonzero().squeeze(1)),
    ),
    "cross": (
        Mistake("negative pairs are among them; keep the positive ones", lambda v, q, k: (q != k).nonzero().squeeze(1)),
        Mistake("it holds values; return the places in the list", lambda v, q, k: v[(q != k) & (v > 0)]),
        Mistake("like-to-like pairs are among them; the two features must differ", lambda v, q, k: (v > 0).nonzero().squeeze(1)),
        Mistake("these are the negative pairs; keep the positive ones", lambda v, q, k: ((q != k) & (v < 0)).nonzero().squeeze(1)),
        Mistake("that is how many there are; return their places in the list", lambda v, q, k: int(((q != k) & (v > 0)).sum())),
        Mistake("the places are right, but they need one axis: nonzero() gives a column, squeeze(1) takes it off", lambda v, q, k: ((q != k) & (v > 0)).nonzero()),
    ),
}  # fmt: skip


def _judge_like(inputs, value) -> str | None:
    wanted = _like_and_cross_by_loop(*inputs.values())
    if not isinstance(value, Mapping) or set(wanted) - set(value):
        return difference(value, wanted)
    messages = by_entry(inputs, value, wanted, _LIKE_MISTAKES)
    mask = value["cross"]
    if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool:  # whichever pairs it marks
        messages = [m for m in messages if not m.startswith("cross")]
        messages.append("cross is True and False here; return the places in the list")
    elif isinstance(mask, torch.Tensor) and any("the shape is" in m for m in messages):
        messages = [
            f"cross: {mask.numel()} places are listed, {len(wanted['cross'])} pairs are positive and of two features"
            if "the shape is" in m
            else m
            for m in messages
        ]
    return "; ".join(messages) or None


LIKE_AND_CROSS = Exercise(
    name="like_and_cross",
    lab="06",
    title="A feature with itself, and with others",
    parts=(Part("pairs of a feature with itself counted, positive cross pairs found", 2, _tetrad_inputs, _judge_like),),
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
