"""Lab 07's peaks: selectivity and diagonal mass, nulls of the same spread, the area under RoPE stability."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

PEAKS_AT = "8 Peaks, and what is under them"


def _square(rng) -> dict:
    n = int(rng.integers(7, 12))
    B = normal(rng, n, n, scale=1.5)
    B += torch.diag(normal(rng, n).abs())
    return {"B": B}


def _peaks_by_loop(B, down=False, size=None) -> dict:
    n = len(B)
    best = diagonal = 0.0
    for i in range(n):
        e = [math.exp(float(B[j, i] if down else B[i, j])) for j in range(n)]
        best, diagonal = best + max(e) / sum(e) / n, diagonal + e[i] / sum(e) / n
    size = n if size is None else size
    return {"selectivity": best * size, "diagonal": diagonal * size}


def _half_down(B) -> dict:
    p = B.softmax(0)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


def _whole(B) -> dict:
    p = B.flatten().softmax(0).view(B.shape)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


_PEAKS_MISTAKES = (
    Mistake("softmax runs down the columns; each row is a query feature, so normalise along the last axis", lambda B: _peaks_by_loop(B, down=True)),
    Mistake("the softmax runs down the columns, the largest along the rows; both go along the last axis", _half_down),
    Mistake("over uniform: divide by 1 / n, that is, multiply by the number of columns", lambda B: _peaks_by_loop(B, size=1)),
    Mistake("softmax over the whole table; each row for itself", _whole),
    Mistake("the diagonal mass is not over uniform: multiply it by the number of columns too", lambda B: {"selectivity": _peaks_by_loop(B)["selectivity"], "diagonal": _peaks_by_loop(B, size=1)["diagonal"]}),
    Mistake("the selectivity is not over uniform: multiply it by the number of columns too", lambda B: {"selectivity": _peaks_by_loop(B, size=1)["selectivity"], "diagonal": _peaks_by_loop(B)["diagonal"]}),
    Mistake("this is the largest of all weights; take the largest of each row and their mean", lambda B: {"selectivity": float(B.softmax(-1).max()) * len(B), "diagonal": _peaks_by_loop(B)["diagonal"]}),
    Mistake("these are entries of B; take the softmax along rows first", lambda B: {"selectivity": float(B.amax(-1).mean()) * len(B), "diagonal": float(B.diagonal().mean()) * len(B)}),
    Mistake("divided by n; over uniform means divided by 1 / n", lambda B: _peaks_by_loop(B, size=1 / len(B))),
    Mistake("the diagonal's SUM times n; take its mean", lambda B: {"selectivity": _peaks_by_loop(B)["selectivity"], "diagonal": _peaks_by_loop(B)["diagonal"] * len(B)}),
)  # fmt: skip

PEAKS = Exercise(
    name="peaks",
    lab="07",
    title="Selectivity and diagonal mass",
    parts=(Part("both, over uniform", 3, _square, expect(_peaks_by_loop, mistakes=_PEAKS_MISTAKES)),),
    hints=(
        "p = B.softmax(-1): each row sums to 1. Uniform would be 1 / len(B) everywhere.",
        "Selectivity is p.amax(-1).mean(); the diagonal mass is p.diagonal().mean().",
        "Multiply both by len(B), and return floats in a dict.",
    ),
    read_again=PEAKS_AT,
    difficulty=2,
    importance=3,
    minutes=6,
)


def _scores(low: float, high: float):
    def inputs(rng) -> dict:
        size, cap = float(rng.uniform(0.05, 40)), float(rng.uniform(5, 60))
        scores = size * (normal(rng, 30, 25) + float(rng.uniform(0.1, 0.4)))  # a mean that is not 0
        return {"scores": scores, "std": cap * float(rng.uniform(low, high)), "cap": cap}

    return inputs


def _judge_null(inputs, value) -> str | None:
    scores, std, cap = inputs["scores"].double(), inputs["std"], inputs["cap"]
    if not isinstance(value, torch.Tensor) or value.shape != scores.shape:
        got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        return f"expected a tensor of shape {tuple(scores.shape)}; got {got}"
    value = value.detach().double()
    if not torch.isfinite(value).all():
        return "some entries are not finite"
    if value.abs().max() > cap * (1 + 1e-6):
        return "entries exceed the cap: scale the scores BEFORE the tanh, not after"
    inner = cap * torch.atanh((value / cap).clamp(-1 + 1e-7, 1 - 1e-7))
    safe = value.abs() < 0.9 * cap  # where atanh is not lost in rounding
    factor = float((inner[safe] @ scores[safe]) / (scores[safe] @ scores[safe]))
    if factor < 0:
        return "the scores have changed sign; c is positive"
    off = float((inner - factor * scores)[safe].abs().max() / (factor * scores)[safe].abs().max())
    if off > 1e-3:
        shift = (inner - scores)[safe]
        if float(shift.std()) < 1e-3 * float(shift.abs().mean() + 1e-12):
            return "something was added to the scores; only a factor is allowed"
        plain = (value - value.mean()) / value.std() - (scores - scores.mean()) / scores.std()
        if float(plain.abs().max()) < 1e-3:
            return "the cap is missing, or the scores were centred: the form is cap * tanh(c * scores / cap)"
        return "this is not cap * tanh(c * scores / cap) for any factor c"
    got = float(value.std())
    if abs(got - std) <= 1.5e-3 * std:
        return None
    if abs(factor * float(scores.std()) - std) < 5e-3 * std:
        return f"c is std / scores.std(): right before the cap. After it the spread is {got:.3g}, wanted {std:.3g}; search for c"
    if abs(float(value.pow(2).mean().sqrt()) - std) < 5e-3 * std:
        return "the root mean square is matched; the standard deviation leaves the mean out"
    if abs(float(value.var()) - std) < 5e-3 * std:
        return "the variance is matched; the standard deviation is its root"
    off = f"the spread is {abs(got / std - 1):.2%} too {'large' if got > std else 'small'}; 0.1% is allowed"
    return f"{off}: search longer, or begin with a wider interval"


NULL = Exercise(
    name="matched_null",
    lab="07",
    title="A null with the spread of the real thing",
    parts=(
        Part("a spread far below the cap", 2, _scores(0.02, 0.15), _judge_null),
        Part("a spread that the cap flattens", 2, _scores(0.5, 0.8), _judge_null),
    ),
    hints=(
        "def spread(c): return (cap * torch.tanh(c * scores / cap)).std(). It grows with c. Which c gives std?",
        "Find an upper end: high = 1.0; while spread(high) < std: high *= 2. Then halve the interval 40 times.",
        "c = (low + high) / 2; if spread(c) < std: low = c, else: high = c. Return cap * torch.tanh(high * scores / cap).",
    ),
    read_again=PEAKS_AT,
    difficulty=3,
    importance=4,
    minutes=10,
)


def _curve(rng) -> dict:
    n = int(rng.integers(4, 8))
    distances = torch.from_numpy(rng.choice([1, 2, 3, 5, 8, 16, 40, 100, 256], n, replace=False)).sort().values
    return {"stability": torch.from_numpy(rng.uniform(-0.2, 1.0, n)).float(), "distances": distances}


def _far(rng) -> dict:
    """Does not begin at distance 1."""
    return {"stability": torch.from_numpy(rng.uniform(0, 1, 3)).float(), "distances": torch.tensor([4, 8, 64])}


def _area(stability, distances, axis=math.log2, divide=True, from_zero=False) -> float:
    x = [axis(float(d)) for d in distances]
    s = stability.tolist()
    total = sum((x[i + 1] - x[i]) * (s[i] + s[i + 1]) / 2 for i in range(len(x) - 1))
    if not divide:
        return total
    return total / (x[-1] if from_zero else x[-1] - x[0])


_AREA_MISTAKES = (
    Mistake("the axis is log2 of the distance", lambda s, d: _area(s, d, axis=float)),
    Mistake("divide by the range of log2(distance), so that a curve of ones has area 1", lambda s, d: _area(s, d, divide=False)),
    Mistake("divided by the last log2(distance); the range begins at the first", lambda s, d: _area(s, d, from_zero=True)),
    Mistake("this is the mean; points further apart weigh more", lambda s, d: float(s.mean())),
    Mistake("each step takes its left value; the trapezoid takes the mean of both ends", lambda s, d: float((d.double().log2().diff() * s[:-1]).sum() / (d[-1] / d[0]).log2())),
    Mistake("each step takes its right value; the trapezoid takes the mean of both ends", lambda s, d: float((d.double().log2().diff() * s[1:]).sum() / (d[-1] / d[0]).log2())),
    Mistake("the points are taken as evenly spaced; their distance on the log2 axis counts", lambda s, d: float(torch.trapezoid(s) / (len(s) - 1))),
)  # fmt: skip

AREA = Exercise(
    name="rope_area",
    lab="07",
    title="Area under RoPE stability",
    parts=(
        Part("distances with gaps", 1, _curve, expect(_area, mistakes=_AREA_MISTAKES, rtol=1e-3)),
        Part("distances that do not begin at 1", 1, _far, expect(_area, mistakes=_AREA_MISTAKES, rtol=1e-3)),
    ),
    hints=(
        "x = distances.double().log2(); each step contributes its width times the mean of the stability at its two ends.",
        "torch.trapezoid(stability, x) is that sum. Then divide by x[-1] - x[0].",
        "return float(torch.trapezoid(stability.double(), x) / (x[-1] - x[0]))",
    ),
    read_again=PEAKS_AT,
    difficulty=2,
    importance=2,
    minutes=6,
)
