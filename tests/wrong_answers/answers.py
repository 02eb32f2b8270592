"""How wrong and right answers are written down, a file for each lab (`lab02.py`).

    answers = Answers("unit_directions")

    @answers.wrong(says="column")
    def normalises_columns(W): ...

    @answers.right
    def with_einsum(W): ...

Write wrong answers as learners write them, from what people really get wrong; `says` is a part of the message that must
name the mistake. At least three wrong and two differently written right ones for every exercise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Answers:
    exercise: str
    wrongs: list[tuple[str, Callable]] = field(default_factory=list)
    rights: list[Callable] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.exercise in ALL:
            raise ValueError(f"{self.exercise} has its answers elsewhere already")
        ALL[self.exercise] = self

    def wrong(self, *, says: str) -> Callable[[Callable], Callable]:
        def keep(fn: Callable) -> Callable:
            self.wrongs.append((says, fn))
            return fn

        return keep

    def right(self, fn: Callable) -> Callable:
        self.rights.append(fn)
        return fn


ALL: dict[str, Answers] = {}
