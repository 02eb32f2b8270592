"""Lab 05, first part: what makes a latent fire."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect
from labs_src.checks.contract import Exercise, Part


def _sparse(rng, *shape: int, share: float = 0.4) -> torch.Tensor:
    """Never negative, mostly 0, no two values alike."""
    values = torch.from_numpy(rng.uniform(0.5, 9.0, size=shape)).float()
    return values * torch.from_numpy(rng.random(size=shape) < share)


def _codes(rng) -> dict:
    z = _sparse(rng, 4, 7, 5)
    z[:, 0] = 20 + torch.arange(20).view(4, 5)  # <bos> fires at everything
    z[1, 3], z[2, 5] = torch.tensor([1.0, 2.5, 3.0, 0.75, 1.5]), torch.tensor([2.0, 0.5, 6.0, 4.0, 3.5])
    dead = int(rng.integers(5))
    z[:, 1:, dead] = 0
    return {"z": z}


def _statistics_by_loop(z) -> dict:
    out = {"share": [], "largest": [], "mean_when_on": []}
    for latent in range(z.shape[2]):
        values = [float(v) for row in z for v in row[1:, latent]]
        on = [v for v in values if v > 0]
        out["share"].append(len(on) / len(values))
        out["largest"].append(max(values))
        out["mean_when_on"].append(sum(on) / len(on) if on else 0.0)
    return {name: torch.tensor(column) for name, column in out.items()}


def _statistics(z, *, bos=False, over_all=False, nan=False, count=False) -> dict:
    rows = (z if bos else z[:, 1:]).flatten(0, 1)
    n = (rows > 0).sum(0).float()
    mean = rows.mean(0) if over_all else rows.sum(0) / (n if nan else n.clamp(min=1))
    return {"share": n if count else n / len(rows), "largest": rows.amax(0), "mean_when_on": mean}


_STATISTICS_MISTAKES = (
    Mistake("<bos> is counted; it stands at position 0 of every sequence, and the dictionary never saw it", lambda z: _statistics(z, bos=True)),
    Mistake("<bos> is counted, and the mean is over all tokens; it should be over those at which the latent fires", lambda z: _statistics(z, bos=True, over_all=True)),
    Mistake("mean_when_on: the mean is over all tokens; take it over those at which the latent fires", lambda z: _statistics(z, over_all=True)),
    Mistake("mean_when_on: a latent that never fires gives 0 / 0; its mean should be 0", lambda z: _statistics(z, nan=True)),
    Mistake("share: that is a count of tokens; divide by how many there are", lambda z: _statistics(z, count=True)),
    Mistake("share: that is the share of sequences in which it fires; asked is the share of tokens", lambda z: {**_statistics(z), "share": (z[:, 1:] > 0).any(1).float().mean(0)}),
    Mistake("share: <bos> is out of the count but still in the number that it is divided by", lambda z: {**_statistics(z), "share": (z[:, 1:] > 0).sum((0, 1)) / (z.shape[0] * z.shape[1])}),
)  # fmt: skip


def _one_latent(rng) -> dict:
    n, length, k = 9, 12, int(rng.integers(3, 6))
    z = _sparse(rng, n, length)
    order = rng.permutation(n)
    for rank, sequence in enumerate(order):
        z[sequence, 0] = 40.0 + sequence
        places = 1 + rng.permutation(length - 1)[:2]
        z[sequence, places[0]] = 30.0 - rank  # the two strongest of a sequence stand together in the order of all
        z[sequence, places[1]] = 29.7 - rank
    return {"z": z, "k": k}


def _top_by_sorting(z, k) -> torch.Tensor:
    best = []
    for sequence, row in enumerate(z.tolist()):
        position = max(range(1, len(row)), key=row.__getitem__)
        best.append((-row[position], sequence, position))
    return torch.tensor([[sequence, position] for _, sequence, position in sorted(best)[:k]])


def _anywhere(z, k) -> torch.Tensor:
    flat = z[:, 1:].flatten().topk(k).indices
    return torch.stack([flat // (z.shape[1] - 1), flat % (z.shape[1] - 1) + 1], dim=1)


def _with_bos(z, k) -> torch.Tensor:
    top = z.amax(1).topk(k).indices
    return torch.stack([top, z.argmax(1)[top]], dim=1)


def _anywhere_bos(z, k) -> torch.Tensor:
    flat = z.flatten().topk(k).indices
    return torch.stack([flat // z.shape[1], flat % z.shape[1]], dim=1)


_TOP_MISTAKES = (
    Mistake("several contexts come from one sequence; take each sequence once, at its strongest place", _anywhere),
    Mistake("<bos> is among them; position 0 does not count", _with_bos),
    Mistake("<bos> is among them; position 0 does not count", _anywhere_bos),
    Mistake("the positions are one too low: after z[:, 1:] index 0 is position 1", lambda z, k: _top_by_sorting(z, k) - torch.tensor([0, 1])),
    Mistake("weakest first; the strongest should come first", lambda z, k: _top_by_sorting(z, k).flip(0)),
    Mistake("rows should be (sequence, position); these are (position, sequence)", lambda z, k: _top_by_sorting(z, k).flip(1)),
    Mistake("these are the weakest sequences; take the strongest", lambda z, k: _top_by_sorting(z, len(z)).flip(0)[:k]),
    Mistake("the right places, but in the order of the sequences; the strongest should come first", lambda z, k: torch.tensor(sorted(_top_by_sorting(z, k).tolist()))),
    Mistake("these are the first sequences, not the strongest", lambda z, k: torch.stack([torch.arange(k), z[:k, 1:].argmax(1) + 1], 1)),
)  # fmt: skip


def _values(rng) -> dict:
    n = 60
    values = torch.zeros(n)
    on = rng.permutation(n)[:23]
    values[torch.from_numpy(on)] = torch.from_numpy(rng.exponential(2.0, size=23) + 0.05).float()
    quantiles = [0.0, *sorted(float(q) for q in rng.uniform(0.1, 0.9, 3)), 1.0]
    return {"values": values, "quantiles": quantiles}


def _quantiles_by_sorting(values, quantiles) -> torch.Tensor:
    on = sorted((v, i) for i, v in enumerate(values.tolist()) if v > 0)
    return torch.tensor([on[round(q * (len(on) - 1))][1] for q in quantiles])


_SILENT = (
    "the silent tokens are in the order too, so some quantiles fall on an activation of 0; rank the firing ones only"
)


def _judge_quantiles(inputs, value) -> str | None:
    """As usual; but ties among zeros have no order of their own, so those are told by what stands there."""
    message = expect(_quantiles_by_sorting, axes="quantile", mistakes=_QUANTILE_MISTAKES)(inputs, value)
    if message is None or message in {mistake.message for mistake in _QUANTILE_MISTAKES}:
        return message
    values, n = inputs["values"], len(inputs["quantiles"])
    places = isinstance(value, torch.Tensor) and value.shape == (n,) and not value.is_floating_point()
    inside = places and bool((value >= 0).all() and (value < len(values)).all())
    return _SILENT if inside and bool((values[value] == 0).any()) else message


def _ranks(values, quantiles) -> torch.Tensor:
    on = values[values > 0].argsort()
    return on[[round(q * (len(on) - 1)) for q in quantiles]]


def _nearest_share_of_max(values, quantiles) -> torch.Tensor:
    on = values.nonzero().squeeze(1)
    return torch.stack([on[(values[on] - q * values.max()).abs().argmin()] for q in quantiles])


_QUANTILE_MISTAKES = (
    Mistake("these number the firing tokens among themselves; map them back to their place in `values`", _ranks),
    Mistake("these are activations; return where they stand", lambda v, q: v[_quantiles_by_sorting(v, q)]),
    Mistake("counted from the strongest; quantile 0 is the weakest firing", lambda v, q: _quantiles_by_sorting(v, [1 - x for x in q])),
    Mistake("these are nearest to a share of the maximum; a quantile is a share of the ranks", _nearest_share_of_max),
    Mistake("rounded down: the rank is round(q * (n - 1))", lambda v, q: torch.tensor([sorted((x, i) for i, x in enumerate(v.tolist()) if x > 0)[math.floor(a * (int((v > 0).sum()) - 1))][1] for a in q])),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="firing_statistics",
        lab="05",
        title="How often, how strongly",
        parts=(
            Part(
                "share, largest and mean when on, of every latent",
                3,
                _codes,
                expect(_statistics_by_loop, axes="latent", mistakes=_STATISTICS_MISTAKES),
            ),
        ),
        hints=(
            "Drop position 0 first; then sequences and positions are one long list of tokens.",
            "rows = z[:, 1:].flatten(0, 1); a token fires a latent where rows > 0. Sum over rows, divide by the right count.",
            "n = (rows > 0).sum(0); the mean when on is rows.sum(0) / n.clamp(min=1).",
        ),
        read_again="1 A dictionary and a text",
        difficulty=1,
        importance=4,
        minutes=6,
    ),
    Exercise(
        name="top_contexts",
        lab="05",
        title="The contexts that fire a latent most",
        parts=(
            Part(
                "one place per sequence, strongest first",
                3,
                _one_latent,
                expect(_top_by_sorting, axes="context (sequence, position)", mistakes=_TOP_MISTAKES),
            ),
        ),
        hints=(
            "First the strongest place of each sequence, then the strongest sequences.",
            "highest, position = z[:, 1:].max(1); the position is then one too low.",
            "top = highest.topk(k).indices; torch.stack([top, position[top] + 1], dim=1)",
        ),
        read_again="2 What makes it fire",
        difficulty=2,
        importance=4,
        minutes=7,
    ),
    Exercise(
        name="quantile_examples",
        lab="05",
        title="Examples from all over the range",
        parts=(
            Part(
                "the firing tokens at the asked quantiles",
                3,
                _values,
                _judge_quantiles,
            ),
        ),
        hints=(
            "Which tokens are ranked? Only those at which the latent fires.",
            "on = values.nonzero().squeeze(1); sort these by their activation, weakest first.",
            "on = on[values[on].argsort()]; return on[[round(q * (len(on) - 1)) for q in quantiles]]",
        ),
        read_again="2 What makes it fire",
        difficulty=2,
        importance=3,
        minutes=7,
    ),
)
