"""Checksums of everything shipped in ``data/``: a damaged file is found before it can produce a number.

``data/manifest.json`` maps each path below ``data/`` to its sha256. Every read of a shipped file goes through
``verified``. ``golden.json`` (expected numbers, edited by people) is not listed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from labs_src import paths

NAME = "manifest.json"
UNLISTED = {NAME, "golden.json"}
POINTER = b"version https://git-lfs.github.com/spec/"


class DamagedFile(Exception):
    """A shipped file is missing, changed, or only a git-lfs pointer. The message says what to do."""


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shown(path: Path) -> str:
    """A path as a person would type it in the repository."""
    return path.relative_to(paths.ROOT).as_posix() if path.is_relative_to(paths.ROOT) else str(path)


def shipped_files(data: Path | None = None) -> list[Path]:
    """Every file below ``data/`` that belongs in the manifest, sorted; hidden files are left out."""
    data = data or paths.DATA
    return sorted(
        p
        for p in data.rglob("*")
        if p.is_file()
        and p.relative_to(data).as_posix() not in UNLISTED
        and not any(part.startswith(".") for part in p.relative_to(data).parts)
    )


def read_manifest(data: Path | None = None) -> dict[str, str]:
    """The recorded checksums.

    Raises:
        DamagedFile: if the manifest itself is missing or is not a table of checksums.
    """
    path = (data or paths.DATA) / NAME
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except FileNotFoundError:
        problem = "is missing"
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        problem = "cannot be read as a list of checksums"
    raise DamagedFile(f"{_shown(path)} {problem}. Restore it with: git checkout -- {_shown(path)}")


def write_manifest(data: Path | None = None) -> Path:
    """Write the checksums of every shipped file; returns the manifest's path."""
    data = data or paths.DATA
    files = {p.relative_to(data).as_posix(): sha256(p) for p in shipped_files(data)}
    path = data / NAME
    path.write_text(json.dumps({"algorithm": "sha256", "files": files}, indent=1) + "\n", encoding="utf-8")
    return path


def verified(path: Path | str) -> Path:
    """The path itself, once its bytes are known to be the shipped ones.

    Args:
        path: a file below ``data/``, absolute or relative to ``data/``.

    Raises:
        DamagedFile: missing, changed, unlisted, or a git-lfs pointer; the message names the file and the remedy.
    """
    path = paths.DATA / path
    name, shown = path.relative_to(paths.DATA).as_posix(), _shown(path)
    restore = f"Restore it with: git checkout -- {shown}"
    expected = read_manifest().get(name)
    if not path.is_file():
        raise DamagedFile(f"{shown} is missing. {restore}")
    if path.stat().st_size < 1024 and path.read_bytes().startswith(POINTER):
        raise DamagedFile(f"{shown} is a git-lfs pointer, not the file itself. Fetch it with: git lfs pull")
    if expected is None:
        raise DamagedFile(
            f"{shown} is not listed in {_shown(paths.DATA / NAME)}, so it is not a shipped file. "
            "Remove it, or list it by running: labs models --ship"
        )
    if sha256(path) != expected:
        raise DamagedFile(f"{shown} is damaged: its sha256 is not the one in the manifest. {restore}")
    return path


def problems(data: Path | None = None) -> list[str]:
    """One message per file that is missing, changed, a pointer or unlisted; empty when all is well."""
    data = data or paths.DATA
    listed = set(read_manifest(data))
    found = []
    for name in sorted(listed | {p.relative_to(data).as_posix() for p in shipped_files(data)}):
        try:
            verified(data / name)
        except DamagedFile as error:
            found.append(str(error))
    return found
