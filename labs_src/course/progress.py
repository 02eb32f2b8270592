"""`labs progress`: what is solved, from the file in `work/` that every check adds a line to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labs_src import checks
from labs_src.checks.progress import FILE, read
from labs_src.course.folders import Folders, shown


@dataclass(frozen=True)
class Row:
    """One lab of the table.

    Attributes:
        lab: Two digits and title.
        solved: Exercises solved.
        exercises: Exercises in all.
        points: Best points so far, over its exercises.
        max_points: All that there are.
        hints: Hints shown.
        opened: Solutions opened before their exercise was solved.
    """

    lab: str
    solved: int
    exercises: int
    points: int
    max_points: int
    hints: int
    opened: int


def rows(path: Path, titles: dict[str, str] | None = None) -> list[Row]:
    """One row for each lab with exercises.

    Args:
        path: The progress file; it need not exist.
        titles: By lab id.
    """
    history = read(path)
    table = []
    for lab in checks.lab_ids():
        exercises = checks.exercises(lab)
        seen = [history[exercise.name] for exercise in exercises if exercise.name in history]
        table.append(
            Row(
                lab=f"{lab} {(titles or {}).get(lab, '')}".strip(),
                solved=sum(attempt.solved for attempt in seen),
                exercises=len(exercises),
                points=sum(attempt.points for attempt in seen),
                max_points=sum(exercise.points for exercise in exercises),
                hints=sum(attempt.hints for attempt in seen),
                opened=sum(attempt.solution_opened for attempt in seen),
            )
        )
    return table


def show(folders: Folders | None = None) -> None:
    """Print the table, and what comes next."""
    from rich.console import Console
    from rich.table import Table

    from labs_src.course.catalogue import labs

    folders = folders or Folders.default()
    path = folders.work / FILE
    found = rows(path, {lab.id: lab.title for lab in labs(folders)})
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("lab")
    for heading in ("solved", "points", "hints", "solutions opened"):
        table.add_column(heading, justify="right")
    for row in found:
        solved, points = f"{row.solved}/{row.exercises}", f"{row.points}/{row.max_points}"
        table.add_row(row.lab, solved, points, str(row.hints), str(row.opened))
    console = Console(highlight=False)
    console.print(table)
    if not path.exists():
        console.print(f"Nothing attempted yet ({shown(path)} does not exist). Begin with: make lab", markup=False)
        return
    history = read(path)
    left = (
        e
        for lab in checks.lab_ids()
        for e in checks.exercises(lab)
        if not getattr(history.get(e.name), "solved", False)
    )
    if (exercise := next(left, None)) is not None:
        console.print(f"Next: {exercise.name} in lab {exercise.lab}.", markup=False)
    else:
        console.print("Everything is solved.", markup=False)
