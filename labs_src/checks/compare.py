"""Judging values: is it right, and if not, which mistake is it?

`expect(oracle, ...)` makes a part's judge. The oracle is written apart from the solution (a loop, a closed form,
finite differences, another library). When a value is wrong the judge looks for a name for the mistake, from the most
particular to the most general: the mistakes listed for this part, the right numbers in another arrangement, a constant
factor, and last the place where the difference is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give: what it would return, and what to say about it."""

    message: str
    value: Callable[..., Any]


def normal(rng, *shape: int, scale: float = 1.0) -> torch.Tensor:
    """Float32 Gaussian tensor of `shape` from a numpy generator (the same on every machine)."""
    return torch.from_numpy(rng.normal(0.0, scale, size=shape)).float()


def expect(
    oracle: Callable[..., Any],
    *,
    axes: str | Mapping[str, str] = "",
    mistakes: tuple[Mistake, ...] = (),
    names: tuple[str, ...] = (),
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> Callable[[dict[str, Any], Any], str | None]:
    """A judge that compares with `oracle(*inputs.values())`.

    Args:
        oracle: Returns a tensor, a number, a bool, a string, or a tuple, list or dict of them.
        axes: Names of the result's axes for messages ("batch query key"); for a dict of results, one string each.
        mistakes: Tried in order when the value is wrong.
        names: Of the entries of a returned tuple or list, for messages ("W'", "b'"); else "value 0", "value 1".
        rtol: Allowed difference relative to the expected entry.
        atol: Allowed difference relative to the largest expected entry.
    """

    def judge(inputs: dict[str, Any], value: Any) -> str | None:
        expected = oracle(*inputs.values())
        message = difference(value, expected, axes=axes, names=names, rtol=rtol, atol=atol)
        if message is None:
            return None
        for mistake in mistakes:
            if _same_mistake(mistake, inputs, value, expected, rtol, atol):
                return mistake.message
        return message

    return judge


def _same_mistake(mistake: Mistake, inputs, value, expected, rtol, atol) -> bool:
    wrong = mistake.value(*inputs.values())
    if difference(wrong, expected, rtol=rtol, atol=atol) is None:
        return False  # on these inputs the mistake makes no difference, so it explains nothing
    return difference(value, wrong, rtol=rtol, atol=atol) is None


def difference(
    value: Any,
    expected: Any,
    *,
    axes: str | Mapping[str, str] = "",
    names: tuple[str, ...] = (),
    rtol: float = 1e-4,
    atol: float = 1e-5,
    name: str = "",
) -> str | None:
    """None when `value` is what was expected, else one sentence that says how it differs."""
    label = f"{name}: " if name else ""
    if isinstance(expected, Mapping):
        if not isinstance(value, Mapping):
            return f"{label}expected a dict with the keys {', '.join(map(str, expected))}; got {_kind(value)}"
        missing = [str(key) for key in expected if key not in value]
        if missing:
            return f"{label}the dict lacks {', '.join(missing)}"
        pairs = [(value[key], expected[key], str(key)) for key in expected]
    elif isinstance(expected, tuple | list):
        if isinstance(value, torch.Tensor) and all(isinstance(item, int | float) for item in expected):
            value = value.tolist()
        listed = ", ".join(names) or type(expected).__name__
        if not isinstance(value, tuple | list):
            return f"{label}expected {len(expected)} values ({listed}); got {_kind(value)}"
        if len(value) != len(expected):
            return f"{label}expected {len(expected)} values{f' ({listed})' if names else ''}; got {len(value)}"
        keys = names or [f"value {i}" for i in range(len(expected))]
        pairs = list(zip(value, expected, keys, strict=True))
    else:
        return _leaf_difference(
            value, expected, axes if isinstance(axes, str) else axes.get(name, ""), rtol, atol, label
        )
    for item, wanted, key in pairs:
        message = difference(
            item, wanted, axes=axes if isinstance(axes, Mapping) else "", rtol=rtol, atol=atol, name=key
        )
        if message is not None:
            return label + message
    return None


def _leaf_difference(value, expected, axes, rtol, atol, label) -> str | None:
    if isinstance(expected, str) or expected is None:
        return None if value == expected and isinstance(value, type(expected)) else f"{label}got {value!r}"
    got, wanted = _tensor(value), _tensor(expected)
    if got is None:
        return f"{label}expected {_kind(expected)}; got {_kind(value)}"
    if wanted.dtype == torch.bool and got.dtype != torch.bool:
        return f"{label}expected True or False in every entry; got numbers ({_dtype(got)})"
    if got.dtype == torch.bool and wanted.dtype != torch.bool:
        return f"{label}expected numbers; got True and False"
    if got.is_complex():
        return f"{label}expected real numbers; got complex ones"
    if got.shape != wanted.shape:
        if wanted.numel() == 1 and got.numel() == 1:
            got = got.reshape(wanted.shape)
        else:
            return f"{label}{_shape_message(got, wanted, axes, rtol, atol)}"
    got, wanted = got.double(), wanted.double()
    if not torch.isfinite(got).all() and torch.isfinite(wanted).all():
        bad = "NaN" if torch.isnan(got).any() else "infinite"
        return f"{label}{int((~torch.isfinite(got)).sum())} of {got.numel()} entries are {bad}"
    if _close(got, wanted, rtol, atol):
        return None
    return f"{label}{_values_message(got, wanted, axes, rtol, atol)}"


def _tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, bool | int | float):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    if hasattr(value, "__array__"):  # numpy arrays and scalars
        return torch.as_tensor(value.__array__())
    return None


def _close(got: torch.Tensor, wanted: torch.Tensor, rtol: float, atol: float) -> bool:
    same = (got == wanted) | (got.isnan() & wanted.isnan())  # also what a wrong mask leaves
    finite = torch.where(torch.isfinite(wanted), wanted, torch.zeros_like(wanted))
    scale = finite.abs().max() if wanted.numel() else 0.0
    near = (got - wanted).abs() <= atol * scale + rtol * finite.abs() + 1e-12
    return bool((same | near).all())


def _shape_message(got, wanted, axes, rtol, atol) -> str:
    names = f" ({axes})" if axes else ""
    text = f"the shape is {tuple(got.shape)}, expected {tuple(wanted.shape)}{names}"
    if (
        got.dim() == wanted.dim() == 2
        and got.T.shape == wanted.shape
        and _close(got.T.double(), wanted.double(), rtol, atol)
    ):
        return text + "; the numbers are right, but transposed"
    if got.numel() == wanted.numel() and _close(got.double().reshape(wanted.shape), wanted.double(), rtol, atol):
        return text + "; the numbers are right, only the shape is not"
    return text


def _values_message(got, wanted, axes, rtol, atol) -> str:
    if wanted.dim() == 2 and wanted.shape[0] == wanted.shape[1] and _close(got.T, wanted, rtol, atol):
        return "the result is transposed"
    finite = torch.isfinite(wanted) & torch.isfinite(got)
    g, w = got[finite], wanted[finite]
    if w.numel() > 1 and w.norm() > 0 and bool(finite.all()):
        factor = float((g @ w) / (w @ w))
        if abs(factor) > 1e-6 and _close(g, factor * w, rtol, atol):
            if abs(factor + 1) < 1e-3:
                return "the sign is the wrong way round; otherwise the numbers are right"
            return f"every entry is {factor:.3g} times what it should be"
        shift = float((g - w).mean())
        if _close(g - shift, w, rtol, atol):
            return f"every entry is off by the same amount ({shift:+.3g})"
    if w.numel() <= 1 and wanted.numel() == 1:
        return f"got {float(got):.5g}, expected {float(wanted):.5g}"
    gap = torch.where(got == wanted, torch.zeros_like(got), (got - wanted).abs())
    gap = torch.nan_to_num(gap, nan=float("inf"))
    scale = torch.where(torch.isfinite(wanted), wanted, torch.zeros_like(wanted)).abs()
    wrong = int((gap > atol * scale.max() + rtol * scale + 1e-12).sum())
    place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
    at = f"[{', '.join(map(str, place))}]" + (f" ({axes})" if axes else "")
    return (
        f"{wrong} of {got.numel()} entries are wrong; the largest difference is at {at}: "
        f"got {float(got[place]):.5g}, expected {float(wanted[place]):.5g}"
    )


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return "a number" if value.dim() == 0 else f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None"
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, int | float):
        return "a number"
    article = "an" if type(value).__name__[0].lower() in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
