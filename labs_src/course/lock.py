"""`labs lock`: pin the dependencies again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from labs_src import paths

PYTHON = "3.11"
# Torch is pinned by itself, and brings what its own build needs: a CPU build wants none of these.
NOT_PINNED = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)$")


def lock(upgrade: bool = False) -> int:
    """Make requirements.lock from requirements.in, for every platform and Python from 3.11 on, with hashes.

    The index is the user's own; its address is kept out of the file.

    Args:
        upgrade: Take the newest versions; otherwise those pinned now are kept wherever they still fit.

    Returns:
        0, or 1 with one message.
    """
    uv = shutil.which("uv")
    if uv is None:
        print("labs lock: needs uv (see docs.astral.sh/uv), which pins for all platforms at once.")
        return 1
    command = [uv, "pip", "compile", "requirements.in", "--quiet", "--universal", "--python-version", PYTHON]
    command += ["--generate-hashes", "--constraint", "requirements-torch.txt"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"]
    command += ["--output-file", "requirements.lock"]
    if upgrade:
        command.append("--upgrade")
    for place in os.environ.get("PIP_FIND_LINKS", "").split():
        command += ["--find-links", place]
    if subprocess.call(command, cwd=paths.ROOT) != 0:
        print("labs lock: uv could not resolve requirements.in (see above); requirements.lock is as it was.")
        return 1
    path = paths.ROOT / "requirements.lock"
    path.write_text(without(path.read_text(encoding="utf-8")), encoding="utf-8")
    print("labs lock: requirements.lock is made. Now: make test")
    return 0


def without(text: str) -> str:
    """A lock without the packages of NOT_PINNED (a requirement and its indented hashes)."""
    blocks = re.split(r"(?m)^(?=\S)", text)
    return "".join(block for block in blocks if not NOT_PINNED.match(block.partition("==")[0]))
