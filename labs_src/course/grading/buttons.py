"""What nbgrader does in place of its own, named in a class's configuration so that formgrader's buttons do it too."""

from __future__ import annotations

from typing import Any

from nbconvert.exporters import Exporter, NotebookExporter
from nbgrader.preprocessors import NbGraderPreprocessor

from labs_src.course.errors import Problem
from labs_src.course.learner import refuse_solutions

REFUSAL = """

This button would run students' code without a sandbox.
In a terminal, type: labs grade
It grades into this same gradebook."""
"""Short lines: formgrader shows it below a traceback, in a narrow box."""


class RefuseSolutions(NbGraderPreprocessor):
    """The last step of every release, also of one that is made with formgrader's Generate button."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Raise rather than let a solution, a hidden test, a mark scheme or an output out."""
        refuse_solutions(nb, resources["nbgrader"]["notebook"])
        return nb, resources


class RefuseToRun(NotebookExporter):
    """In place of autograding: raises before nbgrader has touched a file."""

    def __init__(self, *_: Any, **__: Any):
        raise Problem(REFUSAL)


class FeedbackPage(Exporter):
    """In place of nbgrader's feedback, which shows hidden tests: the course's own page."""

    file_extension = ".html"

    def from_filename(self, filename: str, resources: dict | None = None, **_: Any) -> tuple[str, dict]:
        """The page of the student, assignment and notebook that nbgrader names in `resources`."""
        from pathlib import Path

        from labs_src.course.grading.classfolder import ClassFolder
        from labs_src.course.grading.feedback import page

        asked = resources["nbgrader"]
        root = Path(filename).resolve().parents[3]  # root/autograded/student/assignment/notebook.ipynb
        html = page(ClassFolder(root, asked["db_url"]), asked["student"], asked["assignment"])
        resources["output_extension"] = self.file_extension
        return html, resources
