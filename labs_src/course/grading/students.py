"""`labs students`: the course without its solutions, as a zip that students unpack and install."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from labs_src import paths
from labs_src.course.errors import Problem
from labs_src.course.folders import shown

FOLDER = "interp-workbook"
GIVEN = ("labs_src", "data", "install.py", "Makefile", "pyproject.toml", "requirements-torch.txt", "requirements.lock")
GIVEN += ("LICENSE", "LICENSE-text", "CITATION.cff")
README = Path(__file__).resolve().parent.parent / "templates" / "students.md"
WHEN = (2026, 1, 1, 0, 0, 0)
"""One date for every file, so that the same course gives the same zip."""


def pack(target: Path, root: Path | None = None) -> Path:
    """Write the zip: the package, the models, the installer, a README of its own, and an empty `work/`.

    Notebooks are not in it: each lab goes out when it is released.

    Args:
        target: The zip; its folder is made. One that is there is replaced.
        root: The repository.

    Raises:
        Problem: The repository is not whole, or the zip cannot be written.
    """
    root = root or paths.ROOT
    missing = [name for name in GIVEN if not (root / name).exists()]
    if missing:
        raise Problem(f"{shown(root)} has no {missing[0]}: make the zip in a whole clone of the course.")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w") as whole:
            _add(whole, "README.md", README.read_bytes())
            _add(whole, "work/.labs-work", b"{}\n")
            for path in sorted(_files(root)):
                _add(whole, path.relative_to(root).as_posix(), path.read_bytes())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Problem(f"{shown(target)} cannot be written: {error.strerror}.") from error
    return target


def _files(root: Path) -> Iterator[Path]:
    for name in GIVEN:
        if (root / name).is_file():
            yield root / name
        for path in (root / name).rglob("*"):
            inner = path.relative_to(root).parts
            if path.is_file() and "__pycache__" not in inner and not any(part.startswith(".") for part in inner):
                yield path


def _add(whole: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(f"{FOLDER}/{name}", WHEN)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o755 if name == "install.py" else 0o644) << 16
    whole.writestr(entry, data)
