"""From `labs lab` in an empty folder to the first green check: server up, learner copy open, exercise solved.

Beside it the obvious way: `nbgrader generate_assignment` for lab 00 alone, then `jupyter lab`, then the same cells.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from benchmarks import line
from labs_src.checks import exercises
from labs_src.checks.visible import stored_solution
from labs_src.paths import ROOT

PATIENCE = 60.0
LABS = [sys.executable, "-m", "labs_src.course.cli"]


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Return when the server on `port` answers anything at all.

    Raises:
        RuntimeError: The server ended, or did not answer in time.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("JupyterLab did not answer")


def solve(folder: Path) -> None:
    """Run the learner's copy of lab 00 up to its first exercise's check, with the solution typed in.

    Raises:
        RuntimeError: The check is not green.
    """
    import nbformat
    from nbclient import NotebookClient

    exercise = next(exercise for exercise in exercises("00") if not exercise.given)
    notebook = nbformat.read(next(folder.glob("00_*.ipynb")), as_version=4)
    places = {cell.metadata.get("nbgrader", {}).get("grade_id"): i for i, cell in enumerate(notebook.cells)}
    notebook.cells[places[exercise.name]].source = stored_solution("00", exercise.name)
    notebook.cells = notebook.cells[: places[f"check_{exercise.name}"] + 1]
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    said = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    if "✓" not in said:
        raise RuntimeError(f"the first check is not green: {said!r}")


def serve_and_solve(command: list[str], port: int, folder: Path, **env: str) -> tuple[float, float]:
    """Seconds until the server that `command` starts answers, and until the first check in `folder` is green."""
    begin = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, start_new_session=True, **quiet)
    try:
        wait_for(port, process)
        answered = time.perf_counter() - begin
        solve(folder)
        return answered, time.perf_counter() - begin
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ours() -> tuple[float, float]:
    """`labs lab` in an empty folder: copies of every lab, the server, the first check."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [*LABS, "lab", "--no-browser", "--port", str(port)]
        return serve_and_solve(command, port, Path(folder), LABS_WORK=folder)


def obvious_way() -> tuple[float, float]:
    """nbgrader's student version of lab 00 alone, `jupyter lab`, the first check."""
    import jupytext

    source, port = next((ROOT / "notebooks" / "source").glob("00_*.py")), free_port()
    # nbgrader calls alembic by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as course:
        target = Path(course, "source", "lab00", f"{source.stem}.ipynb")
        target.parent.mkdir(parents=True)
        jupytext.write(jupytext.read(source), target)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", "lab00", f"--course-dir={course}"]
        subprocess.run(command, cwd=course, env={**os.environ, "PATH": path}, capture_output=True, check=True)
        copied = time.perf_counter() - begin
        server = [
            sys.executable,
            "-m",
            "jupyter",
            "lab",
            "--no-browser",
            f"--port={port}",
            f"--ServerApp.root_dir={course}",
        ]
        answered, green = serve_and_solve([*server, "--allow-root"], port, Path(course, "release", "lab00"))
        return copied + answered, copied + green


def main(argv: Sequence[str] | None = None) -> int:
    """Print two rows."""
    (answered, green), (their_answer, their_green) = ours(), obvious_way()
    note = "nbgrader generate_assignment, jupyter lab"
    print(line("labs lab until the server answers", answered, their_answer, note=note), flush=True)
    print(line("labs lab until the first green check", green, their_green, note=note), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
