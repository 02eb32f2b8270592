"""A probe that sees how large a table a function makes. Readable where a submission runs: it knows no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that is made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@dataclass(frozen=True)
class Watched:
    """Calls the function and tells, beside its value, how many entries the largest tensor had that it made."""

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> dict[str, Any]:
        with _Largest() as largest:
            value = fn(*inputs.values())
        return {"value": value, "largest": largest.entries}
