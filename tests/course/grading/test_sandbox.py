"""What a sandbox shows and allows, tried from inside; and what is said where none can be made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labs_src import checks, paths
from labs_src.course.errors import Problem
from labs_src.course.grading import machine, places, sandbox, seccomp
from labs_src.course.grading.limits import Limits

needs_sandbox = pytest.mark.skipif(
    "error" in machine.trial(), reason=f"no sandbox can be made here: {machine.trial().get('error')}"
)
SETUP = {"limits": Limits().to_json(), "shut_in": True}


def inside(code: str, *arguments: str, secret: tuple[Path, ...] = ()) -> subprocess.CompletedProcess:
    """Run Python inside, as the user that a submission runs as."""
    how = sandbox.kind()
    setup = json.dumps({**SETUP, "uid": how.uid if how.root else None})
    start = f"import json; from labs_src.course.grading.inside.runner import confine; confine(json.loads({setup!r}))\n"
    command, inherited = sandbox.wrapped(
        [sandbox.python(), "-P", "-c", start + code, *arguments], how, Limits(), secret
    )
    return subprocess.run(command, pass_fds=inherited, capture_output=True, text=True, timeout=120, check=False)


READ = """
import os, sys
for top in sys.argv[1:]:
    for folder, below, names in os.walk(top):
        below[:] = [name for name in below if name not in (".venv", "data", "site-packages")]
        for name in names:
            try:
                path = os.path.join(folder, name)
                sys.stdout.buffer.write(path.encode() + b"\\n" + open(path, "rb").read())
            except OSError:
                pass
"""


@needs_sandbox
def test_nothing_that_knows_an_answer_can_be_read():
    """Every line of every lab's checks that is longer than a few words, looked for in all that is shown."""
    text = re.sub(rb"\s+", b" ", inside_bytes(READ, str(paths.ROOT), "/tmp", "/home")).decode(errors="replace")
    assert "def probe(part" in text, "the sandbox should show the contract"
    for file in Path(checks.__file__).parent.glob("lab*.py"):
        assert f"checks/{file.name}" not in text
        for line in _own_lines(file):
            assert line not in text, f"{file.name}: {line}"


def inside_bytes(code: str, *arguments: str) -> bytes:
    how = sandbox.kind()
    command, inherited = sandbox.wrapped([sandbox.python(), "-P", "-c", code, *arguments], how, Limits(), ())
    return subprocess.run(command, pass_fds=inherited, capture_output=True, timeout=120, check=True).stdout


def _own_lines(file: Path) -> list[str]:
    """Lines of a check with something particular in them: an oracle's arithmetic, a message, a mistake."""
    lines = (" ".join(line.split()) for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if len(line) > 70 and not line.startswith(("from ", "import ", '"""', "#"))]


@needs_sandbox
def test_the_course_is_there_to_import():
    code = (
        "import labs_src.lab, os; from labs_src import checks, paths; print(checks.lab_ids(), os.listdir(paths.DATA))"
    )
    run = inside(code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[]") and "models" in run.stdout and "golden.json" not in run.stdout


@needs_sandbox
def test_cells_that_check_do_nothing():
    code = """
from labs_src.lab import check, hint, record, solution, start
def unit_directions(W): raise NotImplementedError
check(unit_directions); hint("unit_directions"); solution("unit_directions")
record("score", 0.5, tolerance=0.1, why="a test")
"""
    run = inside(code)
    assert run.returncode == 0, run.stderr
    assert "judged elsewhere" in run.stdout


@needs_sandbox
def test_a_secret_below_what_is_shown_is_covered(tmp_path, monkeypatch):
    """A class's folder inside the environment: a strange place, and still hidden."""
    if not os.access(sys.prefix, os.W_OK):
        pytest.skip("this user cannot write into the environment")
    folder = Path(sys.prefix) / "class-of-a-test"
    folder.mkdir()
    (folder / "gradebook.db").write_text("marks")
    try:
        assert inside(f"import os; print(os.listdir({str(folder)!r}))", secret=(folder,)).stdout.strip() == "[]"
    finally:
        shutil.rmtree(folder)


@needs_sandbox
@pytest.mark.skipif(seccomp.program() is None, reason="no filter for this kind of processor")
@pytest.mark.parametrize(
    "call",
    [
        "os.memfd_create('x')",
        "libc.shmget(0, 1 << 20, 0o1600)",
        "libc.unshare(0x10000000)",
        "libc.ptrace(16, 1, 0, 0)",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
        "__import__('socket').socket()",
    ],
)
def test_system_calls_that_are_refused(call):
    code = f"""
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
try:
    result = {call}
    print("refused" if result == -1 and ctypes.get_errno() == errno.EPERM else f"allowed: {{result}}")
except PermissionError:
    print("refused")
"""
    assert inside(code).stdout.strip() == "refused"


@needs_sandbox
def test_threads_and_processes_that_are_needed_work():
    code = """
import subprocess, threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["/bin/echo", "process"], capture_output=True, text=True).stdout)
"""
    assert inside(code).stdout.split() == ["thread", "process"]


@needs_sandbox
def test_the_report_says_what_is_enforced():
    rows = machine.report()
    assert rows[0][:2] == ("sandbox", True)
    assert all(message for _, _, message in rows)
    assert machine.trial()["limits"]["AS"] == 1024 << 20
    assert {what: ok for what, ok, _ in rows}["checks, tests and other work hidden"]
    assert machine.require(unsafe=False) == [
        f"This machine: {what}: {message}" for what, enforced, message in rows if not enforced
    ]


@needs_sandbox
def test_root_becomes_somebody_else():
    seen = machine.trial()
    assert seen["uid"] != 0


@pytest.mark.parametrize(
    ("error", "step"),
    [
        ("bubblewrap is not installed", "apt-get install bubblewrap"),
        ("bwrap: setting up uid map: Permission denied", "AppArmor"),
        ("bwrap: No permissions to create new namespace", "--security-opt"),
        ("bubblewrap needs Linux, and this is darwin", "virtual machine"),
        ("something else", "bwrap --unshare-all"),
    ],
)
def test_without_a_sandbox_nothing_runs(monkeypatch, error, step):
    monkeypatch.setattr(machine, "trial", lambda: {"error": error})
    with pytest.raises(Problem, match="not run") as problem:
        machine.require(unsafe=False)
    assert step in str(problem.value) and "--unsafe" in str(problem.value) and error in str(problem.value)
    assert machine.report()[0][1] is False
    assert "WARNING" in machine.require(unsafe=True)[0]


def test_a_layout_that_would_show_answers_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "trial", lambda: {"checks": ["/somewhere/lab02.py"]})
    with pytest.raises(Problem, match=r"lab02\.py"):
        machine.require(unsafe=False)


def test_links_on_the_way_to_an_interpreter_are_shown(tmp_path):
    """As uv and pyenv lay them out: an environment's python is a link to a link through a link."""
    real = tmp_path / "versions" / "3.11.9" / "bin"
    real.mkdir(parents=True)
    (real / "python3.11").write_text("")
    (tmp_path / "current").symlink_to("versions/3.11.9")
    environment = tmp_path / "project" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(tmp_path / "current" / "bin" / "python3.11")
    found = places.Places(shown=[str(real.parent)])
    places._links(found, environment / "python")
    assert (str(tmp_path / "current" / "bin" / "python3.11"), str(environment / "python")) in found.links
    assert ("versions/3.11.9", str(tmp_path / "current")) in found.links


@pytest.mark.parametrize("machine_name", ["x86_64", "aarch64"])
def test_the_filter_ends_in_permission(machine_name):
    program = seccomp.program(machine_name)
    assert len(program) % 8 == 0
    assert program[-4:] == (seccomp.ALLOW).to_bytes(4, "little")
    assert seccomp.program("sparc") is None


@needs_sandbox
@pytest.mark.skipif(not sandbox.kind().root, reason="this is an ordinary user already")
def test_as_an_ordinary_user():
    """The same machine as seen by somebody who is not root, with a Python that they can read."""
    python, packages = shutil.which("python3", path="/usr/bin"), places._packages()
    version = "import sys; print(sys.version_info[:2])"
    same = python and subprocess.run([python, "-c", version], capture_output=True, text=True, check=False).stdout
    if not same or same.strip() != str(sys.version_info[:2]):
        pytest.skip("there is no Python of this version that an ordinary user could read")
    code = "import json; from labs_src.course.grading import machine; print(json.dumps(machine.report()))"
    search = ":".join([str(paths.ROOT), *map(str, packages)])
    command = [
        "setpriv",
        "--reuid=21000",
        "--regid=21000",
        "--clear-groups",
        "env",
        f"PYTHONPATH={search}",
        python,
        "-c",
        code,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if run.returncode != 0 and "Permission denied" in run.stderr + "No module" * ("No module" in run.stderr):
        pytest.skip("an ordinary user cannot read this checkout")
    rows = json.loads(run.stdout.splitlines()[-1])
    assert all(enforced for _, enforced, _ in rows), rows
