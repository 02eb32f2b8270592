"""Judging one submission: draw inputs, have them answered in the sandbox, let the oracles decide out here."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from labs_src.checks import contract, exercises
from labs_src.course.grading import wording
from labs_src.course.grading.cases import answered, clean, draw
from labs_src.course.grading.exchange import Ended, Exchange, Reply
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.sandbox import Kind
from labs_src.course.grading.submission import Attention, ExerciseResult, Result, Submission

RESTARTS = 4
"""How often a sandbox that an exercise took with it is made again for the exercises after it."""


@dataclass
class Judging:
    """The state of one submission while it is judged."""

    submission: Submission
    limits: Limits
    how: Kind
    secret: tuple[Path, ...]
    entropy: bytes
    deadline: float
    results: dict[str, ExerciseResult] = field(default_factory=dict)
    attention: list[Attention] = field(default_factory=list)
    not_python: dict[str, str] = field(default_factory=dict)
    restarts: int = 0

    def note(self, kind: str, message: str, exercise: str = "") -> None:
        row = Attention(self.submission.student, self.submission.lab, exercise, kind, clean(message))
        if row not in self.attention:
            self.attention.append(row)


def judge(
    submission: Submission, *, secret_seed: str, checks: str, limits: Limits, how: Kind, secret: tuple[Path, ...] = ()
) -> Result:
    """Everything about one submission; whatever the student's code does, a result comes back.

    Args:
        submission: What was handed in.
        secret_seed: Drawn once for a course; with the submission itself it makes the inputs, so that they are the same
            whenever this submission is graded again, and others for the next attempt of somebody who saw the messages.
        checks: sha256 of what decides the marks, for the record.
        limits: Time, memory and the like.
        how: Which sandbox.
        secret: Folders that must not be visible.
    """
    start = time.monotonic()
    digest = hashlib.sha256(submission.content or b"").hexdigest()
    entropy = hashlib.sha256(f"{secret_seed}/{submission.lab}/{digest}".encode()).digest()
    state = Judging(submission, limits, how, secret, entropy, start + limits.submission_s)
    if how.bwrap is None:
        state.note("unsafe", "graded without a sandbox: its code could have changed anything, this mark included")
    common = {"student": submission.student, "lab": submission.lab, "submission": digest, "checks": checks}
    wanted = tuple(exercise for exercise in exercises(submission.lab) if not exercise.given)
    problem = submission.problem or (None if submission.content is not None else "there is nothing to grade")
    path = ""
    if problem is None:
        try:
            path = _both_paths(state, list(wanted))
        except Ended as ended:
            if ended.reason == "refused":
                problem = f"it is {ended}"
            else:
                raise
    if problem is not None:
        state.note("problem", problem)
    for exercise in wanted:
        state.results.setdefault(exercise.name, _result(exercise, "not graded"))
    return Result(
        **common,
        state="graded" if problem is None else "problem",
        path=path,
        seconds=round(time.monotonic() - start, 2),
        exercises=tuple(state.results[exercise.name] for exercise in wanted),
        attention=tuple(state.attention),
        unsafe=how.bwrap is None,
    )


def _both_paths(state: Judging, wanted: list[contract.Exercise]) -> str:
    """First with definitions; then, for exercises for which these are not enough, with the whole notebook.

    Where the whole notebook cannot be run to its end, what its definitions say about these exercises counts after all:
    a cell that ends Python does not cost a right answer in another.
    """
    left = _session(state, wanted, "definitions")
    if not left:
        return "definitions"
    if left := _session(state, left, "whole"):
        _session(state, left, "definitions", last=True)
    return "whole notebook"


def _session(state: Judging, wanted: list[contract.Exercise], mode: str, last: bool = False) -> list[contract.Exercise]:
    """Judge `wanted` with one kind of run; returns those that need the other kind (none, where this is the last).

    An exercise that takes the sandbox with it costs a new sandbox for those after it.
    """
    names = [exercise.name for exercise in wanted]
    left: list[contract.Exercise] = []
    waiting = list(wanted)
    while waiting:
        try:
            exchange = Exchange(
                state.submission.content,
                names,
                mode=mode,
                how=state.how,
                limits=state.limits,
                secret=state.secret,
                deadline=state.deadline,
            )
        except Ended as ended:
            if ended.reason == "refused":
                raise
            left += _all(state, waiting, ended, mode)
            break
        with exchange:
            if mode == "definitions" and not last:
                state.not_python = wording.not_python(exchange.plan)
                for row in wording.remarks(exchange.plan) if not state.restarts else ():
                    state.note(*row)
                for exercise in list(waiting):
                    if exercise.name in exchange.plan.get("whole", {}):
                        left.append(exercise)
                        waiting.remove(exercise)
            for exercise in list(waiting):
                if exercise.name in exchange.plan.get("missing", ()):
                    _missing(state, exercise)
                    waiting.remove(exercise)
            if not waiting:
                break
            try:
                ready = exchange.ready()
            except Ended as ended:
                left += _all(state, waiting, ended, mode)
                break
            if mode == "whole" and (message := wording.failing(ready)):
                state.note("cells", message)
            while waiting and exchange.open:
                exercise = waiting.pop(0)
                _one(state, exercise, exchange)
        if waiting:
            state.restarts += 1
            if state.restarts > RESTARTS or time.monotonic() > state.deadline:
                _all(state, waiting, Ended("timeout", "too many exercises before it took the sandbox with them"), "")
                break
    return left


def _one(state: Judging, exercise: contract.Exercise, exchange: Exchange) -> None:
    """Ask for one exercise and judge what comes back."""
    cases = draw(exercise, state.entropy, state.limits.seeds)
    reply = exchange.call(exercise.name, [case.asked for case in cases], [case.packed for case in cases])
    messages: dict[int, str] = {}
    unwritten = missing = False
    for number, case in enumerate(cases):
        if case.part in messages:
            continue
        if number not in reply.answers:
            messages[case.part] = wording.unanswered(reply, state.limits)
            continue
        header, payload = reply.answers[number]
        outcome = answered(header, payload)
        unwritten = unwritten or outcome.unwritten
        missing = missing or (outcome.error or "").startswith("there is no function called")
        message = contract.judge(exercise.parts[case.part], case.inputs, outcome)
        if message is not None:
            messages[case.part] = clean(message)
    kind = _kind(reply, messages, len(cases))
    if missing:
        _missing(state, exercise)
        return
    result = _result(exercise, "unwritten" if unwritten else kind, messages)
    if kind != "judged":
        message = f"{wording.earned(result)}: {wording.unanswered(reply, state.limits, messages)}"
        state.note({"crashed": "crash"}.get(kind, kind), message, exercise.name)
    if reply.odd:
        state.note("hostile", f"sent {reply.odd} answers that nobody asked for", exercise.name)
    if reply.strays:
        state.note("processes", f"left {reply.strays} processes running; they were ended", exercise.name)
    state.results[exercise.name] = result


def _kind(reply: Reply, messages: dict[int, str], cases: int) -> str:
    if reply.how == "timeout":
        return "timeout"
    if reply.how == "memory" or any(wording.out_of_memory(message) for message in messages.values()):
        return "memory"
    return "judged" if len(reply.answers) == cases and reply.how == "ended" else "crashed"


def _missing(state: Judging, exercise: contract.Exercise) -> None:
    """No function of this name: 0 points, and the reason if it is that its cell is not Python."""
    kind, message = "missing", f"there is no function called {exercise.name}; keep the name that the stub has"
    if exercise.name in state.not_python:
        kind, message = "syntax", f"this cell is not Python: {state.not_python[exercise.name]}"
        state.attention = [r for r in state.attention if (r.kind, r.exercise) != ("cells", exercise.name)]  # said once
    result = _result(exercise, kind, dict.fromkeys(range(len(exercise.parts)), clean(message)))
    state.note(kind, f"{wording.earned(result)}: {message}", exercise.name)
    state.results[exercise.name] = result


def _all(state: Judging, waiting: list[contract.Exercise], ended: Ended, mode: str) -> list[contract.Exercise]:
    """The notebook ended before these exercises could be asked for; returns those to try in another way."""
    kind = {"timeout": "timeout", "memory": "memory"}.get(ended.reason, "crashed")
    message = f"the notebook could not be run: {clean(str(ended))}"
    again = mode == "whole"
    whose = ", ".join(exercise.name for exercise in waiting) if len(waiting) < 4 else f"{len(waiting)} exercises"
    cost = "" if again else f"0 points for {whose}: "
    state.note({"crashed": "crash"}.get(kind, kind), f"{cost}{message}")
    if again:
        return waiting.copy()
    for exercise in waiting:
        state.results[exercise.name] = _result(exercise, kind, dict.fromkeys(range(len(exercise.parts)), message))
    waiting.clear()
    return []


def _result(exercise: contract.Exercise, state: str, messages: dict[int, str] | None = None) -> ExerciseResult:
    criteria = []
    for number, part in enumerate(exercise.parts):
        message = "" if messages is None else messages.get(number, "")
        passed = messages is not None and number not in messages
        points = part.points if passed else 0
        criteria.append(
            {"name": part.name, "passed": passed, "points": points, "max_points": part.points, "message": message}
        )
    points = None if messages is None else sum(criterion["points"] for criterion in criteria)
    if messages is None:
        criteria = []
    return ExerciseResult(
        exercise.name, exercise.title, points, exercise.points, state, tuple(criteria), exercise.read_again
    )
