"""Lab 07: taking heads away, intervals over prompts, rank correlation within layers."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

# mean_ablated: the mean of what prompts have at a position; padding is not a prompt ----------------------------------


def _outputs(rng, full: bool = False) -> dict:
    z = normal(rng, 6, 7, 3, 4) + normal(rng, 1, 7, 3, 4)  # what depends on the position stays in the mean
    last = torch.from_numpy(rng.integers(3, 6, size=6))
    last[int(rng.integers(6))] = 6
    last = torch.full((6,), 6) if full else last
    beyond = torch.arange(7) > last[:, None]
    z[beyond] = 9.0 + normal(rng, *z[beyond].shape)  # what stands at padding is far from everything
    return {"z": z, "last": last, "head": int(rng.integers(1, 3))}


def _mean_by_loop(z, last, head):
    out = z.clone()
    for position in range(z.shape[1]):
        there = [i for i in range(len(z)) if int(last[i]) >= position]
        mean = sum(z[i, position, head].double() for i in there) / len(there)
        for i in there:
            out[i, position, head] = mean
    return out


def _here(z, last):
    return (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None]


def _put(z, head, new):
    out = z.clone()
    out[:, :, head] = new
    return out


def _mean_over(z, last, head, here):
    mean = (z[:, :, head] * here).sum(0) / here.sum(0).clamp(min=1)
    return _put(z, head, mean)


def _every_head(z, last, head):
    for h in range(z.shape[2]):
        z = _mean_over(z, last, h, _here(z, last))
    return z


_MEAN_MISTAKES = (
    Mistake("padding is counted in the mean; a prompt counts at a position only up to its last token", lambda z, last, h: _put(z, h, z[:, :, h].mean(0))),
    Mistake("that is zero ablation; put the mean there", lambda z, last, h: _put(z, h, 0.0)),
    Mistake("every head is replaced; only `head` is taken away", _every_head),
    Mistake("one mean for all positions; each position has its own", lambda z, last, h: _put(z, h, (z[:, :, h] * _here(z, last)).sum((0, 1)) / _here(z, last).sum())),
    Mistake("the mean is over positions of each prompt; asked is the mean over prompts at each position", lambda z, last, h: _put(z, h, (z[:, :, h] * _here(z, last)).sum(1, keepdim=True) / _here(z, last).sum(1, keepdim=True))),
    Mistake("the last token of each prompt is left out; `last` is its index, and it counts", lambda z, last, h: _mean_over(z, last, h, _here(z, last - 1))),
    Mistake("the sum is divided by the number of all prompts; divide by those that reach the position", lambda z, last, h: _put(z, h, (z[:, :, h] * _here(z, last)).mean(0))),
    Mistake("the mean is subtracted; the head's output becomes the mean", lambda z, last, h: _put(z, h, z[:, :, h] - _mean_over(z, last, h, _here(z, last))[:, :, h])),
    Mistake("nothing is replaced", lambda z, last, h: z),
)  # fmt: skip


def _where_text_is(mistake_or_oracle):
    """What stands at padding afterwards changes nothing, so it is not judged."""
    return lambda z, last, head: mistake_or_oracle(z, last, head) * _here(z, last)[..., None]


_judge_mean = expect(
    _where_text_is(_mean_by_loop),
    axes="prompt position head d_head",
    mistakes=tuple(Mistake(m.message, _where_text_is(m.value)) for m in _MEAN_MISTAKES),
)


def _judge_text(inputs, value):
    if isinstance(value, torch.Tensor) and value.shape == inputs["z"].shape:
        value = torch.where(_here(inputs["z"], inputs["last"])[..., None] > 0, value, torch.zeros(()))
    return _judge_mean(inputs, value)


# bootstrap_interval --------------------------------------------------------------------------------------------------


def _answers(rng, binary: bool = True) -> dict:
    n, draws = 40, 300
    if binary:
        before = rng.random(n) < 0.6
        after = np.where(rng.random(n) < 0.25, rng.random(n) < 0.9, before)
    else:
        before = rng.normal(-2.0, 1.0, n)
        after = before + rng.normal(0.3, 0.4, n)
    return {
        "before": torch.from_numpy(before).float(),
        "after": torch.from_numpy(after).float(),
        "drawn": torch.from_numpy(rng.integers(n, size=(draws, n))),
    }


def _interval_by_loop(before, after, drawn, tail=0.025):
    change = after.double().numpy() - before.double().numpy()
    means = sorted(sum(change[i] for i in row) / len(row) for row in drawn.tolist())
    low, high = np.quantile(means, [tail, 1 - tail])
    return {"change": float(change.mean()), "low": float(low), "high": float(high)}


def _of(change, values, low=0.025, high=0.975):
    return {
        "change": change,
        "low": torch.quantile(values.double(), low),
        "high": torch.quantile(values.double(), high),
    }


def _two_intervals(before, after, drawn):
    one, two = (_of(0.0, v[drawn].mean(1)) for v in (before, after))
    return {"change": (after - before).mean(), "low": two["low"] - one["high"], "high": two["high"] - one["low"]}


def _normal_interval(before, after, drawn):
    means = (after - before)[drawn].mean(1)
    middle = (after - before).mean()
    return {"change": middle, "low": middle - 1.96 * means.std(), "high": middle + 1.96 * means.std()}


def _textbook(before, after, drawn):
    change = after - before
    error = change.std() / len(change) ** 0.5
    return {"change": change.mean(), "low": change.mean() - 1.96 * error, "high": change.mean() + 1.96 * error}


_INTERVAL_MISTAKES = (
    Mistake("the sign is the wrong way round: the change is after - before", lambda b, a, d: _of((b - a).mean(), (b - a)[d].mean(1))),
    Mistake("these are quantiles of single prompts; take the mean of each draw first, then quantiles of the means", lambda b, a, d: _of((a - b).mean(), a - b)),
    Mistake("these are quantiles of single prompts; take the mean of each draw first, then quantiles of the means", lambda b, a, d: _of((a - b).mean(), (a - b)[d].flatten())),
    Mistake("the mean runs over the draws; a row of `drawn` is one draw, so take the mean along it", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(0))),
    Mistake("that is the 90% interval; 95% lie between the quantiles 0.025 and 0.975", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(1), 0.05, 0.95)),
    Mistake("the lower end is the quantile 0.05: one-sided. 95% lie between the quantiles 0.025 and 0.975", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(1), 0.05, 0.975)),
    Mistake("the upper end is the quantile 0.95: one-sided. 95% lie between the quantiles 0.025 and 0.975", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(1), 0.025, 0.95)),
    Mistake("the ends are one-sided: low at 0.05 to the largest draw. 95% lie between the quantiles 0.025 and 0.975", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(1), 0.05, 1.0)),
    Mistake("an interval for each side, then subtracted: the pairing is lost, and the interval is too wide", _two_intervals),
    Mistake("before was drawn with other prompts than after: the pairing is lost, and the interval is too wide", lambda b, a, d: _of((a - b).mean(), a[d].mean(1) - b[d.roll(1, 0)].mean(1))),
    Mistake("a normal approximation around the mean; asked are quantiles of the drawn means", _normal_interval),
    Mistake("a textbook interval from the standard error; asked are quantiles of the drawn means", _textbook),
    Mistake("`change` is the mean over the prompts as they are, not over the draws", lambda b, a, d: _of((a - b)[d].mean(), (a - b)[d].mean(1))),
    Mistake("smallest and largest draw; asked are the quantiles 0.025 and 0.975", lambda b, a, d: _of((a - b).mean(), (a - b)[d].mean(1), 0.0, 1.0)),
    Mistake("this is the interval of `after` alone; each prompt is compared with itself", lambda b, a, d: _of(a.mean(), a[d].mean(1))),
    Mistake("divided by the value before; asked is the difference", lambda b, a, d: _of((a - b).mean() / b.mean(), (a - b)[d].mean(1) / b.mean())),
)  # fmt: skip


# rank_correlation_within ---------------------------------------------------------------------------------------------


def _heads(rng, agree: bool = True) -> dict:
    groups = np.repeat(np.arange(6), (3, 5, 4, 6, 2, 4))
    own = rng.normal(size=24)
    x = groups * 1.2 + own + 0.3 * rng.normal(size=24)
    y = np.exp((groups if agree else -groups) * 0.8 + own + 0.3 * rng.normal(size=24))
    mixed = rng.permutation(24)  # heads of a layer need not stand together
    x, y, groups = (torch.from_numpy(v[mixed]) for v in (x, y, groups))
    return {"x": x.float(), "y": y.float(), "groups": groups}


def _within_by_loop(x, y, groups, residuals=None):
    a, b = (rankdata(v.double().numpy()) for v in (x, y))
    for group in set(groups.tolist()):
        mine = [i for i, g in enumerate(groups.tolist()) if g == group]
        for ranks in (a, b):
            middle = sum(ranks[i] for i in mine) / len(mine)
            for i in mine:
                ranks[i] -= middle
    return float(sum(p * q for p, q in zip(a, b, strict=True)) / (sum(a**2) * sum(b**2)) ** 0.5)


def _pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


def _ranks(v):
    return v.argsort().argsort().double()


def _centred(v, groups):
    v = v.clone()
    for group in groups.unique():
        v[groups == group] -= v[groups == group].mean()
    return v


def _ranked_inside(v, groups):
    v = v.double().clone()
    for group in groups.unique():
        v[groups == group] = _ranks(v[groups == group])
    return v


def _mean_of_groups(x, y, groups):
    return sum(_pearson(_ranks(x[groups == g]), _ranks(y[groups == g])) for g in groups.unique()) / len(groups.unique())


_WITHIN_MISTAKES = (
    Mistake("depth is still in it: take each layer's mean rank out of both sides", lambda x, y, g: _pearson(_ranks(x), _ranks(y))),
    Mistake("these are values with their layer's mean taken out; take ranks first", lambda x, y, g: _pearson(_centred(x.double(), g), _centred(y.double(), g))),
    Mistake("the layer's mean was taken out of the values, and ranks came after; rank all heads first", lambda x, y, g: _pearson(_ranks(_centred(x, g)), _ranks(_centred(y, g)))),
    Mistake("ranked inside each layer; rank all heads together, then take each layer's mean rank out", lambda x, y, g: _pearson(_centred(_ranked_inside(x, g), g), _centred(_ranked_inside(y, g), g))),
    Mistake("a correlation for each layer and their mean; asked is one correlation of all the residual ranks", _mean_of_groups),
    Mistake("the layer's mean is taken out of one side only", lambda x, y, g: _pearson(_centred(_ranks(x), g), _ranks(y))),
    Mistake("the layer's mean is taken out of one side only", lambda x, y, g: _pearson(_ranks(x), _centred(_ranks(y), g))),
    Mistake("`argsort` gives who stands at each rank; the rank of each head is `argsort().argsort()`", lambda x, y, g: _pearson(_centred(x.argsort().double(), g), _centred(y.argsort().double(), g))),
    Mistake("no ranks: that is Pearson's correlation of the values", lambda x, y, g: _pearson(x.double(), y.double())),
    Mistake("`x` and `y` were ranked after the other's order; each gets ranks of its own", lambda x, y, g: _pearson(_centred(_ranks(x), g), _centred(_ranks(x)[y.argsort()], g))),
)  # fmt: skip


MEAN_ABLATED = Exercise(
    name="mean_ablated",
    lab="07",
    title="A head replaced by its mean over prompts",
    parts=(
        Part("prompts of one length", 1, lambda rng: _outputs(rng, full=True), _judge_text),
        Part("padded prompts", 2, _outputs, _judge_text),
    ),
    hints=(
        "At each position: which prompts have a token there? Only those go into the mean.",
        "here = torch.arange(n) <= last[:, None] says where text is. Sum what is there, divide by how many there are.",
        "w = here[..., None].float(); mean = (z[:, :, head] * w).sum(0) / w.sum(0).clamp(min=1); then write it into a clone",
    ),
    read_again="11 Taking a head away",
    difficulty=3,
    importance=4,
    minutes=9,
)

PAIRED_INTERVAL = Exercise(
    name="bootstrap_interval",
    lab="07",
    title="A bootstrap interval over prompts",
    parts=(
        Part("right or wrong, 0 or 1", 2, _answers, expect(_interval_by_loop, mistakes=_INTERVAL_MISTAKES)),
        Part(
            "log probabilities",
            1,
            lambda rng: _answers(rng, binary=False),
            expect(_interval_by_loop, mistakes=_INTERVAL_MISTAKES),
        ),
    ),
    hints=(
        "Compare each prompt with itself first. What is drawn again and again are the differences.",
        "A row of `drawn` is one sample of prompts: its mean difference is one number. Then take quantiles of those.",
        "change = after - before; means = change[drawn].mean(1); low, high = torch.quantile(means, torch.tensor([0.025, 0.975]))",
    ),
    read_again="11 Taking a head away",
    difficulty=2,
    importance=5,
    minutes=8,
)

RANK_CORRELATION_WITHIN = Exercise(
    name="rank_correlation_within",
    lab="07",
    title="A rank correlation with depth taken out",
    parts=(
        Part("both sides grow with depth", 2, _heads, expect(_within_by_loop, mistakes=_WITHIN_MISTAKES)),
        Part(
            "opposite trends with depth",
            1,
            lambda rng: _heads(rng, agree=False),
            expect(_within_by_loop, mistakes=_WITHIN_MISTAKES),
        ),
    ),
    hints=(
        "Three steps: ranks over all heads, subtract each layer's mean rank, correlate what is left.",
        "Ranks: v.argsort().argsort().float(). For each group g: r[groups == g] -= r[groups == g].mean(), on both sides.",
        "(a * b).sum() / (a.norm() * b.norm()) with a and b those residual ranks; their mean is 0 already",
    ),
    read_again="12 Does a good prediction mean a large effect?",
    difficulty=3,
    importance=4,
    minutes=8,
)

EXERCISES = (MEAN_ABLATED, PAIRED_INTERVAL, RANK_CORRELATION_WITHIN)
