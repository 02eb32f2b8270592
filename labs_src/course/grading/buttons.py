"""What nbgrader does in place of its own, named in a class's configuration so that formgrader's buttons do it too."""

from __future__ import annotations

from typing import Any

from nbconvert.exporters import Exporter, NotebookExporter
from nbgrader.preprocessors import NbGraderPreprocessor

from labs_src.course.errors import Problem
from labs_src.course.learner import refuse_solutions

REFUSAL = "Nothing was run: this button has no sandbox. In a terminal, type: labs grade"
"""Short: formgrader shows it in a narrow box, first what was logged, then the end of a traceback."""


class RefuseSolutions(NbGraderPreprocessor):
    """The last step of every release, also of one that is made with formgrader's Generate button."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Raise rather than let a solution, a hidden test, a mark scheme or an output out."""
        refuse_solutions(nb, resources["nbgrader"]["notebook"])
        return nb, resources


class RefuseToRun(NotebookExporter):
    """In place of autograding: raises before nbgrader has touched a file."""

    def __init__(self, *_: Any, parent: Any = None, **__: Any):
        if parent is not None:
            parent.log.error(REFUSAL)
        raise Problem(REFUSAL) from None


class FeedbackPage(Exporter):
    """In place of nbgrader's feedback, which shows hidden tests: the course's own page."""

    file_extension = ".html"

    def from_filename(self, filename: str, resources: dict | None = None, **_: Any) -> tuple[str, dict]:
        """The page of the student, assignment and notebook that nbgrader names in `resources`.

        nbgrader has emptied the page's folder; what its *Release Feedback* looks for there is put back.
        """
        from pathlib import Path

        from labs_src.course.grading.classfolder import ClassFolder
        from labs_src.course.grading.feedback import for_release, page

        asked = resources["nbgrader"]
        root = Path(filename).resolve().parents[3]  # root/autograded/student/assignment/notebook.ipynb
        classroom = ClassFolder(root, asked["db_url"])
        html = page(classroom, asked["student"], asked["assignment"])
        for_release(classroom, asked["student"], asked["assignment"])
        resources["output_extension"] = self.file_extension
        return html, resources
