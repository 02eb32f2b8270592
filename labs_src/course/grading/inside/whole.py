"""The whole notebook, cell after cell, for an exercise that needs more than definitions."""

from __future__ import annotations

import contextlib
import signal
import types
from typing import Any

from labs_src.course.grading.inside.cells import plain


class _TooLong(BaseException):
    """A cell ran out of time."""


def run_all(cells: list[str], module: types.ModuleType, cell_s: float) -> list[dict[str, Any]]:
    """Run every cell in IPython's shell, without magics; a cell that fails leaves the others alone.

    Args:
        cells: Sources.
        module: Becomes the notebook's namespace.
        cell_s: Seconds for each cell.

    Returns:
        What failed: cell (from 1) and message.
    """
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell

    HistoryManager.enabled = False  # no file for it, and no thread
    shell = InteractiveShell.instance(user_module=module)
    shell.showtraceback = lambda *args, **kwargs: None
    shell.showsyntaxerror = lambda *args, **kwargs: None
    errors = []
    signal.signal(signal.SIGALRM, _ring)
    for number, source in enumerate(cells, start=1):
        error: BaseException | None = None
        try:
            signal.setitimer(signal.ITIMER_REAL, cell_s)
            result = shell.run_cell(plain(source), store_history=False, silent=True)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as problem:
            error = problem
        finally:
            with contextlib.suppress(BaseException):
                signal.setitimer(signal.ITIMER_REAL, 0)
        if error is not None:
            text = (
                f"took longer than {cell_s:g} s" if isinstance(error, _TooLong) else " ".join(str(error).split())[:200]
            )
            errors.append({"cell": number, "message": f"{type(error).__name__}: {text}"})
    return errors


def _ring(*_: object) -> None:
    raise _TooLong
