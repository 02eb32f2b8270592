"""Measurements against the obvious way, as ratios: `python -m benchmarks.run` prints one table.

A benchmark is a module with `main(argv)` that prints one line, best made with `line`.
"""

from __future__ import annotations

COLUMNS = "{:<38} {:>12} {:>12} {:>9}  {}"


def header() -> str:
    """The table's first line."""
    return COLUMNS.format("what", "ours", "obvious way", "ratio", "note")


def line(what: str, ours: float, obvious: float, unit: str = "s", note: str = "") -> str:
    """One row of the table.

    Args:
        what: A few words.
        ours: What this project needs, in `unit`.
        obvious: What the obvious way needs, measured in the same run.
        unit: Of both.
        note: What the obvious way is.
    """
    ratio = f"{ours / obvious:.2f}" if obvious else "-"
    return COLUMNS.format(what, f"{ours:.3g} {unit}", f"{obvious:.3g} {unit}", ratio, note)
