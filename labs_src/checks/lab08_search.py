"""Lab 08, first part: the mean state, the gated neuron, the warm start, the distance from what is natural."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import gelu

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _states(rng) -> dict:
    """Padding is not zero, so that it shows; no prompt fills the whole length, none ends at the first token."""
    return {"states": normal(rng, 4, 6, 5) + 1.5, "last": torch.from_numpy(rng.permutation([1, 4, 2, 3]))}


def _mean_by_loop(states, last) -> torch.Tensor:
    total = torch.zeros(states.shape[2], dtype=torch.float64)
    for prompt in range(states.shape[0]):
        total += states[prompt, int(last[prompt])].double()
    return total / states.shape[0]


def _up_to_the_end(states, last) -> torch.Tensor:
    return torch.stack([s[: int(t) + 1].mean(0) for s, t in zip(states, last)]).mean(0)


_MEAN_MISTAKES = (
    Mistake("that is the last column, which is padding for shorter prompts; take each prompt's own last token", lambda s, t: s[:, -1].mean(0)),
    Mistake("averaged over all positions, padding included; only each prompt's last token counts", lambda s, t: s.mean((0, 1))),
    Mistake("averaged over the tokens of each prompt; only the last one counts", _up_to_the_end),
    Mistake("`last` is a position already: this is one token too early", lambda s, t: s[torch.arange(len(s)), t - 1].mean(0)),
    Mistake("`last` is a position already: this is one token too late", lambda s, t: s[torch.arange(len(s)), t + 1].mean(0)),
    Mistake("indexing with [:, last] pairs every prompt with every end; pair them one to one", lambda s, t: s[:, t].mean((0, 1))),
    Mistake("summed over prompts, not averaged", lambda s, t: s[torch.arange(len(s)), t].sum(0)),
    Mistake("not averaged over the prompts yet", lambda s, t: s[torch.arange(len(s)), t]),
)  # fmt: skip


def _gates(rng) -> dict:
    """All four quadrants, and one gate at the minimum of GELU."""
    gate = torch.from_numpy(rng.uniform(0.3, 2.0, 6) * [1, 1, -1, -1, -1, 1]).float()
    up = torch.from_numpy(rng.uniform(0.5, 4.0, 6) * [1, -1, 1, -1, -1, 1]).float()
    gate[4] = -0.75
    gate[1], gate[3] = (
        2.0 + 0.1 * float(rng.uniform()),
        -2.0 - 0.2 * float(rng.uniform()),
    )  # exact GELU differs most here
    return {"gate": gate, "up": up}


def _gelu64(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _slopes_by_differences(gate, up) -> dict:
    """Central differences in double precision."""
    h, by_gate, by_up = 1e-5, [], []
    for g, u in zip(gate.double().tolist(), up.double().tolist()):
        by_gate.append((_gelu64(g + h) * u - _gelu64(g - h) * u) / (2 * h))
        by_up.append((_gelu64(g) * (u + h) - _gelu64(g) * (u - h)) / (2 * h))
    return {"by_gate": torch.tensor(by_gate), "by_up": torch.tensor(by_up)}


def _slope(x: torch.Tensor, approximate: str = "tanh") -> torch.Tensor:
    x = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        return torch.autograd.grad(gelu(x, approximate=approximate).sum(), x)[0]


def _tanh(x):
    return gelu(x, approximate="tanh")


_SLOPE_MISTAKES = (
    Mistake("that is exact GELU; Gemma's is the tanh version, approximate=\"tanh\"", lambda g, u: {"by_gate": _slope(g, "none") * u, "by_up": gelu(g)}),
    Mistake("by_gate is the slope of gelu alone; the product's derivative has up in it", lambda g, u: {"by_gate": _slope(g), "by_up": _tanh(g)}),
    Mistake("by_up is 0 or 1 as if this were ReLU, or up itself; the derivative by up is gelu(gate)", lambda g, u: {"by_gate": _slope(g) * u, "by_up": u}),
    Mistake("the derivative by up is gelu(gate), not gate", lambda g, u: {"by_gate": _slope(g) * u, "by_up": g}),
    Mistake("the two are swapped", lambda g, u: {"by_gate": _tanh(g), "by_up": _slope(g) * u}),
    Mistake("gelu is applied to up here; it is applied to the gate", lambda g, u: {"by_gate": _tanh(u), "by_up": _slope(u) * g}),
    Mistake("this is the slope of ReLU; GELU dips below 0, and that is the point here", lambda g, u: {"by_gate": (g > 0) * u, "by_up": g.relu()}),
    Mistake("that is SiLU; Gemma's gate is GELU", lambda g, u: {"by_gate": torch.sigmoid(g) * (1 + g * (1 - torch.sigmoid(g))) * u, "by_up": torch.nn.functional.silu(g)}),
    Mistake("by_gate treats gelu as if its slope were 1; multiply up by that slope", lambda g, u: {"by_gate": u, "by_up": _tanh(g)}),
    Mistake("those are the two factors themselves; in each derivative one factor is replaced by its slope", lambda g, u: {"by_gate": _tanh(g), "by_up": u}),
    Mistake("those are the two factors, swapped; by_gate also needs the slope of gelu", lambda g, u: {"by_gate": u, "by_up": g}),
    Mistake("by_up is 1, the slope of up; the other factor, gelu(gate), stays", lambda g, u: {"by_gate": _slope(g) * u, "by_up": torch.ones_like(u)}),
    Mistake("by_gate is the value of the product, not its derivative", lambda g, u: {"by_gate": _tanh(g) * u, "by_up": _tanh(g)}),
)  # fmt: skip


def _mixed(rng) -> dict:
    """Awake, asleep in one, asleep in the other, asleep in both; beyond 1.5 with the other asleep; exactly at 1."""
    gate = torch.tensor([2.0, 1.3, 0.4, 3.0, -0.8, -0.5, 1.0, 1.2, 0.9, 4.0])
    up = torch.tensor([3.0, 1.2, 2.7, 0.6, -9.0, 0.3, 1.0, -2.0, 0.8, -5.0])
    shake = torch.from_numpy(rng.uniform(-0.05, 0.05, (2, 10))).float()
    shake[:, 6] = 0
    gate, up = gate + shake[0], up + shake[1]
    order = torch.from_numpy(rng.permutation(10))
    post = _tanh(gate) * up
    return {"post": post[order], "gate": gate[order], "up": up[order]}


def _warm_by_cases(post, gate, up) -> torch.Tensor:
    out = []
    for p, g, u in zip(post.tolist(), gate.tolist(), up.tolist()):
        out.append(p if g >= 1 and u >= 1 else min(g, 1.5) + min(u, 1.5))
    return torch.tensor(out)


def _warm(p, g, u, most=1.5, awake=None):
    awake = ((g >= 1) & (u >= 1)) if awake is None else awake
    return torch.where(awake, p, g.clamp(max=most) + u.clamp(max=most))


_WARM_MISTAKES = (
    Mistake("one of the two awake is enough here; both have to be", lambda p, g, u: _warm(p, g, u, awake=(g >= 1) | (u >= 1))),
    Mistake("the sum is not capped: one of them runs away while the other sleeps", lambda p, g, u: _warm(p, g, u, most=math.inf)),
    Mistake("capped at 1, where they only just count as awake; the cap is 1.5", lambda p, g, u: _warm(p, g, u, most=1.0)),
    Mistake("only the gate is asked whether it is awake; up has to be too", lambda p, g, u: _warm(p, g, u, awake=g >= 1)),
    Mistake("only up is asked whether it is awake; the gate has to be too", lambda p, g, u: _warm(p, g, u, awake=u >= 1)),
    Mistake("the product decides here. It is positive in the false optimum too: ask gate and up", lambda p, g, u: _warm(p, g, u, awake=p > 0)),
    Mistake("a gate and an up of exactly 1 count as awake", lambda p, g, u: _warm(p, g, u, awake=(g > 1) & (u > 1))),
    Mistake("a gate and an up above 0 count as awake here; they do from 1 on", lambda p, g, u: _warm(p, g, u, awake=(g > 0) & (u > 0))),
    Mistake("awake from 1.5 on here; that is the cap, awake begins at 1", lambda p, g, u: _warm(p, g, u, awake=(g >= 1.5) & (u >= 1.5))),
    Mistake("the two cases are swapped", lambda p, g, u: torch.where((g >= 1) & (u >= 1), g.clamp(max=1.5) + u.clamp(max=1.5), p)),
    Mistake("all rows wait until every row is awake; decide for each row", lambda p, g, u: p if bool(((g >= 1) & (u >= 1)).all()) else g.clamp(max=1.5) + u.clamp(max=1.5)),
    Mistake("awake rows get the sum on top of post", lambda p, g, u: torch.where((g >= 1) & (u >= 1), p, 0 * p) + g.clamp(max=1.5) + u.clamp(max=1.5)),
    Mistake("sleeping rows get the product of gate and up; it is positive when both are negative. Add them", lambda p, g, u: torch.where((g >= 1) & (u >= 1), p, g.clamp(max=1.5) * u.clamp(max=1.5))),
    Mistake("the sum is capped as a whole; cap gate and up each", lambda p, g, u: torch.where((g >= 1) & (u >= 1), p, (g + u).clamp(max=1.5))),
    Mistake("the values are also kept above 0, so that a negative gate or up has no slope to climb", lambda p, g, u: torch.where((g >= 1) & (u >= 1), p, g.clamp(0, 1.5) + u.clamp(0, 1.5))),
)  # fmt: skip


def _cloud(rng) -> dict:
    """Correlated, of unequal spread, far from 0; what is measured lies inside and outside.

    No spread is near 1, where the inverse of a covariance and the root of that inverse would be the same.
    """
    turn = torch.linalg.qr(normal(rng, 4, 4))[0]
    mix = torch.tensor([2.0, 3.5, 6.0, 14.0])[:, None] * turn
    centre = normal(rng, 4, scale=5.0)
    return {"x": normal(rng, 3, 4, scale=2.5) @ mix + centre, "rows": normal(rng, 60, 4) @ mix + centre}


def _mahalanobis_by_loop(x, rows) -> torch.Tensor:
    x, rows = x.double(), rows.double()
    n, d = rows.shape
    mean = sum(rows) / n
    cov = torch.zeros(d, d, dtype=torch.float64)
    for row in rows:
        cov += torch.outer(row - mean, row - mean) / (n - 1)
    inverse = torch.linalg.inv(cov)
    return torch.stack([((v - mean) @ inverse @ (v - mean) / d).sqrt() for v in x])


def _quadratic(x, rows, matrix, centre=None):
    away = x - (rows.mean(0) if centre is None else centre)
    return ((away @ matrix) * away).sum(-1)


def _inverse(rows):
    return torch.linalg.inv(torch.cov(rows.T))


_CLOUD_MISTAKES = (
    Mistake("the square root is missing", lambda x, r: _quadratic(x, r, _inverse(r)) / x.shape[1]),
    Mistake("the division by d is missing", lambda x, r: _quadratic(x, r, _inverse(r)).sqrt()),
    Mistake("divided by d after the square root; d stands under it", lambda x, r: _quadratic(x, r, _inverse(r)).sqrt() / x.shape[1]),
    Mistake("that is the length of C^-1 (x - mu); C^-1 stands between two copies of x - mu, or C^-1/2 before a length", lambda x, r: ((x - r.mean(0)) @ _inverse(r)).norm(dim=-1) / x.shape[1] ** 0.5),
    Mistake("that is the length of C^-1 (x - mu), and without d; C^-1 stands between two copies of x - mu", lambda x, r: ((x - r.mean(0)) @ _inverse(r)).norm(dim=-1)),
    Mistake("the covariance is not inverted: directions of large spread must count less", lambda x, r: (_quadratic(x, r, torch.cov(r.T)) / x.shape[1]).sqrt()),
    Mistake("each dimension is divided by its own spread, which leaves correlations out; use the whole covariance", lambda x, r: (((x - r.mean(0)) / r.std(0)).pow(2).mean(-1)).sqrt()),
    Mistake("measured from 0; measure from the natural mean", lambda x, r: (_quadratic(x, r, _inverse(r), torch.zeros(x.shape[1])) / x.shape[1]).sqrt()),
    Mistake("measured from the mean of x; mu comes from rows", lambda x, r: (_quadratic(x, r, _inverse(r), x.mean(0)) / x.shape[1]).sqrt()),
    Mistake("the rows were not centred before their covariance", lambda x, r: (_quadratic(x, r, torch.linalg.inv(r.T @ r / len(r))) / x.shape[1]).sqrt()),
    Mistake("that is the Euclidean distance; directions are not comparable yet", lambda x, r: (x - r.mean(0)).norm(dim=-1)),
    Mistake("that is the Euclidean distance over the root of d; directions are not comparable yet", lambda x, r: (x - r.mean(0)).norm(dim=-1) / x.shape[1] ** 0.5),
)  # fmt: skip


MEAN_STATE = Exercise(
    name="mean_state",
    lab="08",
    title="The mean of the last tokens",
    parts=(
        Part(
            "each prompt's own last token", 2, _states, expect(_mean_by_loop, axes="d_model", mistakes=_MEAN_MISTAKES)
        ),
    ),
    hints=(
        "Prompts have different lengths: which position is the last token of prompt 0, and of prompt 1?",
        "Index with two lists of equal length: the prompts 0, 1, 2 ... and their ends.",
        "states[torch.arange(len(states)), last].mean(0)",
    ),
    read_again="1 The proposal",
    difficulty=1,
    importance=3,
    minutes=5,
)

GATED_SLOPES = Exercise(
    name="gated_slopes",
    lab="08",
    title="Which way ascent pushes gate and up",
    parts=(
        Part(
            "both derivatives, in all four quadrants",
            3,
            _gates,
            expect(
                _slopes_by_differences,
                axes={"by_gate": "neuron", "by_up": "neuron"},
                mistakes=_SLOPE_MISTAKES,
                rtol=5e-5,
                atol=1e-6,
            ),
        ),
    ),
    hints=(
        "The product rule, twice. In one of the two derivatives the other factor is a constant.",
        "By up: gelu(gate). By gate: gelu'(gate) * up; gelu' from autograd, on a copy that requires a gradient.",
        "g = gate.clone().requires_grad_(True); slope = torch.autograd.grad(gelu(g, approximate='tanh').sum(), g)[0]; by_gate is slope * up",
    ),
    read_again="2 What happens inside",
    difficulty=3,
    importance=5,
    minutes=10,
)

WARM_OBJECTIVE = Exercise(
    name="warm_objective",
    lab="08",
    title="Wake gate and up before climbing",
    parts=(
        Part(
            "awake rows climb, sleeping rows wake, each for itself",
            3,
            _mixed,
            expect(_warm_by_cases, axes="row", mistakes=_WARM_MISTAKES),
        ),
    ),
    hints=(
        "Two cases, decided for each row: torch.where.",
        "Awake means gate >= 1 and up >= 1. Asleep: gate and up, each clamped from above, added.",
        "torch.where((gate >= 1) & (up >= 1), post, gate.clamp(max=1.5) + up.clamp(max=1.5))",
    ),
    read_again="2 What happens inside",
    difficulty=2,
    importance=5,
    minutes=8,
)

MAHALANOBIS = Exercise(
    name="mahalanobis",
    lab="08",
    title="How far from natural states",
    parts=(
        Part(
            "in standard deviations, all directions comparable",
            3,
            _cloud,
            expect(_mahalanobis_by_loop, axes="row", mistakes=_CLOUD_MISTAKES, rtol=3e-2, atol=1e-3),
        ),
    ),
    hints=(
        "Subtract the mean of the rows; the covariance comes from the rows too: torch.cov(rows.T).",
        "For one vector: away @ inverse @ away. For all at once: multiply away @ inverse by away, and sum over the last axis.",
        "away = x - rows.mean(0); ((away @ torch.linalg.inv(torch.cov(rows.T)) * away).sum(-1) / x.shape[1]).sqrt()",
    ),
    read_again="4 What kind of vector is that?",
    difficulty=3,
    importance=3,
    minutes=10,
)

EXERCISES = (MEAN_STATE, GATED_SLOPES, WARM_OBJECTIVE, MAHALANOBIS)
