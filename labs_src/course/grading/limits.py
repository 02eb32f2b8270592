"""What a submission may use. Generous for an exercise of the course, small for a machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Limits on one submission, and on the process that judges it.

    Attributes:
        memory_mb: Address space of each process in the sandbox (importing torch takes about 1 GB of it).
        total_mb: Memory of all processes of a sandbox together; looked at several times a second from outside.
        processes: Processes and threads.
        file_mb: The largest file.
        scratch_mb: All of /tmp, which is memory.
        answer_mb: One returned value.
        exercise_s: Wall time for all cases of one exercise.
        definitions_s: Wall time for a notebook's imports, functions and constants.
        cell_s: Wall time for a cell, where the whole notebook has to run.
        notebook_s: Wall time for the whole notebook.
        cpu_s: Processor time of each process.
        submission_s: Wall time for everything about one submission.
        judge_mb: Address space of the process that judges.
        seeds: How many cases are drawn for each criterion.
    """

    memory_mb: int = 4096
    total_mb: int = 6144
    processes: int = 64
    file_mb: int = 64
    scratch_mb: int = 128
    answer_mb: int = 32
    exercise_s: float = 20
    definitions_s: float = 90
    cell_s: float = 120
    notebook_s: float = 400
    cpu_s: int = 600
    submission_s: float = 900
    judge_mb: int = 8192
    seeds: int = 3

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
