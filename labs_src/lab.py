"""What a notebook imports: start a lab, check an exercise, record a number, say it, show a figure."""

from __future__ import annotations

import html
import math
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labs_src.checks.visible import check, hint, solution

if TYPE_CHECKING:
    from labs_src.figures.figure import Figure

__all__ = ["check", "hint", "record", "recorded", "say", "show", "solution", "start"]

METADATA = "interp_workbook"
TABLE_ROWS = 12


@dataclass
class _Session:
    lab: str = ""
    tier: str = "mini"
    records: dict[str, float] = field(default_factory=dict)


_session = _Session()


def start(lab: str, tier: str | None = None, seed: int = 0) -> None:
    """Begin a lab: seeds, one thread for small models, and one line that says which tier is running.

    Args:
        lab: Two digits.
        tier: "mini" or "gemma"; by default the environment's LABS_TIER, else mini.
        seed: For python, numpy and torch.

    Raises:
        ValueError: No such tier.
    """
    import random

    import numpy as np
    import torch

    tier = tier or os.environ.get("LABS_TIER", "mini")
    if tier not in ("mini", "gemma"):
        raise ValueError(f"There is no tier {tier!r}: use 'mini' (small models that come with the course) or 'gemma'.")
    _session.lab, _session.tier = lab, tier
    _session.records.clear()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    # Enough digits to read, few enough to be the same on another processor.
    torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)
    print(f"Lab {lab}, {tier} tier, seed {seed}.")


def record(
    name: str,
    value: Any,
    *,
    tolerance: float | None,
    why: str,
    must: str | None = None,
    unit: str | None = None,
) -> None:
    """Put a number into the notebook's output, for the prose, the report and the regression test.

    Args:
        name: As in the list of the lab's records.
        value: A number, or a tensor with one element.
        tolerance: How far it may move from the expected value; None for a number that is reported and never compared,
            such as a time.
        why: The reason for the tolerance.
        must: What has to hold, where something has to: "> 0.8", ">= 0.95", "< 0.1", "<= 5" or "= 2" (within the
            tolerance).
        unit: Such as "s" or "nats".

    Raises:
        ValueError: The value is not one finite number, or `must` is not of that form.
    """
    from IPython.display import display

    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"record({name!r}): the value is {number}; look at the cell that computed it.")
    if isinstance(value, bool | int):
        number = int(value)
    _session.records[name] = number
    entry = {"name": name, "value": number, "tolerance": tolerance, "why": why}
    entry |= {"unit": unit, "must": must, "held": must is None or holds(must, number, tolerance)}
    display({"text/plain": _line(entry)}, raw=True, metadata={METADATA: {"record": entry}})


def recorded(name: str) -> float:
    """The value recorded under `name` in this lab.

    Raises:
        KeyError: Nothing was recorded under that name yet.
    """
    if name not in _session.records:
        raise KeyError(f"nothing is recorded as {name!r} yet; run the cells above first")
    return _session.records[name]


def say(text: str, **values: Any) -> None:
    """Show Markdown in which `{name:.2f}` is a recorded number, or one of `values`.

    So that no number in the prose is typed. Write LaTeX braces doubled.
    """
    from IPython.display import Markdown, display

    try:
        filled = text.format(**{**_session.records, **values})
    except KeyError as missing:
        raise KeyError(f"nothing is recorded as {missing} yet; run the cells above first") from None
    display(Markdown(filled))


def show(figure: Figure) -> None:
    """Show a figure with its alt text and, folded away, the numbers that it is drawn from."""
    from IPython.display import HTML, display

    entry = {"title": figure.title, "alt": figure.alt}
    display(figure.bundle(), raw=True, metadata={METADATA: {"figure": entry}})
    rows = figure.data.head(TABLE_ROWS).to_html(index=False, border=0, float_format=lambda x: f"{x:.3g}")
    more = len(figure.data) - TABLE_ROWS
    note = f"<p>and {more} more rows</p>" if more > 0 else ""
    text = html.escape(figure.alt)
    display(HTML(f"<p><em>In words:</em> {text}</p><details><summary>The numbers</summary>{rows}{note}</details>"))


def _line(entry: dict[str, Any]) -> str:
    """A record as text. Digits follow the tolerance, so that the line survives another processor."""
    unit = f" {entry['unit']}" if entry["unit"] else ""
    return f"{entry['name']} {_rounded(entry['value'], entry['tolerance'])}{unit}{_bound(entry)}"


def _rounded(value: float, tolerance: float | None) -> str:
    """With its sign: "≈" where prose may show more digits of the same number."""
    if isinstance(value, int):
        return f"= {value}"
    if tolerance is None:
        return f"= {value:.3g}"
    if 0 < abs(value) < tolerance:
        return f"≈ 0, within {tolerance:g}"
    digits = max(0, math.ceil(-math.log10(tolerance))) if tolerance > 0 else 6
    return f"≈ {value:.{min(digits, 6)}f}"


def _bound(entry: dict[str, Any]) -> str:
    if entry["must"] is None:
        return ""
    return f" (must be {entry['must']}: {'yes' if entry['held'] else 'NO'})"


def holds(must: str, value: float, tolerance: float | None = None) -> bool:
    """Whether `value` meets a bound such as "> 0.8".

    Raises:
        ValueError: The bound has another form.
    """
    found = re.fullmatch(r"(>=|<=|>|<|=)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)", must.strip())
    if found is None:
        raise ValueError(f"a bound looks like '> 0.8', '>= 0.95', '< 0.1', '<= 5' or '= 2', not {must!r}")
    bound = float(found[2])
    match found[1]:
        case ">":
            return value > bound
        case ">=":
            return value >= bound
        case "<":
            return value < bound
        case "<=":
            return value <= bound
        case _:
            return abs(value - bound) <= (tolerance or 0)
