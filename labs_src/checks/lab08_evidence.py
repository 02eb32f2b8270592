"""Lab 08, second part: restarts, controls, thresholds."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _codes(rng) -> dict:
    """Eight restarts: three agree, two agree, one alone, two silent; second places differ from first ones."""
    z = torch.zeros(8, 7)
    for row, (first, second) in enumerate([(4, 0), (4, 1), (4, 2), (1, 4), (1, 0), (6, 4)]):
        z[row, first], z[row, second] = float(rng.uniform(2, 9)), float(rng.uniform(0.2, 1.5))
    return {"z": z[torch.from_numpy(rng.permutation(8))]}


def _pairs_by_loop(z) -> float:
    n, same = z.shape[0], 0
    for a in range(n):
        for b in range(a + 1, n):
            if z[a].max() > 0 and z[b].max() > 0 and int(z[a].argmax()) == int(z[b].argmax()):
                same += 1
    return same / (n * (n - 1) / 2)


def _same(z, silent=True):
    value, top = z.max(1)
    same = top[:, None] == top
    return same & (value > 0) if silent else same


def _most_common(z) -> float:
    value, top = z.max(1)
    return float(torch.bincount(top[value > 0]).max() / len(z))


def _off_diagonal(same, n):
    return float((same.sum() - same.diagonal().sum()) / (n * (n - 1)))


def _jaccard(z) -> float:
    on = (z > 0).double()
    both = on @ on.T
    either = on.sum(1)[:, None] + on.sum(1) - both
    share = both / either.clamp(min=1)
    return float((share.sum() - share.diagonal().sum()) / (len(z) * (len(z) - 1)))


_AGREEMENT_MISTAKES = (
    Mistake("a restart is paired with itself; leave those pairs out", lambda z: float(_same(z).float().mean())),
    Mistake("silent restarts agree with each other here; one in which no latent is active agrees with none", lambda z: _off_diagonal(_same(z, False), len(z))),
    Mistake("silent restarts agree, and restarts are paired with themselves", lambda z: float(_same(z, False).float().mean())),
    Mistake("that is the share of restarts with the most common latent; asked are pairs", _most_common),
    Mistake("each pair is counted once, but divided by ordered pairs (or the other way round)", lambda z: _off_diagonal(_same(z), len(z)) / 2),
    Mistake("each pair is counted twice, but divided by unordered pairs", lambda z: _off_diagonal(_same(z), len(z)) * 2),
    Mistake("silent restarts are left out of the pairs; they count as pairs that disagree", lambda z: _off_diagonal(_same(z[z.amax(1) > 0]), int((z.amax(1) > 0).sum()))),
    Mistake("that is the overlap of all active latents; only the most active one counts", _jaccard),
    Mistake("only neighbouring restarts are compared; compare all pairs", lambda z: float((z[1:].argmax(1) == z[:-1].argmax(1)).float().mean())),
)  # fmt: skip


def _candidates(rng) -> dict:
    """The nearest latent is too rarely active; a chosen one with a candidate above it and one below, at unequal distances."""
    level = float(rng.uniform(4, 6))
    offsets = torch.tensor([0.0, 0.1, -0.9, 1.4, -2.0, 3.0, 0.05])
    share = torch.tensor([0.9, 0.2, 0.5, 0.8, 1.0, 0.7, 0.49])
    order = torch.from_numpy(rng.permutation(7))
    return {
        "mean_activation": (level + offsets)[order],
        "share_active": share[order],
        "chosen": int((order == 0).nonzero()),
    }


def _alone(rng) -> dict:
    """Nobody else is active often enough."""
    share = torch.from_numpy(rng.uniform(0.0, 0.45, 5)).float()
    chosen = int(rng.integers(5))
    share[chosen] = 0.9
    return {"mean_activation": normal(rng, 5).abs() + 1, "share_active": share, "chosen": chosen}


def _control_by_loop(mean_activation, share_active, chosen) -> int:
    best, gap = -1, math.inf
    for latent in range(len(mean_activation)):
        away = abs(float(mean_activation[latent]) - float(mean_activation[chosen]))
        if latent != chosen and float(share_active[latent]) >= 0.5 and away < gap:
            best, gap = latent, away
    return best


def _nearest(m, c, allowed) -> int:
    gap = (m - m[c]).abs().masked_fill(~allowed, math.inf)
    return int(gap.argmin())


def _others(m, c):
    return torch.arange(len(m)) != c


_CONTROL_MISTAKES = (
    Mistake("that is the chosen latent itself: it is as near as can be", lambda m, s, c: c),
    Mistake("the nearest of all, also of those active at too few places", lambda m, s, c: _nearest(m, c, _others(m, c))),
    Mistake("active at half of the places counts: >=, not >", lambda m, s, c: _nearest(m, c, _others(m, c) & (s > 0.5))),
    Mistake("the most active of the others; take the one nearest to the chosen one", lambda m, s, c: int(m.masked_fill(~(_others(m, c) & (s >= 0.5)), -math.inf).argmax())),
    Mistake("the nearest by how often it is active; asked is the mean activation", lambda m, s, c: int((s - s[c]).abs().masked_fill(~(_others(m, c) & (s >= 0.5)), math.inf).argmin())),
    Mistake("the sign of the gap counts here: take its absolute value", lambda m, s, c: int((m - m[c]).masked_fill(~(_others(m, c) & (s >= 0.5)), math.inf).argmin())),
    Mistake("nearest to 0; asked is nearest to the chosen one's mean activation", lambda m, s, c: int(m.abs().masked_fill(~(_others(m, c) & (s >= 0.5)), math.inf).argmin())),
    Mistake("the position among the candidates; asked is the latent's own number", lambda m, s, c: int((m[_others(m, c) & (s >= 0.5)] - m[c]).abs().argmin())),
)  # fmt: skip

_ALONE_MISTAKES = (
    Mistake("no other latent is active often enough; return -1", lambda m, s, c: c),
    Mistake("no other latent is active often enough; return -1", lambda m, s, c: 0),
    Mistake("no other latent is active often enough; return -1, not the nearest of those that are too rare", lambda m, s, c: _nearest(m, c, _others(m, c))),
)  # fmt: skip


def _tokens(rng) -> dict:
    """An empty bin, values on edges, values outside on both sides."""
    edges = torch.tensor([1.0, 2.0, 4.0, 5.0, 8.0])
    latent = torch.from_numpy(rng.choice([0.3, 1.0, 1.2, 1.9, 2.0, 2.5, 3.9, 5.0, 6.0, 7.0, 8.0, 9.5], size=60)).float()
    latent[:12] = torch.tensor([0.3, 1.0, 1.2, 1.9, 2.0, 2.5, 3.9, 5.0, 6.0, 7.0, 8.0, 9.5])
    fires = torch.from_numpy(rng.uniform(size=60) < (latent.numpy() / 10 + 0.15))
    fires[[0, 4, 10, 11]] = True  # outside below, on an edge, on the last edge, outside above
    return {"latent": latent, "fires": fires, "edges": edges}


def _curve_by_loop(latent, fires, edges) -> torch.Tensor:
    out = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist()):
        hits = [bool(f) for v, f in zip(latent.tolist(), fires.tolist()) if low <= v < high]
        out.append(sum(hits) / len(hits) if hits else math.nan)
    return torch.tensor(out)


def _curve(a, f, e, inside=None, over=None):
    inside = (a[:, None] >= e[:-1]) & (a[:, None] < e[1:]) if inside is None else inside
    over = inside.sum(0) if over is None else over
    return (inside & f[:, None]).sum(0) / over


_CURVE_MISTAKES = (
    Mistake("empty bins are 0 here; nothing is known there, so NaN", lambda a, f, e: torch.nan_to_num(_curve(a, f, e))),
    Mistake("divided by all tokens; each bin has its own number", lambda a, f, e: _curve(a, f, e, over=torch.full((len(e) - 1,), len(a)))),
    Mistake("divided by the firings: that says where the firings lie, not how often the target fires in a bin", lambda a, f, e: _curve(a, f, e, over=f.sum())),
    Mistake("a value on an edge belongs to the bin that begins there", lambda a, f, e: _curve(a, f, e, (a[:, None] > e[:-1]) & (a[:, None] <= e[1:]))),
    Mistake("the value of an upper edge is counted in two bins", lambda a, f, e: _curve(a, f, e, (a[:, None] >= e[:-1]) & (a[:, None] <= e[1:]))),
    Mistake("counts, not shares", lambda a, f, e: ((a[:, None] >= e[:-1]) & (a[:, None] < e[1:]) & f[:, None]).sum(0)),
    Mistake("cumulative: everything above the lower edge is in", lambda a, f, e: _curve(a, f, e, a[:, None] >= e[:-1])),
    Mistake("cumulative: everything below the upper edge is in", lambda a, f, e: _curve(a, f, e, a[:, None] < e[1:])),
    Mistake("values outside the edges ended up in the first and last bin", lambda a, f, e: _curve(a, f, e, torch.nn.functional.one_hot((torch.bucketize(a, e, right=True) - 1).clamp(0, len(e) - 2), len(e) - 1).bool())),
)  # fmt: skip


TOP_AGREEMENT = Exercise(
    name="top_agreement",
    lab="08",
    title="Do restarts find the same latent?",
    parts=(Part("pairs of different restarts", 3, _codes, expect(_pairs_by_loop, mistakes=_AGREEMENT_MISTAKES)),),
    hints=(
        "z.max(1) gives the top latent of each restart, and whether it is active at all.",
        "top[:, None] == top compares all with all, each with itself too; subtract the diagonal. n * (n - 1) ordered pairs.",
        "same = (top[:, None] == top) & (value > 0); return float((same.sum() - same.diagonal().sum()) / (n * (n - 1)))",
    ),
    read_again="5 What is in it?",
    difficulty=2,
    importance=4,
    minutes=8,
)

CONTROL_LATENT = Exercise(
    name="control_latent",
    lab="08",
    title="A latent to compare with",
    parts=(
        Part("the nearest one that is active often enough", 2, _candidates, expect(_control_by_loop, mistakes=_CONTROL_MISTAKES)),
        Part("none is active often enough", 1, _alone, expect(_control_by_loop, mistakes=_ALONE_MISTAKES)),
    ),
    hints=(
        "Distances to the chosen one's mean activation; then rule out who may not be taken.",
        "Set the distance to infinity for the chosen one itself and where share_active < 0.5; take the argmin.",
        "gap = (mean_activation - mean_activation[chosen]).abs(); gap[share_active < 0.5] = torch.inf; gap[chosen] = torch.inf; "
        "return int(gap.argmin()) if gap.min() < torch.inf else -1",
    ),
    read_again="6 Is it necessary?",
    difficulty=2,
    importance=5,
    minutes=8,
)  # fmt: skip

THRESHOLD_CURVE = Exercise(
    name="threshold_curve",
    lab="08",
    title="How often the target fires, by activation",
    parts=(
        Part("shares by bin, NaN where a bin is empty", 3, _tokens, expect(_curve_by_loop, axes="bin", mistakes=_CURVE_MISTAKES)),
    ),
    hints=(
        "For one bin: the mean of fires over the tokens inside.",
        "inside = (latent[:, None] >= edges[:-1]) & (latent[:, None] < edges[1:]) has a column for each bin. 0 / 0 is NaN by itself.",
        "(inside & fires[:, None]).sum(0) / inside.sum(0)",
    ),
    read_again="7 Which meaning does the target read?",
    difficulty=2,
    importance=4,
    minutes=8,
)  # fmt: skip

EXERCISES = (TOP_AGREEMENT, CONTROL_LATENT, THRESHOLD_CURVE)
