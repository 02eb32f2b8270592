"""How these tests call the `labs` command on a course of their own."""

from __future__ import annotations

import os
import sys

from labs_src.course.folders import Folders


def command(*arguments: str) -> list[str]:
    """The command line of `labs`."""
    return [sys.executable, "-m", "labs_src.course.cli", *arguments]


def environment(course: Folders, **variables: str) -> dict[str, str]:
    """The environment in which `labs` works on this course."""
    return {**os.environ, "LABS_ROOT": str(course.notebooks.parent), "COLUMNS": "200", **variables}
