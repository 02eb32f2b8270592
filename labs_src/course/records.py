"""The numbers that a lab recorded, read from the executed notebook, and judged."""

from __future__ import annotations

import math
from typing import Any

from labs_src.lab import METADATA, holds


def records(notebook: Any) -> dict[str, dict[str, Any]]:
    """Every record by name, as `labs_src.lab.record` emitted it.

    Args:
        notebook: An executed notebook.
    """
    return {entry["name"]: entry for entry in _emitted(notebook, "record")}


def figures(notebook: Any) -> list[dict[str, str]]:
    """Title and alt text of every figure, in order."""
    return _emitted(notebook, "figure")


def reaches_floor(record: dict[str, Any]) -> bool:
    """Whether a record is on the right side of its floor (`must`); one without a floor always is."""
    value = float(record["value"])
    if not math.isfinite(value):
        return False
    return record.get("must") is None or holds(record["must"], value, record.get("tolerance"))


def near(value: float, expected: float | None, tolerance: float | None) -> bool:
    """Whether a value is as expected; without a tolerance anything is (times are never compared)."""
    if tolerance is None or expected is None:
        return tolerance is None
    slack = 1e-6 * abs(expected)  # what rounding to six digits in golden.json can cost
    return math.isfinite(value) and abs(value - expected) <= tolerance + slack


def _emitted(notebook: Any, kind: str) -> list[dict[str, Any]]:
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            entry = output.get("metadata", {}).get(METADATA, {}).get(kind)
            if entry is not None:
                found.append(dict(entry))
    return found


def judge(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each record against its floor and against the golden file.

    Args:
        found: What the lab recorded.
        expected: The lab's entries in the golden file.

    Returns:
        By name: value, expected, tolerance, ok, floor, why, unit, problem (None, or which of "missed its floor",
        "drifted", "new", "missing").
    """
    judged = {}
    for name in [*found, *(name for name in expected if name not in found)]:
        record, entry = found.get(name), expected.get(name)
        problem = _problem(record, entry)
        source, golden = record or {}, entry or source_of(record)
        judged[name] = {
            "value": source.get("value"),
            "expected": golden.get("expected"),
            "tolerance": golden.get("tolerance"),
            "ok": problem is None,
            "floor": source.get("must"),
            "why": golden.get("why", ""),
            "unit": source.get("unit"),
            "problem": problem,
        }
    return judged


def source_of(record: dict[str, Any] | None) -> dict[str, Any]:
    """What the lab itself says of a record that the golden file does not know yet."""
    return {"expected": None, "tolerance": record["tolerance"], "why": record["why"]} if record else {}


def _problem(record: dict[str, Any] | None, entry: dict[str, Any] | None) -> str | None:
    if record is None:
        return "missing"
    if not reaches_floor(record):
        return "missed its floor"
    if entry is None:
        return "new"
    return None if near(record["value"], entry["expected"], entry["tolerance"]) else "drifted"
