"""Every check rejects what people get wrong, says which mistake it was, and accepts other right ways to write it."""

from __future__ import annotations

import importlib

import pytest
from answers import ALL

from labs_src.checks import exercises, find, lab_ids
from labs_src.checks.contract import run
from labs_src.checks.visible import stored_solution

SEEDS = range(100, 110)  # none of those that a learner sees

for lab in lab_ids():
    importlib.import_module(f"lab{lab}")

EXERCISES = [exercise for lab in lab_ids() for exercise in exercises(lab)]
NAMES = [exercise.name for exercise in EXERCISES]
WRONG = [(name, says, fn) for name, answers in ALL.items() for says, fn in answers.wrongs]
RIGHT = [(name, fn) for name, answers in ALL.items() for fn in answers.rights]


def _id(value) -> str:
    return getattr(value, "__name__", None) or (value if isinstance(value, str) and " " not in value else "")


@pytest.mark.parametrize("name", NAMES)
def test_enough_answers(name):
    assert name in ALL, f"tests/wrong_answers has no answers for {name}"
    assert len(ALL[name].wrongs) >= 3 and len(ALL[name].rights) >= 2
    assert len({fn.__name__ for _, fn in ALL[name].wrongs}) == len(ALL[name].wrongs)


def test_no_answers_without_an_exercise():
    assert set(ALL) <= set(NAMES)


@pytest.mark.parametrize(("name", "says", "fn"), WRONG, ids=_id)
def test_wrong_answer_is_rejected(name, says, fn):
    exercise = find(name)
    for seed in SEEDS:
        verdict = run(exercise, {name: fn}, seed)
        assert not verdict.passed, f"{fn.__name__} passes {name} with seed {seed}"
    visible = run(exercise, {name: fn})
    assert not visible.passed, f"{fn.__name__} passes the visible check of {name}"
    text = "\n".join(visible.lines())
    assert says in text, f"the message should say {says!r}:\n{text}"


@pytest.mark.parametrize(("name", "fn"), RIGHT, ids=_id)
def test_right_answer_is_accepted(name, fn):
    exercise = find(name)
    assert run(exercise, {name: fn}).lines()[0].startswith("✓"), "\n".join(run(exercise, {name: fn}).lines())
    verdict = run(exercise, {name: fn}, SEEDS)
    assert verdict.passed, "\n".join(verdict.lines())


@pytest.mark.parametrize("name", [exercise.name for exercise in EXERCISES if not exercise.given])
def test_stub_fails_and_solution_passes(name, lab_namespace, stub):
    exercise = find(name)
    verdict = run(exercise, {name: stub(exercise.lab, name)})
    assert verdict.unwritten and verdict.points == 0
    source = stored_solution(exercise.lab, name)
    assert source, f"no cell with the grade_id {name} in the source of lab {exercise.lab}"
    namespace = lab_namespace(exercise.lab)
    exec(compile(source, f"<solution of {name}>", "exec"), namespace)
    verdict = run(exercise, namespace, SEEDS)
    assert verdict.passed, "\n".join(verdict.lines())


@pytest.mark.parametrize("exercise", EXERCISES, ids=NAMES)
def test_exercise_is_complete(exercise):
    assert len(exercise.hints) == 3 and len(set(exercise.hints)) == 3
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5 and exercise.minutes > 0
    assert all(part.points > 0 for part in exercise.parts)
