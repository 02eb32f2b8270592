"""The engine: submissions in, marks in the gradebook, tables beside it. May be stopped at any moment and repeated."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from labs_src.course.catalogue import Lab, select
from labs_src.course.errors import Problem
from labs_src.course.grading import autograded, bytecode, gradebook, machine, store
from labs_src.course.grading.judges import Judge
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.reading import Unreadable, read
from labs_src.course.grading.store import Change, Store
from labs_src.course.grading.submission import Attention, Result, Submission

STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


@dataclass
class Report:
    """What a grading did.

    Attributes:
        results: In the order of the submissions.
        changes: Marks that are not what they were, for submissions graded before.
        attention: Everything that a person should look at.
        reused: How many results were there already.
        marks: The table of points for each exercise.
        criteria: The table of points and messages for each criterion.
        attention_csv: The needs-attention list.
        changes_csv: The history of changes.
    """

    results: list[Result]
    changes: list[Change] = field(default_factory=list)
    attention: list[Attention] = field(default_factory=list)
    reused: int = 0
    marks: Path = Path()
    criteria: Path = Path()
    attention_csv: Path = Path()
    changes_csv: Path = Path()


def grade(
    submissions: Sequence[Submission],
    *,
    course: Path,
    gradebook_url: str | None = None,
    jobs: int | None = None,
    unsafe: bool = False,
    seed: str | None = None,
    fresh: bool = False,
    limits: Limits | None = None,
    attention: Sequence[Attention] = (),
    say: Callable[[str], None] = print,
) -> Report:
    """Grade submissions and put their marks into the gradebook.

    Each result is written to disk and then to the gradebook, in one transaction, before the next one counts as done. So
    a kill at any moment costs at most the submissions that were being run; the same call finishes the rest.

    Args:
        submissions: At most one for each student and lab.
        course: The class's folder.
        gradebook_url: Of the gradebook; by default SQLite in the class's folder.
        jobs: Submissions at a time; by default as many as cores.
        unsafe: Run students' code without a sandbox.
        seed: For the hidden inputs; by default drawn once for the class.
        fresh: Run again what is graded already.
        limits: Time and memory.
        attention: Rows about what was handed in and belongs to no submission.
        say: Gets a line for each submission.

    Raises:
        Problem: No sandbox can be made here and `unsafe` is not given; a name of a student cannot be one; the gradebook
            cannot be opened.
    """
    course, limits = Path(course).resolve(), limits or Limits()
    labs = _labs(submissions)
    warnings = machine.require(unsafe)
    for warning in warnings:
        say(warning)
    kept = Store(course)
    course.mkdir(parents=True, exist_ok=True)
    secret_seed = kept.seed(seed)
    url = gradebook_url or f"sqlite:///{course / 'gradebook.db'}"
    checks = {lab: store.checks_hash(lab, secret_seed, limits) for lab in labs}
    report = Report([], changes_csv=kept.folder / "changes.csv")
    book = gradebook.opened(url)
    with book, ExitStack() as stack:
        for lab in labs.values():
            gradebook.ensure_assignment(book, url, lab)
        releases = {lab.id: gradebook.released(lab) for lab in labs.values()}
        before = {(s.student, s.lab): kept.read(s.lab, s.student) for s in submissions}
        done: dict[tuple[str, str], Result] = {}
        waiting = []
        for submission in submissions:
            key = (submission.student, submission.lab)
            if not fresh and store.usable(before[key], submission, checks[submission.lab], unsafe):
                done[key] = store.with_notes(before[key], submission)
                _keep(kept, book, labs[submission.lab], releases, submission, before[key], done[key], course)
            else:
                waiting.append(submission)
        report.reused = len(done)
        if done:
            say(f"{len(done)} submissions are graded already and stay as they are.")
        judged = stack.enter_context(closing(_judge(waiting, checks, limits, jobs, unsafe, secret_seed, course)))
        for count, (submission, result) in enumerate(judged, start=1):
            key, result = (submission.student, submission.lab), store.with_notes(result, submission)
            changed = store.changes(before[key], result)
            kept.log(changed)
            report.changes += changed
            _keep(kept, book, labs[submission.lab], releases, submission, before[key], result, course)
            done[key] = result
            say(f"[{count}/{len(waiting)}] {_line(result)}")
    report.results = [done[s.student, s.lab] for s in submissions]
    report.attention = [*attention, *(row for result in report.results for row in result.attention)]
    report.marks, report.criteria, report.attention_csv = kept.tables(kept.all(), attention)
    return report


def _labs(submissions: Sequence[Submission]) -> dict[str, Lab]:
    """The labs that there are submissions for.

    Raises:
        Problem: A name that cannot be a student's, or two submissions of one student for one lab.
    """
    seen = set()
    for submission in submissions:
        if not STUDENT.fullmatch(submission.student):
            raise Problem(f"{submission.student[:100]!r} cannot be a student's id: use letters, digits and . _ @ -")
        if (submission.student, submission.lab) in seen:
            raise Problem(f"There are two submissions of {submission.student} for lab {submission.lab}; keep one.")
        seen.add((submission.student, submission.lab))
    wanted = sorted({submission.lab for submission in submissions})
    return {lab.id: lab for lab in select(wanted)} if wanted else {}


def _keep(
    kept: Store,
    book: Any,
    lab: Lab,
    releases: dict[str, Any],
    submission: Submission,
    before: Result | None,
    result: Result,
    course: Path,
) -> None:
    """A result on disk, then the notebook for formgrader, then the gradebook: each whole, and all of it repeatable."""
    release = releases[lab.id]
    if result.state == "died" and before is not None and before.state == "graded":
        return  # the grading failed, not the student: what is known stays
    try:
        cells = list(read(submission.content or b"").cells)
    except Unreadable:
        cells = []
    kept.write(result)
    autograded.write(course, lab, result, cells, release)
    answered = autograded.answers(cells, release)
    if result.state != "graded":
        answered = dict.fromkeys(answered, True)  # somebody has to look; an automatic zero would hide it
    renewed = before is not None and before.submission != result.submission
    when = submission.submitted
    gradebook.write(book, lab, result, submitted=when, answered=answered, renewed=renewed, course=course)


def _judge(
    waiting: list[Submission],
    checks: dict[str, str],
    limits: Limits,
    jobs: int | None,
    unsafe: bool,
    seed: str,
    course: Path,
):
    """Judge submissions in as many processes as cores; yield each with its result as it is done."""
    count = max(1, min(jobs or len(os.sched_getaffinity(0)), len(waiting)))
    judges: Queue = Queue()
    compiled = bytecode.folder(course) if waiting else None
    everyone = [Judge(slot, limits, unsafe, seed, course, compiled) for slot in range(count)]
    for one in everyone:
        judges.put(one)

    def work(submission: Submission) -> Result:
        judge = judges.get()
        try:
            return judge.judge(submission, checks[submission.lab])
        finally:
            judges.put(judge)

    executor = ThreadPoolExecutor(count)
    futures = {executor.submit(work, submission): submission for submission in waiting}
    left = set(futures)
    try:
        while left:
            finished, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)  # short: Ctrl-C is heard
            for future in finished:
                yield futures[future], future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for one in everyone:
            one.stop()
        executor.shutdown(wait=True)


def _line(result: Result) -> str:
    points = f"{result.points}/{result.max_points}" if result.state == "graded" else result.state
    kinds = sorted({row.kind for row in result.attention if row.kind not in ("note", "renamed", "unsafe")})
    look = f"  look: {', '.join(kinds)}" if kinds else ""
    return f"{result.student} lab {result.lab}: {points} ({result.seconds:.1f} s){look}"
