"""Source to executed notebook, and whether a notebook is what its source would give."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.course import golden, pool
from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import (
    KEPT,
    KERNELSPEC,
    STAMP,
    notebook_text,
    outputs_hash,
    read_notebook,
    read_source,
    source_hash,
    write_atomically,
)
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders, shown
from labs_src.course.records import records

TIER = "mini"
"""Notebooks are committed as the mini tier gives them."""


def build(
    only: Sequence[str] | None = None,
    accept: bool = False,
    folders: Folders | None = None,
    jobs: int | None = None,
    timeout: float = 900,
) -> list[Lab]:
    """Execute sources into notebooks and bring `golden.json` up to date; what fails leaves the old files as they were.

    Args:
        only: Lab ids; all when empty.
        accept: Take records as they are, even outside tolerance, under the floor, or gone.
        jobs: Workers; by default as many as cores.
        timeout: Seconds for each notebook, and for each of its cells.

    Returns:
        The labs that were written.

    Raises:
        Problem: One line for each lab that was not written, and why.
    """
    folders = folders or Folders.default()
    labs = select(only, folders)
    pool.check_kernel()
    pool.check_space(folders.notebooks)
    expected = golden.load(folders.golden).get(TIER, {})
    written, problems = [], []
    with tempfile.TemporaryDirectory(prefix="labs-build-") as temporary:
        work = []
        for lab in labs:
            folder = Path(temporary) / lab.slug
            folder.mkdir()
            source = read_source(lab.source)
            _check_tags(lab, source)
            write_atomically(folder / "source.ipynb", notebook_text(source))
            work.append(pool.Job(lab.id, folder / "source.ipynb", folder, {}, timeout, timeout))
        by_id = {lab.id: lab for lab in labs}
        for job, outcome in pool.Pool(folders, jobs or os.cpu_count() or 1).run(work):
            pool.raise_if_broken(job, outcome)
            lab = by_id[job.name]
            try:
                notebook = _finished(lab, job, outcome)
                entries, objections = golden.merge(expected.get(lab.id, {}), records(notebook), accept)
                if objections:
                    raise Problem(golden.refusal(lab.id, objections) + _keep(lab, notebook, folders))
            except Problem as problem:
                problems.append(str(problem))
                print(f"{lab.id} {lab.title}: not written", flush=True)
                continue
            write_atomically(lab.notebook, notebook_text(notebook))
            table = golden.load(folders.golden)  # again: another lab may have been built meanwhile
            table.setdefault(TIER, {})[lab.id] = entries
            golden.save(folders.golden, table)
            written.append(lab)
            size = lab.notebook.stat().st_size / 1e3
            took = outcome["seconds"]
            print(f"{lab.id} {lab.title}: {took:.0f} s, {len(entries)} records, {size:.0f} kB", flush=True)
    if problems:
        raise Problem("\n".join(problems))
    return written


def tidy(executed: Any, source: Any) -> Any:
    """An executed notebook as it is committed: the source's cells with outputs, nothing that differs between runs."""
    for cell, original in zip(executed.cells, source.cells, strict=True):
        cell.id = original.id
        cell.metadata = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        if cell.cell_type != "code":
            continue
        if "strip-output" in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.outputs:
            if "metadata" in output:
                output.metadata = {key: output.metadata[key] for key in (STAMP,) if key in output.metadata}
                if record := output.metadata.get(STAMP, {}).get("record"):
                    record["value"] = golden.six_digits(record["value"])
        cell.outputs = _joined(cell.outputs)
    executed.nbformat, executed.nbformat_minor = 4, 5
    stamp = {"source_sha256": source_hash(source), "outputs_sha256": outputs_hash(executed)}
    executed.metadata = {"kernelspec": dict(KERNELSPEC), "language_info": {"name": "python"}, STAMP: stamp}
    return executed


def _finished(lab: Lab, job: pool.Job, outcome: dict[str, Any]) -> Any:
    """The tidied notebook.

    Raises:
        Problem: A cell failed, or an output names a folder of this machine.
    """
    if error := outcome["error"]:
        where = f", in the cell that begins {error['cell']!r}" if error["cell"] else ""
        raise Problem(f"Lab {lab.id} was not written: {error['message']}{where}.")
    notebook = tidy(read_notebook(job.output), read_source(lab.source))
    for cell in notebook.cells:
        if private := _private_path(str(cell.get("outputs", ""))):
            first = cell.source.strip().splitlines()[0]
            raise Problem(
                f"Lab {lab.id} was not written: the output of the cell that begins {first!r} names a folder of this "
                f"machine ({private}). Silence the warning or print less."
            )
    return notebook


def _private_path(text: str) -> str | None:
    for folder in (str(paths.ROOT), sys.prefix, os.path.join(tempfile.gettempdir(), "labs-"), "/ipykernel_"):
        if folder in text:
            return folder
    return None


def _joined(outputs: list[Any]) -> list[Any]:
    """Consecutive pieces of one stream as one: how they were cut depends on timing."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _check_tags(lab: Lab, source: Any) -> None:
    for cell in source.cells:
        tags = cell.metadata.get("tags", [])
        if "strip-output" in tags and not {"nbval-ignore-output", "nbval-skip"} & set(tags):
            first = cell.source.strip().splitlines()[0]
            where = f"the cell that begins {first!r} is tagged strip-output"
            raise Problem(f"Lab {lab.id}: {where}; tag it nbval-ignore-output too.")
    if not any("parameters" in cell.metadata.get("tags", []) for cell in source.cells):
        raise Problem(f"Lab {lab.id}: no cell is tagged parameters (it holds tier and seed). See CONTRIBUTING.md.")


def _keep(lab: Lab, notebook: Any, folders: Folders) -> str:
    """Keep a refused notebook where it can be looked at."""
    kept = folders.build / "refused" / lab.notebook.name
    write_atomically(kept, notebook_text(notebook))
    return f" (The refused notebook is {shown(kept)}.)"
