"""Labs are found by name; a wrong name is answered with those that exist."""

from __future__ import annotations

import pytest

from labs_src.course.catalogue import labs, select
from labs_src.course.errors import Problem
from labs_src.course.folders import Folders


def test_identity_comes_from_the_file(course: Folders) -> None:
    first, second = labs(course)
    assert (first.id, first.slug, first.title) == ("00", "00_doubling", "Doubling")
    assert second.notebook == course.notebooks / "01_waiting.ipynb"


@pytest.mark.parametrize("name", ["01", "1", "01_waiting", "01_waiting.py", "notebooks/01_waiting.ipynb"])
def test_any_name_of_a_lab_selects_it(course: Folders, name: str) -> None:
    assert [lab.id for lab in select([name], course)] == ["01"]


def test_selection_keeps_the_order_of_the_course(course: Folders) -> None:
    assert [lab.id for lab in select(["01", "00"], course)] == ["00", "01"]
    assert [lab.id for lab in select(["01,00"], course)] == ["00", "01"]
    assert len(select([], course)) == 2


def test_unknown_lab_lists_what_exists(course: Folders) -> None:
    with pytest.raises(Problem, match=r"no lab '77'.*00 \(Doubling\), 01 \(Waiting\)"):
        select(["77"], course)


def test_two_labs_with_the_same_digits(course: Folders) -> None:
    (course.sources / "00_other.py").write_text("# %% [markdown]\n# # 00 Other\n")
    with pytest.raises(Problem, match=r"00_doubling.py and 00_other.py"):
        labs(course)


def test_no_labs_at_all(tmp_path) -> None:
    with pytest.raises(Problem, match="no labs in"):
        select([], Folders.below(tmp_path))
