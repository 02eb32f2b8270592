"""The processes that judge, as the engine sees them: one submission after another, made again when one goes down."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from labs_src.course.grading.bytecode import reading
from labs_src.course.grading.inside import frames
from labs_src.course.grading.limits import Limits
from labs_src.course.grading.submission import Attention, ExerciseResult, Result, Submission


class Judge:
    """A process that judges one submission after another; made again when one of them takes it down.

    Args:
        slot: Number of the worker.
        limits: Time and memory.
        unsafe: Without a sandbox.
        seed: For the hidden inputs.
        course: The class's folder, which must not be visible in a sandbox.
        bytecode: Compiled modules, from `bytecode.folder`.
    """

    def __init__(self, slot: int, limits: Limits, unsafe: bool, seed: str, course: Path, bytecode: Path | None = None):
        self._setup = {
            "slot": slot,
            "limits": limits.to_json(),
            "unsafe": unsafe,
            "seed": seed,
            "secret": [str(course)],
        }
        self._setup["bytecode"] = None if bytecode is None else str(bytecode)
        self._environment = reading(bytecode)
        self._limits = limits
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def judge(self, submission: Submission, checks: str) -> Result:
        """One submission's result, in any case within the time that a submission may take."""
        fields = asdict(submission)
        content = fields.pop("content")
        fields["submitted"] = submission.submitted.isoformat() if submission.submitted else None
        start = time.monotonic()
        try:
            process = self._running()
            deadline = start + self._limits.submission_s + 120
            request = {"submission": fields, "has_content": content is not None, "checks": checks}
            frames.send(process.stdin.fileno(), request, content or b"", deadline)
            answer, _ = frames.receive(process.stdout.fileno(), limit=0, deadline=deadline)
            return Result.from_json(answer)
        except (frames.Broken, frames.Late, OSError) as error:
            self._end()
            why = "took too long" if isinstance(error, frames.Late) else "ended"
            message = f"the process that judges {why}; its marks are not written. Grade it again, or by hand"
            return died(submission, checks, message, time.monotonic() - start)

    def stop(self) -> None:
        """End the process for good."""
        self._stopped = True
        self._end()

    def _running(self) -> subprocess.Popen:
        from labs_src.course.folders import Folders
        from labs_src.course.pool import environment

        with self._lock:
            if self._stopped:
                raise frames.Broken("stopped")
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "labs_src.course.grading.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    env=environment(Folders.default()) | self._environment,
                )
                os.set_blocking(self._process.stdin.fileno(), False)
                frames.send(self._process.stdin.fileno(), self._setup, b"", time.monotonic() + 30)
            return self._process

    def _end(self) -> None:
        from labs_src.course.pool import kill_tree

        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            kill_tree(process.pid)
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    stream.close()


def died(submission: Submission, checks: str, message: str, seconds: float) -> Result:
    from labs_src.checks import exercises

    row = Attention(submission.student, submission.lab, "", "died", message)
    none = tuple(
        ExerciseResult(e.name, e.title, None, e.points, "not graded") for e in exercises(submission.lab) if not e.given
    )
    digest = hashlib.sha256(submission.content or b"").hexdigest()
    common = (submission.student, submission.lab, "died", digest, checks)
    return Result(*common, seconds=round(seconds, 2), exercises=none, attention=(row,))
