"""Lab 07's parity tests: folding, the test itself, rotating keys, the first stage that differs."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.probes import Each
from labs_src.checks.probes_parity import parity

TEST = "3 The norm's gain"


def _weights(rng) -> dict:
    n = int(rng.integers(4, 8))
    gamma = torch.from_numpy(rng.uniform(-0.9, 1.5, n)).float()
    return {"W": normal(rng, n, n), "gamma": gamma}


def _wide(rng) -> dict:
    return {"W": normal(rng, 6, 5), "gamma": torch.from_numpy(rng.uniform(-0.9, 1.5, 5)).float()}


def _fold_by_loop(W, gamma) -> torch.Tensor:
    return torch.tensor([[float(w) * (1 + float(g)) for w, g in zip(row, gamma, strict=True)] for row in W])


_FOLD_MISTAKES = (
    Mistake("this is the first post's bug: Gemma multiplies by 1 + gamma, and gamma is stored", lambda W, g: W * g),
    Mistake("this is W itself; the gain is not in it", lambda W, g: W),
    Mistake(
        "each output is scaled; the gain belongs to what comes in, along d_model, the last axis", lambda W, g: W * (1 + g)[:, None]
    ),
    Mistake("the gain is divided out; fold it in", lambda W, g: W / (1 + g)),
    Mistake("1 is added to the whole product; the factor is 1 + gamma", lambda W, g: 1 + W * g),
    Mistake("the right numbers, but transposed; transformers stores (out, d_model)", lambda W, g: (W * (1 + g)).T),
)  # fmt: skip

FOLD = Exercise(
    name="fold_gain",
    lab="07",
    title="Fold the norm's gain into a weight",
    parts=(
        Part("a square weight, so that shapes do not help", 1, _weights, expect(_fold_by_loop, axes="out d_model", mistakes=_FOLD_MISTAKES)),
        Part("a weight with more outputs than inputs", 1, _wide, expect(_fold_by_loop, axes="out d_model", mistakes=_FOLD_MISTAKES[:2])),
    ),
    hints=(
        "y[d] = x[d] / rms * (1 + gamma[d]). Which entries of W does y[d] meet?",
        "In y @ W.T, column d of W meets y[d]. So column d is multiplied by 1 + gamma[d].",
        "return W * (1 + gamma): gamma lies along the last axis.",
    ),
    read_again=TEST,
    difficulty=1,
    importance=5,
    minutes=4,
)  # fmt: skip


# The test: inputs hold the weights of a candidate and how it computes; the probe makes both functions beside the learner's,
# so no code crosses. Which candidate it is stays here (a key with an underscore is not sent).


def _case(kind: str, size: float = 1.0) -> Callable:
    def inputs(rng) -> dict:
        n, heads, d_head, d = 12, 3, 4, 10
        W = normal(rng, heads, d_head, d, scale=size)
        W[1] *= 1e-5  # a head whose numbers vanish beside the rest
        x, gamma = normal(rng, n, d), torch.from_numpy(rng.uniform(0.3, 1.5, d)).float()
        weight, changed = CANDIDATES[kind](W, gamma)
        how = {"divide": "before", "double": False, "clamp": math.inf, "factor": 1.0, **changed}
        return {"_kind": kind, "x": x, "W": W, "gamma": gamma, "weight": weight, "how": how}

    return inputs


def _one_head(W, head: int, change: Callable) -> torch.Tensor:
    W = W.clone()
    W[head] = change(W[head])
    return W


# Each gives the candidate's weight, and what it does in its own way.
CANDIDATES: dict[str, Callable] = {
    "right": lambda W, g: (W * (1 + g), {}),
    "right, in another order": lambda W, g: (W * (1 + g), {"divide": "after"}),
    "right, in double": lambda W, g: ((W * (1 + g)).double(), {"double": True}),
    "gamma": lambda W, g: (W * g, {}),
    "no gain": lambda W, g: (W.clone(), {}),
    "no rms": lambda W, g: (W * (1 + g), {"divide": "never"}),
    "a factor": lambda W, g: (W * (1 + g), {"factor": 1.5}),
    "a small factor": lambda W, g: (W * (1 + g), {"factor": 1.001}),
    "minus": lambda W, g: (W * (1 + g), {"factor": -1.0}),
    "one head": lambda W, g: (_one_head(W, 1, lambda w: w.roll(1, 0)) * (1 + g), {}),
    "one head's factor": lambda W, g: (_one_head(W, 1, lambda w: 1.01 * w) * (1 + g), {}),
    "cap": lambda W, g: (W * (1 + g), {"clamp": 30.0}),
    "nan": lambda W, g: (W * math.nan, {}),
}

_ACCEPTS = {
    "gamma": "it passes the first post's fold, gamma without the 1",
    "no gain": "it passes code that leaves the gain out",
    "no rms": "it passes code that never divides by rms: x has rms about 1, so try the larger scales too",
    "a factor": "it passes a fold that is wrong by a factor: the cosine cannot see it, the relative error can",
    "a small factor": "it passes a fold that is off by one in a thousand; the bar is a relative error of 1e-4",
    "minus": "it passes a fold with the wrong sign; a large negative cosine is no agreement",
    "one head": "it passes a fold that is wrong in one head, whose numbers are small beside the others': judge each head alone",
    "one head's factor": "it passes a fold that is 1% off in one head: judge each head's relative error alone",
    "cap": "it passes code that is right for small inputs and wrong at scale 100: try all three scales",
    "nan": "it passes NaN: a comparison with NaN is False, so ask whether the error IS below the bar, not whether it is above",
}


def _judge_parity(inputs: dict, value) -> str | None:
    kind = inputs["_kind"]
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, bool):
        return f"return True or False; got a {type(value).__name__}"
    right = kind.startswith("right")
    if value == right:
        return None
    if not right:
        return _ACCEPTS[kind]
    size = "numbers of this size" if kind == "right" else kind.removeprefix("right, ")
    return f"it fails right code ({size}): allow for rounding, relative to the size of the reference"


def _parts() -> tuple[Part, ...]:
    """(name, points, kinds with the size of the weights)."""
    groups = (
        ("right code passes, however it is written", 1, (("right", 1.0), ("right, in another order", 1.0), ("right, in double", 1.0))),
        ("right code with large numbers passes, wrong code with small numbers fails", 1, (("right", 1e5), ("gamma", 1e-6))),
        ("a wrong gain fails", 1, (("gamma", 1.0), ("no gain", 1.0))),
        ("a wrong factor or sign fails", 1, (("a factor", 1.0), ("a small factor", 1.0), ("minus", 1.0))),
        ("code that is right at one scale only fails", 1, (("no rms", 1.0), ("cap", 1.0))),
        ("one wrong head fails, and so does NaN", 1, (("one head", 1.0), ("one head's factor", 1.0), ("nan", 1.0))),
    )  # fmt: skip
    return tuple(Part(name, points, _several(cases), _judge_several, parity) for name, points, cases in groups)


def _several(cases) -> Callable:
    def inputs(rng) -> dict:
        return {"cases": [_case(kind, size)(rng) for kind, size in cases]}

    return inputs


def _judge_several(inputs: dict, value) -> str | None:
    for case, found in zip(inputs["cases"], value, strict=True):
        if (message := _judge_parity(case, found)) is not None:
            return message
    return None


PARITY = Exercise(
    name="gamma_parity",
    lab="07",
    title="Write the parity test",
    parts=_parts(),
    hints=(
        "Three loops' worth of questions: which scale, which head, which of the two measures. Everything must hold.",
        "For scale in (1, 12, 100): a = candidate(scale * x)[:, head], b = reference(scale * x)[:, head]. Error is norm(a - b) / norm(b).",
        "if not (error < 1e-4 and cosine > 0.99999): return False. Written so, NaN fails too. Return True at the very end.",
    ),
    read_again=TEST,
    difficulty=3,
    importance=5,
    minutes=15,
)


def _keys(rng) -> dict:
    return {
        "k": normal(rng, 7, 12),
        "distance": torch.from_numpy(rng.integers(0, 30, 7)),
        "theta": float(rng.uniform(20, 100)),
    }


def _short_keys(rng) -> dict:
    return {"k": normal(rng, 3, 2), "distance": torch.tensor([0, 1, 2]), "theta": 100.0}


def _turned(k, distance, theta, sign=-1, pairs=None, power=None) -> torch.Tensor:
    """Each pair as a complex number times exp(i angle)."""
    n, d = k.shape
    pairs = pairs or [(i, i + d // 2) for i in range(d // 2)]
    out = k.clone()
    for row in range(n):
        for p, (a, b) in enumerate(pairs):
            exponent = (power or (lambda p: 2 * p / d))(p)
            z = complex(k[row, a], k[row, b]) * cmath.exp(1j * sign * float(distance[row]) * theta**-exponent)
            out[row, a], out[row, b] = z.real, z.imag
    return out


def _neighbours(k) -> list:
    return [(i, i + 1) for i in range(0, k.shape[1], 2)]


_ROTATE_MISTAKES = (
    Mistake("this pairs neighbours (0, 1), (2, 3) ..., the first post's bug; Gemma pairs i with i + d_head / 2", lambda k, s, t: _turned(k, s, t, pairs=_neighbours(k))),
    Mistake("turned by plus the distance; the key lies behind, so it is turned by minus", lambda k, s, t: _turned(k, s, t, sign=1)),
    Mistake("neighbours are paired, and the sign of the distance is the wrong way round", lambda k, s, t: _turned(k, s, t, sign=1, pairs=_neighbours(k))),
    Mistake("the angles fall too slowly: the exponent is -2 i / d_head, with i from 0 to d_head / 2 - 1", lambda k, s, t: _turned(k, s, t, power=lambda p: p / k.shape[1])),
    Mistake("the angles grow with i: theta has a negative exponent", lambda k, s, t: _turned(k, s, t, power=lambda p: -2 * p / k.shape[1])),
    Mistake("every pair is turned by the same angle; pair i by distance * theta ** (-2 i / d_head)", lambda k, s, t: _turned(k, s, t, power=lambda p: 0.0)),
    Mistake("i counts from 1; the first pair has i = 0 and turns by the distance itself", lambda k, s, t: _turned(k, s, t, power=lambda p: 2 * (p + 1) / k.shape[1])),
)  # fmt: skip

ROTATE = Exercise(
    name="rotate_key",
    lab="07",
    title="Rotate keys by minus the distance",
    parts=(
        Part("keys at several distances", 2, _keys, expect(_turned, axes="key d_head", mistakes=_ROTATE_MISTAKES, rtol=1e-3, atol=1e-4)),
        Part("a head with a single pair", 1, _short_keys, expect(_turned, axes="key d_head", mistakes=_ROTATE_MISTAKES[1:2], rtol=1e-3, atol=1e-4)),
    ),
    hints=(
        "Split k in two halves: a = k[:, :half], b = k[:, half:]. Pair i is (a[:, i], b[:, i]).",
        "angle[n, i] = -distance[n] * theta ** (-i / half), since -2 i / d_head = -i / half.",
        "torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1) with cos = angle.cos(), sin = angle.sin().",
    ),
    read_again="4 The rotation",
    difficulty=2,
    importance=4,
    minutes=8,
)  # fmt: skip


def _stages(first: int | None, later: bool = True, nan: bool = False) -> Callable:
    """Pipelines of five stages whose sizes differ by many powers of ten; from `first` on they differ."""

    def inputs(rng) -> dict:
        names, sizes = ["input", "codes", "queries", "rotated", "logits"], [1.0, 1e-4, 1e4, 1e-2, 30.0]
        reference = {name: normal(rng, 4, 6, scale=size) for name, size in zip(names, sizes, strict=True)}
        ours = {name: value * (1 + 1e-6 * normal(rng, 4, 6)) for name, value in reference.items()}
        if first is not None:
            for name in names[first:] if later else names[first : first + 1]:
                ours[name] = reference[name] * 1.05 if not nan else torch.full_like(reference[name], float("nan"))
        return {"ours": ours, "reference": reference, "tolerance": 1e-3}

    return inputs


def _first_by_loop(ours, reference, tolerance) -> str:
    for name in reference:
        gap = math.sqrt(
            sum(
                (float(a) - float(b)) ** 2 for a, b in zip(ours[name].flatten(), reference[name].flatten(), strict=True)
            )
        )
        size = math.sqrt(sum(float(b) ** 2 for b in reference[name].flatten()))
        if math.isnan(gap) or gap / size >= tolerance:
            return name
    return ""


def _by_gap(measure: Callable) -> Callable:
    def found(ours, reference, tolerance) -> str:
        return next((name for name in reference if measure(ours[name], reference[name]) > tolerance), "")

    return found


_FIRST_MISTAKES = (
    Mistake("this is the last stage that differs; what comes after the first only follows from it", lambda o, r, t: ([n for n in r if _first_by_loop({n: o[n]}, {n: r[n]}, t)] or [""])[-1]),
    Mistake("an absolute difference misses stages with small numbers, and finds rounding in large ones; divide by the norm of the reference", _by_gap(lambda a, b: float((a - b).abs().max()))),
    Mistake("an absolute difference misses stages with small numbers, and finds rounding in large ones; divide by the norm of the reference", _by_gap(lambda a, b: float((a - b).norm()))),
    Mistake("this is the stage with the largest error; name the first one over the tolerance", lambda o, r, t: max(r, key=lambda n: float((o[n] - r[n]).norm()))),
    Mistake("NaN passed for agreement: a comparison with NaN is False, so ask whether the error IS below the tolerance", _by_gap(lambda a, b: float((a - b).norm() / b.norm()))),
    Mistake("the smallest rounding counts as a difference; use the tolerance", lambda o, r, t: next((n for n in r if not torch.equal(o[n], r[n])), "")),
)  # fmt: skip


def _judge_first(inputs, value) -> str | None:
    if not isinstance(value, str):
        return f'return the name of a stage, or "" if there is none; got a {type(value).__name__}'
    message = expect(_first_by_loop, mistakes=_FIRST_MISTAKES)(inputs, value)
    if message is not None and message.startswith("got "):
        return f"got {value!r}, expected {_first_by_loop(*inputs.values())!r}"
    return message


def _none_then_nan(rng) -> dict:
    """Two questions at once: agreement up to rounding, and a stage of NaN."""
    return {"cases": [_stages(None)(rng), _stages(3, nan=True)(rng)]}


def _judge_both(inputs, value) -> str | None:
    for case, found in zip(inputs["cases"], value, strict=True):
        if (message := _judge_first(case, found)) is not None:
            return message
    return None


FIRST = Exercise(
    name="first_difference",
    lab="07",
    title="The first stage that differs",
    parts=(
        Part("the first of several", 1, _stages(0), _judge_first),
        Part("a stage of small numbers", 1, _stages(1, later=False), _judge_first),
        Part("no difference but rounding, and NaN", 1, _none_then_nan, _judge_both, Each()),
    ),
    hints=(
        "Go through the stages in order; dictionaries keep theirs.",
        "Relative error: (ours[stage] - reference[stage]).norm() / reference[stage].norm().",
        'if not (error < tolerance): return stage. And return "" when the loop ends.',
    ),
    read_again="6 Where two pipelines part",
    difficulty=2,
    importance=5,
    minutes=7,
)
