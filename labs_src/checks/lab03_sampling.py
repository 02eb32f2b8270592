"""Lab 03: judging random samples. Every bound is six or seven standard deviations wide, so a right answer passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

BATCH, FEATURES = 4000, 4
KS = 3.2  # P(sqrt(n) D > 3.2) is about 3e-9


def sampling_inputs(rng) -> dict:
    p = [1.0, float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.05, 0.15))]
    return {
        "batch": BATCH,
        "probability": torch.tensor(p)[torch.from_numpy(rng.permutation(3))],
        "n_features": FEATURES,
    }


def _judge(look: Callable[[dict, torch.Tensor], str | None]) -> Callable[[dict, Any], str | None]:
    def judge(inputs: dict, value: Any) -> str | None:
        samples = list(value) if isinstance(value, list | tuple) else []
        if len(samples) != 2:
            return f"expected two samples; got {type(value).__name__}"
        for x in samples:
            if not isinstance(x, torch.Tensor):
                return f"expected a tensor; got {type(x).__name__}"
            expected = (inputs["batch"], len(inputs["probability"]), inputs["n_features"])
            if tuple(x.shape) != expected:
                return f"the shape is {tuple(x.shape)}, expected {expected} (batch instances n_features)"
            if not x.is_floating_point():
                return "expected numbers with a fraction; a feature that is on has a magnitude between 0 and 1"
        if torch.equal(*samples):
            return "two calls give the same sample; do not set a seed inside the function"
        return look(inputs, samples[0].double())

    return judge


def _probability(inputs: dict, x: torch.Tensor) -> str | None:
    if not bool(torch.isfinite(x).all()):
        return "some entries are not finite"
    probability = inputs["probability"].double()
    rate = (x != 0).double().mean((0, 2))
    # A magnitude of exactly 0 looks like "off". torch.rand gives one in about one of a thousand such samples, never three.
    allowed = 6 * (probability * (1 - probability) / (BATCH * FEATURES)).sqrt() + 2.5 / (BATCH * FEATURES)
    wrong = (rate - probability).abs() > allowed
    if not bool(wrong.any()):
        return None
    if bool(((rate - (1 - probability)).abs() <= allowed).all()):
        return "features are on with probability 1 - p; p is the probability of being on"
    if float(rate.max() - rate.min()) < 0.05:
        return f"every instance is on equally often ({float(rate.mean()):.2f}); each has a probability of its own"
    i = int(((rate - probability).abs() - allowed).argmax())
    return f"in instance {i} features are on in a fraction {float(rate[i]):.3f} of the entries, expected {float(probability[i]):.3f}"


def _magnitudes(inputs: dict, x: torch.Tensor) -> str | None:
    if float(x.min()) < 0 or float(x.max()) > 1:
        return f"magnitudes lie between {float(x.min()):.2g} and {float(x.max()):.2g}, expected between 0 and 1"
    for i, p in enumerate(inputs["probability"].tolist()):
        on = x[:, i][x[:, i] != 0].sort().values
        if len(on) < 50:
            return f"in instance {i} almost nothing is on (p = {p:.2f}), so its magnitudes cannot be judged"
        if float(on[0]) == float(on[-1]):
            return f"features that are on are all {float(on[0]):.3g}: those are binary features. Give each a magnitude, uniform on [0, 1]"
        rank = torch.arange(1, len(on) + 1, dtype=torch.float64) / len(on)
        if float((rank - on).abs().max()) * math.sqrt(len(on)) > KS:
            return _why_not_uniform(i, p, on)
    return None


def _why_not_uniform(i: int, p: float, on: torch.Tensor) -> str:
    if p < 1 and (float(on[-1]) <= p + 1e-6 or float(on[0]) >= 1 - p - 1e-6):
        return (
            f"in instance {i} (p = {p:.2f}) magnitudes lie between {float(on[0]):.2f} and {float(on[-1]):.2f}: the same random numbers "
            "decide what is on and how large it is. Draw again for the magnitude"
        )
    return f"in instance {i} the magnitudes of features that are on are not uniform: mean {float(on.mean()):.3f}, expected 0.5"


def _independent(inputs: dict, x: torch.Tensor) -> str | None:
    columns = x.flatten(1)
    names = [(i, f) for i in range(x.shape[1]) for f in range(x.shape[2])]
    for part, what in (((columns != 0).double(), "on at the same time"), (columns, "equally large")):
        live = [k for k in range(columns.shape[1]) if float(part[:, k].std()) > 0]
        if not live:
            continue
        correlation = torch.corrcoef(part[:, live].T).reshape(len(live), len(live)).fill_diagonal_(0).abs()
        if float(correlation.max()) > 7 / math.sqrt(BATCH):
            a, b = divmod(int(correlation.argmax()), len(live))
            (i, f), (j, g) = names[live[a]], names[live[b]]
            shared = "features of one instance share a draw" if i == j else "instances share a draw"
            return f"{shared}: instance {i} feature {f} and instance {j} feature {g} tend to be {what}; draw a number for every entry"
    for part, what in (((columns != 0).double(), "the same features on"), (columns, "the same magnitudes")):
        same = (part[1:] == part[:-1]).all(1).double().mean()
        distinct = len(torch.unique(part, dim=0))
        if float(same) > 0.9 or distinct < 8:
            return f"every row of the batch has {what}; draw anew for each row"
    for i, p in enumerate(inputs["probability"].tolist()):
        if p < 1 and not bool(((x[:, i] != 0).any(0) & (x[:, i] == 0).any(0)).all()):
            return f"in instance {i} some features are always on or always off; draw anew for each row"
    before, after = columns[:-1] - columns.mean(0), columns[1:] - columns.mean(0)
    serial = (before * after).mean(0) / columns.var(0).clamp(min=1e-12)
    if float(serial.abs().max()) > 7 / math.sqrt(BATCH):
        return "neighbouring rows of the batch are alike; draw a number for every entry"
    return None


PROBABILITY, MAGNITUDES, INDEPENDENT = _judge(_probability), _judge(_magnitudes), _judge(_independent)
