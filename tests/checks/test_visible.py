"""check, hint and solution as a learner meets them, and the file that remembers."""

from __future__ import annotations

import pytest
import torch

from labs_src.checks import exercises, find, lab_ids, progress, visible
from labs_src.checks.visible import CheckFailed, check, hint, solution


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(visible, "_attempted", set())
    monkeypatch.setattr(visible, "_hints_shown", {})


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / progress.MARKER).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unit_directions(W):
    return torch.nn.functional.normalize(W, dim=1)


def _wrong():
    def unit_directions(W):
        return W / W.norm()

    return unit_directions


def test_names_are_unique_over_all_labs():
    names = [exercise.name for lab in lab_ids() for exercise in exercises(lab)]
    assert len(names) == len(set(names))


def test_find_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'unit_directions'"):
        find("unit_direction")
    with pytest.raises(ValueError, match="there are 00"):
        exercises("77")


def test_right_answer_prints_and_is_remembered(work, capsys):
    check(unit_directions)
    assert capsys.readouterr().out.startswith("✓ unit_directions: 2/2 points")
    assert progress.read()["unit_directions"].solved


def test_wrong_answer_raises_without_a_traceback(work):
    with pytest.raises(CheckFailed) as caught:
        check(_wrong())
    assert caught.value._render_traceback_()[0].startswith("✗ unit_directions")
    seen = progress.read()["unit_directions"]
    assert (seen.solved, seen.attempts) == (False, 1)


def test_check_of_a_result_in_place_of_a_function():
    with pytest.raises(TypeError, match="without brackets"):
        check(torch.ones(3))


def test_hints_come_one_at_a_time_and_are_counted(work, capsys):
    for level in (1, 2, 3):
        hint("unit_directions")
        assert capsys.readouterr().out.startswith(f"Hint {level} of 3")
    hint(unit_directions)
    assert "That is all of them" in capsys.readouterr().out
    assert progress.read()["unit_directions"].hints == 3


def test_hints_are_remembered_over_a_restart(work, capsys):
    hint("unit_directions")
    visible._hints_shown.clear()
    hint("unit_directions")
    assert "Hint 2 of 3" in capsys.readouterr().out


def test_solution_opens_after_an_attempt(work, capsys):
    solution("unit_directions")
    assert capsys.readouterr().out.startswith("Try first")
    with pytest.raises(CheckFailed):
        check(_wrong())
    solution("unit_directions")
    out = capsys.readouterr().out
    assert "def unit_directions(W)" in out and "SOLUTION" not in out
    assert progress.read()["unit_directions"].solution_opened


def test_a_stub_is_no_attempt(work, capsys):
    def unit_directions(W):
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="not written yet"):
        check(unit_directions)
    solution("unit_directions")
    assert capsys.readouterr().out.startswith("Try first")


def test_a_copy_without_sources_has_no_solutions(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("labs_src.paths.SOURCES", tmp_path)
    visible._attempted.add("unit_directions")
    solution("unit_directions")
    assert "without solutions" in capsys.readouterr().out


def test_nothing_is_written_outside_a_learners_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(unit_directions)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_line_costs_only_itself(work):
    check(unit_directions)
    file = work / progress.FILE
    file.write_bytes(file.read_bytes() + b'{"event": "check", "exer')
    hint("unit_directions")
    seen = progress.read()["unit_directions"]
    assert seen.solved and seen.hints == 1


def test_progress_reads_from_a_folder_inside_work(work):
    (work / "deeper").mkdir()
    assert progress.work_folder(work / "deeper") == work
