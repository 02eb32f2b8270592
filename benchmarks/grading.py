"""Seconds to grade a submission: ours with one and two workers, beside plain `nbgrader autograde` on the same files.

Ours: a sandbox for each submission, its definitions, fresh hidden inputs, judges outside. Plain nbgrader: one process
for all, a kernel for each submission, the whole notebook, tests in the student's kernel.

`python -m benchmarks.grading [LAB] [COUNT]`; by default lab 00, whose notebook is the shortest, which is the plain
way's best case, and 6 submissions. Assignments are made before the clock starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import line
from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import notebook_text, read_source
from labs_src.course.grading import gradebook, machine
from labs_src.course.grading.grade import grade
from labs_src.course.grading.submission import Submission
from labs_src.course.learner import learner_copy

SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}


def handed_in(lab: Lab, count: int) -> list[bytes]:
    """Notebooks: solved, and as released, in turn; each with a cell of its own, so that none is another's copy."""
    made = []
    for number in range(count):
        notebook = learner_copy(lab)
        if number % 2 == 0:
            solved = {
                cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in read_source(lab.source).cells
            }
            for cell in notebook.cells:
                if cell.metadata.get("nbgrader", {}).get("solution"):
                    cell.source = solved[cell.metadata["nbgrader"]["grade_id"]]
        notebook.cells[0].source += f"\n\nHanded in by student {number}."
        made.append(notebook_text(notebook).encode())
    return made


def ours(lab: Lab, notebooks: list[bytes], jobs: int) -> float:
    """Seconds for all of them."""
    with tempfile.TemporaryDirectory(prefix="labs-bench-") as folder:
        course = Path(folder)
        url = f"sqlite:///{course / 'gradebook.db'}"
        with gradebook.opened(url) as book:
            gradebook.ensure_assignment(book, url, lab)
        submissions = [Submission(f"s{i:02d}", lab.id, data) for i, data in enumerate(notebooks)]
        unsafe = "error" in machine.trial()
        start = time.perf_counter()
        grade(submissions, course=course, jobs=jobs, unsafe=unsafe, say=lambda text: None)
        return time.perf_counter() - start


def plain(lab: Lab, notebooks: list[bytes]) -> float:
    """Seconds that `nbgrader autograde` takes for all of them."""
    with tempfile.TemporaryDirectory(prefix="labs-bench-") as folder:
        course = Path(folder)
        source = course / "source" / lab.slug / f"{lab.slug}.ipynb"
        source.parent.mkdir(parents=True)
        source.write_text(notebook_text(read_source(lab.source)), encoding="utf-8")
        _nbgrader(course, "generate_assignment", lab.slug)
        for number, data in enumerate(notebooks):
            target = course / "submitted" / f"s{number:02d}" / lab.slug / source.name
            target.parent.mkdir(parents=True)
            target.write_bytes(data)
        start = time.perf_counter()
        # A notebook that stops at a failing check is an error to nbgrader; the others are graded all the same.
        _nbgrader(course, "autograde", lab.slug)
        return time.perf_counter() - start


def _nbgrader(course: Path, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    command = [sys.executable, "-m", "nbgrader", *arguments, f"--course-dir={course}"]
    if arguments[0] == "autograde":
        command.append("--ExecutePreprocessor.timeout=600")
    run = subprocess.run(command, cwd=course, env=environment, check=False, **SILENT)
    if run.returncode != 0:
        raise RuntimeError(f"nbgrader {arguments[0]}: {run.stderr[-300:]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for one worker and one for two."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    lab = select([arguments[0] if arguments else "00"])[0]
    count = int(arguments[1]) if len(arguments) > 1 else 6
    notebooks = handed_in(lab, count)
    one, two, theirs = (
        seconds / count for seconds in (ours(lab, notebooks, 1), ours(lab, notebooks, 2), plain(lab, notebooks))
    )
    note = f"nbgrader autograde, lab {lab.id}, {count} submissions"
    print(line("grading a submission, 1 worker", one, theirs, note=note), flush=True)
    print(
        line("grading a submission, 2 workers", two, theirs, note=f"2 workers are {one / two:.2f} times 1"), flush=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
