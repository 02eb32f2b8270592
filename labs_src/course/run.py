"""`labs run`: every lab through papermill, several at a time; what is finished is kept, so a killed run continues."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import labs_src
from labs_src import paths
from labs_src.course import golden, pool, report
from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import read_notebook, read_source, rebuild, source_hash
from labs_src.course.errors import Problem, Stopped
from labs_src.course.folders import Folders, shown
from labs_src.course.progressbar import Display

TIERS = ("mini", "gemma")
KEEP = 60
"""Results kept in build/cache; the least recently used go first."""


def run(
    only: Sequence[str] | None = None,
    tier: str = "mini",
    jobs: int | None = None,
    out: Path | None = None,
    timeout: float = 900,
    cell_timeout: float | None = None,
    fresh: bool = False,
    folders: Folders | None = None,
) -> bool:
    """Execute labs and report.

    Args:
        only: Lab ids; all when empty.
        tier: mini or gemma.
        jobs: Notebooks at a time; by default as many as cores.
        out: Where the report goes; by default build/report.
        timeout: Seconds for each notebook.
        cell_timeout: Seconds for each cell; by default the notebook's.
        fresh: Execute again what a former run finished.

    Returns:
        Whether every lab passed.

    Raises:
        Problem: Nothing was run, or the run had to end: unknown lab or tier, damaged data, no kernel, a full disk.
    """
    folders = folders or Folders.default()
    start = time.perf_counter()
    labs = select(only, folders)
    check_tier(tier)
    check_built(labs)
    check_data(folders)
    pool.check_kernel()
    out = (out or folders.build / "report").resolve()
    pool.check_space(out)
    pool.check_space(folders.build)
    cache = folders.build / "cache"
    _tidy(cache)
    package = package_hash(folders)
    keys = {lab.id: key(lab, tier, package) for lab in labs}
    results = {lab.id: None if fresh else kept(lab, cache / keys[lab.id]) for lab in labs}
    todo = sorted((lab for lab in labs if results[lab.id] is None), key=lambda lab: -_last_seconds(out, lab))
    workers = min(jobs or os.cpu_count() or 1, max(1, len(todo)))
    work = [_job(lab, cache, keys[lab.id], tier, timeout, cell_timeout or timeout) for lab in todo]
    by_id = {lab.id: lab for lab in labs}
    with Display(len(labs)) as display, _terminated():
        for lab in labs:
            if results[lab.id]:
                display.done(lab, "finished by an earlier run")
        for job, outcome in pool.Pool(folders, workers).run(work, lambda job: display.started(by_id[job.name])):
            pool.raise_if_broken(job, outcome)
            lab = by_id[job.name]
            results[lab.id] = result = _result(lab, job, outcome, cache / keys[lab.id])
            display.done(lab, f"{'failed' if result.error else 'done'} in {result.seconds:.1f} s")
    table = golden.load(folders.golden).get(tier, {})
    ordered = [results[lab.id] for lab in labs]
    entries = [report.entry(result, table.get(result.lab.id, {})) for result in ordered]
    seconds = round(time.perf_counter() - start, 2)
    summary = {"tier": tier, "seconds": seconds, "labs": entries}
    index = report.write(out, summary, ordered)
    report.summary(summary)
    if todo:
        warn_stale(todo)
    print(f"Report: {shown(index)}", flush=True)
    return all(lab["status"] == "passed" for lab in entries)


def check_tier(tier: str) -> None:
    """Refuse what cannot run.

    Raises:
        Problem: No such tier, or one without its models.
    """
    if tier not in TIERS:
        raise Problem(f"There is no tier {tier!r}. There are: {', '.join(TIERS)}.")
    if tier == "gemma":
        from labs_src.doctor import gemma_problem

        if advice := gemma_problem():
            raise Problem(f"The gemma tier is not available: {advice} Use: labs run --tier mini")


def check_built(labs: Sequence[Lab]) -> None:
    """Refuse to run what is not there.

    Raises:
        Problem: A lab has no notebook.
    """
    for lab in labs:
        if not lab.notebook.exists():
            raise Problem(f"{shown(lab.notebook)} does not exist. {rebuild(lab.id)}")


def warn_stale(labs: Sequence[Lab]) -> None:
    """Say which notebooks, just run, are not what their sources say now."""
    for lab in labs:
        if source_hash(read_notebook(lab.notebook)) != source_hash(read_source(lab.source)):
            print(f"Note: {lab.notebook.name} is not what {lab.source.name} gives now. {rebuild(lab.id)}", flush=True)


def check_data(folders: Folders) -> None:
    """Find a damaged file before it can produce a number.

    Raises:
        Problem: A shipped file is damaged; the message names it and says how to restore it.
    """
    from labs_src.models.manifest import DamagedFile, problems

    if folders.data != paths.DATA:
        return  # a course without shipped models, in a test
    try:
        found = problems()
    except DamagedFile as error:
        found = [str(error)]
    if found:
        more = f" ({len(found) - 1} more; labs doctor lists them.)" if len(found) > 1 else ""
        raise Problem(found[0] + more)


def package_hash(folders: Folders) -> str:
    """What every lab depends on: the package (this room apart, its worker included), the data, the pinned versions."""
    package = Path(labs_src.__file__).parent
    course = package / "course"
    files = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    files = sorted(f for f in files if not f.is_relative_to(course)) + [course / "execute.py"]
    digest = hashlib.sha256(f"{sys.version_info[:3]}".encode())
    for file in [*files, folders.data / "manifest.json", paths.ROOT / "requirements.lock"]:
        digest.update(file.name.encode() + b"\0" + (file.read_bytes() if file.exists() else b"") + b"\0")
    return digest.hexdigest()


def key(lab: Lab, tier: str, package: str) -> str:
    """The name of a result: everything that it depends on."""
    digest = hashlib.sha256(f"{tier}\n{package}\n".encode())
    cells = json.loads(lab.notebook.read_text(encoding="utf-8"))["cells"]
    for cell in cells:  # not the outputs: they are made again
        digest.update(json.dumps([cell["cell_type"], cell["source"], cell["metadata"]], sort_keys=True).encode())
    return f"{lab.slug}-{digest.hexdigest()[:20]}"


def kept(lab: Lab, folder: Path) -> report.Result | None:
    """The result of an earlier run, or None."""
    try:
        outcome = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        result = _read(lab, folder, outcome)
    except (OSError, ValueError, Problem):
        return None
    result.kept, result.page_cache = True, folder
    os.utime(folder)
    return result


def _job(lab: Lab, cache: Path, name: str, tier: str, timeout: float, cell_timeout: float) -> pool.Job:
    folder = cache / f".part-{os.getpid()}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return pool.Job(lab.id, lab.notebook, folder, {"tier": tier}, timeout, cell_timeout)


def _result(lab: Lab, job: pool.Job, outcome: dict[str, Any], folder: Path) -> report.Result:
    """Read what a job left, and keep it under its name if every cell ran."""
    result = _read(lab, job.folder, outcome)
    if result.error is None:
        shutil.rmtree(folder, ignore_errors=True)
        job.folder.rename(folder)
        result.page_cache = folder
    else:
        shutil.rmtree(job.folder, ignore_errors=True)
    return result


def _read(lab: Lab, folder: Path, outcome: dict[str, Any]) -> report.Result:
    executed = folder / "executed.ipynb"
    error = outcome["error"]
    if error is None or executed.exists():
        try:
            notebook, text = read_notebook(executed), executed.read_text(encoding="utf-8")
            return report.Result(lab, notebook, text, error, outcome["seconds"], outcome["peak_mb"])
        except Problem:
            if error is None:
                raise
    return report.Result(lab, None, "", error, outcome["seconds"], outcome["peak_mb"])


def _last_seconds(out: Path, lab: Lab) -> float:
    """How long a lab took last time; the longest is started first."""
    try:
        labs = json.loads((out / "report.json").read_text(encoding="utf-8"))["labs"]
        return next((entry["seconds"] for entry in labs if entry["id"] == lab.id), 1e6)
    except (OSError, ValueError, KeyError):
        return float(lab.notebook.stat().st_size)


def _tidy(cache: Path) -> None:
    """Remove what killed runs left half-done, and the oldest results."""
    import psutil

    cache.mkdir(parents=True, exist_ok=True)
    for part in cache.glob(".part-*"):
        if not psutil.pid_exists(int(part.name.split("-")[1])):
            shutil.rmtree(part, ignore_errors=True)
    results = sorted((f for f in cache.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)
    for folder in results[:-KEEP]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: workers and kernels go with it.

    Raises:
        Stopped: One of them came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped from None
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
