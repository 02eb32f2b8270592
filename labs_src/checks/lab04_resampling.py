"""Lab 04, third part: dead latents, resampling, TopK, an interval over seeds.

Nothing random is drawn by the learner: probabilities are judged as numbers, and rows are picked by uniform numbers that
are given. So an answer is right or wrong, not lucky.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Twice


def _window(rng) -> dict:
    steps, batch, instances, d_sae = 5, 7, 3, 6
    z = normal(rng, steps, batch, instances, d_sae).relu() + 0.1
    z *= torch.from_numpy(rng.random(z.shape) < 0.4)
    for i in range(instances):  # in each instance a dead latent, one that fires once, early and weakly, one always on
        dead, rare, always = rng.permutation(d_sae)[:3]
        z[:, :, i, dead] = 0.0
        z[:, :, i, rare] = 0.0
        z[0, int(rng.integers(batch)), i, rare] = 1e-3
        z[:, :, i, always] = 0.2
    return {"z": z}


def _dead_by_loop(z) -> torch.Tensor:
    dead = torch.ones(z.shape[2:], dtype=torch.bool)
    for *_, i, j in (z > 0).nonzero().tolist():
        dead[i, j] = False
    return dead


_DEAD_MISTAKES = (
    Mistake("inverted: these are the latents that fire", lambda z: (z > 0).any(0).any(0)),
    Mistake("only the last step was looked at; a latent may have fired earlier in the window", lambda z: (z[-1] == 0).all(0)),
    Mistake("a latent that is silent on one input is not dead: it has to be silent on all", lambda z: (z == 0).any(0).any(0)),
    Mistake("a latent that is silent in one step is not dead: it has to be silent in every step of the window", lambda z: (z == 0).all(1).any(0)),
    Mistake("a latent that is silent on one input of each step is not dead: it has to be silent on all", lambda z: (z == 0).any(1).all(0)),
    Mistake("a latent that fires rarely and weakly is alive: ask for exactly zero", lambda z: z.mean((0, 1)) < 0.01),
    Mistake("the instances were mixed; each has dead latents of its own", lambda z: (z == 0).all(0).all(0).all(0)),
    Mistake("the instances were mixed; each has dead latents of its own", lambda z: (z == 0).all(0).all(0).all(0).expand(z.shape[2:])),
)  # fmt: skip


def _errors(rng) -> dict:
    return {
        "error": torch.from_numpy(rng.uniform(0.2, 3.0, (8, 3))).float(),
        "power": float(rng.choice([1.5, 2.5, 3.0])),
    }


def _plain_errors(rng) -> dict:
    return {"error": _errors(rng)["error"], "power": 1.0}


def _probabilities_by_loop(error, power) -> torch.Tensor:
    out = torch.zeros(error.shape, dtype=torch.float64)
    for i in range(error.shape[1]):
        weights = [x**power for x in error[:, i].double().tolist()]
        out[:, i] = torch.tensor([w / math.fsum(weights) for w in weights], dtype=torch.float64)
    return out


def _p(error, power, dim=0):
    return error**power / (error**power).sum(dim, keepdim=True)


_PROBABILITY_MISTAKES = (
    Mistake("the worst input is always taken; every input gets a chance, in proportion to its error", lambda e, p: (e == e.amax(0)).float()),
    Mistake("the power is wrong: error is squared already, do not square it again", lambda e, p: _p(e, 2 * p)),
    Mistake("the power is wrong: error is squared already, do not square it again", lambda e, p: _p(e, p + 1)),
    Mistake("the power is wrong: error is the squared length already, do not take its root", lambda e, p: _p(e, p / 2)),
    Mistake("the power is not used", lambda e, p: _p(e, 1.0)),
    Mistake("the power is wrong: it was fixed at 2", lambda e, p: _p(e, 2.0)),
    Mistake("a softmax is not a proportion: divide error^power by its sum", lambda e, p: (e**p).softmax(0)),
    Mistake("a softmax is not a proportion: divide error^power by its sum", lambda e, p: (p * e).softmax(0)),
    Mistake("all inputs are equally likely; the error is not used", lambda e, p: torch.full_like(e, 1 / len(e))),
    Mistake("wrong axis: the probabilities of one instance sum to 1 over the batch", lambda e, p: _p(e, p, 1)),
    Mistake("the instances were mixed: each sums to 1 over its own batch", lambda e, p: e**p / (e**p).sum()),
    Mistake("the power comes too late: raise the errors first, then divide by their sum, or it is not 1", lambda e, p: _p(e, 1.0) ** p),
    Mistake("these weights do not sum to 1", lambda e, p: e**p),
    Mistake("divided by the largest, so the weights do not sum to 1", lambda e, p: e**p / (e**p).amax(0)),
)  # fmt: skip


def _draws(rng) -> dict:
    """Uniform numbers that lie well inside a row's share, so that no rounding decides."""
    p = rng.uniform(0.5, 4.0, 6)
    p[int(rng.integers(6))] = 0.0
    p /= p.sum()
    edges = np.concatenate([[0.0], np.cumsum(p)])
    rows = rng.choice(np.flatnonzero(p > 0), 12)
    rows[:2] = np.flatnonzero(p > 0)[[0, -1]]
    uniforms = edges[rows] + p[rows] * rng.uniform(0.1, 0.9, 12)
    return {"probability": torch.from_numpy(p), "uniforms": torch.from_numpy(uniforms)}


def _edges(rng) -> dict:
    """Shares that binary numbers hold exactly, a sum just below 1 as rounding leaves it, and numbers on every edge."""
    p = np.append(rng.permutation([0.0, 0.25, 0.125, 0.5]), 0.125 - 2.0**-20)
    if rng.random() < 0.5:
        p[:4] = np.roll(p[:4], -int(np.argmin(p)))  # the impossible row first, where the number 0.0 falls
    uniforms = np.append(rng.permutation(np.concatenate([[0.0], np.cumsum(p)[:-1]])), 1 - 2.0**-21)
    return {"probability": torch.from_numpy(p), "uniforms": torch.from_numpy(uniforms)}


def _rows_by_walk(probability, uniforms) -> torch.Tensor:
    out = []
    for u in uniforms.tolist():
        row = 0
        while row < len(probability) - 1 and u >= float(probability[row]):
            u -= float(probability[row])
            row += 1
        out.append(row)
    return torch.tensor(out)


def _judge_rows(inputs, value) -> str | None:
    """Two calls with the same uniform numbers give the same rows, unless the function draws for itself."""
    first, second = value
    if first is None:
        return "it returns None. Does it end with `return`?"
    if isinstance(first, torch.Tensor) and not torch.equal(first, second):
        return "two calls give two answers: it draws at random for itself. Use the given `uniforms`"
    return _ROWS(inputs, first)


def _search(p, u, right=True, last=True):
    rows = torch.searchsorted(p.cumsum(0), u, right=right)
    return rows.clamp(max=len(p) - 1) if last else rows


_ON_AN_EDGE = "a number on an edge belongs to the row that begins there (right=True); as it is, a row with probability 0 can be drawn"  # fmt: skip
_ROW_MISTAKES = (
    Mistake(_ON_AN_EDGE, lambda p, u: _search(p, u, right=False)),
    Mistake(_ON_AN_EDGE, lambda p, u: _search(p, u, right=False, last=False)),
    Mistake("rounding leaves the running sum just below 1, and a number beyond it gets a row that does not exist: clamp to the last row", lambda p, u: _search(p, u, last=False)),
    Mistake("the most likely row is always taken; a row is drawn as often as its probability says", lambda p, u: p.argmax().expand(len(u))),
    Mistake("all rows are equally likely here; probability is not used", lambda p, u: (u * len(p)).long()),
    Mistake("one row too far: count the shares that end at or below u", lambda p, u: _search(p, u) + 1),
    Mistake("one row too early: row i covers u from the sum of the shares before it", lambda p, u: _search(p, u) - 1),
    Mistake("u was compared with the probabilities themselves; compare with their running sum", lambda p, u: (p[None] <= u[:, None]).sum(-1)),
    Mistake("u was compared with the probabilities themselves; compare with their running sum", lambda p, u: torch.searchsorted(p, u, right=True)),
    Mistake("u was compared with the probabilities themselves; compare with their running sum", lambda p, u: torch.searchsorted(p, u)),
    Mistake("the shares were sorted first; rows keep their order", lambda p, u: torch.searchsorted(p.sort().values.cumsum(0), u, right=True)),
)  # fmt: skip
_ROWS = expect(_rows_by_walk, axes="draw", mistakes=_ROW_MISTAKES)


def _weights(rng) -> dict:
    instances, d_in, d_sae = 3, 4, 6
    dead = torch.zeros(instances, d_sae, dtype=torch.bool)
    for i in range(instances):
        dead[i, rng.permutation(d_sae)[: 2 + i].copy()] = True
    W_enc = normal(rng, instances, d_in, d_sae) * (1 + torch.arange(instances))[:, None, None]
    directions = normal(rng, instances, d_sae, d_in)
    return {
        "W_enc": W_enc * torch.where(dead, 0.2, 1.0)[:, None],
        "b_enc": normal(rng, instances, d_sae) - 0.5,
        "W_dec": normal(rng, instances, d_sae, d_in),
        "dead": dead,
        "directions": directions / directions.norm(dim=-1, keepdim=True),
        "scale": float(rng.uniform(0.2, 0.6)),
    }


def _resampled_by_loop(W_enc, b_enc, W_dec, dead, directions, scale) -> dict:
    new = {"W_enc": W_enc.double().clone(), "b_enc": b_enc.double().clone(), "W_dec": W_dec.double().clone()}
    for i in range(dead.shape[0]):
        live = [j for j in range(dead.shape[1]) if not dead[i, j]]
        mean = statistics.fmean(math.sqrt(sum(x * x for x in W_enc[i, :, j].double().tolist())) for j in live)
        for j in range(dead.shape[1]):
            if dead[i, j]:
                new["W_dec"][i, j] = directions[i, j]
                new["W_enc"][i, :, j] = directions[i, j].double() * mean * scale
                new["b_enc"][i, j] = 0.0
    return new


def _new(W_enc, b_enc, W_dec, dead, directions, scale, *, length=None, bias=True, dec_scale=1.0, only=None):
    """Variants of the resampling: other encoder length, b_enc kept, decoder scaled, other latents."""
    norm = W_enc.norm(dim=1)
    live = (norm * ~dead).sum(-1, keepdim=True) / (~dead).sum(-1, keepdim=True)
    length = live * scale if length is None else length
    only = dead if only is None else only
    return {
        "W_enc": torch.where(only[:, None], (directions * torch.as_tensor(length)[..., None]).mT, W_enc),
        "b_enc": b_enc.masked_fill(only, 0.0) if bias else b_enc,
        "W_dec": torch.where(only[..., None], directions * dec_scale, W_dec),
    }


def _overall(W, dead):
    norm = W.norm(dim=1)
    return (norm * ~dead).sum() / (~dead).sum()


_WEIGHT_MISTAKES = (
    Mistake("b_enc of the dead latents was kept; a strongly negative bias would keep them silent, set it to 0", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, bias=False)),
    Mistake("all of b_enc became 0; the live latents keep theirs", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s) | {"b_enc": torch.zeros_like(b)}),
    Mistake("the mean encoder length counts the dead latents too; take the live ones", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, length=E.norm(dim=1).mean(-1, keepdim=True) * s)),
    Mistake("the mean encoder length mixes the instances", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, length=_overall(E, m) * s)),
    Mistake("the encoder's length is scale itself; it is scale times the mean length of the live encoder directions", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, length=s)),
    Mistake("the scale is missing from the encoder", lambda E, b, D, m, d, s: _new(E, b, D, m, d, 1.0)),
    Mistake("the encoder has length 1; it is scale times the mean length of the live encoder directions", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, length=1.0)),
    Mistake("the decoder was scaled too; its rows keep length 1", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, dec_scale=s)),
    Mistake("live latents were changed; only dead ones move", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, only=torch.ones_like(m))),
    Mistake("inverted: the live latents were replaced and the dead ones kept", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s, only=~m)),
    Mistake("the encoder was not changed; a dead latent that reads as before stays dead", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s) | {"W_enc": E}),
    Mistake("the decoder was not changed", lambda E, b, D, m, d, s: _new(E, b, D, m, d, s) | {"W_dec": D}),
)  # fmt: skip


def _moments(rng) -> dict:
    dead = torch.zeros(3, 6, dtype=torch.bool)
    for i in range(3):
        dead[i, rng.permutation(6)[: 1 + i].copy()] = True
    return {"m": normal(rng, 3, 4, 6), "v": normal(rng, 3, 4, 6).pow(2) + 0.1, "dead": dead}


def _moments_by_loop(m, v, dead) -> tuple:
    new = m.clone(), v.clone()
    for i, j in dead.nonzero().tolist():
        for moment in new:
            moment[i, :, j] = 0.0
    return new


_MOMENT_MISTAKES = (
    Mistake("the moments are not reset", lambda m, v, d: (m, v)),
    Mistake("only the first moment m is reset; v still holds the old gradients' size", lambda m, v, d: (m.masked_fill(d[:, None], 0.0), v)),
    Mistake("only the second moment v is reset; with m kept and v at 0 the next step is enormous", lambda m, v, d: (m, v.masked_fill(d[:, None], 0.0))),
    Mistake("all moments are reset; the live latents keep theirs", lambda m, v, d: (torch.zeros_like(m), torch.zeros_like(v))),
    Mistake("inverted: the live latents lost their moments", lambda m, v, d: (m.masked_fill(~d[:, None], 0.0), v.masked_fill(~d[:, None], 0.0))),
    Mistake("v is set to 1; Adam starts with both moments at 0", lambda m, v, d: (m.masked_fill(d[:, None], 0.0), v.masked_fill(d[:, None], 1.0))),
    Mistake("a latent that is dead in one instance was reset in all", lambda m, v, d: (m.masked_fill(d.any(0), 0.0), v.masked_fill(d.any(0), 0.0))),
)  # fmt: skip


def _pre(rng) -> dict:
    pre = normal(rng, 6, 9) * 1.5
    pre[0, :] = -pre[0].abs() - 0.1
    pre[0, int(rng.integers(9))] = 0.4  # a row with fewer positive entries than k
    return {"pre": pre, "k": 3}


def _topk_by_sort(pre, k) -> torch.Tensor:
    out = torch.zeros(pre.shape, dtype=torch.float64)
    for n, row in enumerate(pre.tolist()):
        for j in sorted(range(len(row)), key=lambda j: -row[j])[:k]:
            out[n, j] = max(row[j], 0.0)
    return out


def _keep(scores, k, values):
    top = scores.topk(k, dim=-1).indices
    return torch.zeros_like(values).scatter(-1, top, values.gather(-1, top))


def _over_batch(pre, k):
    flat = pre.relu().flatten()
    top = flat.topk(k * len(pre))
    return torch.zeros_like(flat).scatter(0, top.indices, top.values).view_as(pre)


_TOPK_MISTAKES = (
    Mistake("a negative entry got through: where fewer than k are positive the ReLU still cuts", lambda p, k: _keep(p, k, p)),
    Mistake("chosen by absolute value; a strongly negative latent is not active", lambda p, k: _keep(p.abs(), k, p)),
    Mistake("chosen by absolute value; a strongly negative latent is not active", lambda p, k: _keep(p.abs(), k, p.relu())),
    Mistake("the k largest of the whole batch: that is BatchTopK. Here each input keeps k", _over_batch),
    Mistake("these are the k values; put them back where they came from, zero elsewhere", lambda p, k: p.topk(k).values.relu()),
    Mistake("wrong axis: each latent keeps its k inputs; each input keeps its k latents", lambda p, k: _keep(p.T, k, p.T).T.relu()),
    Mistake("this keeps k - 1: the k-th largest belongs to them", lambda p, k: (p * (p > p.topk(k).values[:, -1:])).relu()),
    Mistake("active latents were set to 1; they keep their value", lambda p, k: (_keep(p, k, p.relu()) > 0).float()),
    Mistake("that is the ReLU alone; k is not used", lambda p, k: p.relu()),
)  # fmt: skip


def _pairs(rng) -> dict:
    n = int(rng.integers(5, 9))
    seeds = rng.normal(0.5, 0.15, n)
    without = seeds + rng.normal(0, 0.02, n)
    return {
        "with_it": torch.from_numpy(without + 0.1 + rng.normal(0, 0.04, n)),
        "without": torch.from_numpy(without),
        "t": 2.0 + float(rng.uniform(0.2, 0.7)),
    }


def _interval_by_statistics(with_it, without, t) -> tuple:
    gains = [a - b for a, b in zip(with_it.tolist(), without.tolist(), strict=True)]
    half = t * statistics.stdev(gains) / math.sqrt(len(gains))
    return statistics.fmean(gains), statistics.fmean(gains) - half, statistics.fmean(gains) + half


def _band(gain, half):
    return float(gain), float(gain - half), float(gain + half)


_INTERVAL_MISTAKES = (
    Mistake("the two runs of a seed were taken as unrelated; the spread that counts is that of the differences", lambda a, b, t: _band((a - b).mean(), t * (a.var() / len(a) + b.var() / len(b)).sqrt())),
    Mistake("the two spreads were added; the spread that counts is that of the differences", lambda a, b, t: _band((a - b).mean(), t * (a.std() + b.std()) / len(a) ** 0.5)),
    Mistake("the two spreads were added; the spread that counts is that of the differences", lambda a, b, t: _band((a - b).mean(), t * (a.std() / len(a) ** 0.5 + b.std() / len(b) ** 0.5))),
    Mistake("the spread is that of single seeds; the mean of n of them varies less by the root of n", lambda a, b, t: _band((a - b).mean(), t * (a - b).std())),
    Mistake("divided by n; the mean varies less by the root of n", lambda a, b, t: _band((a - b).mean(), t * (a - b).std() / len(a))),
    Mistake("the standard deviation divides by n; with few seeds divide by n - 1", lambda a, b, t: _band((a - b).mean(), t * (a - b).std(correction=0) / len(a) ** 0.5)),
    Mistake("t is missing: this is one standard error on each side", lambda a, b, t: _band((a - b).mean(), (a - b).std() / len(a) ** 0.5)),
    Mistake("the sign is the wrong way round: with minus without", lambda a, b, t: _interval_by_statistics(b, a, t)),
    Mistake("this is the range of the differences, not an interval for their mean", lambda a, b, t: (float((a - b).mean()), float((a - b).min()), float((a - b).max()))),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="dead_latents",
        lab="04",
        title="Latents that never fire",
        parts=(
            Part(
                "silent on every input of every step",
                1,
                _window,
                expect(_dead_by_loop, axes="instance latent", mistakes=_DEAD_MISTAKES),
            ),
        ),
        hints=(
            "z is (steps, batch, instances, d_sae). Over which axes must it be zero?",
            "Over steps and batch, for each instance and latent.",
            "(z == 0).all(dim=0).all(dim=0)",
        ),
        read_again="Latents that died",
        difficulty=1,
        importance=4,
        minutes=3,
    ),
    Exercise(
        name="resampling_probabilities",
        lab="04",
        title="Which inputs a new latent is made for",
        parts=(
            Part(
                "in proportion to the squared error",
                1,
                _plain_errors,
                expect(_probabilities_by_loop, axes="batch instance", mistakes=_PROBABILITY_MISTAKES),
            ),
            Part(
                "in proportion to a power of it",
                1,
                _errors,
                expect(_probabilities_by_loop, axes="batch instance", mistakes=_PROBABILITY_MISTAKES),
            ),
        ),
        hints=(
            "Proportional means: divide by the sum, so that an instance's probabilities sum to 1.",
            "Raise the errors to the power, then divide by their sum over the batch (axis 0).",
            "error**power / (error**power).sum(dim=0)",
        ),
        read_again="Resampling by loss",
        difficulty=2,
        importance=4,
        minutes=4,
    ),
    Exercise(
        name="draw_rows",
        lab="04",
        title="From a uniform number to a row",
        parts=(
            Part("row i owns a share of length probability[i]", 1, _draws, _judge_rows, probe=Twice()),
            Part("a number on an edge, and one beyond the last", 1, _edges, _judge_rows, probe=Twice()),
        ),
        hints=(
            "Lay the probabilities end to end on [0, 1]. On whose piece does u fall?",
            "Row i ends at cumsum(probability)[i]. How many pieces end at or below u? At most all but the last.",
            "torch.searchsorted(probability.cumsum(0), uniforms, right=True).clamp(max=len(probability) - 1)",
        ),
        read_again="Resampling by loss",
        difficulty=3,
        importance=3,
        minutes=6,
    ),
    Exercise(
        name="resampled_weights",
        lab="04",
        title="A new life for dead latents",
        parts=(
            Part(
                "dead latents get a direction, a length and no bias; live ones stay",
                3,
                _weights,
                expect(
                    _resampled_by_loop,
                    axes={"W_enc": "instance d_in latent", "b_enc": "instance latent", "W_dec": "instance latent d_in"},
                    mistakes=_WEIGHT_MISTAKES,
                ),
            ),
        ),
        hints=(
            "torch.where(dead[..., None], new, old) replaces rows of W_dec; for W_enc the mask is dead[:, None].",
            "New encoder column: the direction times scale times the mean length of this instance's live encoder columns.",
            "length = scale * (W_enc.norm(dim=1) * ~dead).sum(-1, keepdim=True) / (~dead).sum(-1, keepdim=True)",
        ),
        read_again="Resampling by loss",
        difficulty=4,
        importance=4,
        minutes=12,
    ),
    Exercise(
        name="reset_moments",
        lab="04",
        title="Forget the old gradients",
        parts=(
            Part(
                "both moments of the dead columns, nothing else",
                2,
                _moments,
                expect(_moments_by_loop, names=("m", "v"), mistakes=_MOMENT_MISTAKES),
            ),
        ),
        hints=(
            "m and v have the shape of W_enc: (instances, d_in, d_sae). dead is (instances, d_sae).",
            "dead[:, None] lines up with the columns; zero both moments there.",
            "m.masked_fill(dead[:, None], 0.0), and the same for v",
        ),
        read_again="Resampling by loss",
        difficulty=2,
        importance=4,
        minutes=4,
    ),
    Exercise(
        name="paired_interval",
        lab="04",
        title="How sure is the gain",
        parts=(
            Part(
                "mean, low and high of the differences",
                2,
                _pairs,
                expect(_interval_by_statistics, names=("mean", "low", "high"), mistakes=_INTERVAL_MISTAKES),
            ),
        ),
        hints=(
            "Both runs of a seed share start and data. Which number per seed is free of what they share?",
            "The difference. Its mean, minus and plus t times its standard error std / sqrt(n).",
            "gain = with_it - without; half = t * gain.std() / len(gain)**0.5",
        ),
        read_again="Does it help?",
        difficulty=2,
        importance=4,
        minutes=5,
    ),
    Exercise(
        name="topk_latents",
        lab="04",
        title="Sparsity by counting",
        parts=(
            Part(
                "the k largest stay, if they are positive",
                2,
                _pre,
                expect(_topk_by_sort, axes="batch latent", mistakes=_TOPK_MISTAKES),
            ),
        ),
        hints=(
            "pre.topk(k, dim=-1) gives values and indices. The rest is zero.",
            "torch.zeros_like(pre).scatter(-1, indices, values) puts them back; a ReLU comes on top.",
            "top = pre.topk(k, dim=-1); torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())",
        ),
        read_again="TopK, BatchTopK, JumpReLU",
        difficulty=2,
        importance=4,
        minutes=5,
    ),
)
