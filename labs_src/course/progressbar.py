"""What a run shows while it works: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from typing import Any

from labs_src.course.catalogue import Lab


class Display:
    """One line for each lab as it starts and ends.

    Args:
        total: How many labs.
    """

    def __init__(self, total: int):
        self.total = total
        self.count = 0
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Display:
        if sys.stdout.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bars = Progress(*columns, BarColumn(bar_width=20), MofNCompleteColumn(), transient=True)
            self._bars.start()
            self._all = self._bars.add_task("labs", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def started(self, lab: Lab) -> None:
        """A lab begins (called from a worker's thread)."""
        if self._bars:
            self._tasks[lab.id] = self._bars.add_task(f"{lab.id} {lab.title}", total=None)
        else:
            print(f"{lab.id} {lab.title}: started\n", end="", flush=True)  # one write: workers share the log

    def done(self, lab: Lab, how: str) -> None:
        """A lab ended."""
        self.count += 1
        line = f"[{self.count}/{self.total}] {lab.id} {lab.title}: {how}"
        if self._bars:
            if lab.id in self._tasks:
                self._bars.remove_task(self._tasks.pop(lab.id))
            self._bars.advance(self._all)
            self._bars.console.print(line, markup=False, highlight=False)
        else:
            print(f"{line}\n", end="", flush=True)
