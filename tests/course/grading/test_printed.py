"""What `labs grade` says: every kind is explained, nothing is cut, one is not two."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labs_src.course.grading import printed
from labs_src.course.grading.store import Change
from labs_src.course.grading.submission import NOTES, Attention

LONG = "0 points: this cell is not Python: line 3, `return (a_long_name + another_one`: '(' was never closed"


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_the_list_is_readable_at_80_columns(capsys):
    rows = [
        Attention("ann", "02", "", "late", "Late: handed in 2 h after the deadline."),
        Attention("a-student-with-a-long-name", "02", "k_composition_circuit", "syntax", LONG),
        Attention("bob", "02", "offset_score", "of the future", "something new"),
    ]
    printed.say_attention(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Needs attention: 1 syntax, 1 late, 1 of the future."
    assert lines[2].split() == ["kind", "student", "lab", "exercise"]
    assert lines[3].split() == ["syntax", "a-student-with-a-long-name", "02", "k_composition_circuit"]
    assert all(len(line) <= 80 for line in lines), "as wide as the terminal"
    assert LONG in re.sub(r"\n +", " ", "\n".join(lines)), "whole"
    assert sum(line.startswith("late: ") for line in lines) == 1


def test_one_is_not_two(capsys):
    one = Change("ann", "02", "offset_score", 1, None, "another submission")
    printed.say_changes([one])
    assert capsys.readouterr().out.splitlines() == [
        "1 mark of 1 student is not what it was:",
        "  ann 02 offset_score: 1 became nothing (another submission)",
    ]
    printed.say_changes([one, Change("ann", "02", "other", None, 2, "the check changed")])
    assert capsys.readouterr().out.startswith("2 marks of 1 student are not what they were:\n")
    printed.say_attention([])
    assert capsys.readouterr().out == "Nothing needs attention.\n"


def test_every_kind_is_explained():
    """Those that the judging names, read from its text, and those about how a submission came."""
    folder = Path(printed.__file__).parent
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("judging.py", "judges.py", "choice.py")]
    named = set(re.findall(r'note\(\s*"([a-z ]+)"', "".join(texts)))
    named |= set(re.findall(r'Attention\([^"\n]*"", "([a-z ]+)"', "".join(texts)))
    named |= {"crash", "timeout", "memory", "syntax", "missing", "unsafe", *NOTES}
    assert len(named) >= 14 and named <= set(printed.KINDS), named - set(printed.KINDS)
