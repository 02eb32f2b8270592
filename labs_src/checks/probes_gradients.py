"""A probe for functions whose result has to be differentiable. Readable where a submission runs: it knows no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def differentiate(fn: Callable, inputs: dict[str, Any]) -> dict[str, Any]:
    """The gradient of each of two losses in W, or a word why there is none."""
    W = inputs["W"].clone().requires_grad_()
    value = fn(W, inputs["importance"])
    if not isinstance(value, dict):
        return {"own": "not a dict", "interference": "not a dict"}
    return {key: _gradient(value.get(key), W) for key in ("own", "interference")}


def _gradient(term: Any, W: torch.Tensor) -> Any:
    if not isinstance(term, torch.Tensor):
        return "plain number"
    if term.numel() != 1:
        return "not one number"
    if not term.requires_grad:
        return "no gradient"
    gradient = torch.autograd.grad(term.reshape(()), W, retain_graph=True, allow_unused=True)[0]
    return "no gradient" if gradient is None else gradient
