"""The command line: quick to answer, one line for a problem, and what the Makefile calls exists."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from labs_src import checks
from labs_src.course import cli, server
from labs_src.course.errors import Problem, Stopped
from labs_src.course.folders import Folders
from labs_src.course.progress import Row, rows
from labs_src.course.testing import workers

COMMANDS = {"run", "test", "lab", "notebooks", "models", "progress", "doctor", "new", "lock"}
COMMANDS |= {"release", "grade", "feedback", "similar", "forget", "students", "table", "sweep"}


def test_every_command_is_there() -> None:
    assert {command.name or command.callback.__name__ for command in cli.app.registered_commands} == COMMANDS


def test_help_enters_no_room() -> None:
    heavy = "('torch', 'nbformat', 'jupytext', 'numpy')"
    code = f"import sys, labs_src.course.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Problem("Do this."), 2, "labs: Do this.\n"),
        (Stopped(), 130, "labs: stopped. What was finished is kept; the same command continues.\n"),
        (
            OSError(28, "No space left on device", "a.npy"),
            2,
            "labs: the disk is full (a.npy). Free some space and repeat.\n",
        ),
    ],
)
def test_problems_are_one_line(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    assert capsys.readouterr().err == message


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError("a bug")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(FileNotFoundError):
        cli.main()


def test_jupyterlab_is_started_without_popups(course: Folders) -> None:
    command = server.server_command(course, "work/00_doubling.ipynb", browser=False, port=8899)
    assert "--no-browser" in command
    assert "--LabApp.default_url=/lab/tree/work/00_doubling.ipynb" in command
    assert f"--ServerApp.root_dir={course.work.parent}" in command
    page = json.loads((server.CONFIG / "labconfig" / "page_config.json").read_text())
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True
    assert server.environment()["JUPYTER_CONFIG_PATH"].startswith(str(server.CONFIG))


def test_notebooks_keep_their_cells_together() -> None:
    assert workers(["-n", "4"]) == []
    assert workers(["--pdb"]) == []
    assert workers([]) in ([], ["-n", "2", "--dist", "loadscope"])


def test_progress_counts_what_the_file_says(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    exercises = {"07": [SimpleNamespace(name="first", points=3), SimpleNamespace(name="second", points=2)], "08": []}
    monkeypatch.setattr(checks, "lab_ids", lambda: list(exercises))
    monkeypatch.setattr(checks, "exercises", exercises.__getitem__)
    events = [
        {"event": "hint", "exercise": "first", "level": 2},
        {"event": "check", "exercise": "first", "points": 0, "passed": False},
        {"event": "check", "exercise": "first", "points": 3, "passed": True},
        {"event": "solution", "exercise": "second"},
    ]
    path = tmp_path / ".progress.jsonl"
    path.write_text("\n".join(map(json.dumps, events)) + '\n{"event": "che')  # a crash tore the last line
    seventh, eighth = rows(path, {"07": "Title"})
    assert seventh == Row("07 Title", solved=1, exercises=2, points=3, max_points=5, hints=2, opened=1)
    assert eighth == Row("08", 0, 0, 0, 0, 0, 0)
    assert rows(tmp_path / "none")[0].solved == 0
