"""Workers: one subprocess per notebook, several at a time, each with a time limit, none left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.course.errors import DiskFull, Problem, is_disk_full, says_disk_full
from labs_src.course.folders import Folders, shown

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
SPACE_MB = 200
"""Free space without which no run is started: executed notebooks, their pages and plotly's script need about 60 MB."""


@dataclass(frozen=True)
class Job:
    """One notebook to execute.

    Attributes:
        name: For messages.
        notebook: What to execute.
        folder: Where `executed.ipynb`, `result.json` and the worker's log go; it exists and is the job's own.
        parameters: For papermill.
        timeout: Seconds for the notebook.
        cell_timeout: Seconds for each cell.
    """

    name: str
    notebook: Path
    folder: Path
    parameters: dict[str, Any]
    timeout: float
    cell_timeout: float

    @property
    def output(self) -> Path:
        """The executed notebook, partial when a cell failed."""
        return self.folder / "executed.ipynb"


def environment(folders: Folders) -> dict[str, str]:
    """The environment of every kernel: one thread, plotly figures as data, this package first on the path."""
    env = dict(os.environ)
    env.update({f"{library}_NUM_THREADS": "1" for library in LIBRARIES})
    env["PLOTLY_RENDERER"] = "plotly_mimetype"
    env["PYTHONHASHSEED"] = "0"
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else a warning lands in the first cell of every notebook
    env["LABS_DATA"] = str(folders.data)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")]))
    return env


def check_kernel() -> None:
    """Find out in a moment what would otherwise fail in every notebook.

    Raises:
        Problem: There is no kernel called python3, or its interpreter is gone.
    """
    import importlib.util

    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import NoSuchKernel

    remedy = "Make the environment again with: python3 install.py"
    if importlib.util.find_spec("ipykernel") is None:
        raise Problem(f"The Jupyter kernel python3 is missing: ipykernel is not installed here. {remedy}")
    manager = KernelManager(kernel_name="python3")
    try:
        # As Jupyter does it: "python" means the interpreter that runs this, wherever PATH leads.
        interpreter = manager.format_kernel_cmd()[0]
    except NoSuchKernel:
        raise Problem(f"There is no Jupyter kernel called python3. {remedy}") from None
    if not shutil.which(interpreter):
        where = f"its interpreter {interpreter} does not exist ({manager.kernel_spec.resource_dir}/kernel.json)"
        raise Problem(f"The Jupyter kernel python3 cannot start: {where}. Remove that folder, or: {remedy}")


def check_space(folder: Path) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        DiskFull: Less than SPACE_MB free.
    """
    existing = next(f for f in (folder, *folder.parents) if f.exists())
    free = shutil.disk_usage(existing).free / 1e6
    if free < SPACE_MB:
        message = f"The disk is full: {free:.0f} MB free for {shown(folder)}, {SPACE_MB} MB are needed."
        raise DiskFull(f"{message} Free some space, or choose another disk with --out.")


class Pool:
    """Runs jobs; `stop` kills whatever runs."""

    def __init__(self, folders: Folders, workers: int):
        self.folders = folders
        self.workers = max(1, workers)
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, jobs: Sequence[Job], started: Callable[[Job], None] | None = None) -> Iterator[tuple[Job, dict]]:
        """Execute every job, longest first if they come in that order; yield each with its result as it ends.

        Raises:
            DiskFull: Somewhere on the way; what runs is stopped.
        """
        executor = ThreadPoolExecutor(self.workers)
        futures: dict[Future, Job] = {executor.submit(self._one, job, started): job for job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)  # short: Ctrl-C is heard
                for future in done:
                    yield futures[future], future.result()
        finally:
            self.stop()
            executor.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """Kill every worker with its kernel; jobs that wait do not start."""
        self._stopped = True
        with self._lock:
            for process in self._running:
                kill_tree(process.pid)

    def _one(self, job: Job, started: Callable[[Job], None] | None) -> dict[str, Any]:
        if self._stopped:
            return _failure("stopped", "the run was stopped")
        if started:
            started(job)
        try:
            return self._worker(job)
        except OSError as error:
            if is_disk_full(error):
                return _failure("disk", "no space left on device")
            raise

    def _worker(self, job: Job) -> dict[str, Any]:
        result, log = job.folder / "result.json", job.folder / "log.txt"
        with tempfile.TemporaryDirectory(prefix="labs-", ignore_cleanup_errors=True) as cwd, log.open("wb") as stderr:
            request = job.folder / "job.json"
            request.write_text(
                json.dumps(
                    {
                        "notebook": str(job.notebook),
                        "output": str(job.output),
                        "result": str(result),
                        "parameters": job.parameters,
                        "cwd": cwd,
                        "cell_timeout": int(job.cell_timeout),
                    }
                )
            )
            command = [sys.executable, "-m", "labs_src.course.execute", str(request)]
            with self._lock:
                if self._stopped:
                    return _failure("stopped", "the run was stopped")
                process = subprocess.Popen(
                    command, env=environment(self.folders), stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
                )
                self._running.add(process)
            try:
                process.wait(job.timeout)
            except subprocess.TimeoutExpired:
                return _failure("timeout", f"the notebook took longer than {job.timeout:.0f} s", seconds=job.timeout)
            finally:
                kill_tree(process.pid)
                process.wait()
                with self._lock:
                    self._running.discard(process)
        if self._stopped:
            return _failure("stopped", "the run was stopped")
        if not result.exists():
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            if says_disk_full(text):
                return _failure("disk", "no space left on device")
            last = text.splitlines()[-1] if text else f"exit code {process.returncode}"
            return _failure("died", f"the worker ended without a result: {last}")
        return json.loads(result.read_text())


def kill_tree(pid: int) -> None:
    """Kill a process and everything below it (a kernel has a session of its own, so the group is not enough)."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def raise_if_broken(job: Job, outcome: dict[str, Any]) -> None:
    """Turn what is wrong with the machine, not with the lab, into an error that ends the command.

    Raises:
        DiskFull: The kernel or papermill found the disk full.
        Problem: The kernel could not be found.
    """
    error = outcome.get("error") or {}
    full = error.get("kind") == "disk" or (error.get("kind") == "raised" and says_disk_full(error["message"]))
    if full:
        kept = "Free some space and repeat: what is done is kept."
        raise DiskFull(f"The disk is full: lab {job.name} could not write. {kept}")
    if error.get("kind") == "kernel":
        raise Problem("There is no Jupyter kernel called python3. Make the environment again with: python3 install.py")


def _failure(kind: str, message: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "cell": None}, "seconds": seconds, "peak_mb": None}
