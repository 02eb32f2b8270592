"""Lab 07's scores: rho of a head, codes for attention, suspects among dictionaries, shares of a gain."""

from __future__ import annotations

import math
from itertools import permutations, product

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _ranks(values: list[float]) -> list[float]:
    """Rank of each value by counting, ties averaged."""
    return [sum(w < v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]


def _correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's, or None if a side is constant."""
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    aa, bb = sum((x - ma) ** 2 for x in a), sum((y - mb) ** 2 for y in b)
    if aa == 0 or bb == 0:
        return None
    return sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True)) / math.sqrt(aa * bb)


def _rho(predicted, actual, window, *, first=1, least=3, ahead=0, wider=0, ranks=_ranks, none=None, both=True):
    """By counting, row by row. The other arguments are what people get wrong."""
    found, rows, skipped = [], 0, 0
    for q in range(len(predicted)):
        keys = [k for k in range(first, min(len(predicted), q + 1 + ahead)) if window is None or q - k < window + wider]
        if len(keys) < least:
            continue
        rows += 1
        a, b = ([float(x[q, k]) for k in keys] for x in (predicted, actual))
        value = _correlation(ranks(a), ranks(b))
        if value is None:
            skipped += 1
            if none is not None:
                found.append(none)
        else:
            found.append(value)
    return sum(found) / max(len(found), 1), rows, skipped


def _pooled(predicted, actual, window):
    pairs = [(q, k) for q in range(len(predicted)) for k in range(1, q + 1) if window is None or q - k < window]
    a, b = ([float(x[q, k]) for q, k in pairs] for x in (predicted, actual))
    return (_correlation(_ranks(a), _ranks(b)), *_rho(predicted, actual, window)[1:])


def _no_ties(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    return [float(order.index(i)) for i in range(len(values))]


def _head(rng, n: int, window: int | None, constant: bool) -> dict:
    actual = normal(rng, n, n)
    predicted = actual + normal(rng, n, n, scale=0.8) + torch.arange(n)[:, None] * 0.7  # rows at different heights
    actual = actual - torch.arange(n)[:, None] * 0.9
    predicted = (predicted * 2).round() / 2  # ties
    if constant:
        predicted[n - 3] = 1.0
        actual[n - 6] = -2.0
    predicted[:, 0], actual[:, 0] = 9.0, 9.0  # <bos> would raise the score
    return {"predicted": predicted, "actual": actual, "window": window}


_RHO_MISTAKES = (
    Mistake("key 0 is <bos> and does not count", lambda p, a, w: _rho(p, a, w, first=0)),
    Mistake("keys after the query are counted; attention is causal", lambda p, a, w: _rho(p, a, w, ahead=len(p))),
    Mistake("the query's own key is left out; a query sees itself too", lambda p, a, w: _rho(p, a, w, ahead=-1)),
    Mistake("the window is one key too wide: it counts the query itself", lambda p, a, w: _rho(p, a, w, wider=1)),
    Mistake("the window is one key too narrow: it counts the query itself", lambda p, a, w: _rho(p, a, w, wider=-1)),
    Mistake("the window is ignored", lambda p, a, w: _rho(p, a, None)),
    Mistake("rows with two keys or fewer are counted", lambda p, a, w: _rho(p, a, w, least=2)),
    Mistake("rows with exactly 3 keys count too", lambda p, a, w: _rho(p, a, w, least=4)),
    Mistake("a constant row is counted as 0; skip it", lambda p, a, w: _rho(p, a, w, none=0.0)),
    Mistake("this is Pearson's correlation; rank each row first", lambda p, a, w: _rho(p, a, w, ranks=list)),
    Mistake("all pairs are ranked together; rho is taken within each row, then averaged", _pooled),
    Mistake("equal values need equal ranks (their mean rank); spearmanr does it", lambda p, a, w: _rho(p, a, w, ranks=_no_ties)),
    Mistake("skipped rows count among the rows with 3 or more keys", lambda p, a, w: (lambda v, n, s: (v, n - s, s))(*_rho(p, a, w))),
    Mistake("the mean is over rows that have a rho; skipped ones are not in the denominator", lambda p, a, w: (lambda v, n, s: (v * (n - s) / max(n, 1), n, s))(*_rho(p, a, w))),
)  # fmt: skip

_RHO_NAMES = ("mean rho", "rows", "skipped")


def _judge_rho(inputs, value) -> str | None:
    message = expect(_rho, mistakes=_RHO_MISTAKES, names=_RHO_NAMES)(inputs, value)
    if message and "mean rho" in message and "NaN" in message:
        return "the mean is NaN: a row with a constant side has no rho, so test for it and skip it"
    return message


ROW_RHO = Exercise(
    name="row_rho",
    lab="07",
    title="Rank correlation within query rows",
    parts=(
        Part("a head without a window", 2, lambda rng: _head(rng, 14, None, False), _judge_rho),
        Part("a head with a window", 1, lambda rng: _head(rng, 16, int(rng.integers(5, 8)), False), _judge_rho),
        Part("rows in which one side is constant", 1, lambda rng: _head(rng, 15, 9, True), _judge_rho),
    ),
    hints=(
        "Loop over queries q. Keys first to q, where first is 1, or later if the window cuts more away.",
        "first = 1 if window is None else max(1, q - window + 1). Fewer than 3 keys: continue.",
        "If a.min() == a.max() or the same of b: skipped += 1. Else append spearmanr(a, b).statistic. Return mean, counted + skipped, skipped.",
    ),
    read_again="1 A prediction and its score",
    difficulty=3,
    importance=5,
    minutes=12,
)


def _encoder(rng) -> dict:
    x = normal(rng, 12, 5) * torch.from_numpy(rng.uniform(0.2, 4.0, (12, 1))).float()
    return {
        "x": x,
        "W_enc": normal(rng, 5, 9),
        "b_enc": normal(rng, 9, scale=0.8),
        "threshold": torch.from_numpy(rng.uniform(0.8, 3.0, 9)).float(),
        "eps": 0.3,
    }


def _jump(x, W_enc, b_enc, threshold) -> torch.Tensor:
    out = torch.zeros(len(x), len(b_enc))
    for n, row in enumerate(x):
        for f in range(len(b_enc)):
            pre = sum(float(v) * float(w) for v, w in zip(row, W_enc[:, f], strict=True)) + float(b_enc[f])
            out[n, f] = pre if pre > float(threshold[f]) else 0.0
    return out


def _size(x, eps) -> torch.Tensor:
    return torch.tensor([[math.sqrt(sum(float(v) ** 2 for v in row) / len(row) + eps)] for row in x])


_CODES_MISTAKES = (
    Mistake("the vector is divided before it is encoded. The encoder was trained on vectors as they stand; divide the code", lambda x, W, b, t, e: _jump(x / _size(x, e), W, b, t)),
    Mistake("the code is not divided by the vector's rms", lambda x, W, b, t, e: _jump(x, W, b, t)),
    Mistake("divided twice, before and after encoding", lambda x, W, b, t, e: _jump(x / _size(x, e), W, b, t) / _size(x, e)),
    Mistake("the threshold is taken off; a latent above it keeps its whole pre-activation", lambda x, W, b, t, e: (_jump(x, W, b, t) - t * (_jump(x, W, b, t) > 0)) / _size(x, e)),
    Mistake("this is a ReLU: latents below their threshold are silent, also where they are above 0", lambda x, W, b, t, e: _jump(x, W, b, 0 * t) / _size(x, e)),
    Mistake("the threshold is compared after dividing; compare the pre-activation of the vector as it stands", lambda x, W, b, t, e: (lambda z: z * (z > t))((x @ W + b) / _size(x, e))),
    Mistake("b_enc is left out", lambda x, W, b, t, e: _jump(x, W, 0 * b, t) / _size(x, e)),
    Mistake("divided by the norm; rms is the root of the MEAN square", lambda x, W, b, t, e: _jump(x, W, b, t) / x.norm(dim=-1, keepdim=True)),
    Mistake("eps is missing under the root", lambda x, W, b, t, e: _jump(x, W, b, t) / _size(x, 0.0)),
    Mistake("divided by the mean square; take its root", lambda x, W, b, t, e: _jump(x, W, b, t) / _size(x, e) ** 2),
    Mistake("one rms for all tokens; each token has its own", lambda x, W, b, t, e: _jump(x, W, b, t) / (x.pow(2).mean() + e).sqrt()),
)  # fmt: skip


def _codes(x, W_enc, b_enc, threshold, eps) -> torch.Tensor:
    return _jump(x, W_enc, b_enc, threshold) / _size(x, eps)


def _judge_codes(inputs, value) -> str | None:
    """Whatever was done to the codes afterwards, which latents fire shows what the encoder was given."""
    message = expect(_codes, axes="pos latent", mistakes=_CODES_MISTAKES, rtol=1e-3, atol=1e-4)(inputs, value)
    if message and "entries are wrong" in message and isinstance(value, torch.Tensor):
        x, eps, rest = inputs["x"], inputs["eps"], [inputs[k] for k in ("W_enc", "b_enc", "threshold")]
        sizes = {_size(x, eps), _size(x, 0.0), x.norm(dim=-1, keepdim=True)}
        if any(torch.equal(value != 0, _jump(x / size, *rest) != 0) for size in sizes):
            return f"{_CODES_MISTAKES[0].message} (the same latents fire as for a divided vector)"
    return message


CODES = Exercise(
    name="attention_codes",
    lab="07",
    title="Codes of the raw stream, divided by its rms",
    parts=(
        Part(
            "vectors of different lengths",
            3,
            _encoder,
            _judge_codes,
        ),
    ),
    hints=(
        "Two steps in this order: the dictionary's code of x as it stands; then one division per token.",
        "pre = x @ W_enc + b_enc; the code is pre where pre > threshold, else 0.",
        "return pre * (pre > threshold) / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()",
    ),
    read_again="5 What the encoder is given",
    difficulty=2,
    importance=4,
    minutes=6,
)  # fmt: skip


def _probes(rng) -> dict:
    """The layer with the lowest own rho is not the suspect: there the others are low too."""
    n = 7
    own = torch.from_numpy(rng.uniform(0.6, 0.9, n)).float()
    others = own + torch.from_numpy(rng.uniform(-0.5, 0.05, (3, n))).float()
    low, poor, second = (int(i) for i in rng.permutation(n)[:3])
    own[low] = -0.2
    others[:, low] = -0.2 + torch.from_numpy(rng.uniform(-0.3, -0.1, 3)).float()
    own[poor], others[:, poor] = 0.3, torch.tensor([0.85, 0.0, -0.4])[torch.from_numpy(rng.permutation(3))]
    others[:, second] = own[second] - torch.tensor([0.5, 0.6, 0.7])
    others[0, second] = own[second] + 0.2
    return {"own": own, "others": others}


def _suspects_by_sorting(own, others, best=max, gap=lambda other, mine: other - mine, reverse=True):
    d = [gap(best([float(o) for o in others[:, i]]), float(own[i])) for i in range(len(own))]
    order = sorted(range(len(d)), key=lambda i: d[i], reverse=reverse)
    return torch.tensor(order), d[order[0]] - d[order[1]]


_SUSPECT_MISTAKES = (
    Mistake("the mean of the other probes; one good probe is enough, so take the best", lambda o, p: _suspects_by_sorting(o, p, best=lambda v: sum(v) / len(v))),
    Mistake("the worst of the other probes; take the best", lambda o, p: _suspects_by_sorting(o, p, best=min)),
    Mistake("own minus others; a suspect is where the OTHERS do better", lambda o, p: _suspects_by_sorting(o, p, gap=lambda a, b: b - a)),
    Mistake("the least suspect first", lambda o, p: _suspects_by_sorting(o, p, reverse=False)),
    Mistake("absolute differences: a layer where its own dictionary is much better is no suspect", lambda o, p: _suspects_by_sorting(o, p, gap=lambda a, b: abs(a - b))),
    Mistake("ordered by the dictionary's own rho; a layer can be hard for every probe", lambda o, p: (o.argsort(), float((p.amax(0) - o)[o.argsort()[0]] - (p.amax(0) - o)[o.argsort()[1]]))),
    Mistake("the order is right; the margin is how far the first disagreement stands above the SECOND", lambda o, p: (_suspects_by_sorting(o, p)[0], float((p.amax(0) - o).max()))),
    Mistake("the margin is right; the order should hold layers, not disagreements", lambda o, p: ((p.amax(0) - o).sort(descending=True).values, _suspects_by_sorting(o, p)[1])),
)  # fmt: skip


def _listed(judge):
    """Lists of numbers are as good as tensors."""

    def judged(inputs, value):
        if isinstance(value, tuple) and value and isinstance(value[0], list):
            value = (torch.tensor(value[0]), *value[1:])
        return judge(inputs, torch.tensor(value) if isinstance(value, list) else value)

    return judged


SUSPECTS = Exercise(
    name="suspects",
    lab="07",
    title="Flag the poor dictionary",
    parts=(
        Part("three probes, seven layers", 3, _probes, _listed(expect(_suspects_by_sorting, names=("layers", "margin"), mistakes=_SUSPECT_MISTAKES, rtol=1e-3))),
    ),
    hints=(
        "For each layer: the best of the other probes, minus its own. Large means: the layer can be predicted, but not with its dictionary.",
        "disagreement = others.amax(0) - own; argsort from the largest.",
        "order = disagreement.argsort(descending=True); margin = disagreement[order[0]] - disagreement[order[1]].",
    ),
    read_again="10 The poor dictionary",
    difficulty=2,
    importance=4,
    minutes=7,
)  # fmt: skip


def _table(n: int):
    def inputs(rng) -> dict:
        return {"rho": torch.from_numpy(rng.uniform(-0.2, 1.0, [2] * n)).float()}

    return inputs


def _over_orders(rho) -> torch.Tensor:
    """By the definition: every order of putting things back."""
    n = rho.dim()
    orders = list(permutations(range(n)))
    shares = [0.0] * n
    for order in orders:
        at = [0] * n
        for i in order:
            before = float(rho[tuple(at)])
            at[i] = 1
            shares[i] += (float(rho[tuple(at)]) - before) / len(orders)
    return torch.tensor(shares)


def _gains(rho, i: int) -> list[tuple[int, float]]:
    """(how many others are back, gain of thing i there)."""
    out = []
    for at in product((0, 1), repeat=rho.dim()):
        if not at[i]:
            up = tuple(1 if j == i else b for j, b in enumerate(at))
            out.append((sum(at), float(rho[up]) - float(rho[at])))
    return out


def _each(pick):
    return lambda rho: torch.tensor([pick(rho, i) for i in range(rho.dim())])


def _one_order(rho) -> torch.Tensor:
    at, out = [0] * rho.dim(), []
    for i in range(rho.dim()):
        before = float(rho[tuple(at)])
        at[i] = 1
        out.append(float(rho[tuple(at)]) - before)
    return torch.tensor(out)


_SHARE_MISTAKES = (
    Mistake("this is the gain when a thing is put back first; average over all orders", _each(lambda r, i: _gains(r, i)[0][1])),
    Mistake("this is the loss when a thing alone is missing; average over all orders", _each(lambda r, i: _gains(r, i)[-1][1])),
    Mistake("this is one order only, the first axis first; average over all of them", _one_order),
    Mistake("the mean of first and last turn; the turns in between count too", _each(lambda r, i: (_gains(r, i)[0][1] + _gains(r, i)[-1][1]) / 2)),
    Mistake("every combination of the others counts the same here; in orders, those with few or with many back are commoner", _each(lambda r, i: sum(g for _, g in _gains(r, i)) / 2 ** (r.dim() - 1))),
    Mistake("the sum over all orders; take their mean", lambda r: _over_orders(r) * math.factorial(r.dim())),
    Mistake("the sign is the wrong way round: a gain is rho with minus rho without", lambda r: -_over_orders(r)),
)  # fmt: skip

_judge_shares = _listed(expect(_over_orders, axes="thing", mistakes=_SHARE_MISTAKES, rtol=1e-3))

CONTRIBUTIONS = Exercise(
    name="contributions",
    lab="07",
    title="Shares of a gain, over all orders",
    parts=(
        Part("three things", 2, _table(3), _judge_shares),
        Part("four things", 2, _table(4), _judge_shares),
    ),
    hints=(
        "For each order of the n things: begin with all left out, put them back one by one, and give each the change of rho at its turn.",
        "itertools.permutations(range(n)); at = [0] * n; for i in order: before = rho[tuple(at)]; at[i] = 1; share[i] += rho[tuple(at)] - before.",
        "Divide every share by the number of orders, math.factorial(n). Check: the shares sum to rho[1, 1, ...] - rho[0, 0, ...].",
    ),
    read_again="15 What the errata leaves out",
    difficulty=4,
    importance=3,
    minutes=15,
)
