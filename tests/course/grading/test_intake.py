"""Taking submissions in: each gives something to grade or a sentence; nothing is lost, nothing is believed."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
from handed_in import lay, notebook, zipped

from labs_src.course.grading.grade import STUDENT
from labs_src.course.grading.layout import clean

GOOD = notebook("def double(x):\n    return 2 * x")
OTHER = notebook("def double(x):\n    return x + x")
WRONG_LAB = notebook("def halve(x):\n    return x / 2")


def code(submission) -> str:
    return "\n".join(cell["source"] for cell in json.loads(submission.content)["cells"])


def notes(submission) -> list[str]:
    return [note.text for note in submission.notes]


def a_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.write_bytes(zipped(members))
    return path


NAME = "01_doubling.ipynb"


@pytest.mark.parametrize(
    "members",
    [
        {f"ann/{NAME}": GOOD, f"bob/{NAME}": OTHER},
        {f"ann/work/{NAME}": GOOD, f"bob/deep/er/{NAME}": OTHER},
        {f"submitted/ann/01_doubling/{NAME}": GOOD, f"submitted/bob/01_doubling/{NAME}": OTHER},
        {f"wrapped/ann/{NAME}": GOOD, f"wrapped/bob/{NAME}": OTHER},
        {f"ann_{NAME}": GOOD, f"bob_{NAME}": OTHER},
        {"ann.ipynb": GOOD, "bob.ipynb": OTHER},
        {
            f"ann+01_doubling+2026-11-02 15:58:23.948203 UTC+abc/{NAME}": GOOD,
            f"bob+01_doubling+2026-11-02 16:00:00.000000 UTC+xyz/{NAME}": OTHER,
        },
        {"ann.zip": zipped({NAME: GOOD}), "bob.zip": zipped({f"work/{NAME}": OTHER})},
        {"ann/handed in.zip": zipped({NAME: GOOD}), f"bob/{NAME}": OTHER},
    ],
    ids=["folders", "deeper", "nbgrader", "wrapped", "flat", "flat names", "exchange", "zips", "zip in folder"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_layouts(tmp_path, take, members, packed):
    place = a_zip(tmp_path / "all.zip", members) if packed else lay(tmp_path / "in", members)
    found, attention = take(place)
    assert set(found) == {("ann", "01"), ("bob", "01")}, members.keys()
    assert "2 * x" in code(found["ann", "01"]) and "x + x" in code(found["bob", "01"])
    assert not attention and not any(s.problem for s in found.values())


@pytest.mark.parametrize("members", [{NAME: GOOD}, {f"work/{NAME}": GOOD}, {"my answer.ipynb": GOOD}])
def test_a_zip_of_one_student_is_named_by_the_zip(tmp_path, take, members):
    found, _ = take(a_zip(tmp_path / "ann.zip", members))
    assert set(found) == {("ann", "01")}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"%PDF-1.7 ...", "looks like a PDF"),
        (b"<html></html>", "looks like a web page"),
        (GOOD[:80], "cut off"),
        (b"\xff\xfe\x00", "not text"),
        (b"[" * 100_000, "not a notebook"),
        (b'{"a": 1}', "without cells"),
        (notebook(), "without anything in it"),
        (notebook("", " "), "without anything in it"),
        (notebook("print(1)"), "none of the exercises"),
        (notebook(*["x = 1"] * 2001), "2001 cells"),
        (b" " * 20_000_001, "larger than 20 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_graded_gets_a_sentence(tmp_path, take, data, says):
    found, attention = take(lay(tmp_path / "in", {f"ann/{NAME}": data, f"bob/{NAME}": GOOD}))
    submission = found["ann", "01"]
    assert submission.content is None and says in submission.problem and submission.problem.endswith(".")
    assert found["bob", "01"].content is not None and not attention


def test_wrong_lab(tmp_path, take, labs):
    place = lay(tmp_path / "in", {f"ann/{NAME}": WRONG_LAB, f"bob/submitted/01_doubling/{NAME}": WRONG_LAB})
    found, _ = take(place, only=labs[0])
    assert "is lab 02's notebook, handed in for lab 01" in found["ann", "01"].problem
    found, _ = take(lay(tmp_path / "in2", {"cy/x.ipynb": WRONG_LAB, "di/x.ipynb": GOOD}))
    assert ("renamed", "The file was called x.ipynb.") in found["cy", "02"].notes
    assert found["di", "01"].problem is None


def test_other_things_than_notebooks(tmp_path, take):
    members = {"ann/essay.pdf": b"%PDF", "bob/all.rar": b"Rar!", "cy/broken.zip": b"PK no", f"di/{NAME}": GOOD}
    found, attention = take(lay(tmp_path / "in", members | {"di/data.csv": b"1,2"}))
    assert set(found) == {("di", "01")} and not found["di", "01"].notes
    says = {row.student: row.message for row in attention}
    assert "no notebook" in says["ann"] and "essay.pdf" in says["ann"]
    assert "archive of a kind" in says["bob"] and "not a zip that can be opened" in says["cy"]


def test_metadata_of_colab_and_vs_code_and_old_formats(tmp_path, take):
    cell = {"cell_type": "code", "source": ["def double(x):\n", "    return x * 2"]}
    colab = {"cells": [{**cell, "metadata": {"id": "q", "colab": {"base_uri": "x"}}}], "metadata": {"colab": {}}}
    colab |= {"nbformat": 4, "nbformat_minor": 0}
    code_cell = {**cell, "metadata": {"vscode": {"languageId": "python"}}, "outputs": [{"weird": 1}]}
    vscode = {"cells": [code_cell], "nbformat": 4, "metadata": {"kernelspec": {"name": "no-such-kernel"}}}
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": cell["source"], "language": "python"}]}]}
    bom = b"\xef\xbb\xbf" + GOOD
    members = {"a/x.ipynb": json.dumps(colab), "b/x.ipynb": json.dumps(vscode), "c/x.ipynb": json.dumps(old)}
    place = lay(tmp_path / "in", {name: text.encode() for name, text in members.items()} | {"d/x.ipynb": bom})
    found, _ = take(place)
    import nbformat

    assert {key[0] for key in found} == set("abcd")
    for submission in found.values():
        clean_copy = nbformat.reads(submission.content.decode(), as_version=4)
        nbformat.validate(clean_copy)
        assert clean_copy.metadata.kernelspec.name == "python3"
        assert "def double" in code(submission)
    assert any("old format" in note for note in notes(found["c", "01"]))


def test_resubmitted_and_late(tmp_path, take):
    def stamped(day: int, data: bytes) -> dict[str, bytes]:
        folder = f"ann+01_doubling+2026-11-{day:02d} 10:00:00.000000 UTC+r{day}"
        return {f"{folder}/{NAME}": data, f"{folder}/submission_secret.txt": b"s3"}

    first, second, third = notebook("def double(x): return 1"), GOOD, OTHER
    members = stamped(1, first) | stamped(2, second) | stamped(5, third)
    due = {"01": datetime(2026, 11, 3)}
    found, _ = take(lay(tmp_path / "in", members), due=due)
    ann = found["ann", "01"]
    assert "2 * x" in code(ann) and ann.submitted == datetime(2026, 11, 2, 10)
    assert any("Handed in 3 times; graded is the last in time" in note for note in notes(ann))
    late = {f"bob+01_doubling+2026-11-03 02:05:00.000000 UTC+q/{NAME}": GOOD}
    found, _ = take(lay(tmp_path / "in2", late), due=due)
    assert ("late", "Late: handed in 2 h 5 min after the deadline.") in found["bob", "01"].notes
    folder = tmp_path / "class" / "submitted" / "ann" / "01_doubling"
    assert (folder / "timestamp.txt").read_text() == "2026-11-02 10:00:00 UTC"
    assert (folder / "submission_secret.txt").read_text() == "s3"
    kept = {path.read_bytes() for path in (tmp_path / "class/grading/arrived").glob("*.ipynb")}
    assert kept == {first, second, third}


def test_a_broken_file_does_not_take_the_place_of_a_good_one(tmp_path, take):
    take(lay(tmp_path / "one", {f"ann/{NAME}": GOOD}))
    found, _ = take(lay(tmp_path / "two", {f"ann/{NAME}": b""}))
    assert "2 * x" in code(found["ann", "01"])
    assert any("not graded: 01_doubling.ipynb is empty" in note for note in notes(found["ann", "01"]))


def test_names_that_become_one_stay_two_students(tmp_path, take):
    members = {f"Zoé/{NAME}": GOOD, f"Zoe/{NAME}": OTHER, f"ZOE/{NAME}": GOOD, f"../{NAME}": GOOD}
    place = a_zip(tmp_path / "all.zip", members)
    found, _ = take(place)
    students = {student for student, _ in found}
    assert len(students) == len({s.casefold() for s in students}) == 4
    again, _ = take(place)
    assert {k: v.content for k, v in again.items()} == {k: v.content for k, v in found.items()}
    names = [clean(name) for name in ("..", "-rf", "a/b", "Ann Lee", "__x", "x" * 200)]
    assert names[:5] == ["student", "rf", "a-b", "Ann-Lee", "x"] and all(STUDENT.fullmatch(name) for name in names)


def test_taking_in_again_changes_nothing(tmp_path, take):
    members = {f"ann/{NAME}": GOOD, "bob/notes.txt": b"hello", f"cy/{NAME}": b"", f"cy/{NAME}.pdf": b"%PDF"}
    place = lay(tmp_path / "in", members)
    first = take(place)
    index = tmp_path / "class/grading/arrived/index.json"
    before = index.read_bytes()
    next(index.parent.glob("*.ipynb")).unlink()  # somebody tidied up
    assert take(place)[0].keys() == first[0].keys() and index.read_bytes() == before
    take(tmp_path / "class" / "submitted")  # what was laid out is not a submission of its own
    assert index.read_bytes() == before
    for name, around in (("plain", ""), ("wrapped", "in/")):  # dates in a zip are rounded to two seconds
        packed = zipfile.ZipFile(tmp_path / f"{name}.zip", "w")
        for path in sorted(place.rglob("*.*")):
            packed.write(path, around + path.relative_to(place).as_posix())
        packed.close()
        take(tmp_path / f"{name}.zip")
        assert take.new == [] and index.read_bytes() == before


def test_every_file_is_kept_as_it_came(tmp_path, take):
    members = {f"ann/{NAME}": GOOD, "ann/essay.PDF": b"%PDF ann", "bob/essay.pdf": b"%PDF bob", "bob/a b.tar.gz": b"gz"}
    members |= {"cy/broken.zip": b"PK no", "di/in.zip": zipped({NAME: OTHER, "deep/z.zip": b"PK", "x.csv": b"1"})}
    members |= {"ann/big.bin": b"0" * 20_000_001, "ann/.DS_Store": b"mac", "ann/._essay.pdf": b"mac"}
    found, attention = take(lay(tmp_path / "in", members))
    arrived = tmp_path / "class/grading/arrived"
    index = {row["name"]: row for row in json.loads((arrived / "index.json").read_text()) if row["sha"]}
    for name in ("ann/essay.PDF", "bob/essay.pdf", "bob/a b.tar.gz", "cy/broken.zip", "di/in.zip"):
        file = arrived / (index[name]["sha"] + Path(name).suffix.lower())
        assert file.read_bytes() == members[name], name
    assert (arrived / (index["di/x.csv"]["sha"] + ".csv")).read_bytes() == b"1"
    assert {row.student for row in attention} == {"bob", "cy"} and set(found) == {("ann", "01"), ("di", "01")}
    assert any("big.bin is too large" in note for note in notes(found["ann", "01"]))
    assert not list(arrived.parent.glob(".arriv*")) and not {"mac"} & {f.read_bytes() for f in arrived.glob("*")}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"guide.md": b"# Hello", "pictures/a.png": b"png"}, "no notebook of a lab in"),
        ({"ann/analysis.ipynb": notebook("print(1)")}, "has none of the exercises"),
        ({"ann/essay.pdf": b"%PDF"}, "essay.pdf"),
    ],
    ids=["docs", "other notebooks", "nothing but a PDF"],
)
def test_a_slip_records_nothing(tmp_path, take, members, says):
    from labs_src.course.errors import Problem

    with pytest.raises(Problem, match=says):
        take(lay(tmp_path / "docs", members))
    assert not (tmp_path / "class/grading").exists() or not list((tmp_path / "class/grading").rglob("*"))


def test_a_folder_that_says_nothing_about_who(tmp_path, take):
    from labs_src.course.errors import Problem

    place = lay(tmp_path / "notebooks", {NAME: GOOD, "02_halving.ipynb": WRONG_LAB})
    with pytest.raises(Problem, match="who handed it in"):
        take(place)


def test_what_nbgrader_collected_is_left_as_it_is(tmp_path, take):
    collected = lay(
        tmp_path / "class/submitted/ann/01_doubling", {NAME: GOOD, "timestamp.txt": b"2026-11-02 10:00:00 UTC"}
    )
    found, _ = take(tmp_path / "class/submitted")
    assert found["ann", "01"].submitted == datetime(2026, 11, 2, 10)
    take(lay(tmp_path / "later", {f"ann/{NAME}": OTHER}))
    assert (collected / NAME).read_bytes() == GOOD


def test_nothing_there(tmp_path, take):
    from labs_src.course.errors import Problem

    (tmp_path / "void").mkdir()
    for place, says in ((tmp_path / "void", "is empty"), (tmp_path / "gone", "does not exist")):
        with pytest.raises(Problem, match=says):
            take(place)


def test_metadata_that_an_editor_dropped_is_put_back(tmp_path, take, labs):
    labs[0].source.write_text(
        labs[0].source.read_text()
        + '# %% nbgrader={"grade": true, "grade_id": "check_double", "locked": true, "points": 2, "schema_version": 3,'
        ' "solution": false}\ncheck(double)\n\n# %% [markdown]\n# ### In your own words\n#\n# Why?\n\n'
        '# %% [markdown] nbgrader={"grade": true, "grade_id": "written_why", "locked": false, "points": 3,'
        ' "schema_version": 3, "solution": true}\n# Model answer.\n'
    )
    sources = [("code", "def double(x):\n    return x + x"), ("code", "check(double)")]
    sources += [("markdown", "### In your own words\n\nWhy?"), ("markdown", "Because I say so.")]
    cells = [{"cell_type": kind, "source": text, "metadata": {}} for kind, text in sources]
    colab = json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}).encode()
    found, _ = take(lay(tmp_path / "in", {f"ann/{NAME}": colab}))
    ids = [c["metadata"].get("nbgrader", {}).get("grade_id") for c in json.loads(found["ann", "01"].content)["cells"]]
    assert ids == ["double", "check_double", None, "written_why"]
