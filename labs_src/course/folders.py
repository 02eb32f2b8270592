"""Where a course lies: this repository by default, another folder for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labs_src import paths


@dataclass(frozen=True)
class Folders:
    """The folders of one course.

    Attributes:
        sources: `NN_topic.py`, what is edited.
        notebooks: `NN_topic.ipynb`, built and executed.
        data: Models, the manifest and `golden.json`.
        work: The learner's own copies.
        build: Everything that can be made again.
    """

    sources: Path
    notebooks: Path
    data: Path
    work: Path
    build: Path

    @classmethod
    def below(cls, root: Path) -> Folders:
        """A course with the usual layout below `root`."""
        notebooks = root / "notebooks"
        return cls(notebooks / "source", notebooks, root / "data", root / "work", root / "build")

    @classmethod
    def default(cls) -> Folders:
        """This repository, or the folder named by LABS_ROOT."""
        if root := os.environ.get("LABS_ROOT"):
            return cls.below(Path(root).resolve())
        return cls(paths.SOURCES, paths.NOTEBOOKS, paths.DATA, paths.WORK, paths.BUILD)

    @property
    def golden(self) -> Path:
        """Expected values of the records."""
        return self.data / "golden.json"


def shown(path: Path) -> str:
    """A path as a person would type it here: relative where that is shorter."""
    for base in (Path.cwd(), paths.ROOT):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return str(path)
