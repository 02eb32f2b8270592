"""Handed-in files that are no notebooks, on their way to `arrived/`: on the disk at once, so that none fills memory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_FILE = 20_000_000
"""Bytes, as for a notebook."""
MAX_ALL = 4_000_000_000
"""Bytes kept from one folder or zip."""
MAX_ZIP = 200_000_000
"""Bytes kept from one student's zip, however small they are packed."""
PIECE = 1 << 20


class Spool:
    """A folder that files wait in until it is known that they are somebody's.

    Args:
        folder: Made when it is needed; what a killed run left there is removed.
    """

    def __init__(self, folder: Path):
        self.folder, self.total, self.until = folder, 0, MAX_ALL
        shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def one_zip(self) -> Iterator[None]:
        """While one student's zip is read."""
        before, self.until = self.until, min(self.until, self.total + MAX_ZIP)
        try:
            yield
        finally:
            self.until = before

    def add(self, size: int, read: Callable[[int], bytes]) -> str:
        """Keep a file for now.

        Args:
            size: As it says.
            read: Gives at most so many bytes more.

        Returns:
            Its sha256; "" when it is too large, or too much came before it.
        """
        if size > MAX_FILE or self.total + size > self.until:
            return ""
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting, digest, length = self.folder / "new", hashlib.sha256(), 0
        with waiting.open("wb") as out:
            while piece := read(PIECE):
                length += len(piece)
                if length > MAX_FILE:  # a size in a zip can be a lie
                    return ""
                digest.update(piece)
                out.write(piece)
        self.total += length
        os.replace(waiting, self.folder / digest.hexdigest())
        return digest.hexdigest()

    def keep(self, sha: str, target: Path) -> None:
        """Move a file to where it stays."""
        if not target.exists() and (self.folder / sha).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / sha, target)


def suffix(name: str) -> str:
    """A file's suffix, where it is one that a name on this disk may have."""
    found = re.search(r"\.[A-Za-z0-9]{1,10}$", name)
    return found[0].lower() if found else ""
