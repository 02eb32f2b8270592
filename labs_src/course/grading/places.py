"""What a sandbox can read: the interpreter, its libraries, this package without checks, and the shipped models.

A list of what may be seen, not of what may not: a file that nobody thought of is hidden. Where something that has to be
hidden lies below something that is shown (a repository inside a prefix), an empty folder is laid over it.
"""

from __future__ import annotations

import importlib.util
import os
import site
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from labs_src import paths

PACKAGE = paths.ROOT / "labs_src"
# Of the folder of checks: what calls a function and compares, nothing that knows an answer.
CHECKS = ("__init__.py", "contract.py", "compare.py", "crossing.py", "progress.py", "visible.py")
COURSE = ("__init__.py", "grading/__init__.py", "grading/inside")
DATA = ("models", "dictionaries", "manifest.json")
SYSTEM = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")


@dataclass
class Places:
    """What to lay into a sandbox, in this order.

    Attributes:
        shown: Paths to bind read-only, each at its own place.
        links: (target, place) symbolic links to make.
        covered: Folders to hide below something that is shown.
        package: Paths below `covered` to show again.
    """

    shown: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    package: list[str] = field(default_factory=list)

    def arguments(self) -> list[str]:
        """For bubblewrap."""
        found: list[str] = []
        for folder in self._parents():  # else bubblewrap gives them the modes of the real ones, and /root is closed
            found += ["--perms", "0755", "--dir", folder]
        for place in self.shown:
            found += ["--ro-bind", place, place]
        for target, place in self.links:
            found += ["--symlink", target, place]
        for place in self.covered:
            found += ["--perms", "0755", "--size", "65536", "--tmpfs", place]
        for place in self.package:
            found += ["--ro-bind", place, place]
        return found

    def _parents(self) -> list[str]:
        """The folders above everything that is shown, from the root down."""
        places = [*self.shown, *(place for _, place in self.links), *self.package]
        above = {str(parent) for place in places for parent in Path(place).parents}
        return sorted(folder for folder in above if folder != "/" and not _below(Path(folder), self.shown))


def places(secret: tuple[Path, ...] = ()) -> Places:
    """What this interpreter and this copy of the course need.

    Args:
        secret: Folders that must not be seen wherever they lie (the gradebook's, the submissions').
    """
    found = Places()
    _system(found)
    for folder in _libraries():
        _show(found, folder)
    _links(found, Path(sys.executable))
    hidden = [paths.ROOT / name for name in ("notebooks", "tests", ".git", "work", "build", "labs_src", "data")]
    for folder in (*hidden, *(place.resolve() for place in secret)):
        if folder.is_dir() and _below(folder, found.shown):
            found.covered.append(str(folder))
    found.package = [str(path) for path in _package() if path.exists()]
    return found


def python() -> str:
    """The interpreter's path inside, the same as outside."""
    return sys.executable


def _system(found: Places) -> None:
    """/usr, and what stands beside it: links on a merged system, folders of their own on another."""
    for name in ("/usr", "/nix/store", "/gnu/store"):
        if Path(name).is_dir():
            found.shown.append(name)
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        path = Path(name)
        if path.is_symlink():
            found.links.append((os.readlink(path), name))
        elif path.is_dir():
            found.shown.append(name)
    found.shown += [name for name in SYSTEM if Path(name).exists()]


def search() -> list[str]:
    """What has to be on Python's path inside, beside what an interpreter finds by itself: this package, and folders of
    libraries that are on it only here (PYTHONPATH, packages of one user)."""
    known = [Path(name).resolve() for name in site.getsitepackages()]
    return [str(paths.ROOT), *(str(folder) for folder in _packages() if folder.resolve() not in known)]


def _packages() -> list[Path]:
    """The folders in which torch and its like are installed."""
    folders: list[Path] = []
    for name in ("torch", "numpy", "safetensors", "IPython"):
        spec = importlib.util.find_spec(name)
        if spec and spec.origin and (folder := Path(spec.origin).parent.parent) not in folders:
            folders.append(folder)
    return [folder for folder in folders if folder.name.endswith("-packages") and folder.resolve() != paths.ROOT]


def _libraries() -> list[Path]:
    """The environment, the Python below it, and wherever else libraries are installed."""
    folders = [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_paths()["stdlib"])]
    folders += [Path(name) for name in site.getsitepackages()]
    return [folder for folder in [*folders, *_packages()] if folder.is_dir()]


def _show(found: Places, folder: Path) -> None:
    """Bind a folder at the name it goes by, and at its real place where that is another."""
    for place in (folder, folder.resolve()):
        if not _below(place, found.shown):
            _links(found, place.parent)
            found.shown.append(str(place))


def _links(found: Places, path: Path) -> None:
    """Show every symbolic link on the way to `path` (a venv's python is a link to a link, uv's Pythons are too)."""
    seen: set[str] = set()
    queue = [path]
    while queue:
        here = Path("/")
        for part in queue.pop().absolute().parts[1:]:
            here = here / part
            if not here.is_symlink() or str(here) in seen:
                continue
            seen.add(str(here))
            target = os.readlink(here)
            if not _below(here, found.shown) and str(here) not in {place for _, place in found.links}:
                found.links.append((target, str(here)))
            queue.append(here.parent / target if not os.path.isabs(target) else Path(target))


def _package() -> list[Path]:
    """This package: every room as it is, of checks and course only what is named above; models and dictionaries."""
    shown = []
    for entry in sorted(PACKAGE.iterdir()):
        if entry.name in ("checks", "course", "__pycache__") or entry.name.startswith("."):
            continue
        if entry.is_dir() or entry.suffix == ".py":
            shown.append(entry)
    shown += [PACKAGE / "checks" / name for name in CHECKS]
    shown += sorted((PACKAGE / "checks").glob("probes*.py"))
    shown += [PACKAGE / "course" / name for name in COURSE]
    return shown + [paths.DATA / name for name in DATA]


def _below(path: Path, shown: list[str]) -> bool:
    return any(path == Path(place) or path.is_relative_to(place) for place in shown)
