"""The learner's own copies: stubs instead of solutions, made once, never overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labs_src.checks.contract import UNWRITTEN
from labs_src.course import quick  # noqa: F401  (first: it makes the imports below fast)
from labs_src.course.catalogue import Lab, select
from labs_src.course.cells import notebook_text, read_source, write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders, shown

MARKER = ".labs-work"
STUB = f"raise NotImplementedError({UNWRITTEN!r})"
FORBIDDEN = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "BEGIN MARK SCHEME")
CLEARED = {
    "TagRemovePreprocessor": {"enabled": True, "remove_cell_tags": {"solution-only"}},  # not enabled, it does nothing
    "ClearSolutions": {"code_stub": {"python": STUB}, "text_stub": "*Write your answer here.*"},
}
"""How nbgrader and nbconvert take solutions out; learners' copies and an instructor's releases share it."""
VERSION = b"1"
"""Part of every copy's fingerprint; a change here offers new copies."""


def make_copies(only: Sequence[str] | None = None, folders: Folders | None = None) -> list[str]:
    """Make what is missing in `work/`; leave every existing notebook as it is, byte for byte.

    Where a lab has changed since its copy was made, the new version is put beside it as `NN_topic.new.ipynb`, once.

    Args:
        only: Lab ids; all when empty.

    Returns:
        One line for each file that was written.
    """
    folders = folders or Folders.default()
    folders.work.mkdir(parents=True, exist_ok=True)
    marker = folders.work / MARKER
    made_from = _read(marker)
    lines = []
    for lab in select(only, folders):
        fingerprint = hashlib.sha256(VERSION + lab.source.read_bytes()).hexdigest()
        target, beside = folders.work / f"{lab.slug}.ipynb", folders.work / f"{lab.slug}.new.ipynb"
        if target.exists() and made_from.get(lab.slug) == fingerprint:
            continue
        content = notebook_text(learner_copy(lab)).encode()
        if not target.exists():
            write_atomically(target, content)
            lines.append(f"{shown(target)}: made")
        elif target.read_bytes() != content and not (beside.exists() and beside.read_bytes() == content):
            write_atomically(beside, content)
            lines.append(f"{shown(target)} is yours and stays as it is; lab {lab.id} has changed: see {shown(beside)}")
        made_from[lab.slug] = fingerprint
        write_atomically(marker, json.dumps(made_from, indent=1, sort_keys=True) + "\n")
    if not marker.exists():
        write_atomically(marker, json.dumps(made_from) + "\n")
    return lines


def learner_copy(lab: Lab) -> Any:
    """A lab without its solutions and outputs.

    Raises:
        Problem: A solution would be left in.
    """
    from nbconvert.preprocessors import TagRemovePreprocessor
    from nbgrader.preprocessors import ClearOutput, ClearSolutions
    from traitlets.config import Config

    notebook, resources = read_source(lab.source), {}
    try:
        for step in (TagRemovePreprocessor, ClearSolutions, ClearOutput):
            notebook, resources = step(config=Config(CLEARED)).preprocess(notebook, resources)
    except RuntimeError as error:
        raise Problem(f"Lab {lab.id} ({lab.source.name}): {error}") from error
    refuse_solutions(notebook, f"Lab {lab.id} ({lab.source.name})")
    return notebook


def refuse_solutions(notebook: Any, name: str) -> None:
    """The last look at what goes out to learners.

    Raises:
        Problem: A marker, a cell for teachers or an output was left in.
    """
    for cell in notebook.cells:
        solved = any(word in cell.source for word in FORBIDDEN) or "solution-only" in cell.metadata.get("tags", [])
        if solved or cell.get("outputs"):
            what = "a solution" if solved else "an output"
            raise Problem(f"{name}: a learner's copy would hold {what}:\n{cell.source}")


def _read(marker: Path) -> dict[str, str]:
    """Which source each copy was made from; empty when that is not known."""
    try:
        known = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
