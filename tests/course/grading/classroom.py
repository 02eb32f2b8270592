"""A made-up class: what sixty students hand in for a lab, and the points that each of them must get.

Answers come from tests/wrong_answers, so they are written the way learners write them. What an answer is worth is what
its check says in this process, without a sandbox, on seeds of its own. An answer whose points depend on the seed (a
lucky one) is not used, because grading draws other inputs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import random
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

from labs_src import checks
from labs_src.checks.contract import Exercise, run
from labs_src.course.catalogue import Lab, select
from labs_src.course.learner import learner_copy

ANSWERS = Path(__file__).resolve().parents[2] / "wrong_answers"

SEEDS = range(500, 512)


@dataclass
class Handed:
    """One student's submission.

    Attributes:
        student: Name of the folder.
        kind: What is particular about it.
        files: Names in the folder, and contents.
        points: By exercise; None where there is no mark, only a row in needs attention.
        says: What the row in needs attention must say.
    """

    student: str
    kind: str
    files: dict[str, bytes]
    points: dict[str, float] | None
    says: str = ""
    functions: dict[str, Callable] = field(default_factory=dict)

    @property
    def total(self) -> float | None:
        return None if self.points is None else sum(self.points.values())


@dataclass(frozen=True)
class Answer:
    """A function as a learner wrote it: text for the notebook, and the function itself."""

    text: str
    fn: Callable


class Classroom:
    """Makes submissions of one lab.

    Args:
        lab_id: Two digits.
    """

    def __init__(self, lab_id: str):
        self.lab: Lab = select([lab_id])[0]
        self.exercises = [exercise for exercise in checks.exercises(lab_id) if not exercise.given]
        self.released = learner_copy(self.lab)
        self.right, self.wrong = _answers(lab_id)
        self._worth: dict[tuple[str, str], float] = {}

    def worth(self, exercise: Exercise, answer: Answer) -> float:
        """Points of an answer; negative when they depend on the seed."""
        key = (exercise.name, answer.text)
        if key not in self._worth:
            points = {run(exercise, {exercise.name: answer.fn}, seed).points for seed in SEEDS}
            self._worth[key] = points.pop() if len(points) == 1 else -1
        return self._worth[key]

    def solved(self, rng: random.Random, wrong: float = 0.0) -> dict[str, Answer]:
        """An answer for every exercise, each wrong with a probability."""
        chosen = {}
        for exercise in self.exercises:
            pool = list((self.wrong if rng.random() < wrong else self.right)[exercise.name])
            rng.shuffle(pool)
            chosen[exercise.name] = next(answer for answer in pool if self.worth(exercise, answer) >= 0)
        return chosen

    def notebook(self, answers: dict[str, Answer | str]) -> dict:
        """The released notebook with some exercises written; a string is taken as the cell's text."""
        whole = json.loads(json.dumps(self.released))
        for cell in whole["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            if name in answers:
                answer = answers[name]
                cell["source"] = answer if isinstance(answer, str) else answer.text
        return whole

    def hand_in(self, student: str, kind: str, answers: dict[str, Answer], **more: object) -> Handed:
        """A submission of answers, and what it must get."""
        change: Callable[[dict], dict] = more.pop("change", lambda notebook: notebook)
        lost: Sequence[str] = more.pop("lost", ())
        name: str = more.pop("name", f"{self.lab.slug}.ipynb")
        raw = json.dumps(change(self.notebook({**answers, **more.pop("texts", {})}))).encode()
        points = {
            e.name: self.worth(e, answers[e.name]) if e.name in answers and e.name not in lost else 0.0
            for e in self.exercises
        }
        return Handed(student, kind, {name: raw}, points, **more)

    def make(self, size: int = 60, seed: int = 0) -> list[Handed]:
        """A class: every particular case once, then right and wrong answers until there are `size`."""
        rng = random.Random(seed)
        found = list(self._particular(rng))[:size]
        while len(found) < size:
            number = len(found)
            half = number % 2
            kind = "wrong in known ways" if half else "right, written differently"
            found.append(self.hand_in(f"student{number:02d}", kind, self.solved(rng, 0.4 * half)))
        return found

    def _particular(self, rng: random.Random) -> Iterator[Handed]:
        first, last = self.exercises[0].name, self.exercises[-1].name
        yield self.hand_in("untouched", "as released", {})
        half = self.solved(rng)
        yield self.hand_in("halfway", "half of it", dict(list(half.items())[: len(half) // 2]))
        for student, change in (
            ("colab", _as_colab),
            ("vscode", _as_vs_code),
            ("nokernel", _with_unknown_kernel),
            ("reordered", _reversed_definitions),
            ("nochecks", _without_graded_cells),
            ("copied", _with_copied_cells),
            ("breaking", _with_breaking_cells),
            ("ended", _with_exit),
            ("scratch", _with_syntax_error),
        ):
            kind = change.__doc__.split(":")[0]
            yield self.hand_in(student, kind, self.solved(rng, 0.2), change=change)
        answers = self.solved(rng)
        split = {first: f"{answers[first].text}\n\nunused = 1\n"}
        yield self.hand_in("renamed", "file renamed", answers, name="my solution FINAL (2).ipynb", texts=split)
        for student, line, kind in (
            ("crashing", "import os; os._exit(1)", "one exercise ends the process"),
            ("looping", "while True: pass", "one exercise never ends"),
            ("hungry", "x = [bytearray(10**8) for _ in range(10**4)]", "one exercise takes all memory"),
            ("raising", "raise SystemExit(0)", "one exercise raises SystemExit"),
        ):
            text = f"def {last}(*args, **kwargs):\n    {line}\n"
            yield self.hand_in(student, kind, self.solved(rng), texts={last: text}, lost=(last,))
        for student, text, kind in HOSTILE:
            yield self.hand_in(student, kind, self.solved(rng, 1.0), change=_with_cell(text))
        names = [exercise.name for exercise in self.exercises]
        yes = "\n".join([YES, *(f"def {name}(*args, **kwargs):\n    return Yes()" for name in names)])
        kind = "returns an object that equals everything"
        yield self.hand_in("yesman", kind, self.solved(rng), change=_with_cell(yes), lost=names)
        slug = f"{self.lab.slug}.ipynb"
        yield Handed("empty", "an empty file", {slug: b""}, None, "is empty")
        yield Handed("prose", "not a notebook", {slug: b"I did it on paper."}, None, "not a notebook")
        yield Handed("huge", "larger than is read", {slug: b" " * 20_000_001}, None, "larger than")
        yield Handed("otherlab", "another lab's notebook", {slug: _other_lab(self.lab)}, None, "notebook")


HOSTILE = (
    (
        "patcher",
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.testing.assert_close = lambda *a, **k: None",
        "replaces torch's comparisons",
    ),
    (
        "forger",
        "import labs_src.checks.contract as contract\n"
        "contract.judge = lambda *a, **k: None\ncontract.run = lambda e, *a, **k: print('all points')",
        "replaces the judge in its own process",
    ),
)
"""Some of the attacks, among ordinary work; the suite of attacks has the others. Their wrong answers stay wrong."""


YES = """class Yes:
    def __eq__(self, other):
        return True
    def __getattr__(self, name):
        return lambda *args, **kwargs: self
"""


def lay_out(handed: Sequence[Handed], folder: Path) -> Path:
    """Write a class's submissions, a folder for each student."""
    for one in handed:
        for name, data in one.files.items():
            path = folder / one.student / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def _as_colab(notebook: dict) -> dict:
    """saved by Colab: own metadata, sources as lists, no nbgrader metadata"""
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"id": f"x{number}", "colab": {"base_uri": "https://localhost:8080/"}}
        cell["source"] = cell["source"].splitlines(keepends=True)
        cell.pop("id", None)
    notebook["metadata"] |= {"colab": {"provenance": []}, "accelerator": "GPU"}
    return notebook | {"nbformat_minor": 0}


def _as_vs_code(notebook: dict) -> dict:
    """saved by VS Code: its metadata, no execution counts"""
    for cell in notebook["cells"]:
        cell["metadata"]["vscode"] = {"languageId": "python"}
        cell.pop("execution_count", None)
    notebook["metadata"]["kernelspec"] = {"display_name": ".venv (3.12)", "language": "python", "name": "python3"}
    return notebook


def _with_unknown_kernel(notebook: dict) -> dict:
    """a kernel that does not exist here"""
    notebook["metadata"]["kernelspec"] = {"display_name": "mine", "language": "julia", "name": "no-such-kernel"}
    return notebook


def _reversed_definitions(notebook: dict) -> dict:
    """cells in another order: the exercises last to first"""
    cells = notebook["cells"]
    at = [i for i, cell in enumerate(cells) if cell["metadata"].get("nbgrader", {}).get("solution")]
    for i, cell in zip(at, [cells[i] for i in reversed(at)]):
        cells[i] = cell
    return notebook


def _without_graded_cells(notebook: dict) -> dict:
    """check cells deleted"""
    kept = [cell for cell in notebook["cells"] if not cell["metadata"].get("nbgrader", {}).get("locked")]
    return notebook | {"cells": kept}


def _with_copied_cells(notebook: dict) -> dict:
    """every exercise twice: copies with the same nbgrader id"""
    twice = [c for cell in notebook["cells"] for c in ([cell, cell] if "nbgrader" in cell["metadata"] else [cell])]
    return notebook | {"cells": twice}


def _with_breaking_cells(notebook: dict) -> dict:
    """extra cells that raise"""
    return _with_cell("1 / 0")(_with_cell("raise KeyboardInterrupt")(notebook))


def _with_exit(notebook: dict) -> dict:
    """an extra cell that ends the kernel"""
    return _with_cell("import os\nos._exit(3)")(notebook)


def _with_syntax_error(notebook: dict) -> dict:
    """an extra cell that is no Python"""
    return _with_cell("def this is not python(:\n")(notebook)


def _with_cell(text: str) -> Callable[[dict], dict]:
    def change(notebook: dict) -> dict:
        """an extra cell"""
        cell = {
            "cell_type": "code",
            "source": text,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "id": "extra",
        }
        return notebook | {"cells": [*notebook["cells"], cell]}

    return change


def _other_lab(lab: Lab) -> bytes:
    other = next(one for one in select(None) if one.id != lab.id and one.id in checks.lab_ids())
    return json.dumps(learner_copy(other)).encode()


@cache
def _answers(lab_id: str) -> tuple[dict[str, list[Answer]], dict[str, list[Answer]]]:
    """Right and wrong answers by exercise, as text that stands alone and as functions."""
    sys.path.insert(0, str(ANSWERS))
    try:
        importlib.import_module(f"lab{lab_id}")
        known = importlib.import_module("answers").ALL
    finally:
        sys.path.remove(str(ANSWERS))
    right, wrong = {}, {}
    for exercise in checks.exercises(lab_id):
        answers = known[exercise.name]
        right[exercise.name] = [Answer(_standing_alone(fn, exercise.name), fn) for fn in answers.rights]
        wrong[exercise.name] = [Answer(_standing_alone(fn, exercise.name), fn) for _, fn in answers.wrongs]
    return right, wrong


def _standing_alone(fn: Callable, name: str) -> str:
    """A function's text under another name, with what it uses of its module."""
    top = _top_level(sys.modules[fn.__module__])
    text = textwrap.dedent(inspect.getsource(fn))
    node = ast.parse(text).body[0]
    node.decorator_list = []
    own, node.name = node.name, name
    needed, waiting = {}, [node]
    while waiting:
        for inner in ast.walk(waiting.pop()):
            used = inner.id if isinstance(inner, ast.Name) else None
            if used in top and used not in needed and used != own:
                needed[used] = top[used]
                waiting.append(top[used])
    before = sorted({id(part): part for part in needed.values()}.values(), key=lambda part: part.lineno)
    return "\n".join(ast.unparse(part) for part in [*before, node])


@cache
def _top_level(module: ModuleType) -> dict[str, ast.stmt]:
    """Names of a module's imports, helpers and constants."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0]: node for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []  # an answer that another answer calls
            found[node.name] = node
        elif isinstance(node, ast.Assign) and not _is_answers(node.value):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    return found


def _is_answers(value: ast.expr) -> bool:
    """Whether it is `Answers("...")`, whose name a function may use for something else."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Answers"
