"""The sandbox: bubblewrap around one Python process that runs a submission.

Inside there is no network, no other process, no writable file but a small /tmp in memory, and of the course neither
checks nor notebooks nor anybody's work (`places`). Limits on memory, processes, files and time are set by the first
lines that run inside (`inside/runner.py`), before anything of the student's. Everything ends with it: the kernel kills
what is left in a process namespace when its first process goes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.course.grading import seccomp
from labs_src.course.grading.bytecode import reading
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.places import places, python, search

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
RUNNER = "labs_src.course.grading.inside.runner"
STUDENT = 210_000
"""As root the code inside takes a user id from here on, one for each sandbox, so that the limit on processes holds."""


@dataclass(frozen=True)
class Kind:
    """How code is shut in on this machine.

    Attributes:
        bwrap: The program, or None: no sandbox (only with --unsafe).
        root: Whether this process is root, and the code inside becomes another user.
        uid: That user.
        bytecode: A folder of compiled modules to show, from `bytecode.folder`.
    """

    bwrap: str | None
    root: bool = False
    uid: int = STUDENT
    bytecode: Path | None = None


def kind(unsafe: bool = False, slot: int = 0, bytecode: Path | None = None) -> Kind:
    """The usual kind for this process.

    Args:
        unsafe: Without a sandbox.
        slot: Number of the worker; gives each its own user id under root.
        bytecode: Compiled modules to show.
    """
    if unsafe:
        return Kind(None, bytecode=bytecode)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return Kind(shutil.which("bwrap"), root, STUDENT + slot, bytecode)


class Sandbox:
    """A running sandbox: requests go to `requests`, frames come from `answers`.

    Args:
        setup: For the runner: mode, limits and the like; sent as the first line.
        secret: Folders that must not be visible.
        how: From `kind`.
    """

    def __init__(self, setup: dict[str, Any], *, secret: tuple[Path, ...] = (), how: Kind, limits: Limits):
        self._folder = None if how.bwrap else tempfile.TemporaryDirectory(prefix="labs-unsafe-")
        setup = {**setup, "limits": limits.to_json(), "shut_in": bool(how.bwrap)}
        setup["uid"] = how.uid if how.root and how.bwrap else None
        inherited, command, env = [], [python(), "-P", "-m", RUNNER, json.dumps(setup)], None
        if how.bwrap:
            command, inherited = wrapped(command, how, limits, secret)
        else:
            env = {**_environment(self._folder.name), **reading(how.bytecode), "PATH": os.environ.get("PATH", "")}
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=env,
                pass_fds=inherited,
                cwd=self._folder.name if self._folder else "/",
                start_new_session=True,
            )
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        self.requests: int = self.process.stdin.fileno()
        self.answers: int = self.process.stdout.fileno()
        os.set_blocking(self.requests, False)  # who does not read must not hold up who writes

    def _kill_inside(self) -> None:
        """Kill what bubblewrap started and let it notice, so that it leaves no dead process behind."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess, subprocess.TimeoutExpired):
            inside = psutil.Process(self.process.pid).children(recursive=True) if self._folder is None else []
            for process in inside:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if inside:
                self.process.wait(timeout=2)

    def complaint(self) -> str:
        """What bubblewrap or Python said before they ended (at most 4000 characters)."""
        import select

        text, descriptor = b"", self.process.stderr.fileno()
        while len(text) < 4000 and select.select([descriptor], [], [], 0)[0]:
            part = os.read(descriptor, 4000 - len(text))
            if not part:
                break
            text += part
        return " ".join(text.decode(errors="replace").split())

    def close(self) -> None:
        """Kill everything inside and wait until it is gone."""
        from labs_src.course.pool import kill_tree

        self._kill_inside()
        with contextlib.suppress(OSError):
            kill_tree(self.process.pid)
            os.killpg(self.process.pid, 9)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        if self._folder:
            shutil.rmtree(self._folder.name, ignore_errors=True)


def wrapped(command: list[str], how: Kind, limits: Limits, secret: tuple[Path, ...]) -> tuple[list[str], list[int]]:
    """The command inside bubblewrap, and the descriptors that it needs."""
    # The runner is the first process inside: nothing there can kill it, and there is no other to look into.
    common = ["--as-pid-1", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    arguments = ["--unshare-all", *common]
    if how.root:
        # A user namespace would map the student to root, for whom the limit on processes does not count.
        arguments = [name for kind in ("ipc", "pid", "net", "uts", "cgroup-try") for name in [f"--unshare-{kind}"]]
        arguments += common
        arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        arguments += ["--unshare-user", "--cap-drop", "ALL"]
        arguments += ["--disable-userns"] if "--disable-userns" in _help(how.bwrap) else []
    shown = places(secret)
    if how.bytecode is not None:
        shown.package.append(str(how.bytecode))
    # First /tmp, then what is shown: the course itself may lie below /tmp.
    arguments += ["--perms", "1777", "--size", str(limits.scratch_mb << 20), "--tmpfs", "/tmp"]
    arguments += shown.arguments()
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    # Both are kept in memory and have no size of their own.
    arguments += ["--perms", "1777", "--size", str(16 << 20), "--tmpfs", "/dev/shm"]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    for name, value in (_environment("/tmp") | reading(how.bytecode)).items():
        arguments += ["--setenv", name, value]
    inherited = []
    if program := seccomp.program():
        descriptor, writing = os.pipe()
        os.write(writing, program)
        os.close(writing)
        inherited.append(descriptor)
        arguments += ["--seccomp", str(descriptor)]
    return [how.bwrap, *arguments, "--", *command], inherited


def _environment(home: str) -> dict[str, str]:
    values = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
    values |= {"HOME": home, "TMPDIR": home, "USER": "student", "LOGNAME": "student", "LANG": "C.UTF-8"}
    values |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONHASHSEED": "0"}
    values |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "PYTHONPATH": os.pathsep.join(search())}
    values["LABS_DATA"] = str(paths.DATA)
    values |= {"PLOTLY_RENDERER": "plotly_mimetype", "HF_HUB_OFFLINE": "1", "IPYTHONDIR": f"{home}/.ipython"}
    return values


@functools.cache
def _help(bwrap: str) -> str:
    return subprocess.run([bwrap, "--help"], capture_output=True, text=True, check=False, timeout=20).stdout
