"""check, hint and solution, as a learner calls them in a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from labs_src.checks import find, lab_ids, progress
from labs_src.checks.contract import Verdict, run

# Used where there is no learner's folder to remember it in.
_attempted: set[str] = set()
_hints_shown: dict[str, int] = {}


class CheckFailed(Exception):
    """A check did not pass. A notebook shows the verdict and no traceback."""

    def __init__(self, verdict: Verdict):
        self.verdict = verdict
        super().__init__("\n".join(verdict.lines()))

    def _render_traceback_(self) -> list[str]:  # IPython prints these lines in place of a traceback
        return self.verdict.lines()


def check(fn: Callable) -> None:
    """Check the function of an exercise, found by its name, on cases with fixed seeds.

    Prints what is right. Raises CheckFailed with what is wrong, so that "run all" stops at the first unsolved exercise.
    """
    name = getattr(fn, "__name__", None)
    if not callable(fn) or name is None:
        raise TypeError("check() takes the function itself: check(my_function), without brackets after its name.")
    if _graded_elsewhere():
        return
    exercise = find(name)
    verdict = run(exercise, {name: fn})
    if not verdict.unwritten:
        _attempted.add(name)
        event = {"event": "check", "lab": exercise.lab, "exercise": name, "points": verdict.points}
        progress.append({**event, "of": verdict.max_points, "passed": verdict.passed})
    if not verdict.passed:
        raise CheckFailed(verdict)
    print("\n".join(verdict.lines()))


def hint(exercise: str | Callable) -> None:
    """Print the next of an exercise's three hints; once all are known, print all three."""
    if _graded_elsewhere():
        return
    found = find(_name(exercise))
    recorded = progress.read().get(found.name)
    seen = max(_hints_shown.get(found.name, 0), recorded.hints if recorded else 0)
    level = min(seen + 1, len(found.hints))
    _hints_shown[found.name] = level
    if seen < level:
        progress.append({"event": "hint", "lab": found.lab, "exercise": found.name, "level": level})
        print(f"Hint {level} of {len(found.hints)}: {found.hints[level - 1]}")
        return
    for number, text in enumerate(found.hints, start=1):
        print(f"Hint {number} of {len(found.hints)}: {text}")
    print(f'That is all of them. After an attempt, solution("{found.name}") shows one way to do it.')


def solution(exercise: str | Callable) -> None:
    """Print one way to write an exercise, once it has been attempted."""
    if _graded_elsewhere():
        return
    found = find(_name(exercise))
    recorded = progress.read().get(found.name)
    if found.name not in _attempted and not (recorded and recorded.attempts):
        print(f"Try first: write something for {found.name} and run its check. The solution opens after that.")
        print(f'hint("{found.name}") gives one hint at a time.')
        return
    text = stored_solution(found.lab, found.name)
    if text is None:
        print("This copy of the course comes without solutions; ask your instructor.")
        return
    progress.append({"event": "solution", "lab": found.lab, "exercise": found.name})
    print(text)


def stored_solution(lab: str, name: str) -> str | None:
    """The cell of the lab's source that defines the exercise's function, or None in a copy without sources."""
    from labs_src.paths import SOURCES

    for source in sorted(Path(SOURCES).glob(f"{lab}_*.py")):
        for cell in re.split(r"(?m)^# %%", source.read_text(encoding="utf-8")):
            if f'"grade_id": "{name}"' in cell.partition("\n")[0]:
                body = cell.partition("\n")[2]
                return re.sub(r"(?m)^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n", "", body).strip()
    return None


def _graded_elsewhere() -> bool:
    """Whether this is where submissions run, which has no checks: cells that call them then do nothing."""
    if lab_ids():
        return False
    print("There are no checks here; the exercise is judged elsewhere.")
    return True


def _name(exercise: str | Callable) -> str:
    return exercise if isinstance(exercise, str) else getattr(exercise, "__name__", str(exercise))
