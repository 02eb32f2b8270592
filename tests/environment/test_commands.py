"""The Makefile, the README and the `labs` command name the same things, and no target costs time of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from labs_src.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
RULES = dict(re.findall(r"(?m)^([a-z]+):[^\n]*\.venv/\.ok[^\n]*\n\t@(.+)$", MAKEFILE))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/instructors.md"]
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]_*.py"))


def commands() -> set[str]:
    from labs_src.course.cli import app

    return {command.name or command.callback.__name__ for command in app.registered_commands}


def test_every_target_is_one_line_over_the_same_command():
    assert {"run", "test", "lab", "notebooks", "models", "doctor", "progress"} <= set(RULES)
    for target, line in RULES.items():
        assert line == f".venv/bin/labs {target} $(ARGS)"
        assert target in commands(), f"make {target} calls a command that does not exist"


def test_every_target_is_phony():
    phony = re.search(r"(?m)^\.PHONY: (.+)$", MAKEFILE)[1].split()
    assert set(phony) == {*RULES, "help"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_commands_that_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (?:PYTHON=\S+ )?([a-z]+)", text, flags=re.MULTILINE):
        assert target in RULES, f"{name}: make {target}"
    for command in re.findall(r"(?:^|`|bin/)labs ([a-z]+)", text, flags=re.MULTILINE):
        assert command in commands(), f"{name}: labs {command}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_link_to_files_that_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for alt, target in re.findall(r"(!?\[[^\]]*\])\((?!https?://)([^)#]+)", text):
        assert (ROOT / target).exists(), f"{name}: {target}"
        assert not alt.startswith("!") or len(alt) > 40, f"{name}: the picture {target} needs alt text"


@pytest.mark.parametrize(("name", "folder"), [("README.md", "notebooks/"), ("notebooks/source/00_start_here.py", "")])
def test_every_list_of_labs_is_whole_and_asks_what_the_labs_ask(name, folder):
    rows = re.findall(rf"(?m)\| \[(.+)\]\({folder}(\d\d_\w+)\.ipynb\) \| (.+?) \|", (ROOT / name).read_text("utf-8"))
    expected = []
    for source in SOURCES:
        text = source.read_text("utf-8")
        title, question = re.search(r"(?m)^# # (.+)$", text)[1], re.search(r"\*\*Question\.\*\* (.+)", text)[1]
        expected.append((title, source.stem, question))
    assert rows == [row for row in expected if row[1] != Path(name).stem]


def test_readme_fits_on_two_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_second_call_costs_no_time_in_a_folder_with_a_space(tmp_path):
    """The environment is made once: then make only looks at times, and starts no Python of its own."""
    folder = tmp_path / "a folder"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "install.py", "requirements-torch.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv" / ".ok").touch()
    labs = folder / ".venv" / "bin" / "labs"
    labs.write_text('#!/bin/sh\necho "labs $*"\n')
    labs.chmod(0o755)
    # These tests may run under make themselves; its variables would change what the inner one prints.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["PYTHON"] = "/nonexistent/python"
    begin = time.perf_counter()
    command = ["make", "run", "ARGS=--only 02"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "labs run --only 02\n"), result.stderr
    assert time.perf_counter() - begin < 2.0


def test_ci_does_what_the_readme_says():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    for target in ("run", "test", "lab"):
        assert f"make {target}" in script
