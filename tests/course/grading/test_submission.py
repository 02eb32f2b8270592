"""What is said about how a submission came: kinds of their own, and results of before are still read."""

from __future__ import annotations

from labs_src.course.grading.store import Store, with_notes
from labs_src.course.grading.submission import Attention, Note, Result, Submission


def test_notes_are_today_s_and_everything_else_stays(tmp_path):
    old = (Attention("ann", "01", "", "note", "late by 2 h"), Attention("ann", "01", "f", "crash", "It ended."))
    store = Store(tmp_path)
    store.write(Result("ann", "01", "graded", "a", "b", attention=old))
    before = store.read("01", "ann")
    said = (Note("late", "Late."), Note("renamed", "The file was called x."), "A plain sentence.")
    after = with_notes(before, Submission("ann", "01", b"", notes=said))
    assert [(row.kind, row.message) for row in after.attention] == [
        ("late", "Late."),
        ("renamed", "The file was called x."),
        ("note", "A plain sentence."),
        ("crash", "It ended."),
    ]
    store.write(after)
    assert with_notes(store.read("01", "ann"), Submission("ann", "01", b"")).attention == old[1:]
    assert Note.of(["late", "x"]) == Note("late", "x") and Note.of("x") == Note("note", "x")
