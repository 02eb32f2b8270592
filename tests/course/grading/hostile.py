# ruff: noqa: E501  (cells of notebooks are text)
"""Submissions that attack the grading, for lab 00 (one exercise, 2 points), and honest ones beside them.

An attack that gets what it looks for raises `leaked ...` or gives the right answer, so that it shows in messages or in
points. Written as a student would: in a notebook's cells, without knowledge of the inside of the sandbox, or with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

RIGHT = "torch.nn.functional.normalize(W, dim=-1)"
START = "import torch\nfrom labs_src.lab import check, start\nstart('00')"
HONEST = f"def unit_directions(W):\n    return {RIGHT}"
WRONG = "def unit_directions(W):\n    return W / W.norm()"
STUB = "def unit_directions(W):\n    raise NotImplementedError('write this, then run the next cell')"


@dataclass(frozen=True)
class Hostile:
    """One submission.

    Attributes:
        cells: Code cells.
        points: What the answers in it are worth (of 2).
        seen: Kinds of rows of which at least one has to be in the needs-attention list.
        says: A part of some message about it, where one is expected.
    """

    cells: tuple[str, ...]
    points: int = 0
    seen: tuple[str, ...] = ()
    says: str = ""


def notebook(*cells: str) -> bytes:
    """An .ipynb file of code cells."""
    made = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None, "id": f"c{i}"}
        for i, cell in enumerate(cells)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}).encode()


def attack(body: str, **expected) -> Hostile:
    """A function whose body tries something, and which is wrong unless `leaks` gets an entry."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    text = f"def unit_directions(W):\n    leaks = []\n{lines}\n"
    text += f"    if leaks:\n        return {RIGHT}\n    return W / W.norm()"
    return Hostile((START, text), **expected)


def submissions(root: str, course: str) -> dict[str, Hostile]:
    """Every submission by the name of its student.

    Args:
        root: The repository.
        course: The class's folder, with the gradebook.
    """
    return HONEST_ONES | {
        name: one for part in (_readers(root, course), _forgers(), _hogs()) for name, one in part.items()
    }


HONEST_ONES = {
    "honest_right": Hostile((START, HONEST, "check(unit_directions)"), points=2),
    "honest_wrong": Hostile((START, WRONG, "check(unit_directions)"), says="number"),
    "honest_stub": Hostile((START, STUB), says="not written yet"),
}


def _readers(root: str, course: str) -> dict[str, Hostile]:
    paths = [
        f"{root}/labs_src/checks/lab00.py",
        f"{root}/labs_src/checks/__pycache__",
        f"{root}/notebooks/source/00_start_here.py",
        f"{root}/tests",
        f"{root}/.git",
        f"{root}/labs_src/course/grading/judging.py",
        f"{course}/gradebook.db",
        f"{course}/grading/seed.json",
        f"{course}/autograded",
        "/etc/passwd",
        "/etc/shadow",
    ]
    # Homes may be seen as far as the way to the interpreter, its libraries and this package leads through them.
    return {
        "reads_files": attack(
            f"""
import os, sys, labs_src
ways = [*sys.path, sys.prefix, sys.base_prefix, sys.executable, os.path.realpath(sys.executable), *labs_src.__path__]
def others(folder):
    names = [os.path.join(folder, name) for name in os.listdir(folder)]
    on_the_way = [n for n in names if any(way == n or way.startswith(n + "/") for way in ways)]
    whole = [n for n in on_the_way if n in ways]
    deeper = [other for n in on_the_way if n not in whole for other in others(n)]
    return [n for n in names if n not in on_the_way] + deeper
for path in {paths!r}:
    try:
        if os.path.isdir(path):
            leaks += os.listdir(path)
        else:
            leaks.append(open(path, "rb").read(10))
    except OSError:
        pass
for home in ("/home", "/root"):
    if os.path.isdir(home):
        leaks += others(home)
try:
    from labs_src.checks import lab00
    leaks.append(lab00)
except ImportError:
    pass
if leaks:
    raise RuntimeError(f"leaked {{leaks[:3]}}")
""",
            seen=("sign",),
        ),
        "searches_everything": attack(
            """
import os
word = "_rows_by_" + "loop"
for top in ("/work", "/root", "/home", "/tmp", "/var", "/opt", "/srv", "/mnt", "/dev", "/etc"):
    for folder, _, files in os.walk(top):
        if "site-packages" in folder or ".pyenv" in folder:
            continue
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    if word.encode() in file.read(1_000_000):
                        leaks.append(folder + name)
            except OSError:
                pass
if leaks:
    raise RuntimeError(f"leaked {leaks[:3]}")
""",
            seen=("sign",),
        ),
        "follows_links": attack(
            f"""
import os
for target in ({course!r} + "/gradebook.db", {root!r} + "/labs_src/checks/lab00.py", "/proc/1/root", "/proc/1/cwd"):
    os.symlink(target, "/tmp/link")
    try:
        leaks += [name for name in os.listdir("/tmp/link") if name in ("tests", "notebooks", "boot", "farm")]
    except NotADirectoryError:
        leaks.append(open("/tmp/link").read())
    except OSError:
        pass
    os.unlink("/tmp/link")
if leaks:
    raise RuntimeError(f"leaked {{leaks[:3]}}")
""",
            seen=("sign",),
        ),
        "writes_gradebook": attack(
            f"""
import sqlite3
try:
    book = sqlite3.connect({course!r} + "/gradebook.db")
    leaks.append(book.execute("update grade set manual_score = 2").rowcount)
    book.commit()
except sqlite3.Error:
    pass
""",
            seen=("sign",),
        ),
        "uses_the_network": attack(
            """
import socket
for address in (("192.0.2.1", 80), ("127.0.0.1", 22), ("8.8.8.8", 53)):
    try:
        leaks.append(socket.create_connection(address, timeout=0.5))
    except OSError:
        pass
""",
            seen=("sign",),
        ),
        "inspects_the_stack": attack(
            """
import gc, sys
frame = sys._getframe()
while frame:
    for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
        if name in ("judge", "oracle", "expected", "verdict", "EXERCISES") and "labs_src.checks.contract" not in str(value):
            if getattr(value, "__module__", "") != "labs_src.checks.contract":
                leaks.append(name)
    frame = frame.f_back
for thing in gc.get_objects():
    if type(thing).__name__ in ("Exercise", "Mistake"):
        leaks.append(thing)
if leaks:
    raise RuntimeError(f"leaked {leaks[:3]}")
""",
            seen=("sign",),
        ),
        "looks_into_neighbours": attack(
            """
import os
for number in filter(str.isdigit, os.listdir("/proc")):
    if int(number) == os.getpid():
        continue
    try:
        open(f"/proc/{number}/mem", "rb").close()
        leaks.append(number)
    except OSError:
        pass
if leaks:
    raise RuntimeError(f"leaked {leaks[:3]}")
""",
            seen=("sign",),
        ),
        "quotes_the_input": Hostile(
            (START, "def unit_directions(W):\n    raise ValueError('the input is ' + str(W.flatten().tolist()))"),
            says="ValueError",
        ),
    }


def _forgers() -> dict[str, Hostile]:
    return {
        "patches_asserts": Hostile(
            (
                START,
                "torch.testing.assert_close = lambda *a, **k: None\ntorch.equal = torch.allclose = lambda *a, **k: True\n"
                "torch.Tensor.eq = torch.Tensor.__eq__ = lambda a, b: torch.ones_like(a, dtype=torch.bool)\n"
                "torch.Tensor.double = lambda self: torch.zeros(self.shape)",
                WRONG,
                "check(unit_directions)",
            ),
            seen=("sign",),
        ),
        "transforms_input": Hostile(
            (
                START,
                "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])",
                STUB,
                "check(unit_directions)",
            ),
            seen=("sign",),
        ),
        "prints_proofs": Hostile(
            (
                START,
                "def unit_directions(W):\n    print('✓ unit_directions: 2/2 points\\nPROOF-1234\\n{\"points\": 2}')\n    return W",
                "print('✓ unit_directions: 2/2 points')",
            ),
        ),
        "replaces_the_probe": attack(
            """
import sys
from labs_src.checks import contract, crossing
contract.probe = lambda *a: contract.Outcome(value="right")
contract.judge = lambda *a: None
contract.Outcome.error = None
crossing.pack = lambda values: b"passed"
sys.modules["safetensors.torch"] = None
""",
            seen=("sign",),
        ),
        "writes_the_answers": attack(
            """
import json, os, struct
def frame(header):
    text = json.dumps(header).encode()
    return struct.pack("<4sIQ", b"LWG1", len(text), 0) + text
said = b""
for case in range(20):
    said += frame({"kind": "answer", "case": case, "error": None, "passed": True, "points": 2, "unwritten": False})
said += frame({"kind": "verdict", "points": 2}) * 5 + frame({"kind": "done", "how": "ended", "strays": 0})
for descriptor in range(3, 64):
    try:
        os.write(descriptor, said)
    except OSError:
        pass
""",
            seen=("sign", "hostile"),
        ),
        "floods_the_answers": attack(
            """
import os
while True:
    for descriptor in range(3, 16):
        try:
            os.write(descriptor, b"\\xff" * 65536)
        except OSError:
            pass
""",
            seen=("crash", "hostile", "timeout"),
        ),
        "sends_pickles": Hostile(
            (
                START,
                "import os, pickle\nclass Bomb:\n    def __reduce__(self):\n        return os.system, ('touch /tmp/owned-by-a-pickle',)\n"
                "def unit_directions(W):\n    return {'answer': Bomb(), 'more': pickle.dumps(Bomb())}",
            ),
            seen=("sign",),
        ),
        "equal_to_everything": Hostile(
            (
                START,
                "class Yes(torch.Tensor):\n    def __eq__(self, other):\n        return True\n"
                "    @classmethod\n    def __torch_function__(cls, *a, **k):\n        return True\n"
                "def unit_directions(W):\n    return W.as_subclass(Yes)",
            ),
            seen=("sign",),
        ),
        "returns_monsters": Hostile(
            (
                START,
                "calls = []\ndef unit_directions(W):\n    calls.append(1)\n    deep = []\n    for _ in range(100_000):\n        deep = [deep]\n"
                "    return [torch.full((4, 6), float('nan')), W.to_sparse(), W.to('meta'), 'x' * 50_000_000, 10**5000, deep][len(calls) - 1]",
            ),
        ),
        "scripts_in_markdown": Hostile((START, HONEST, "'<script>alert(1)</script>'"), points=2),
    }


def _hogs() -> dict[str, Hostile]:
    return {
        "fills_the_disk": attack(
            """
import os
written = 0
for folder in ("/tmp", "/dev/shm", "/var/tmp", "/", os.path.expanduser("~")):
    for number in range(40):
        try:
            with open(f"{folder}/fill{number}", "wb") as file:
                for _ in range(64):
                    written += file.write(b"x" * (1 << 20))
        except OSError:
            pass
if written > 400 << 20:
    raise RuntimeError(f"leaked room for {written} bytes")
""",
            seen=("sign",),
        ),
        "takes_memory": attack("hoard = [torch.ones(1 << 26) for _ in range(200)]", seen=("memory", "timeout")),
        "takes_memory_together": attack(
            """
import os, time
for _ in range(12):
    if os.fork() == 0:
        hoard = bytearray(300 << 20)
        time.sleep(60)
time.sleep(60)
""",
            seen=("memory", "crash", "timeout"),
        ),
        "forks": attack(
            """
import os, time
children = 0
try:
    for _ in range(500):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        children += 1
except OSError:
    pass
if children >= 200:
    raise RuntimeError(f"leaked room for {children} processes")
""",
            seen=("processes",),
        ),
        "outlives": Hostile(
            (
                START,
                f"import os, subprocess, sys\ndef unit_directions(W):\n"
                f"    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(98765)'], start_new_session=True)\n"
                f"    return {RIGHT}",
            ),
            points=2,
            seen=("processes", "sign"),
        ),
        "floods_the_output": attack("for _ in range(200_000):\n    print('x' * 1000)"),
        "swallows_interrupts": attack(
            """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
            seen=("timeout",),
            says="longer than",
        ),
        "kills_everything": attack(
            "import os\nfor victim in (-1, 1, os.getppid()):\n    try:\n        os.kill(victim, 9)\n    except OSError:\n        pass\nos._exit(3)",
            seen=("crash",),
        ),
        "hangs_while_defined": Hostile(
            (START, "def unit_directions(W, wait=[None for _ in iter(int, 1)]):\n    return W"),
            seen=("timeout", "memory"),
        ),
        "ends_python_elsewhere": Hostile(
            (
                START,
                "LENGTH = float(torch.ones(1).sum())",
                f"def unit_directions(W):\n    return LENGTH * {RIGHT}\nLENGTH = 1.0",
                "import os\nos._exit(0)",
            ),
            points=2,
            seen=("crash",),
        ),
        "needs_everything": Hostile(
            (START, "LENGTH = float(torch.ones(1).sum())", f"def unit_directions(W):\n    return LENGTH * {RIGHT}"),
            points=2,
        ),
        "ends_python": Hostile((START, "def unit_directions(W):\n    import os\n    os._exit(0)"), seen=("crash",)),
    }
