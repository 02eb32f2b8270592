"""Values cross between the learner's process and the judge as one safetensors file, never as pickle.

Tensors are stored as such; everything else (numbers, strings, lists, dicts) is JSON in the file's metadata, with a
reference where a tensor stood. Reading such a file can run no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

TREE = "tree"


def pack(values: Mapping[str, Any]) -> bytes:
    """Named values as bytes.

    Raises:
        TypeError: A value is neither a tensor nor made of numbers, strings, lists and dicts; the message names it.
    """
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    tree = _flatten(dict(values), "values", tensors)
    return save(tensors, metadata={TREE: json.dumps(tree)})


def unpack(data: bytes) -> dict[str, Any]:
    """The named values that `pack` stored.

    Raises:
        ValueError: The bytes are not such a file.
    """
    from safetensors.torch import load

    try:
        length = int.from_bytes(data[:8], "little")
        tree = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][TREE])
        return _restore(tree, load(data))
    except Exception as error:
        raise ValueError(f"not a file of named values: {error}") from error


def _flatten(value: Any, path: str, tensors: dict[str, Any]) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return {"json": value}
    if isinstance(value, float):
        return {"float": value.hex()}  # hex keeps every bit, and the infinities that JSON lacks
    if isinstance(value, Mapping):
        return {"dict": [[str(key), _flatten(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_flatten(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    raise TypeError(
        f"{path.removeprefix('values.')} is a {type(value).__name__}; "
        "only tensors, numbers, text, lists and dicts can be judged"
    )


def _restore(tree: Any, tensors: dict[str, Any]) -> Any:
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float.fromhex(content)
    if kind == "dict":
        return {key: _restore(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_restore(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
