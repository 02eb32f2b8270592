"""What a check is: inputs, probe, judge.

    inputs(rng) -> named values           fresh for every seed
    probe(fn, inputs) -> outcome          runs where the learner's function lives, and only calls it
    judge(inputs, outcome) -> message     runs elsewhere; None means right, a string says what is wrong

An exercise is a list of parts. A part is one criterion with points of its own, so that a function that is right for one
head and wrong for a batch of heads keeps what it earned. The same parts serve the learner, who sees the verdict in the
notebook, and a grader, who runs only the probe next to the learner's code (`labs_src.checks.crossing` carries the
values in between).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What a stub raises, with NotImplementedError.
UNWRITTEN = "write this, then run the next cell"

# A learner may look at these cases as often as they like; grading uses others.
VISIBLE_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Part:
    """One criterion of an exercise.

    Attributes:
        name: What is right when this part passes, in the learner's words ("the last row of a padded batch").
        points: What it is worth.
        inputs: `rng -> dict`; tensors, numbers, strings, and lists or dicts of them. The learner's function gets the
            values in this order, so a renamed argument does no harm. A key that begins with an underscore is for the
            judge alone: it is not sent to where a submission runs, so the part needs a probe that does without it.
        judge: `(inputs, value) -> message or None`, usually made by `labs_src.checks.compare.expect`.
        probe: How the function is called (see `labs_src.checks.probes`); by default once, with the values of `inputs`.
    """

    name: str
    points: int
    inputs: Callable[[np.random.Generator], dict[str, Any]]
    judge: Callable[[dict[str, Any], Any], str | None]
    probe: Callable[[Callable, dict[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Exercise:
    """A function that the learner writes, found by its name wherever its cell has moved to.

    Attributes:
        name: The function's name.
        lab: Two digits.
        title: A few words for tables.
        parts: The criteria, cheapest to understand first.
        hints: Three, each giving more away than the one before.
        read_again: The heading in the lab to go back to.
        difficulty: 1 (a line you have just seen) to 5.
        importance: 1 (a detour) to 5 (everything after it uses it).
        minutes: What it takes somebody who meets the idea for the first time.
        given: Whether the lab shows it solved, as an example.
    """

    name: str
    lab: str
    title: str
    parts: tuple[Part, ...]
    hints: tuple[str, str, str]
    read_again: str
    difficulty: int
    importance: int
    minutes: int
    given: bool = False

    @property
    def points(self) -> int:
        return sum(part.points for part in self.parts)


@dataclass(frozen=True)
class Outcome:
    """What calling the learner's function gave: a value, or the reason why there is none."""

    value: Any = None
    error: str | None = None
    unwritten: bool = False
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Criterion:
    name: str
    passed: bool
    points: int
    max_points: int
    message: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a check says: a criterion for each part, and a message for each that failed."""

    exercise: Exercise
    criteria: tuple[Criterion, ...] = field(default=())
    unwritten: bool = False

    @property
    def passed(self) -> bool:
        return all(criterion.passed for criterion in self.criteria)

    @property
    def points(self) -> int:
        return sum(criterion.points for criterion in self.criteria)

    @property
    def max_points(self) -> int:
        return self.exercise.points

    def lines(self) -> list[str]:
        """The verdict as a learner reads it, a line for each thing that is right or wrong."""
        name = self.exercise.name
        if self.unwritten:
            return [
                f"○ {name}: not written yet (0/{self.max_points} points).",
                f'  Replace the line that raises NotImplementedError. Stuck? hint("{name}")',
            ]
        head = f"{'✓' if self.passed else '✗'} {name}: {self.points}/{self.max_points} points"
        lines = [head]
        for criterion in self.criteria:
            line = f"  {'✓' if criterion.passed else '✗'} {criterion.name}"
            lines.append(line + (f": {criterion.message}" if criterion.message else ""))
        if not self.passed:
            lines.append(f'  Read again: "{self.exercise.read_again}". Stuck? hint("{name}")')
        return lines


def copied(value: Any) -> Any:
    """A deep copy of named values, so that what the learner's function does to its arguments stays there."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value


def identical(a: Any, b: Any) -> bool:
    """Whether two trees of values are the same to the bit (NaN equals itself)."""
    if hasattr(a, "detach") and hasattr(b, "detach"):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        same = a.eq(b)
        return bool((same | (a.ne(a) & b.ne(b))).all())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return type(a) is type(b) and a == b


def call(fn: Callable, inputs: dict[str, Any]) -> Any:
    """The usual probe: one call with the values of `inputs`, in order."""
    return fn(*inputs.values())


def probe(part: Part, namespace: Mapping[str, Any], name: str, inputs: dict[str, Any]) -> Outcome:
    """Call the learner's function `name` on a copy of `inputs`; never raises for what the function does."""
    fn = namespace.get(name)
    if fn is None:
        return Outcome(error=f"there is no function called {name} here", unwritten=True)
    if not callable(fn):
        return Outcome(error=f"{name} is a {type(fn).__name__}, not a function")
    given = copied(inputs)
    try:
        value = (part.probe or call)(fn, given)
    except NotImplementedError as error:
        if str(error) not in ("", UNWRITTEN):  # PyTorch raises the same for types that an operation does not take
            return Outcome(error=_describe(error, fn))
        unwritten = traceback.extract_tb(error.__traceback__)[-1].name
        if unwritten != getattr(fn, "__name__", name):
            return Outcome(error=f"it calls {unwritten}, which is not written yet")
        return Outcome(error="not written yet", unwritten=True)
    except Exception as error:  # the learner's code may raise anything
        return Outcome(error=_describe(error, fn))
    changed = tuple(key for key in inputs if not identical(inputs[key], given[key]))
    return Outcome(value=value, changed=changed)


def _describe(error: Exception, fn: Callable) -> str:
    """One line for an exception in the learner's code: what, and at which line of their function."""
    code = getattr(fn, "__code__", None)
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if code is not None and frame.filename == code.co_filename:
            where = (
                f" at line {frame.lineno - code.co_firstlineno + 1} of the function ({frame.line})"
                if frame.line
                else ""
            )
    text = " ".join(str(error).split())
    return f"it raises {type(error).__name__}: {text[:300]}{where}"


def judge(part: Part, inputs: dict[str, Any], outcome: Outcome) -> str | None:
    """What is wrong with an outcome of `part`, or None. Runs apart from the learner's code."""
    if outcome.error is not None:
        return outcome.error
    if outcome.value is None:
        return "it returns None. Does it end with `return`?"
    try:
        message = part.judge(inputs, outcome.value)
    except Exception as error:  # a value of a kind that nobody thought of must not stop the grading of the others
        text = " ".join(str(error).split())[:200]
        return f"what it returns ({type(outcome.value).__name__}) cannot be compared: {type(error).__name__}: {text}"
    if message is None and outcome.changed:
        names = ", ".join(outcome.changed)
        return f"the result is right, but the function changes its argument {names} in place; work on a copy (.clone())"
    return message


def run(exercise: Exercise, namespace: Mapping[str, Any], seeds: int | Iterable[int] = VISIBLE_SEEDS) -> Verdict:
    """Inputs, probe and judge for every part and seed. A part passes when it does so on every seed.

    Args:
        exercise: What to check.
        namespace: Where the learner's functions live (a notebook's globals).
        seeds: One seed or several; each makes its own inputs.
    """
    seeds = (seeds,) if isinstance(seeds, int) else tuple(seeds)
    criteria, unwritten = [], False
    for number, part in enumerate(exercise.parts):
        message = None
        for seed in seeds:
            inputs = part.inputs(np.random.default_rng([seed, number]))
            outcome = probe(part, namespace, exercise.name, inputs)
            unwritten = unwritten or outcome.unwritten
            message = judge(part, inputs, outcome)
            if message is not None:
                break
        passed = message is None
        criteria.append(Criterion(part.name, passed, part.points if passed else 0, part.points, message or ""))
    return Verdict(exercise, tuple(criteria), unwritten)
