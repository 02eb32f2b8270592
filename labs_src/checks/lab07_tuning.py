"""Lab 07: how far tuning moved each head."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

_HEADS, _SIZE, _MODEL, _KV = 4, 3, 8, 2


def _two_models(rng) -> dict:
    shapes = {
        "q_proj": (_HEADS * _SIZE, _MODEL),
        "k_proj": (_KV * _SIZE, _MODEL),
        "v_proj": (_KV * _SIZE, _MODEL),
        "o_proj": (_MODEL, _HEADS * _SIZE),
    }
    scale = {"q_proj": 1.0, "k_proj": 0.7, "v_proj": 1.4, "o_proj": 2.0}
    base = {name: normal(rng, *shape, scale=scale[name]) for name, shape in shapes.items()}
    moved = {
        name: base[name] + normal(rng, *shape, scale=float(rng.uniform(0.1, 0.6))) for name, shape in shapes.items()
    }
    return {"base": base, "tuned": moved, "n_heads": _HEADS}


def _change_by_loop(base, tuned, n_heads):
    d_head = base["q_proj"].shape[0] // n_heads
    out = []
    for head in range(n_heads):
        moved = whole = 0.0
        for unit in range(head * d_head, (head + 1) * d_head):
            for dimension in range(base["q_proj"].shape[1]):
                for old, new in ((base["q_proj"][unit, dimension], tuned["q_proj"][unit, dimension]), (base["o_proj"][dimension, unit], tuned["o_proj"][dimension, unit])):  # fmt: skip
                    moved += float(new - old) ** 2
                    whole += float(old) ** 2
        out.append((moved / whole) ** 0.5)
    return torch.tensor(out)


def _parts(weights, n_heads, o=lambda w, n: w.T.unflatten(0, (n, -1)), names=("q_proj", "o_proj")):
    """Per head, everything that counts, in one row."""
    rows = []
    for name in names:
        w = weights[name]
        if name == "o_proj":
            rows.append(o(w, n_heads).flatten(1))
        elif name == "q_proj":
            rows.append(w.unflatten(0, (n_heads, -1)).flatten(1))
        else:
            w = w.unflatten(0, (_KV, -1)).flatten(1)
            rows.append(w.repeat_interleave(n_heads // _KV, 0))
    return torch.cat(rows, 1)


def _ratio(new, old):
    return (new - old).norm(dim=1) / old.norm(dim=1)


def _with(**changed):
    return lambda base, tuned, n: _ratio(_parts(tuned, n, **changed), _parts(base, n, **changed))


def _one_for_all(base, tuned, n):
    a, b = _parts(tuned, n), _parts(base, n)
    return ((a - b).norm() / b.norm()).expand(n)


def _mean_of_two(base, tuned, n):
    return sum(_with(names=(name,))(base, tuned, n) for name in ("q_proj", "o_proj")) / 2


def _strided(base, tuned, n):
    def split(w):
        return torch.cat([w["q_proj"].unflatten(0, (-1, n)).transpose(0, 1).flatten(1), w["o_proj"].T.unflatten(0, (-1, n)).transpose(0, 1).flatten(1)], 1)  # fmt: skip

    return _ratio(split(tuned), split(base))


_CHANGE_MISTAKES = (
    Mistake("rows of o_proj were taken; a head's output weights are *columns* of o_proj", _with(o=lambda w, n: w.unflatten(0, (n, -1)))),
    Mistake("keys and values are in it; a group of heads shares them, so they belong to no single head", _with(names=("q_proj", "k_proj", "v_proj", "o_proj"))),
    Mistake("only q_proj counts here; the head's columns of o_proj belong to it too", _with(names=("q_proj",))),
    Mistake("only o_proj counts here; the head's rows of q_proj belong to it too", _with(names=("o_proj",))),
    Mistake("two ratios and their mean; put squares of both matrices together, then divide once", _mean_of_two),
    Mistake("two ratios added; put squares of both matrices together, then divide once", lambda b, t, n: 2 * _mean_of_two(b, t, n)),
    Mistake("relative to the tuned weights; divide by the base", lambda b, t, n: _with()(t, b, n)),
    Mistake("the root is missing", lambda b, t, n: _with()(b, t, n) ** 2),
    Mistake("not divided by the base's size", lambda b, t, n: (_parts(t, n) - _parts(b, n)).norm(dim=1)),
    Mistake("one number for the whole layer, not one per head", _one_for_all),
    Mistake("the norms are compared, not the weights: a turned matrix would count as unchanged", lambda b, t, n: (_parts(t, n).norm(dim=1) - _parts(b, n).norm(dim=1)).abs() / _parts(b, n).norm(dim=1)),
    Mistake("heads were taken with a stride; head h holds rows h * d_head to (h + 1) * d_head", _strided),
)  # fmt: skip


HEAD_CHANGE = Exercise(
    name="head_change",
    lab="07",
    title="How far tuning moved each head",
    parts=(
        Part(
            "query rows and output columns, one number per head",
            3,
            _two_models,
            expect(_change_by_loop, axes="head", mistakes=_CHANGE_MISTAKES),
        ),
    ),
    hints=(
        "Which weights belong to one query head alone? Not those that a group shares.",
        "q_proj has a head's weights in rows, o_proj in columns: transpose o_proj, then both split as (n_heads, d_head, ...).",
        "rows = lambda w: torch.cat([w['q_proj'], w['o_proj'].T], 1).reshape(n_heads, -1); then norms of the difference and of the base",
    ),
    read_again="14 What tuning moved",
    difficulty=3,
    importance=3,
    minutes=8,
)

EXERCISES = (HEAD_CHANGE,)
