"""What a learner has solved, in a file that survives crashes.

`work/.progress.jsonl` gets one line for each check, hint and opened solution. Lines are only ever added, each in one
write that is flushed to disk, so a crash can cost at most the line being written; a torn line is skipped when reading.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

MARKER = ".labs-work"
FILE = ".progress.jsonl"


@dataclass
class Attempted:
    """One exercise's history.

    Attributes:
        points: The best so far.
        solved: Whether every criterion has passed at once.
        attempts: Checks of a written function (a stub does not count).
        hints: How many of the three were shown.
        solution_opened: Whether the solution was shown before the exercise was solved.
    """

    points: int = 0
    solved: bool = False
    attempts: int = 0
    hints: int = 0
    solution_opened: bool = False


def work_folder(start: Path | None = None) -> Path | None:
    """The learner's folder around `start` (by default the current directory), or None outside one."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / MARKER).is_file()), None)


def append(event: dict, path: Path | None = None) -> bool:
    """Add one event; False when there is no learner's folder to add it to (a lab run by the course itself)."""
    if path is None:
        folder = work_folder()
        if folder is None:
            return False
        path = folder / FILE
    line = json.dumps({"time": round(time.time(), 3), **event}) + "\n"
    torn = path.exists() and path.stat().st_size > 0 and _last_byte(path) != b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, (("\n" if torn else "") + line).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def read(path: Path | None = None) -> dict[str, Attempted]:
    """Every exercise's history, by name; empty when nothing was attempted yet."""
    if path is None:
        folder = work_folder()
        path = folder / FILE if folder else None
    history: dict[str, Attempted] = {}
    if path is None or not path.exists():
        return history
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
            seen = history.setdefault(event["exercise"], Attempted())
            _apply(event, seen)
        except (ValueError, KeyError, TypeError):
            continue  # a torn or foreign line
    return history


def _apply(event: dict, seen: Attempted) -> None:
    match event["event"]:
        case "check":
            seen.attempts += 1
            seen.points = max(seen.points, int(event["points"]))
            seen.solved = seen.solved or bool(event["passed"])
        case "hint":
            seen.hints = max(seen.hints, int(event["level"]))
        case "solution":
            seen.solution_opened = seen.solution_opened or not seen.solved


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
