"""A class: nbgrader's course folder, with the gradebook, and the one configuration that everything here uses."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src.course.cells import write_atomically
from labs_src.course.errors import Problem
from labs_src.course.folders import shown

DEFAULT = "class"
COURSE = "interp-workbook"
FILE = "nbgrader_config.py"
WRITTEN = """# Made by `labs release`; yours to add to. nbgrader, formgrader and `labs` all read it.
# What it sets: no solution goes out, no student's code runs outside the sandbox, feedback is the course's own page.
from pathlib import Path

from labs_src.course.grading.classfolder import configure

c = get_config()  # noqa: F821
configure(c, Path(__file__).parent, db_url={db_url!r}, course_id={course_id!r})
"""


@dataclass(frozen=True)
class ClassFolder:
    """Where one class lies.

    Attributes:
        root: The folder; nbgrader's `source`, `release`, `submitted`, `autograded` and `feedback` are below it.
        db_url: Of the gradebook, any that nbgrader takes; by default SQLite in the folder.
        course_id: nbgrader's name for the course, used by its exchange.
    """

    root: Path
    db_url: str = ""
    course_id: str = COURSE

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).resolve())
        if not self.db_url:
            object.__setattr__(self, "db_url", f"sqlite:///{self.root / 'gradebook.db'}")

    @classmethod
    def at(cls, root: Path, db_url: str | None = None) -> ClassFolder:
        """The class in `root`, with the database that it was made with unless another is given.

        Raises:
            Problem: Its configuration cannot be read.
        """
        known = _configured(Path(root) / FILE)
        return cls(root, db_url or known.get("db_url", ""), known.get("course_id", COURSE))

    @property
    def source(self) -> Path:
        """The instructor's versions, with solutions."""
        return self.root / "source"

    @property
    def release(self) -> Path:
        """The students' versions."""
        return self.root / "release"

    @property
    def submitted(self) -> Path:
        """What is graded: one notebook for each student and lab."""
        return self.root / "submitted"

    @property
    def autograded(self) -> Path:
        """What formgrader shows."""
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        """Pages for the students."""
        return self.root / "feedback"

    @property
    def arrived(self) -> Path:
        """Every submission as it came, under a name made from its content; nothing here is ever overwritten."""
        return self.root / "grading" / "arrived"

    def config(self) -> Any:
        """nbgrader's configuration for this class."""
        from traitlets.config import Config

        return configure(Config(), self.root, self.db_url, self.course_id)

    def make(self) -> None:
        """Make the folder, and the configuration that formgrader and `nbgrader` find there.

        Raises:
            Problem: The folder is a file, or cannot be written.
        """
        programs_on_path()
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=0o700, exist_ok=True)  # solutions, marks and everybody's work
        except OSError as error:
            raise Problem(
                f"The class cannot be in {shown(self.root)}: {error.strerror}. Choose another with --course DIR."
            ) from error
        path = self.root / FILE
        if not path.exists():
            own = f"sqlite:///{self.root / 'gradebook.db'}"
            url = "" if self.db_url == own else self.db_url  # so that the folder can be moved
            text = WRITTEN.format(db_url=url, course_id=self.course_id)
            write_atomically(path, text)


def configure(config: Any, root: Path, db_url: str = "", course_id: str = COURSE) -> Any:
    """Set what a class needs in an nbgrader configuration.

    Args:
        config: A traitlets `Config`; changed and returned.
        root: The class's folder.
        db_url: The gradebook; by default SQLite in the folder.
        course_id: For nbgrader's exchange.
    """
    from labs_src.course.learner import CLEARED

    programs_on_path()
    for section, values in CLEARED.items():
        config[section].update(values)
    config.CourseDirectory.update({"root": str(Path(root).resolve()), "course_id": course_id})
    if db_url:
        config.CourseDirectory.db_url = db_url
    config.GenerateAssignment.preprocessors = [
        "nbconvert.preprocessors.TagRemovePreprocessor",
        *(f"nbgrader.preprocessors.{name}" for name in ("LockCells", "ClearSolutions", "ClearOutput")),
        *(f"nbgrader.preprocessors.{name}" for name in ("CheckCellMetadata", "ComputeChecksums", "SaveCells")),
        *(f"nbgrader.preprocessors.{name}" for name in ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums")),
        "nbgrader.preprocessors.CheckCellMetadata",
        "labs_src.course.grading.buttons.RefuseSolutions",
    ]
    # formgrader's own buttons: no code of a student's without the sandbox, no page but ours.
    config.Autograde.exporter_class = "labs_src.course.grading.buttons.RefuseToRun"
    config.GenerateFeedback.exporter_class = "labs_src.course.grading.buttons.FeedbackPage"
    config.GenerateFeedback.preprocessors = []
    return config


def programs_on_path() -> None:
    """nbgrader calls `alembic` by name to make a gradebook; an environment that is not activated does not have it."""
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PATH")]))


def _configured(path: Path) -> dict[str, str]:
    """What a class's configuration says about itself; empty when there is none yet."""
    if not path.exists():
        return {}
    from traitlets.config.loader import PyFileConfigLoader

    try:
        loaded = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as error:
        raise Problem(f"{shown(path)} cannot be read: {error}. Put it right, or move it away.") from error
    known = loaded.CourseDirectory
    return {key: known[key] for key in ("db_url", "course_id") if key in known}
