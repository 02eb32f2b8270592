"""Lab 09, second part: which latents are dead, what follows for the number, and what a model answers."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import normalize

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _latents(rng) -> dict:
    """Some latents never fire, fewer have a short decoder, and they are not the same ones."""
    n, d_sae = 15, 11
    z = normal(rng, n, d_sae).relu()
    silent = rng.permutation(d_sae)[: int(rng.integers(4, 7))]
    z[:, silent] = 0
    loud = next(i for i in range(d_sae) if i not in silent)
    z[:, loud] = 0
    z[int(rng.integers(n)), loud] = 1e-3  # fires once, weakly: alive
    W_dec = normal(rng, d_sae, 6)
    short = rng.permutation(d_sae)[: int(rng.integers(1, 4))]
    W_dec[short] *= 1e-3
    return {"z": z, "W_dec": W_dec, "limit": 0.05}


def _dead_by_loop(z, W_dec, limit) -> dict:
    norms = [math.sqrt(sum(x * x for x in row)) for row in W_dec.tolist()]
    silent = [all(v == 0 for v in column) for column in z.T.tolist()]
    return {"by_norm": sum(n < limit for n in norms), "by_firing": sum(silent)}


def _swap(found: dict, **other) -> dict:
    return found | other


_DEAD_MISTAKES = (
    Mistake("the two are exchanged", lambda z, W, c: {"by_norm": _dead_by_loop(z, W, c)["by_firing"], "by_firing": _dead_by_loop(z, W, c)["by_norm"]}),
    Mistake("by_firing: that is how many fire; asked is how many never do", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_firing=int((z != 0).any(0).sum()))),
    Mistake("both count the live ones; asked is how many are dead", lambda z, W, c: {"by_norm": int((W.norm(dim=1) >= c).sum()), "by_firing": int((z != 0).any(0).sum())}),
    Mistake("by_norm: that is how many are long enough; asked is how many are shorter than `limit`", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_norm=int((W.norm(dim=1) >= c).sum()))),
    Mistake("by_norm: these are lengths of columns of W_dec; a latent's direction is a row", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_norm=int((W.norm(dim=0) < c).sum()))),
    Mistake("by_firing: samples at which nothing fires are counted; asked are latents, columns of z", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_firing=int((z == 0).all(1).sum()))),
    Mistake("by_firing: that counts latents that are silent somewhere; dead is silent at every sample", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_firing=int((z == 0).any(0).sum()))),
    Mistake("by_firing: a weak firing is a firing; count latents that are 0 at every sample", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_firing=int((z < c).all(0).sum()))),
    Mistake("by_firing: a latent that fires once is alive", lambda z, W, c: _swap(_dead_by_loop(z, W, c), by_firing=int(((z != 0).sum(0) <= 1).sum()))),
    Mistake("both look along the wrong axis: a latent is a row of W_dec (dim=1) and a column of z (dim=0)", lambda z, W, c: {"by_norm": int((W.norm(dim=0) < c).sum()), "by_firing": int((z == 0).all(1).sum())}),
    Mistake("these are shares; asked are numbers of latents", lambda z, W, c: {key: v / len(W) for key, v in _dead_by_loop(z, W, c).items()}),
)  # fmt: skip

DEAD_LATENTS = Exercise(
    name="dead_two_ways",
    lab="09",
    title="Dead by length, dead by firing",
    parts=(Part("both counts", 2, _latents, expect(_dead_by_loop, mistakes=_DEAD_MISTAKES)),),
    hints=(
        "One count looks at rows of W_dec only, the other at columns of z only.",
        "W_dec.norm(dim=1) has a length for each latent; (z != 0).any(0) says of each latent whether it ever fires.",
        'by_norm = int((W_dec.norm(dim=1) < limit).sum()); by_firing = int((z == 0).all(0).sum())',
    ),
    read_again="2 The checks of the report",
    difficulty=1,
    importance=5,
    minutes=5,
)  # fmt: skip


def _sizes(rng) -> dict:
    return {"d_in": int(rng.integers(5, 40)), "d_sae": int(rng.integers(50, 400))}


def _spread_on_a_grid(d_in, d_sae) -> dict:
    """Root mean square of evenly spaced points in the interval from which the weights are drawn."""

    def std(fan_in: int) -> float:
        points = (torch.arange(100_000).double() + 0.5) / 50_000 - 1
        return float(((math.sqrt(6 / fan_in) * points) ** 2).mean().sqrt())

    return {"encoder_std": std(d_in), "decoder_std": std(d_sae), "decoder_norm": std(d_sae) * math.sqrt(d_in)}


def _times(d_in, d_sae, encoder=1.0, decoder=1.0, norm=1.0) -> dict:
    true = _spread_on_a_grid(d_in, d_sae)
    return dict(zip(true, (v * f for v, f in zip(true.values(), (encoder, decoder, norm), strict=True)), strict=True))


_SPREAD_MISTAKES = (
    Mistake("fan_in is exchanged: each latent of the encoder reads d_in numbers, each output of the decoder reads d_sae", lambda d, s: {"encoder_std": (2 / s) ** 0.5, "decoder_std": (2 / d) ** 0.5, "decoder_norm": (2 / d * d) ** 0.5}),
    Mistake("fan_in is exchanged: each latent of the encoder reads d_in numbers, each output of the decoder reads d_sae", lambda d, s: {"encoder_std": (2 / s) ** 0.5, "decoder_std": (2 / d) ** 0.5, "decoder_norm": (2 * s / d) ** 0.5}),
    Mistake("that is the end of the interval; a number drawn evenly from -b to b has standard deviation b / sqrt(3)", lambda d, s: _times(d, s, 3**0.5, 3**0.5, 3**0.5)),
    Mistake("an interval from -b to b has variance b^2 / 3; 12 goes with the whole width, 2b", lambda d, s: _times(d, s, 0.5, 0.5, 0.5)),
    Mistake("these are variances; take the root", lambda d, s: {"encoder_std": 2 / d, "decoder_std": 2 / s, "decoder_norm": 2 * d / s}),
    Mistake("decoder_norm: that is its square; take the root", lambda d, s: _times(d, s) | {"decoder_norm": 2 * d / s}),
    Mistake("decoder_norm: a row of the decoder has d_in entries, not d_sae", lambda d, s: _times(d, s) | {"decoder_norm": 2**0.5}),
    Mistake("decoder_norm: std times d_in; the squares add up, so the length grows with sqrt(d_in)", lambda d, s: _times(d, s, norm=d**0.5)),
)  # fmt: skip

KAIMING_SPREAD = Exercise(
    name="kaiming_spread",
    lab="09",
    title="What an untrained SAE looks like",
    parts=(
        Part(
            "standard deviations of both matrices, and a row's length",
            3,
            _sizes,
            expect(_spread_on_a_grid, mistakes=_SPREAD_MISTAKES, rtol=2e-3),
        ),
    ),
    hints=(
        "A number drawn evenly from -b to b has mean square b^2 / 3. Here b = sqrt(6 / fan_in).",
        "So std = sqrt(2 / fan_in), with fan_in d_in for the encoder and d_sae for the decoder. A row sums d_in squares.",
        "encoder_std = sqrt(2 / d_in); decoder_std = sqrt(2 / d_sae); decoder_norm = sqrt(d_in * 2 / d_sae)",
    ),
    read_again="2 The checks of the report",
    difficulty=2,
    importance=4,
    minutes=7,
)


def _codes(rng) -> dict:
    n, d_sae = 14, 10
    z1, z2 = (normal(rng, n, d_sae, scale=2.0).relu() for _ in range(2))
    z2[:, :4] = 0.7 * z1[:, 3:7] + 0.3 * z2[:, :4]
    z1[:, rng.permutation(d_sae)[:3]] = 0
    z2[:, rng.permutation(d_sae)[: int(rng.integers(4, 7))]] = 0
    return {"z1": z1, "z2": z2}


def _best(z1, z2) -> list[float]:
    out = []
    for u in z1.T.double().tolist():
        best = 0.0
        for v in z2.T.double().tolist():
            length = math.sqrt(sum(x * x for x in u) * sum(x * x for x in v))
            best = max(best, abs(sum(x * y for x, y in zip(u, v, strict=True))) / length if length else 0.0)
        out.append(best)
    return out


def _split_by_loop(z1, z2) -> tuple[float, float]:
    best = _best(z1, z2) + _best(z2, z1)
    live = [b for b, column in zip(best, z1.T.tolist() + z2.T.tolist(), strict=True) if any(column)]
    return len(live) / len(best), sum(live) / len(live)


def _first_only(z1, z2) -> tuple[float, float]:
    best, on = torch.tensor(_best(z1, z2)), (z1 != 0).any(0)
    return float(on.float().mean()), float(best[on].mean())


def _mean_of_means(z1, z2) -> tuple[float, float]:
    on1, on2 = (z1 != 0).any(0), (z2 != 0).any(0)
    values = float(torch.tensor(_best(z1, z2))[on1].mean()), float(torch.tensor(_best(z2, z1))[on2].mean())
    return _split_by_loop(z1, z2)[0], sum(values) / 2


def _rows(z1, z2) -> float:
    S = (normalize(z1, dim=1) @ normalize(z2, dim=1).T).abs()
    return float((S.amax(1).mean() + S.amax(0).mean()) / 2)


def _density(z1, z2) -> float:
    return float(((z1 != 0).float().mean() + (z2 != 0).float().mean()) / 2)


def _split_where_both(z1, z2) -> tuple[float, float]:
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    best = torch.tensor([_best(z1, z2), _best(z2, z1)])
    return float(on.float().mean()), float(best[:, on].mean())


_BOTH = "live in both at the same place; latent i of one has nothing to do with latent i of the other, so each has a mask of its own"  # fmt: skip

_SPLIT_MISTAKES = (
    Mistake(_BOTH, _split_where_both),
    Mistake("only the first dictionary is counted; both look for partners", _first_only),
    Mistake("value: the mean of two means, although the two have different numbers of live latents. Put all live latents together, then take one mean", _mean_of_means),
    Mistake("value: the dead ones are in the mean, with their 0; average over the live ones", lambda a, b: (_split_by_loop(a, b)[0], math.prod(_split_by_loop(a, b)))),
    Mistake("fraction: that is how often latents fire; asked is the share of latents that fire at all", lambda a, b: (_density(a, b), _split_by_loop(a, b)[1])),
    Mistake("fraction: that is the share of the dead", lambda a, b: (1 - _split_by_loop(a, b)[0], _split_by_loop(a, b)[1])),
    Mistake("the two are exchanged: the fraction first", lambda a, b: _split_by_loop(a, b)[::-1]),
    Mistake("fraction: live in both at the same place; latent i of one has nothing to do with latent i of the other", lambda a, b: (float(((a != 0).any(0) & (b != 0).any(0)).float().mean()), _split_by_loop(a, b)[1])),
    Mistake("samples were compared with samples; a latent is a column of z", lambda a, b: (_split_by_loop(a, b)[0], _rows(a, b))),
)  # fmt: skip

_EXPECT_SPLIT = expect(_split_by_loop, names=("fraction", "value"), mistakes=_SPLIT_MISTAKES)


def _judge_split(inputs, value) -> str | None:
    """The fraction tells a mask of both dictionaries, whatever was averaged with it."""
    message = _EXPECT_SPLIT(inputs, value)
    if message is not None and message.startswith("fraction: got"):
        both, wanted = (split(**inputs)[0] for split in (_split_where_both, _split_by_loop))
        if abs(float(value[0]) - both) < 1e-4 < abs(both - wanted):
            return "fraction: " + _BOTH
    return message


ALIVE_SPLIT = Exercise(
    name="alive_split",
    lab="09",
    title="The number taken apart",
    parts=(
        Part(
            "the share of live latents, and the mean over them",
            3,
            _codes,
            _judge_split,
        ),
    ),
    hints=(
        "Put the best cosines of both directions into one list, and beside it whether each latent is alive.",
        "best = torch.cat([best_cosines(z1.T, z2.T), best_cosines(z2.T, z1.T)]); the same order for 'alive'.",
        "on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)]); return on.float().mean(), best[on].mean()",
    ),
    read_again="3 The cause in our copy, on two latents",
    difficulty=3,
    importance=5,
    minutes=8,
)


def _answers(rng) -> dict:
    n, p = 40, 7
    sums = torch.from_numpy(rng.integers(p, size=n))
    shown = torch.where(torch.from_numpy(rng.random(n) < 0.4), sums, torch.from_numpy(rng.integers(p, size=n)))
    pick = torch.from_numpy(rng.random(n))
    other = torch.from_numpy(rng.integers(p, size=n))
    answers = torch.where(pick < 0.55, shown, torch.where(pick < 0.8, sums, other))
    shown[:3], answers[:3] = (sums[:3] + 1) % p, (sums[:3] + 2) % p  # neither copied nor computed
    shown[3:9] = (sums[3:9] + 3) % p
    answers[3:9] = shown[3:9]
    return {"answers": answers, "shown": shown, "sums": sums}


def _shares_by_loop(answers, shown, sums) -> tuple[float, float]:
    differ = [(a, c, s) for a, c, s in zip(answers.tolist(), shown.tolist(), sums.tolist(), strict=True) if c != s]
    return sum(a == c for a, c, _ in differ) / len(differ), sum(a == s for a, _, s in differ) / len(differ)


_COPY_MISTAKES = (
    Mistake("sequences that show the right sum are counted too. There both hypotheses predict the same; leave them out", lambda a, c, s: (float((a == c).float().mean()), float((a == s).float().mean()))),
    Mistake("sequences that show the right sum are left out of the hits, but not out of what they are divided by", lambda a, c, s: (float(((a == c) & (c != s)).float().mean()), float(((a == s) & (c != s)).float().mean()))),
    Mistake("the two are exchanged: copied first", lambda a, c, s: _shares_by_loop(a, c, s)[::-1]),
    Mistake("computed: what is not copied need not be the sum; count answers that are", lambda a, c, s: (_shares_by_loop(a, c, s)[0], 1 - _shares_by_loop(a, c, s)[0])),
    Mistake("only sequences that show the right sum are counted; take the others", lambda a, c, s: (float((a == c)[c == s].float().mean()), float((a == s)[c == s].float().mean()))),
    Mistake("these are numbers of sequences; asked are shares", lambda a, c, s: (float((a == c)[c != s].sum()), float((a == s)[c != s].sum()))),
)  # fmt: skip

COPY_TEST = Exercise(
    name="copy_test",
    lab="09",
    title="Copied or computed?",
    parts=(
        Part(
            "both shares, where they can be told apart",
            2,
            _answers,
            expect(_shares_by_loop, names=("copied", "computed"), mistakes=_COPY_MISTAKES),
        ),
    ),
    hints=(
        "Where the shown number is the right sum, a copy and a sum are the same. Those sequences say nothing.",
        "differ = shown != sums; then look at answers[differ] only.",
        "(answers == shown)[differ].float().mean(), (answers == sums)[differ].float().mean()",
    ),
    read_again="5 What had the model learned?",
    difficulty=1,
    importance=4,
    minutes=5,
)
