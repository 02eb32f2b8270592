"""What the judging says about a submission, in words: why an exercise got no answer, and what its text shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labs_src.course.grading.cases import clean
from labs_src.course.grading.exchange import Reply
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.submission import ExerciseResult


def out_of_memory(message: str) -> bool:
    """Whether an error is about memory, Python's or PyTorch's."""
    return "MemoryError" in message or "can't allocate memory" in message or "not enough memory" in message


def unanswered(reply: Reply, limits: Limits, messages: dict[int, str] | None = None) -> str:
    """Why there is no answer to a case."""
    if reply.how == "timeout":
        return f"it took longer than {limits.exercise_s:g} s, so it was stopped"
    if reply.how == "memory":
        return f"it took more than {limits.total_mb} MB of memory, so it was stopped"
    for message in (messages or {}).values():
        if out_of_memory(message):
            return message
    if reply.how == "signal 11":
        return "Python itself crashed while it ran (segmentation fault)"
    return f"Python ended while it ran ({reply.how.removeprefix('gone: ')})"


def earned(result: ExerciseResult) -> str:
    """What an exercise got all the same; in words, so that a zero is not overlooked."""
    return f"{result.points} of {result.max_points} points" if result.points else "0 points"


def remarks(plan: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What the text of a notebook shows before any of it is run: kind, message, exercise of each row.

    Args:
        plan: From the runner.
    """
    missing = plan.get("missing", ())
    for cell in plan.get("unreadable", [])[:20]:
        if set(cell["exercises"]) & set(missing):
            continue  # it is said with the exercise that it costs
        which = "a cell" if cell["text"] in cell["why"] else f"the cell that begins `{clean(cell['text'])}`"
        yield "cells", f"{which} is not Python: {clean(cell['why'])}", "".join(cell["exercises"][:1])
    for sign in plan.get("signs", [])[:20]:
        yield "sign", f"{sign.get('what')}, in the line `{sign.get('text')}`", ""


def not_python(plan: dict[str, Any]) -> dict[str, str]:
    """For each exercise whose function stands in a cell that is not Python, why it is not."""
    return {name: clean(cell["why"]) for cell in plan.get("unreadable", []) for name in cell["exercises"]}


def failing(ready: dict[str, Any]) -> str:
    """Which cells failed when all were run; "" if none did."""
    errors = [error for error in ready.get("errors", []) if isinstance(error, dict)]
    if not errors:
        return ""
    which = "a cell fails, the one that" if len(errors) == 1 else f"{len(errors)} cells fail; the first"
    return f"{which} begins `{errors[0].get('text')}`: {errors[0].get('message')}"
