"""One submission's sandbox as the judge sees it: send cases, take what comes back, never wait for ever, never trust."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labs_src.course.grading.inside import frames
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.sandbox import Kind, Sandbox

SLACK = 5.0
"""Seconds that the runner inside gets to report a time limit before the sandbox is killed."""


class Ended(Exception):
    """The sandbox is gone. `reason` is one of: died, timeout, memory, hostile."""

    def __init__(self, reason: str, message: str):
        self.reason = reason
        super().__init__(message)


@dataclass
class Reply:
    """What came back for one exercise.

    Attributes:
        answers: (header, packed value) by number of the case.
        how: "ended", "timeout", "signal 9", "exit code 3", or "gone" when the sandbox went with it.
        strays: Processes that were left running.
        odd: Frames that nobody asked for.
    """

    answers: dict[int, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    how: str = "ended"
    strays: int = 0
    odd: int = 0


class Exchange:
    """A conversation with one sandbox.

    Args:
        notebook: The submission.
        exercises: Names of functions.
        mode: "definitions" or "whole".
        how: Which sandbox.
        limits: Of time and memory.
        secret: Folders that must not be visible inside.
        deadline: `time.monotonic()` at which everything about this submission ends.
    """

    def __init__(
        self,
        notebook: bytes,
        exercises: list[str],
        *,
        mode: str,
        how: Kind,
        limits: Limits,
        secret: tuple[Path, ...],
        deadline: float,
    ):
        self.limits, self.deadline = limits, deadline
        self._sandbox = Sandbox({"mode": mode}, secret=secret, how=how, limits=limits)
        self._over: str | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        started = self._receive(120)  # before anything of the student's
        self.in_force = started.get("limits", {})
        frames.send(self._sandbox.requests, {"exercises": exercises}, notebook, self._until(60))
        self.plan = self._receive(60)
        if self.plan.get("kind") == "refused":
            raise Ended("refused", str(self.plan.get("message")))
        self._ready: dict[str, Any] | None = None
        self._mode = mode

    def ready(self) -> dict[str, Any]:
        """Wait until the notebook's definitions, or all of its cells, have run."""
        if self._ready is None:
            seconds = self.limits.notebook_s if self._mode == "whole" else self.limits.definitions_s
            self._ready = self._receive(seconds)
        return self._ready

    def call(self, exercise: str, cases: list[dict[str, Any]], inputs: list[bytes]) -> Reply:
        """Have one exercise's function called on every case.

        Args:
            exercise: Its name.
            cases: For each: probe (as data) and shake (a seed for the function's own draws).
            inputs: Packed, one for each case.
        """
        reply = Reply()
        described = [{**case, "size": len(data)} for case, data in zip(cases, inputs, strict=True)]
        end = min(self.deadline, time.monotonic() + self.limits.exercise_s + SLACK)
        try:
            frames.send(self._sandbox.requests, {"exercise": exercise, "cases": described}, b"".join(inputs), end)
            while True:
                header, payload = frames.receive(self._sandbox.answers, limit=self.limits.answer_mb << 20, deadline=end)
                number = header.get("case")
                if header.get("kind") == "done":
                    reply.how = str(header.get("how"))[:40]
                    reply.strays = header["strays"] if isinstance(header.get("strays"), int) else 0
                    return reply
                asked = header.get("kind") == "answer" and type(number) is int and 0 <= number < len(cases)
                if not asked or number in reply.answers:
                    reply.odd += 1
                else:
                    reply.answers[number] = (header, payload)
                if reply.odd > 100:
                    raise frames.Broken("answers to questions that were not asked")
        except frames.Late:
            reply.how = "timeout"
        except frames.Broken as broken:
            reply.how = "memory" if self._over else f"gone: {broken}"
        self.close()
        return reply

    @property
    def open(self) -> bool:
        """Whether further exercises can be asked for."""
        return not self._closed.is_set()

    def close(self) -> None:
        """End the sandbox and everything in it."""
        if not self._closed.is_set():
            self._closed.set()
            self._sandbox.close()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _until(self, seconds: float) -> float:
        return min(self.deadline, time.monotonic() + seconds)

    def _receive(self, seconds: float) -> dict[str, Any]:
        try:
            header, _ = frames.receive(self._sandbox.answers, limit=0, deadline=self._until(seconds))
            return header
        except frames.Late:
            self.close()
            raise Ended("timeout", f"it took longer than {seconds:g} s") from None
        except frames.Broken as broken:
            complaint = "" if self._over else self._sandbox.complaint()
            self.close()
            if self._over:
                raise Ended("memory", self._over) from None
            raise Ended("died", complaint or str(broken)) from None

    def _watch(self) -> None:
        """Kill the sandbox when its processes together hold more memory than they may."""
        import psutil

        try:
            root = psutil.Process(self._sandbox.process.pid)
        except psutil.NoSuchProcess:
            return
        while not self._closed.wait(0.25):
            try:
                family = root.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            # Pages shared after a fork count several times in the quick sum, so an excess is looked at again.
            if sum(map(_private, family)) <= self.limits.total_mb << 20:
                continue
            if sum(map(_proportional, family)) > self.limits.total_mb << 20:
                self._over = f"its processes together took more than {self.limits.total_mb} MB"
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()


def _private(process: Any) -> int:
    """Resident memory that is not a file's, in bytes."""
    import psutil

    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return memory.rss - getattr(memory, "shared", 0)


def _proportional(process: Any) -> int:
    """Resident memory in bytes, a page that n processes share counted as one nth."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except OSError:
        return _private(process)
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss_Anon:"))
