"""`data/golden.json`: what each record is expected to be, within which tolerance, and why that tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labs_src.course.cells import rebuild, write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown
from labs_src.course.records import near, reaches_floor

Table = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""tier -> lab id -> record name -> {"expected", "tolerance", "why"}"""


def load(path: Path) -> Table:
    """The table; empty when there is none yet.

    Raises:
        Problem: The file is not JSON.
    """
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        restore = f"Restore it with: git checkout -- {shown(path)}"
        raise Problem(f"{shown(path)} is not valid JSON ({error}). {restore}") from error


def save(path: Path, table: Table) -> None:
    """Write the table: labs and tiers sorted, records in the lab's order."""
    ordered = {tier: {lab: table[tier][lab] for lab in sorted(table[tier])} for tier in sorted(table)}
    write_atomically(path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def six_digits(value: float) -> float | int:
    """A value at six significant digits, so that the file does not change with the last bits."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def merge(
    old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], accept: bool = False
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The lab's entries after a build, and what speaks against them.

    Args:
        old: The lab's entries in the golden file.
        new: The records of the executed notebook.
        accept: Take the new values as they are.

    Returns:
        The new entries, and one line for each record that missed its floor, moved out of its tolerance, or vanished.
    """
    entries, objections = {}, []
    for name, record in new.items():
        expected = old.get(name, {}).get("expected")
        compared = record["tolerance"] is not None
        if not reaches_floor(record):
            objections.append(f"{name} = {record['value']:.6g} misses its floor (must be {record['must']})")
        elif compared and expected is not None and not near(record["value"], expected, record["tolerance"]):
            objections.append(f"{name} = {record['value']:.6g}, expected {expected:.6g} ± {record['tolerance']:g}")
        if accept or expected is None:
            expected = record["value"]
        entries[name] = {
            "expected": six_digits(expected) if compared else None,
            "tolerance": record["tolerance"],
            "why": record["why"],
        }
    objections += [f"{name} vanished: the lab no longer records it" for name in old if name not in new]
    return entries, [] if accept else objections


def refusal(lab_id: str, objections: list[str]) -> str:
    """What is said when a build is refused."""
    accept = rebuild().removeprefix("Rebuild it with: ")
    reasons = "; ".join(objections)
    return f'Lab {lab_id} was not written: {reasons}. If that is right: {accept} ARGS="--only {lab_id} --accept"'
