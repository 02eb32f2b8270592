"""A made-up class of sixty, graded: marks as expected, seconds a submission, two workers against one, plain nbgrader.

    python -m benchmarks.classroom [--labs 00 02 | --labs all] [--size 60] [--ordinary 6]

The class has right answers written differently, wrong ones, notebooks that crash, hang, lie and are not notebooks.
Plain nbgrader is set beside it on the ordinary ones among them, which neither crash nor hang: it runs every cell in one
process, without a sandbox, and its checks run in the student's kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import line
from labs_src.paths import ROOT

DEFAULT = ("00", "02")
QUIET = {"say": lambda _: None}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds, and what `work` returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing on stderr: plain nbgrader's kernels and SQLAlchemy warn once for each submission."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def graded(place: Path, course: Path, lab: Any, jobs: int | None) -> Any:
    """`labs grade` without its tables: the report."""
    from labs_src.course.grading import choice, grade
    from labs_src.course.grading.classfolder import ClassFolder
    from labs_src.course.grading.commands import gradable
    from labs_src.course.grading.intake import Intake

    classroom = ClassFolder(course)
    classroom.make()
    intake = Intake(classroom, gradable())
    intake.take(place, lab)
    submissions, _ = choice.choose(intake, {}, [lab])
    return grade.grade(submissions, course=course, gradebook_url=classroom.db_url, jobs=jobs, **QUIET)


def unexpected(report: Any, handed: Sequence[Any]) -> list[str]:
    """Marks that are not what they must be, a line each."""
    results = {result.student: result for result in report.results}
    found = []
    for one in handed:
        result = results[one.student]
        if one.points is None:
            if result.state != "problem" or not any(one.says in row.message for row in result.attention):
                found.append(f"{one.student} ({one.kind}): {result.state}, not refused")
            continue
        for exercise in result.exercises:
            if (exercise.points or 0) != one.points[exercise.name]:
                got = f"{exercise.points}, not {one.points[exercise.name]:g}"
                found.append(f"{one.student} ({one.kind}), {exercise.name}: {got} ({exercise.state})")
    return found


def plain_course(place: Path, course: Path, lab: Any) -> Callable[[], None]:
    """A course of nbgrader's own with the same submissions; returns what grades them all, in one process."""
    import shutil

    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    from labs_src.course.cells import notebook_text, read_source, write_atomically
    from labs_src.course.grading.classfolder import programs_on_path

    programs_on_path()
    name = f"{lab.slug}.ipynb"
    write_atomically(course / "source" / lab.slug / name, notebook_text(read_source(lab.source)))
    for folder in place.iterdir():
        target = course / "submitted" / folder.name / lab.slug
        target.mkdir(parents=True)
        shutil.copy(folder / name, target / name)
    config = Config({"CourseDirectory": {"root": str(course)}, "Execute": {"timeout": 900, "startup_timeout": 300}})
    api = NbGraderAPI(config=config)
    api.log_level = 50
    _done(api.generate_assignment(lab.slug))

    def autograde() -> None:
        for folder in sorted(place.iterdir()):
            _done(api.autograde(lab.slug, folder.name))

    return autograde


def _done(answer: dict[str, Any]) -> None:
    if not answer["success"]:
        raise RuntimeError(answer["error"])


def measure(lab_id: str, size: int, ordinary: int) -> None:
    """One lab's rows."""
    sys.path.insert(0, str(ROOT / "tests" / "course" / "grading"))
    from classroom import Classroom, lay_out

    room = Classroom(lab_id)
    handed = room.make(size)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(prefix="class-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        place = lay_out(handed, base / "all")
        wall, report = timed(lambda: graded(place, base / "whole", room.lab, None))
        wrong = unexpected(report, handed)
        odd = len({text.partition(" (")[0] for text in wrong})
        print(
            f"lab {lab_id}: {size} handed in, {size - odd} with every mark as expected, "
            f"{wall / size:.2f} s a submission with {os.cpu_count()} workers (load average {os.getloadavg()[0]:.1f})",
            flush=True,
        )
        for text in wrong:
            print(f"  not as expected: {text}", flush=True)
        some = [one for one in handed if one.student.startswith("student")][:ordinary]
        if not some:
            return
        few = lay_out(some, base / "few")
        one, _ = timed(lambda: graded(few, base / "one", room.lab, 1))
        two, _ = timed(lambda: graded(few, base / "two", room.lab, 2))
        with silent():
            obvious, _ = timed(plain_course(few, base / "plain", room.lab))
    each = [seconds / len(some) for seconds in (one, two, obvious)]
    print(line(f"grade lab {lab_id}, a submission, 1 worker", each[0], each[2], note="plain nbgrader"))
    print(line(f"grade lab {lab_id}, a submission, 2 workers", each[1], each[2], note="plain nbgrader"))
    print(line(f"grade lab {lab_id}, 2 workers for 1", each[1], each[0], note="1 worker"), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows of some labs."""
    from labs_src import checks

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labs", nargs="+", default=DEFAULT, help="two digits each, or all")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--ordinary", type=int, default=6, help="submissions set beside plain nbgrader")
    options = parser.parse_args(argv)
    for lab_id in checks.lab_ids() if "all" in options.labs else options.labs:
        measure(lab_id, options.size, options.ordinary)


if __name__ == "__main__":
    main()
