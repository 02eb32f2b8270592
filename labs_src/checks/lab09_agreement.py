"""Lab 09, first part: how far do two dictionaries agree, by chance and over seeds?"""

from __future__ import annotations

import itertools
import math

import torch
from torch.nn.functional import normalize

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Each


def _cosine(u: list[float], v: list[float]) -> float:
    length = math.sqrt(sum(x * x for x in u)) * math.sqrt(sum(x * x for x in v))
    return sum(x * y for x, y in zip(u, v, strict=True)) / length if length else 0.0


def _table(A, B) -> list[list[float]]:
    return [[abs(_cosine(u, v)) for v in B.tolist()] for u in A.tolist()]


def _rows(rng, n: int, d: int) -> torch.Tensor:
    return normal(rng, n, d) * torch.from_numpy(rng.uniform(0.2, 4.0, size=(n, 1))).float()


def _two_sets(rng) -> dict:
    A, B = _rows(rng, 6, 5), _rows(rng, 9, 5)
    B[:2] = -A[1:3] + 0.1 * B[:2]  # opposite directions: the sign has to go
    return {"A": A, "B": B}


def _with_silence(rng) -> dict:
    inputs = _two_sets(rng)
    inputs["A"][int(rng.integers(6))], inputs["B"][5] = 0, 0
    return inputs


def _best_by_loop(A, B) -> torch.Tensor:
    return torch.tensor([max(row) for row in _table(A, B)])


def _S(A, B) -> torch.Tensor:
    return normalize(A, dim=1) @ normalize(B, dim=1).T


def _nan(A, B) -> torch.Tensor:
    return ((A / A.norm(dim=1, keepdim=True)) @ (B / B.norm(dim=1, keepdim=True)).T).abs().amax(1)


_BEST_MISTAKES = (
    Mistake("the sign is still there: a direction and its opposite should agree, so take |cosine| before the largest", lambda A, B: _S(A, B).amax(1)),
    Mistake("these are not cosines: the rows still have their lengths", lambda A, B: (A @ B.T).abs().amax(1)),
    Mistake("each column was normalised; a vector is a row", lambda A, B: (normalize(A, dim=0) @ normalize(B, dim=0).T).abs().amax(1)),
    Mistake("that is the best partner of each row of B; asked is one number for each row of A", lambda A, B: _S(A, B).abs().amax(0)),
    Mistake("that is the mean over the rows of B; take the largest", lambda A, B: _S(A, B).abs().mean(1)),
    Mistake("these are the places of the partners; asked is how large the cosine is", lambda A, B: _S(A, B).abs().argmax(1)),
    Mistake("only the rows of A are normalised", lambda A, B: (normalize(A, dim=1) @ B.T).abs().amax(1)),
    Mistake("a row of zeros gives 0 / 0; its cosine with everything should be 0", _nan),
)  # fmt: skip

BEST_COSINES = Exercise(
    name="best_cosines",
    lab="09",
    title="The nearest partner of every vector",
    parts=(
        Part("two sets of vectors", 2, _two_sets, expect(_best_by_loop, axes="row of A", mistakes=_BEST_MISTAKES)),
        Part("with rows of zeros", 1, _with_silence, expect(_best_by_loop, axes="row of A", mistakes=_BEST_MISTAKES)),
    ),
    hints=(
        "A cosine is a dot product of vectors of length 1. All of them at once are one matrix product.",
        "normalize(A, dim=1) divides each row by its length, and leaves a row of zeros as it is.",
        "(normalize(A, dim=1) @ normalize(B, dim=1).T).abs().amax(1)",
    ),
    read_again="1 Two dictionaries, one number",
    difficulty=1,
    importance=5,
    minutes=6,
)


def _shape(rng) -> dict:
    """Twelve pairs, and one pair of the same seed: where every pair is the same pair, both give one number."""
    shape = {"d_sae": int(rng.integers(40, 120)), "d_in": int(rng.integers(6, 20))}
    seed = {"seed": int(rng.integers(1000))}
    return {"cases": [shape | {"pairs": 12} | seed, shape | {"pairs": 1} | seed]}


def _expected(d_sae: int, d_in: int, power: int = 1) -> float:
    """Mean of the largest of d_sae |cosines|, by summing P(largest > t) over a grid. No sampling."""
    from scipy.special import betainc

    grid = (torch.arange(4000).double() + 0.5) / 4000
    below = torch.from_numpy(betainc(0.5, (d_in - 1) / 2, (grid**2).numpy()))
    below = below if power == 1 else (1 + below) / 2  # a cosine with its sign
    return float((1 - below**d_sae).mean())


def _judge_null(inputs, values) -> str | None:
    """The mean over twelve pairs, unless one pair already gives the very same number."""
    several, single = values
    if all(_one_number(v) for v in values) and abs(float(several) - float(single)) < 1e-6 < abs(float(several) - 1):
        return "one pair gives the same number as twelve: every pair is the same pair. Seed once, before the loop"
    return _judge_mean(inputs["cases"][0], several)


def _judge_mean(inputs, value) -> str | None:
    d_sae, d_in, wanted = inputs["d_sae"], inputs["d_in"], _expected(inputs["d_sae"], inputs["d_in"])
    if not _one_number(value):
        return f"expected one number, the mean over the pairs; got {_said(value)}"
    value = float(value)
    near = 0.02 * wanted + 0.004
    if abs(value - wanted) < near:
        return None
    if abs(value / inputs["pairs"] - wanted) < near:
        return "that is the sum over the pairs; take the mean"
    if abs(value - 1) < 0.001:
        return "that is 1: the two dictionaries of a pair are the same. Seed once, then draw both"
    g = torch.Generator().manual_seed(0)
    even = [torch.rand(d_sae, d_in, generator=g) for _ in range(2)]
    one_sided = float(_S(*even).abs().amax(1).mean())
    if value > wanted + 0.15 and abs(value - one_sided) < 0.08:
        return "these vectors all lie on one side, as torch.rand makes them; random directions come from torch.randn"
    if abs(value - _expected(d_sae, d_in, 2)) < near:
        return "too low by what a lost sign makes: take |cosine|, as best_cosines does"
    if abs(value - _expected(d_in, d_sae)) < near:
        return "d_sae and d_in are exchanged: a dictionary has d_sae rows of d_in numbers"
    return f"got {value:.4f}; random directions of this shape give {wanted:.4f}, with a spread below {near:.3f}"


def _one_number(value) -> bool:
    if hasattr(value, "numel"):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)


def _said(value) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__


GAUSSIAN_NULL = Exercise(
    name="gaussian_null",
    lab="09",
    title="What chance gives",
    parts=(Part("the mean PWMCC of random pairs of this shape", 3, _shape, _judge_null, probe=Each()),),
    hints=(
        "Dictionaries that know nothing of each other: draw two, compare them, repeat, take the mean.",
        "g = torch.Generator().manual_seed(seed), once; torch.randn(d_sae, d_in, generator=g) for each dictionary.",
        "The PWMCC of one pair is (best_cosines(A, B).mean() + best_cosines(B, A).mean()) / 2.",
    ),
    read_again="4 The corrected number, and what chance gives",
    difficulty=2,
    importance=5,
    minutes=7,
)


def _symmetric(rng) -> dict:
    n = int(rng.integers(4, 8))
    own = torch.from_numpy(rng.normal(size=n)) * 0.05  # each seed has its own level: pairs are not independent
    table = own[:, None] + own + 0.3 + 0.005 * torch.from_numpy(rng.normal(size=(n, n)))
    table = ((table + table.T) / 2).float()
    table.fill_diagonal_(torch.nan)
    return {"table": table, "t": float(rng.uniform(2.1, 4.3))}


def _pairs(table, keep) -> list[float]:
    return [float(table[i, j]) for i, j in itertools.combinations(keep, 2)]


def _mean(values) -> float:
    return sum(values) / len(values)


def _jackknife_by_loop(table, t) -> tuple[float, float]:
    n = len(table)
    left = [_mean(_pairs(table, [j for j in range(n) if j != i])) for i in range(n)]
    spread = sum((x - _mean(left)) ** 2 for x in left)
    return _mean(_pairs(table, range(n))), t * math.sqrt((n - 1) / n * spread)


def _half(table, t, factor) -> tuple[float, float]:
    n = len(table)
    mean, half = _jackknife_by_loop(table, t)
    return mean, half / math.sqrt((n - 1) / n) * math.sqrt(factor(n))


def _pairs_as_draws(table, t) -> tuple[float, float]:
    values = torch.tensor(_pairs(table, range(len(table))))
    return float(values.mean()), t * float(values.std()) / math.sqrt(len(values))


def _both_triangles(table, t) -> tuple[float, float]:
    values = torch.tensor(_pairs(table, range(len(table))) * 2)
    return float(values.mean()), t * float(values.std()) / math.sqrt(len(values))


_INTERVAL_MISTAKES = (
    Mistake("half: pairs are counted as independent draws. Pairs that share a seed are not: leave out one seed at a time", _pairs_as_draws),
    Mistake("half: every pair is counted twice, as independent draws; leave out one seed at a time", _both_triangles),
    Mistake("half: the factor (n - 1) / n is missing in front of the sum of squares", lambda T, t: _half(T, t, lambda n: 1)),
    Mistake("half: divided by n - 1 as for independent draws; the values with a seed left out differ little, so the factor is (n - 1) / n", lambda T, t: _half(T, t, lambda n: 1 / (n - 1))),
    Mistake("half: divided by n (n - 1), as for a mean of independent draws; the jackknife's factor is (n - 1) / n", lambda T, t: _half(T, t, lambda n: 1 / n / (n - 1))),
    Mistake("half: divided by n; the jackknife's factor is (n - 1) / n", lambda T, t: _half(T, t, lambda n: 1 / n)),
    Mistake("half: the factor t is missing", lambda T, t: _jackknife_by_loop(T, 1.0)),
    Mistake("mean and half: a NaN came along; the diagonal does not count", lambda T, t: (float("nan"), float("nan"))),
    Mistake("mean: the diagonal was counted as 0", lambda T, t: (float(T.nan_to_num(0).mean()), _jackknife_by_loop(T, t)[1])),
    Mistake("half: that is its square; take the root", lambda T, t: (_jackknife_by_loop(T, t)[0], t * (_jackknife_by_loop(T, 1.0)[1]) ** 2)),
)  # fmt: skip

SEED_INTERVAL = Exercise(
    name="seed_interval",
    lab="09",
    title="An interval over seeds",
    parts=(
        Part(
            "mean over pairs, and half the width of the interval",
            3,
            _symmetric,
            expect(_jackknife_by_loop, names=("mean", "half"), mistakes=_INTERVAL_MISTAKES, rtol=2e-3),
        ),
    ),
    hints=(
        "Without seed i, row i and column i are gone. table.nanmean() is the mean over pairs: each stands there twice.",
        "Make a list of the n means with one seed left out; then n - 1 over n times the sum of their squared deviations.",
        "keep = torch.arange(n) != i; table[keep][:, keep].nanmean(). half = t * sqrt((n - 1) / n * sum of squares).",
    ),
    read_again="4 The corrected number, and what chance gives",
    difficulty=3,
    importance=4,
    minutes=9,
)


def _small_sets(rng) -> dict:
    A, B = _rows(rng, 5, 4), _rows(rng, 5, 4)
    B[3] = -A[0] + 0.1 * normal(rng, 4)
    A[1] = 1.7 * A[0] + 0.2 * normal(rng, 4)  # two rows of A want the same partner
    return {"A": A, "B": B}


def _best_order(A, B, choose=max) -> float:
    S = _table(A, B)
    return choose(_mean([S[i][j] for i, j in enumerate(order)]) for order in itertools.permutations(range(len(B))))


def _greedy(A, B) -> float:
    S, taken = _table(A, B), []
    order = sorted(((S[i][j], i, j) for i in range(len(A)) for j in range(len(B))), reverse=True)
    used: tuple[set, set] = (set(), set())
    for value, i, j in order:
        if i not in used[0] and j not in used[1]:
            taken.append(value)
            used[0].add(i)
            used[1].add(j)
    return _mean(taken)


def _in_turn(A, B) -> float:
    S, free, taken = _table(A, B), set(range(len(B))), []
    for row in S:
        j = max(free, key=row.__getitem__)
        taken.append(row[j])
        free.remove(j)
    return _mean(taken)


def _signed(A, B) -> float:
    from scipy.optimize import linear_sum_assignment

    S = _S(A, B).double().numpy()
    return float(S[linear_sum_assignment(S, maximize=True)].mean())


_MATCH_MISTAKES = (
    Mistake("several rows share a partner: that is the mean of the row maxima. One-to-one means that each partner is taken once", lambda A, B: _mean([max(row) for row in _table(A, B)])),
    Mistake("several rows share a partner: that is PWMCC. One-to-one means that each partner is taken once", lambda A, B: (_mean([max(r) for r in _table(A, B)]) + _mean([max(r) for r in _table(B, A)])) / 2),
    Mistake("that is the worst matching: linear_sum_assignment looks for the smallest sum unless told maximize=True", lambda A, B: _best_order(A, B, min)),
    Mistake("the sign is still there: match |cosine|", _signed),
    Mistake("that is the sum over the pairs; take the mean", lambda A, B: _best_order(A, B) * len(A)),
    Mistake("pairs were taken greedily, the best first; that can spoil the rest. Let scipy find the best sum", _greedy),
    Mistake("rows chose in turn, so the first row has the first choice; let scipy find the best sum", _in_turn),
    Mistake("row i is compared with row i; the order of latents means nothing", lambda A, B: _mean([row[i] for i, row in enumerate(_table(A, B))])),
)  # fmt: skip

ONE_TO_ONE = Exercise(
    name="one_to_one",
    lab="09",
    title="Every latent gets one partner",
    parts=(
        Part("the mean |cosine| of the best one-to-one matching", 2, _small_sets, expect(_best_order, mistakes=_MATCH_MISTAKES)),
    ),
    hints=(
        "scipy.optimize.linear_sum_assignment takes a table and returns rows and columns of the best matching.",
        "Best means smallest sum there; maximize=True turns it round. The table is |cosine|.",
        "S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().numpy(); S[linear_sum_assignment(S, maximize=True)].mean()",
    ),
    read_again="6 A model that computes the sum",
    difficulty=2,
    importance=3,
    minutes=5,
)  # fmt: skip


def _half_dead(rng) -> dict:
    W1, W2 = _rows(rng, 8, 5), _rows(rng, 8, 5)
    z1, z2 = (normal(rng, 12, 8).relu() for _ in range(2))
    z1[:, rng.permutation(8)[:3]] = 0
    z2[:, rng.permutation(8)[:4]] = 0
    z1[1:, 0], z1[0, 0] = 0, 0.5  # fires once: that is alive
    return {"W1": W1, "W2": W2, "z1": z1, "z2": z2}


def _live_rows(W, z) -> list[list[float]]:
    return [row for latent, row in enumerate(W.tolist()) if any(float(v) != 0 for v in z[:, latent])]


def _pwmcc_of(A, B) -> float:
    S = [[abs(_cosine(u, v)) for v in B] for u in A]
    return (_mean([max(row) for row in S]) + _mean([max(column) for column in zip(*S, strict=True)])) / 2


def _live_by_loop(W1, W2, z1, z2) -> float:
    return _pwmcc_of(_live_rows(W1, z1), _live_rows(W2, z2))


def _rows_only(W1, W2, z1, z2) -> float:
    """Live rows averaged, but partners among all."""
    on1, on2 = (z1 != 0).any(0), (z2 != 0).any(0)
    S = _S(W1, W2).abs()
    return float((S.amax(1)[on1].mean() + S.amax(0)[on2].mean()) / 2)


def _both_alive(W1, W2, z1, z2) -> float:
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    return _pwmcc_of(W1[on].tolist(), W2[on].tolist())


def _zeroed(W1, W2, z1, z2) -> float:
    return _pwmcc_of((W1 * (z1 != 0).any(0)[:, None]).tolist(), (W2 * (z2 != 0).any(0)[:, None]).tolist())


_LIVE_MISTAKES = (
    Mistake("only the first dictionary is restricted to its live latents; the second has dead ones too", lambda W1, W2, z1, z2: _pwmcc_of(_live_rows(W1, z1), W2.tolist())),
    Mistake("only the second dictionary is restricted to its live latents; the first has dead ones too", lambda W1, W2, z1, z2: _pwmcc_of(W1.tolist(), _live_rows(W2, z2))),
    Mistake("all latents are compared; leave out those that never fire", lambda W1, W2, z1, z2: _pwmcc_of(W1.tolist(), W2.tolist())),
    Mistake("dead latents are still there as possible partners; leave them out before comparing", _rows_only),
    Mistake("latent i of one dictionary has nothing to do with latent i of the other: each has its own live latents", _both_alive),
    Mistake("dead latents are set to 0 and still counted; leave them out", _zeroed),
    Mistake("only the rows of the first dictionary look for partners; average both directions", lambda W1, W2, z1, z2: _mean(_best_by_loop(torch.tensor(_live_rows(W1, z1)), torch.tensor(_live_rows(W2, z2))).tolist())),
    Mistake("only latents that fire at every sample are kept; firing once is alive", lambda W1, W2, z1, z2: _pwmcc_of(W1[(z1 != 0).sum(0) > 1].tolist(), W2[(z2 != 0).sum(0) > 1].tolist())),
    Mistake("these are the dead latents; keep the live ones", lambda W1, W2, z1, z2: _pwmcc_of(W1[~(z1 != 0).any(0)].tolist(), W2[~(z2 != 0).any(0)].tolist())),
)  # fmt: skip

LIVE_PWMCC = Exercise(
    name="live_pwmcc",
    lab="09",
    title="Live latents only",
    parts=(
        Part("PWMCC of the directions of live latents", 2, _half_dead, expect(_live_by_loop, mistakes=_LIVE_MISTAKES)),
    ),
    hints=(
        "Which latents fire at all? Each dictionary has its own answer.",
        "W1[(z1 != 0).any(0)] keeps the rows of the live latents; the same for the second.",
        "A, B = W1[(z1 != 0).any(0)], W2[(z2 != 0).any(0)]; then as pwmcc: both directions, averaged.",
    ),
    read_again="4 The corrected number, and what chance gives",
    difficulty=2,
    importance=4,
    minutes=5,
)
