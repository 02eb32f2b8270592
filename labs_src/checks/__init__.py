"""Checks: one module a lab (`lab02.py`), each with `EXERCISES` in the order in which the lab meets them."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labs_src.checks.contract import Exercise


def lab_ids() -> list[str]:
    """The labs that have checks: two digits each, in order."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.removeprefix("lab") for name in names if name.startswith("lab") and name[3:].isdigit())


@cache
def exercises(lab: str) -> tuple[Exercise, ...]:
    """The exercises of a lab, in its order.

    Raises:
        ValueError: No such lab; the message lists those that exist.
    """
    if lab not in lab_ids():
        raise ValueError(f"There is no lab {lab!r} with exercises; there are {', '.join(lab_ids())}.")
    return tuple(importlib.import_module(f"{__name__}.lab{lab}").EXERCISES)


def find(name: str) -> Exercise:
    """The exercise whose function is called `name`.

    Raises:
        ValueError: No such exercise; the message names the nearest.
    """
    everything = {exercise.name: exercise for lab in lab_ids() for exercise in exercises(lab)}
    if name in everything:
        return everything[name]
    near = difflib.get_close_matches(name, everything, n=1, cutoff=0.5)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"No exercise is called {name!r}.{meant} "
        "Exercises are found by the name of the function: keep the one in the stub."
    )
