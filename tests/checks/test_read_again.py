"""A failed check says which section to read again: that section has to exist in the exercise's lab."""

from __future__ import annotations

import re

import pytest

from labs_src.checks import exercises, lab_ids
from labs_src.course.catalogue import labs

HEADING = re.compile(r"^# #{1,6} +(.*?) *$", re.MULTILINE)
SOURCES = {lab.id: lab.source for lab in labs()}


@pytest.mark.parametrize("lab", lab_ids())
def test_read_again_is_a_heading_of_the_lab(lab):
    headings = set(HEADING.findall(SOURCES[lab].read_text(encoding="utf-8")))
    missing = {e.name: e.read_again for e in exercises(lab) if e.read_again not in headings}
    assert not missing, f"lab {lab} has no such heading: {missing}; it has {sorted(headings)}"
