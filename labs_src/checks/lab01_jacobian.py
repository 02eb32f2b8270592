"""Lab 01: what the skip does to a block's Jacobian. The oracle is finite differences in float64, away from kinks."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

D_MODEL, D_MLP = 6, 11


def _jacobian_inputs(skip: bool):
    def inputs(rng) -> dict:
        W_in, W_out = normal(rng, D_MODEL, D_MLP, scale=0.5), normal(rng, D_MLP, D_MODEL, scale=0.5)
        while True:  # away from the kinks, where no derivative exists, and with neurons on both sides
            x, b_in = normal(rng, D_MODEL), normal(rng, D_MLP)
            hidden = x @ W_in + b_in
            if hidden.abs().min() > 1e-3 and 3 <= int((hidden > 0).sum()) <= D_MLP - 3:
                return {"x": x, "W_in": W_in, "b_in": b_in, "W_out": W_out, "skip": skip}

    return inputs


def _by_differences(x, W_in, b_in, W_out, skip) -> torch.Tensor:
    x, W_in, b_in, W_out = (t.double() for t in (x, W_in, b_in, W_out))

    def y(v):
        return (v if skip else 0.0) + (v @ W_in + b_in).clamp(min=0.0) @ W_out

    steps = 1e-5 * torch.eye(len(x), dtype=torch.float64)
    return torch.stack([(y(x + step) - y(x - step)) / 2e-5 for step in steps], dim=1)


def _jacobian(x, W_in, b_in, W_out, skip, *, mask="on", flip=False, identity=None, transpose=False):
    hidden = x @ W_in + b_in
    gate = {"on": hidden > 0, "none": torch.ones_like(hidden), "off": hidden < 0, "value": hidden.clamp(min=0),
            "nobias": x @ W_in > 0}[mask]  # fmt: skip
    J = ((W_in * gate) @ W_out).T
    J = J.T if transpose else J
    return J + (skip if identity is None else identity) * torch.eye(len(x))


_JACOBIAN_MISTAKES = (
    Mistake("the identity is missing: with a skip it is I + J_F", lambda *a: _jacobian(*a, identity=0.0)),
    Mistake("the identity is there without a skip: look at the argument skip", lambda *a: _jacobian(*a, identity=1.0)),
    Mistake("transposed: row i is output i, column j is input j", lambda *a: _jacobian(*a, transpose=True)),
    Mistake("ReLU's derivative is missing: neurons that are off pass nothing", lambda *a: _jacobian(*a, mask="none")),
    Mistake("the gate is the wrong way round: neurons that are on pass", lambda *a: _jacobian(*a, mask="off")),
    Mistake("multiplied by the neurons' values; ReLU's derivative is 1 or 0", lambda *a: _jacobian(*a, mask="value")),
    Mistake("b_in decides too which neurons are on", lambda *a: _jacobian(*a, mask="nobias")),
    Mistake("ReLU's derivative and the identity are missing", lambda *a: _jacobian(*a, mask="none", identity=0.0)),
    Mistake("ReLU's derivative is missing, and the identity is there without a skip",
            lambda *a: _jacobian(*a, mask="none", identity=1.0)),
    Mistake("ReLU's derivative is missing (neurons that are off pass nothing), and the result is transposed",
            lambda *a: _jacobian(*a, mask="none", transpose=True)),
    Mistake("ReLU's derivative and the identity are missing, and the result is transposed",
            lambda *a: _jacobian(*a, mask="none", transpose=True, identity=0.0)),
    Mistake("multiplied by the neurons' values (ReLU's derivative is 1 or 0), and the result is transposed",
            lambda *a: _jacobian(*a, mask="value", transpose=True)),
    Mistake("the identity is missing, and the result is transposed: row i is output i, column j is input j",
            lambda *a: _jacobian(*a, transpose=True, identity=0.0)),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="block_jacobian",
        lab="01",
        title="The Jacobian I + J_F",
        parts=(
            Part(
                "without a skip: J_F",
                2,
                _jacobian_inputs(False),
                expect(_by_differences, axes="output input", mistakes=_JACOBIAN_MISTAKES),
            ),
            Part(
                "with a skip: I + J_F",
                1,
                _jacobian_inputs(True),
                expect(_by_differences, axes="output input", mistakes=_JACOBIAN_MISTAKES),
            ),
        ),
        hints=(
            "Follow a small change of x: through W_in, through ReLU, through W_out. Which neurons pass it on?",
            "Neurons with x @ W_in + b_in > 0 have slope 1, the others 0. In row vectors dy = dx @ M; the Jacobian is M.T.",
            "M = (W_in * (x @ W_in + b_in > 0)) @ W_out; add torch.eye(len(x)) if skip; return M.T",
        ),
        read_again="Why add: the Jacobian I + J_F",
        difficulty=3,
        importance=4,
        minutes=12,
    ),
)
