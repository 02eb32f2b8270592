"""Ways to call a learner's function, for parts that need more than one plain call.

This module, and every other whose name begins with `probes`, is readable where a submission runs, so nothing in them
may know an answer. A probe is a function, or a frozen dataclass with plain fields: `to_json` writes it down for the
other process, `from_json` makes it again there.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any


@dataclass(frozen=True)
class Twice:
    """Two calls with the same values, as a list: what draws for itself gives two answers, a fixed seed gives one."""

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> list[Any]:
        return [fn(*inputs.values()), fn(*inputs.values())]


@dataclass(frozen=True)
class Only:
    """One call with some of the values; the judge needs the others.

    Attributes:
        names: Of the values, in the order of the arguments.
    """

    names: tuple[str, ...]

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> Any:
        return fn(*(inputs[name] for name in self.names))


@dataclass(frozen=True)
class Explained:
    """The usual call; where axes do not fit, the message says first how they lie.

    Attributes:
        text: Said before PyTorch's own words.
    """

    text: str

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> Any:
        try:
            return fn(*inputs.values())
        except NotImplementedError:  # a stub; also a RuntimeError
            raise
        except (RuntimeError, IndexError) as error:
            error.args = (f"{self.text} {error}",)
            raise


@dataclass(frozen=True)
class Each:
    """A call for each of the `cases`, as a list; a case that is a dict gives its values as arguments."""

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> list[Any]:
        cases = inputs["cases"]
        return [fn(*case.values()) if isinstance(case, dict) else fn(case) for case in cases]


@dataclass(frozen=True)
class Listed:
    """The usual call; a set becomes a list, since a set cannot cross to the judge."""

    def __call__(self, fn: Callable, inputs: dict[str, Any]) -> Any:
        value = fn(*inputs.values())
        return list(value) if isinstance(value, set | frozenset) else value


MODULE = re.compile(r"labs_src\.checks\.(probes\w*)")


def to_json(probe: Any) -> dict[str, Any] | None:
    """A probe as data; None for the usual call.

    Raises:
        TypeError: It is defined elsewhere, where a submission cannot and must not reach it.
    """
    if probe is None:
        return None
    kind = type(probe) if is_dataclass(probe) else probe
    found = MODULE.fullmatch(getattr(kind, "__module__", ""))
    name = getattr(kind, "__qualname__", "")
    if found is None or not name.isidentifier():
        raise TypeError(
            f"a part's probe has to be a frozen dataclass or a function of labs_src/checks/probes*.py, not {probe!r}"
        )
    fields = asdict(probe) if is_dataclass(probe) else None
    return {"module": found[1], "kind": name, "fields": fields}


def from_json(description: dict[str, Any] | None) -> Any:
    """The probe that `to_json` wrote down."""
    if description is None:
        return None
    kind = getattr(importlib.import_module(f"labs_src.checks.{description['module']}"), description["kind"])
    if description["fields"] is None:
        return kind
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in description["fields"].items()})
