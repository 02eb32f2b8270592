"""The labs, found by the names of their sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labs_src.course.errors import Problem
from labs_src.course.folders import Folders, shown

NAME = re.compile(r"^(\d\d)_([a-z0-9_]+)$")
HEADING = re.compile(r"^#\s*#\s+(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Lab:
    """One lab.

    Attributes:
        id: The two digits.
        slug: `NN_topic`, the name of its files.
        title: The first heading of the source, without the digits.
        source: The py:percent file.
        notebook: The executed notebook (which may not exist yet).
    """

    id: str
    slug: str
    title: str
    source: Path
    notebook: Path


def labs(folders: Folders | None = None) -> list[Lab]:
    """Every lab that has a source, in order.

    Raises:
        Problem: Two sources share their digits.
    """
    folders = folders or Folders.default()
    found: dict[str, Lab] = {}
    for source in sorted(folders.sources.glob("*.py")):
        if not (match := NAME.match(source.stem)):
            continue
        lab = Lab(match[1], source.stem, _title(source), source, folders.notebooks / f"{source.stem}.ipynb")
        if lab.id in found:
            raise Problem(f"Two labs are called {lab.id}: {found[lab.id].source.name} and {source.name}. Rename one.")
        found[lab.id] = lab
    return list(found.values())


def select(only: Sequence[str] | None, folders: Folders | None = None) -> list[Lab]:
    """The labs named by `only` (digits, slug or file name), in the course's order; all of them when it is empty.

    Raises:
        Problem: No such lab; the message lists what exists. Or there is no lab at all.
    """
    folders = folders or Folders.default()
    everything = labs(folders)
    if not everything:
        raise Problem(f"There are no labs in {shown(folders.sources)}. Run this in a full copy of the repository.")
    if not only:
        return everything
    names = {name: lab for lab in everything for name in (lab.id, lab.slug, lab.source.name, lab.notebook.name)}
    wanted = {}
    for name in (part for item in only for part in item.split(",") if part):
        lab = names.get(Path(name).name) or names.get(name.zfill(2))
        if lab is None:
            exist = ", ".join(f"{lab.id} ({lab.title})" for lab in everything)
            raise Problem(f"There is no lab {name!r}. There are: {exist}.")
        wanted[lab.id] = lab
    return [lab for lab in everything if lab.id in wanted]


def _title(source: Path) -> str:
    match = HEADING.search(source.read_text(encoding="utf-8"))
    text = match[1] if match else source.stem[3:].replace("_", " ").capitalize()
    return re.sub(r"^\d\d[\s.:]+|[*`]", "", text)
