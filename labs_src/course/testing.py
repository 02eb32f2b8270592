"""`labs test`: every unit test, and every notebook run again against its stored outputs, in one go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from labs_src import paths
from labs_src.course import pool
from labs_src.course.catalogue import labs
from labs_src.course.folders import Folders

CELL_SECONDS = 120


def run_tests(arguments: Sequence[str] = (), folders: Folders | None = None) -> int:
    """Run pytest on `tests/` and nbval on the notebooks.

    Args:
        arguments: Passed on to pytest. Files or folders among them are run instead of everything.

    Returns:
        pytest's exit code; not 0 if anything failed.
    """
    folders = folders or Folders.default()
    pool.check_kernel()
    command = [sys.executable, "-m", "pytest", *nbval_options(), *workers(arguments), *arguments]
    if not any(
        not argument.startswith("-") and (paths.ROOT / argument.split("::")[0]).exists() for argument in arguments
    ):
        command += [str(paths.ROOT / "tests"), *(str(lab.notebook) for lab in labs(folders) if lab.notebook.exists())]
    return subprocess.call(command, cwd=paths.ROOT, env=pool.environment(folders))


def nbval_options() -> list[str]:
    """Real outputs are compared, by this interpreter, with a limit for each cell (nbval's own is 2000 s)."""
    quick = ["-p", "labs_src.course.quick"]  # before nbval imports nbformat
    return [*quick, "--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]


def workers(arguments: Sequence[str]) -> list[str]:
    """Two workers; `loadscope` keeps a notebook's cells together (split over workers, they fail)."""
    if any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments) or os.cpu_count() == 1:
        return []
    return ["-n", "2", "--dist", "loadscope"]
