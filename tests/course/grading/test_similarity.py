"""Who is alike: copies are found though renamed and rearranged; the same idea written apart is not."""

from __future__ import annotations

import json
import random
import re

import pytest
from classroom import Classroom

from labs_src.course.grading.similarity import own_parts, pairs, side_by_side, write
from labs_src.course.grading.submission import Submission

LAB = "02"


@pytest.fixture(scope="module")
def room() -> Classroom:
    return Classroom(LAB)


def submission(room: Classroom, student: str, answers: dict) -> Submission:
    return Submission(student, LAB, json.dumps(room.notebook(answers)).encode())


def disguised(text: str) -> str:
    """Names of variables changed, comments added, lines spread out: what a copier does in five minutes."""
    for number, name in enumerate(sorted(set(re.findall(r"\b([a-zA-Z_]\w*) = ", text)), key=len, reverse=True)):
        text = re.sub(rf"\b{name}\b", f"v{number}", text)
    return re.sub(r"\n    ", "\n\n    # here\n    ", text)


def test_a_disguised_copy_stands_out(room, tmp_path):
    rng = random.Random(0)
    everybody = [submission(room, f"s{i:02d}", room.solved(rng, 0.4)) for i in range(20)]
    original = room.solved(rng, 0.4)
    copy = {name: disguised(answer.text) for name, answer in original.items()}
    everybody += [submission(room, "ann", original), submission(room, "bob", copy)]
    everybody.append(submission(room, "nobody", {}))
    found = pairs(everybody, room.lab, above=0)
    assert (found[0].first, found[0].second) == ("ann", "bob"), found[:3]
    assert found[0].alike > 0.8 > found[1].alike, found[:3]
    assert found[0].where and all(0 < value <= 1.001 for _, value in found[0].where)
    assert all("nobody" not in (pair.first, pair.second) for pair in found)
    (pair,) = write(found[:1], everybody, room.lab, tmp_path)
    assert pair.page.exists() and "ann" in pair.page.read_text()
    assert (tmp_path / f"similar-{LAB}.csv").read_text().startswith("lab,first,second,alike,where\n02,ann,bob,")


def test_what_was_released_does_not_count(room):
    assert own_parts(json.dumps(room.notebook({})).encode(), room.lab) == {}
    first = room.exercises[0].name
    parts = own_parts(json.dumps(room.notebook({first: f"def {first}(a):\n    return a + 1"})).encode(), room.lab)
    assert list(parts) == [first] and "return a + 1" in parts[first]


def test_broken_code_and_prose_are_compared_too(room):
    first = room.exercises[0].name
    broken = f"def {first}(a):\n    return (a +\n"
    parts = own_parts(json.dumps(room.notebook({first: broken, "written_sceptic": "I think so."})).encode(), room.lab)
    assert "return (a +" in parts[first] and parts["written_sceptic"] == "I think so."


def test_the_page_escapes_what_students_write(room):
    from labs_src.course.grading.similarity import Pair

    evil = {"other cells": "<script>alert(1)</script>"}
    page = side_by_side(Pair(LAB, "<b>ann", "bob", 0.9, (("other cells", 0.9),)), evil, evil)
    assert "<script" not in page and "<b>ann" not in page


def test_lines_are_whole_and_columns_stay(tmp_path):
    """Nothing is cut in the middle of a word; a side without anything says so."""
    from labs_src.course.grading.similarity import Pair

    long = "The equal cuts grant that damage of this size costs a little, and that is rather small. " * 3
    page = side_by_side(Pair(LAB, "ann", "bob", 0.9, (("why", 0.9),)), {"why": long, "f": "x"}, {"why": long + "!"})
    assert long.strip() in page and "table-layout:fixed" in page and "nowrap" not in page and "&nbsp;" not in page
    assert page.count("<colgroup><col class='n'><col class='t'>") == 2 == page.count("<table")
    assert page.count("bob (nothing of their own)") == 1 and "ann (nothing" not in page
