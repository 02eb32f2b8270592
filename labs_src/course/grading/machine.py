"""What this machine can enforce: found out by trying it, before any submission is run."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

from labs_src.course.errors import Problem
from labs_src.course.grading import sandbox, seccomp
from labs_src.course.grading.limits import Limits

SECONDS = 60
# Runs inside, and says as JSON what it could do. No torch: it takes a moment.
TRIAL = """
import json, os, socket, sys, time
from labs_src.course.grading.inside.runner import confine, in_force
confine(json.loads(sys.argv[1]))
seen = {"uid": os.getuid(), "limits": in_force()}
def can(what, do):
    try:
        do(); seen[what] = True
    except BaseException as error:
        seen[what] = False
def fork():
    children = []
    try:
        for _ in range(int(sys.argv[2])):
            child = os.fork()
            if child == 0:
                time.sleep(60); os._exit(0)
            children.append(child)
    finally:
        seen["forks"] = len(children)
        for child in children:
            os.kill(child, 9)
        for child in children:
            os.waitpid(child, 0)
def connect():
    with socket.create_connection(("192.0.2.1", 80), timeout=1): pass
def large():
    with open("/tmp/large", "wb") as file:
        for _ in range(int(sys.argv[3])): file.write(b"x" * (1 << 20))
can("memory", lambda: bytearray(int(sys.argv[4]) << 20))
can("network", lambda: socket.socket().close() or connect())
can("file", large)
can("root", lambda: open("/here", "w"))
can("shm", lambda: open("/dev/here", "w"))
can("memfd", lambda: os.memfd_create("x"))
seen["checks"] = [name for name in json.loads(sys.argv[5]) if os.path.exists(name)]
can("fork", fork)
print(json.dumps(seen))
"""


@functools.cache
def trial() -> dict:
    """Run the trial in a sandbox. `error` is set where none could be made."""
    how = sandbox.kind()
    if sys.platform != "linux":
        return {"error": f"bubblewrap needs Linux, and this is {sys.platform}"}
    if how.bwrap is None:
        return {"error": "bubblewrap is not installed"}
    limits = Limits(processes=16, memory_mb=1024, file_mb=4)
    setup = {"limits": limits.to_json(), "uid": how.uid if how.root else None, "shut_in": True}
    numbers = ["40", "8", "2048"]
    code = [sandbox.python(), "-P", "-c", TRIAL, json.dumps(setup), *numbers, json.dumps(secrets())]
    try:
        command, inherited = sandbox.wrapped(code, how, limits, ())
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=inherited,
            cwd="/",
        )
        for descriptor in inherited:
            os.close(descriptor)
        try:
            out, error = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return {"error": f"a sandbox did not answer within {SECONDS} s"}
    except OSError as error:
        return {"error": str(error)}
    if process.returncode != 0:
        last = (error.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return {"error": last[:300]}
    return json.loads(out)


def secrets() -> list[str]:
    """Files that a sandbox must not show: every lab's checks, tests, notebooks, the repository."""
    from labs_src import checks, paths

    folder = os.path.dirname(checks.__file__)
    found = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith("lab")]
    found += [os.path.join(folder, "__pycache__")]
    return found + [str(paths.ROOT / name) for name in ("tests", "notebooks", ".git", "build", "work")]


def report() -> list[tuple[str, bool, str]]:
    """What is enforced here, one row each: what, whether, and what that means."""
    seen, limits = trial(), Limits()
    if "error" in seen:
        return [("sandbox", False, f"{seen['error']}. {advice(seen['error'])}")]
    forks = seen["forks"] < 40
    return [
        ("sandbox", True, f"bubblewrap, as user {seen['uid']}"),
        ("checks, tests and other work hidden", not seen["checks"], ", ".join(seen["checks"]) or "none can be seen"),
        ("no network", not seen["network"], "a network of its own, without any connection"),
        ("memory of a process", not seen["memory"], f"{limits.memory_mb} MB of address space"),
        ("memory of all processes", True, f"{limits.total_mb} MB, counted from outside four times a second"),
        ("processes", forks, f"{limits.processes} at a time" if forks else NO_PROCESSES),
        (
            "size of a file",
            not seen["file"],
            f"{limits.file_mb} MB; all files together {limits.scratch_mb} MB, in memory",
        ),
        ("nothing else can be written", not seen["root"] and not seen["shm"], "only /tmp, which is gone afterwards"),
        ("memory outside processes", not seen["memfd"], FILTER if seccomp.program() else NO_FILTER),
    ]


NO_PROCESSES = (
    "not limited here: as root the limit does not count. They end with the submission. "
    "Grade as an ordinary user, with an environment that it can read, to have the limit"
)
FILTER = "memfd, shared memory segments, new namespaces and debugging are refused by a system call filter"
NO_FILTER = "no system call filter for this kind of processor"


def advice(error: str) -> str:
    """The next step where no sandbox can be made."""
    if "not installed" in error:
        return "Install it: sudo apt-get install bubblewrap (dnf, pacman and zypper call it bubblewrap too)."
    if "needs Linux" in error:
        return "Grade on a Linux machine or in a virtual machine."
    if (
        "uid map" in error
        or "Operation not permitted" in error
        or "Permission denied" in error
        or "No permissions" in error
    ):
        return (
            "User namespaces are not allowed here: on Ubuntu 24.04 give bwrap an AppArmor profile "
            "(package apparmor-profiles: bwrap-userns-restrict), in Docker start the container with "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined."
        )
    return "See what `bwrap --unshare-all --ro-bind / / true` says."


def require(unsafe: bool) -> list[str]:
    """Warnings to print before grading.

    Raises:
        Problem: Students' code cannot be shut in, and `unsafe` was not given.
    """
    if unsafe:
        return ["WARNING: without a sandbox. What students wrote can read and change everything that you can."]
    seen = trial()
    if "error" in seen:
        raise Problem(
            f"No sandbox can be made here ({seen['error']}), so students' code is not run. {advice(seen['error'])} "
            "With --unsafe it runs without one: only for work that you trust as your own."
        )
    if seen["checks"]:
        raise Problem(f"A sandbox here would show {seen['checks'][0]}, which knows answers. Please report this layout.")
    return [f"This machine: {what}: {message}" for what, enforced, message in report() if not enforced]
