"""Files as they are handed in: a folder or a zip, listed and read without following, unpacking or believing anything.

No name from outside becomes a path, and nothing is written but to a spool. A file that cannot be taken gets a reason.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from labs_src.course.errors import Problem, is_disk_full
from labs_src.course.folders import shown
from labs_src.course.grading.platforms import named
from labs_src.course.grading.spool import Spool

MAX_NOTEBOOK = 20_000_000
"""Bytes. A lab with every output is below 5 MB."""
MAX_ZIP = 500_000_000
MAX_INNER_ZIP = 50_000_000
MAX_ENTRIES = 50_000
MAX_TOTAL = 4_000_000_000
"""Bytes read from one zip, however small it is packed."""
MAX_DEPTH = 12
IGNORED = {".ipynb_checkpoints", "__MACOSX", "__pycache__", ".git", ".DS_Store", "Thumbs.db", ".venv", ".labs-work"}
OTHER_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class File:
    """One file of a folder or a zip.

    Attributes:
        parts: Its name, split at slashes; harmless to look at, never used as a path.
        when: Its date, naive UTC.
        data: Content of a notebook, timestamp or nested zip; None for any other file.
        problem: Why it was not read: a clause that follows its name.
        sha: Of another file than these, which waits in the spool; "" when it was only listed.
    """

    parts: tuple[str, ...]
    when: datetime | None = None
    data: bytes | None = None
    problem: str | None = None
    sha: str = ""

    @property
    def name(self) -> str:
        """As the person who handed it in knows it."""
        return "/".join(self.parts)


def files(place: Path, spool: Spool | None = None) -> Iterator[File]:
    """Every file of a folder, or of a zip; zips inside are opened too, as if they were folders.

    Args:
        place: A folder, a zip or a notebook.
        spool: Gets the content of files that are no notebooks; by default they are only listed.

    Raises:
        Problem: The place does not exist, or is neither a folder nor a zip.
    """
    if place.is_dir():
        found: Iterator[File] = _folder(place, spool)
    elif place.is_file() and zipfile.is_zipfile(place):
        found = _zip(place.open("rb"), place.name, MAX_ZIP, spool)
    elif place.is_file() and place.suffix == ".ipynb":
        found = iter([_regular(place, (_printable(place.name),), spool)])
    else:
        what = "is neither a folder nor a zip" if place.exists() else "does not exist"
        raise Problem(f"{shown(place)} {what}. Give the folder with the students' folders, or a zip of it.")
    for file in found:
        yield from _opened(file, spool)


def _opened(file: File, spool: Spool | None) -> Iterator[File]:
    """A file, or what is in it when it is a zip; a zip that could not be opened whole is kept as well."""
    if file.data is None or not file.parts[-1].lower().endswith(".zip"):
        yield file
        return
    # At the top a zip is a student (ann.zip), and where a platform named it; else it is one of a student's files.
    stem = file.parts[-1][:-4] or "zip"
    alone = len(file.parts) == 1 or named(stem) is not None
    before = (*file.parts[:-1], stem) if alone else file.parts[:-1]
    whole = True
    with spool.one_zip() if spool else nullcontext():
        for inner in _zip(io.BytesIO(file.data), file.name, MAX_INNER_ZIP, spool):
            if inner.parts[-1].lower().endswith(".zip"):
                inner = replace(inner, data=None, problem=inner.problem or "is a zip within a zip and was not opened")
            whole = whole and inner.problem is None
            yield replace(inner, parts=before + inner.parts, when=inner.when or file.when)
    if not whole and spool is not None:
        sha = spool.add(len(file.data), io.BytesIO(file.data).read)
        yield File((*before, file.parts[-1]), file.when, sha=sha)


def _folder(place: Path, spool: Spool | None) -> Iterator[File]:
    waiting: list[tuple[Path, tuple[str, ...]]] = [(place, ())]
    count = 0
    while waiting:
        folder, parts = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield File((*parts, "."), problem=f"cannot be read ({error.strerror})")
            continue
        if not entries and parts:
            yield File((*parts, "."))  # a student who handed in an empty folder is not lost
        for entry in entries:
            if entry.name in IGNORED:
                continue
            here = (*parts, _printable(entry.name))
            count += 1
            if count > MAX_ENTRIES:
                raise Problem(f"{shown(place)} holds more than {MAX_ENTRIES} files; that is not a class's submissions.")
            if entry.is_symlink():
                yield File(here, problem="is a link, which is not followed")
            elif entry.is_dir(follow_symlinks=False):
                if len(here) > MAX_DEPTH:
                    yield File(here, problem="is too many folders deep")
                else:
                    waiting.append((Path(entry.path), here))
            else:
                yield _regular(Path(entry.path), here, spool)


def _regular(path: Path, parts: tuple[str, ...], spool: Spool | None) -> File:
    """A file of the disk: opened without following a link, read only if it is an ordinary file."""
    try:
        # Non-blocking: a named pipe called x.ipynb must not stop the class.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        return File(parts, problem=f"cannot be read ({error.strerror})")
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        when = datetime.fromtimestamp(status.st_mtime, UTC).replace(tzinfo=None, microsecond=0)
        if not stat.S_ISREG(status.st_mode):
            return File(parts, problem="is not an ordinary file")
        return _read(parts, when, status.st_size, stream.read, spool)


def _read(
    parts: tuple[str, ...], when: datetime | None, size: int, read: Callable[[int], bytes], spool: Spool | None
) -> File:
    limit = _limit(parts[-1])
    if limit == 0:
        return _other(parts, when, size, read, spool)
    too_large = f"is larger than {limit / 1e6:.0f} MB and was not read"
    if size > limit:
        return File(parts, when, problem=too_large)
    data = read(limit + 1)
    return File(parts, when, problem=too_large) if len(data) > limit else File(parts, when, data)


def _other(
    parts: tuple[str, ...], when: datetime | None, size: int, read: Callable[[int], bytes], spool: Spool | None
) -> File:
    """A file that is not looked into."""
    archive = parts[-1].lower().endswith(OTHER_ARCHIVES)
    problem = "is an archive of a kind that is not opened; a folder, a notebook or a zip is" if archive else None
    if spool is None or parts[-1].startswith("._"):  # what macOS adds beside a file
        return File(parts, when, problem=problem)
    sha = spool.add(size, read)
    return File(parts, when, problem=problem if sha else "is too large and was not kept", sha=sha)


def _limit(name: str) -> int:
    lower = name.lower()
    if lower.startswith("._"):
        return 0
    if lower.endswith(".ipynb"):
        return MAX_NOTEBOOK
    if lower.endswith(".zip"):
        return MAX_INNER_ZIP
    return 10_000 if lower in ("timestamp.txt", "submission_secret.txt") else 0


def _zip(stream: io.IOBase, name: str, limit: int, spool: Spool | None) -> Iterator[File]:
    """The members of a zip, each read into memory up to its limit; nothing is unpacked."""
    where = (_printable(PurePosixPath(name).name),)
    size = stream.seek(0, os.SEEK_END)
    if size > limit:
        yield File(where, problem=f"is larger than {limit / 1e6:.0f} MB and was not opened")
        return
    try:
        archive = zipfile.ZipFile(stream)
        members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        yield File(where, problem="is not a zip that can be opened (cut off, or something else)")
        return
    if len(members) > MAX_ENTRIES:
        yield File(where, problem=f"holds {len(members)} files; more than {MAX_ENTRIES} are not opened")
        return
    total = 0
    for member in members:
        file = _member(archive, member, where, total, spool)
        if file is not None:
            total += len(file.data or b"")
            yield file


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: tuple[str, ...], total: int, spool: Spool | None
) -> File | None:
    parts, outside = _clean(member.filename)
    if outside:
        return File(parts or where, problem="names a place outside the zip, and was not read")
    if member.is_dir() or not parts or IGNORED & set(parts):
        return None
    if stat.S_ISLNK(member.external_attr >> 16):
        return File(parts, problem="is a link, and was not read")
    when = _date(member)
    if total > MAX_TOTAL:
        return File(parts, when, problem="comes after 4 GB of other content and was not read")
    try:
        with archive.open(member) as content:
            return _read(parts, when, member.file_size, content.read, spool)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        if is_disk_full(error):
            raise
        locked = "encrypted" in str(error) or "password" in str(error)
        reason = "is locked with a password" if locked else "is damaged in the zip and cannot be read"
        return File(parts, when, problem=reason)


def _date(member: zipfile.ZipInfo) -> datetime | None:
    """When a member was last changed, naive UTC. The zip's own field is local time, rounded to two seconds."""
    extra = member.extra
    try:
        while len(extra) >= 9:
            kind, length = struct.unpack("<HH", extra[:4])
            if kind == 0x5455 and extra[4] & 1:  # Info-ZIP's field: seconds since 1970, in UTC
                stamp = struct.unpack("<I", extra[5:9])[0]
                return datetime.fromtimestamp(stamp, UTC).replace(tzinfo=None)
            extra = extra[4 + length :]
        return datetime(*member.date_time).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError, struct.error):
        return None


def _clean(name: str) -> tuple[tuple[str, ...], bool]:
    """A member's name in parts, without what would lead out of the folder, and whether it tried to."""
    text = name.replace("\\", "/")
    pieces = [piece for piece in text.split("/") if piece not in ("", ".")]
    outside = text.startswith("/") or ".." in pieces or (bool(pieces) and len(pieces[0]) == 2 and pieces[0][1] == ":")
    return tuple(_printable(piece) for piece in pieces if piece != ".."), outside


def _printable(name: str) -> str:
    """A name that can be shown on a terminal and in a table."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else "?" for char in text)[:200] or "?"
