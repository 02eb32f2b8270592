"""The one kind of error that a command prints as a line instead of a traceback."""

from __future__ import annotations

import errno


class Problem(Exception):
    """Something a person can put right. The message is one line and says what to do.

    Attributes:
        code: The exit code of a command that ends with it.
    """

    code = 2


class DiskFull(Problem):
    """No space left, wherever it was noticed."""


class Stopped(Problem):
    """Ended by Ctrl-C or by a signal."""

    code = 130

    def __init__(self) -> None:
        super().__init__("stopped. What was finished is kept; the same command continues.")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether "no space left" is anywhere in a chain of exceptions (papermill wraps the kernel's own).

    Args:
        error: The outermost exception.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if says_disk_full(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def says_disk_full(text: str) -> bool:
    """Whether a message is the operating system's "no space left"."""
    return "No space left on device" in text or "Disk quota exceeded" in text
