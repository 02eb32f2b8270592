"""A probe for a test that the learner writes: it gets two functions, made here from numbers.

Readable where a submission runs. What is wrong with the second function, if anything, is in the numbers that it is made
from; its name stays with the judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

EPS = 1e-6


def parity(fn: Callable, inputs: dict[str, Any]) -> list[Any]:
    """The learner's verdict on each case: `fn(reference, ours, x)`."""
    return [fn(_reference(case), _ours(case["weight"], case["how"]), case["x"]) for case in inputs["cases"]]


def _reference(case: dict[str, Any]) -> Callable:
    W, gamma = case["W"], case["gamma"]
    return lambda x: _through(x / _rms(x) * (1 + gamma), W)


def _ours(weight: torch.Tensor, how: dict[str, Any]) -> Callable:
    def run(x: torch.Tensor) -> torch.Tensor:
        scale = _rms(x.clamp(-how["clamp"], how["clamp"]))
        if how["divide"] == "never":
            out = _through(x, weight)
        elif how["divide"] == "after":
            out = _through(x, weight) / scale[..., None]
        else:
            normed = x / scale
            out = _through(normed.double(), weight).float() if how["double"] else _through(normed, weight)
        return how["factor"] * out

    return run


def _rms(x: torch.Tensor) -> torch.Tensor:
    return (x.pow(2).mean(-1, keepdim=True) + EPS).sqrt()


def _through(y: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nd,hed->nhe", y, W)
