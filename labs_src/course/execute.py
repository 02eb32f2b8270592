"""The worker: one notebook through papermill, in a process of its own.

`python -m labs_src.course.execute JOB.json` reads what to run and writes what happened. It ends, and takes its kernel
with it, when the process that started it is gone: a killed run leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from labs_src.course import quick  # noqa: F401  (first: it makes papermill quick to import)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main() -> None:
    """Run the job named on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides, then sends SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: leave())
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # papermill looks for Hadoop: half a second
    start = time.perf_counter()
    error = run(job)
    outcome = {"error": error, "seconds": round(time.perf_counter() - start, 2), "peak_mb": peak_mb()}
    temporary = Path(job["result"]).with_suffix(".part")
    temporary.write_text(json.dumps(outcome), encoding="utf-8")
    temporary.replace(job["result"])


def run(job: dict[str, Any]) -> dict[str, Any] | None:
    """Execute the notebook.

    Args:
        job: notebook, output, parameters, cwd, cell_timeout (seconds).

    Returns:
        None when every cell ran, else kind ("raised", "timeout", "kernel", "disk", "died"), message, and the first line
        of the cell where one is to blame.
    """
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    from labs_src.course.errors import is_disk_full

    try:
        papermill.execute_notebook(
            job["notebook"],
            job["output"],
            parameters=job["parameters"],
            kernel_name="python3",
            progress_bar=False,
            cwd=job["cwd"],
            start_timeout=60,
            execution_timeout=job["cell_timeout"],
        )
    except Exception as error:
        if is_disk_full(error):
            return {"kind": "disk", "message": "no space left on device", "cell": None}
        if isinstance(error, papermill.PapermillExecutionError):
            message = _line(f"{error.ename}: {error.evalue}")
            return {"kind": "raised", "message": message, "cell": _first_line(error.source)}
        if isinstance(error, NoSuchKernel):
            return {"kind": "kernel", "message": str(error), "cell": None}
        if isinstance(error, CellTimeoutError):
            message = f"a cell took longer than {job['cell_timeout']} s"
            return {"kind": "timeout", "message": message, "cell": _last_started(job["output"])}
        if isinstance(error, DeadKernelError):
            message = "the kernel died (out of memory, or killed)"
            return {"kind": "died", "message": message, "cell": _last_started(job["output"])}
        return {"kind": "raised", "message": _line(f"{type(error).__name__}: {error}"), "cell": None}
    return None


def peak_mb() -> float | None:
    """Largest resident memory of any process that this one started and waited for: the kernel. MB."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return None
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def leave() -> None:
    """End now, with everything that was started here."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.3)
    leave()


def _last_started(output: str) -> str | None:
    """First line of the cell that papermill began last, as far as it saved."""
    try:
        cells = json.loads(Path(output).read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return None
    begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("status", "pending") != "pending"]
    return _first_line("".join(begun[-1]["source"])) if begun else None


def _first_line(source: str) -> str:
    return (source.strip().splitlines() or [""])[0][:100]


def _line(text: str) -> str:
    """The first lines of a message as one, without colours."""
    return " ".join(COLOUR.sub("", text).split())[:300]


if __name__ == "__main__":
    main()
