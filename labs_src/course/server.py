"""`labs lab`: the learner's copies, then JupyterLab open on the first of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from labs_src import paths
from labs_src.course.folders import Folders, shown

CONFIG = Path(__file__).parent / "jupyter"
"""Jupyter's configuration for learners: no news popup, no instructor's panels."""


def open_lab(
    only: Sequence[str] | None = None,
    browser: bool = True,
    port: int = 8888,
    serve: bool = True,
    folders: Folders | None = None,
) -> int:
    """Make the copies that are missing, then run JupyterLab until it is ended with Ctrl-C.

    Args:
        only: Labs to copy; all when empty. JupyterLab opens on the first of them.
        browser: Whether a window is opened.
        port: The next free one is taken if it is in use.
        serve: False to make the copies only.

    Returns:
        JupyterLab's exit code, or 0.

    Raises:
        Problem: A full disk, an unknown lab.
    """
    folders = folders or Folders.default()
    first = prepare(only, folders)
    if not serve:
        return 0
    command = server_command(folders, first, browser, port)
    print(f"JupyterLab opens {first}. End it with Ctrl-C; your work stays in {shown(folders.work)}/.", flush=True)
    if os.name == "posix":
        os.execve(command[0], command, environment())  # the server takes this process's place, and its signals
    return subprocess.call(command, env=environment())


def prepare(only: Sequence[str] | None, folders: Folders) -> str:
    """Make the copies; returns the first one's path below the folder that JupyterLab shows.

    Nearly always all of them are up to date, and then nothing of nbgrader or jupytext is imported.
    """
    from labs_src.course.catalogue import select
    from labs_src.course.learner import make_copies

    if not folders.sources.is_dir():
        return given(folders)
    for line in make_copies(only, folders):
        print(line, flush=True)
    slug = select(only, folders)[0].slug
    return f"{folders.work.name}/{slug}.ipynb"


def given(folders: Folders) -> str:
    """What `work/` holds where there is nothing to copy from: a student gets the notebooks from the instructor."""
    from labs_src.checks.progress import MARKER

    folders.work.mkdir(parents=True, exist_ok=True)
    (folders.work / MARKER).touch()
    notebooks = sorted(path for path in folders.work.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not notebooks:
        print(f"Put the notebooks that you were given into {shown(folders.work)}/.", flush=True)
        return folders.work.name
    return notebooks[0].relative_to(folders.work.parent).as_posix()  # nbgrader's exchange makes a folder for each


def server_command(folders: Folders, first: str, browser: bool, port: int) -> list[str]:
    """The command line of the server.

    Args:
        first: The notebook to open, below the parent of the work folder.
        browser: Whether it opens a window.
        port: Where it listens, on this machine only.
    """
    command = [sys.executable, "-m", "labs_src.course.labserver"]
    command += [f"--ServerApp.root_dir={folders.work.parent}", f"--ServerApp.port={port}"]
    command += [f"--LabApp.default_url=/lab/tree/{first}"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.extension_manager=readonly"]  # the other one asks a package index
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container; Jupyter asks for it by name
    return command


def environment() -> dict[str, str]:
    """The server's environment, which its kernels inherit."""
    env = dict(os.environ)
    for name, value in (("JUPYTER_CONFIG_PATH", CONFIG), ("PYTHONPATH", paths.ROOT)):
        env[name] = os.pathsep.join(filter(None, [str(value), env.get(name)]))
    env.setdefault("PLOTLY_RENDERER", "plotly_mimetype")
    env.setdefault("OMP_NUM_THREADS", "1")  # small models: more threads only wait for each other
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    return env
