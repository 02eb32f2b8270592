"""`labs new 15_topic`: the skeleton of a lab, complete enough to build and to pass its own tests."""

from __future__ import annotations

import re
from pathlib import Path

from labs_src import paths
from labs_src.course.errors import Problem
from labs_src.course.folders import shown

NAME = re.compile(r"\d\d_[a-z][a-z0-9]*(_[a-z0-9]+)*")

SOURCE = '''# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # @ID@ @TITLE@
#
# **Question.** What does the mean of a vector hide?
#
# **After this you can** take the mean out of a matrix of vectors, and say how much of their length it was.
#
# 10 minutes · mini tier · seeds covered: none

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import torch

from labs_src.lab import check, record, say, start

start("@ID@", tier=tier, seed=seed)

# %% [markdown]
# ## Take the mean out
#
# LayerNorm begins by subtracting a vector's own mean. For a matrix, that is one number for each row.
#
# *`@EXERCISE@` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 3 minutes*


# %% nbgrader={"grade": false, "grade_id": "@EXERCISE@", "locked": false, "schema_version": 3, "solution": true, "task": false}
def @EXERCISE@(x):
    """x: (position, d_model). Returns x with each row's mean subtracted from that row."""
    ### BEGIN SOLUTION
    return x - x.mean(dim=1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_@EXERCISE@", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(@EXERCISE@)

# %% [markdown]
# Before you run the next cell: the rows below have mean 1. How much of their length is that?

# %%
x = torch.randn(1000, 16) + 1.0
kept = @EXERCISE@(x).norm() / x.norm()
record("@EXERCISE@_kept", kept, tolerance=0.01, why="a thousand random rows, seeded")

# %%
say("Without their mean the rows keep {@EXERCISE@_kept:.2f} of their length.")

# %% [markdown]
# ## What this does not show
#
# Random rows have no structure but their mean. Whether a trained model stores anything there is another question.
#
# **Sources.** Ba, Kiros and Hinton, [Layer Normalization](https://arxiv.org/abs/1607.06450), 2016.
#
# **Recap.** One mean for each row, kept as a column so that the subtraction lines up.
'''

CHECKS = '''"""Lab @ID@."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _rows(rng) -> dict:
    return {"x": normal(rng, 4, 6) + 2.0}


def _one_row(rng) -> dict:
    return {"x": normal(rng, 1, 5, scale=3.0)}


def _by_loop(x) -> torch.Tensor:
    return torch.tensor([[value - sum(row) / len(row) for value in row] for row in x.double().tolist()])


_MISTAKES = (
    Mistake("each column has mean 0; each row should. Which dimension holds d_model?", lambda x: x - x.mean(dim=0)),
    Mistake("one mean of the whole matrix was subtracted; every row has its own", lambda x: x - x.mean()),
    Mistake("each row's sum was subtracted; divide it by the number of entries", lambda x: x - x.sum(1, True)),
)


EXERCISES = (
    Exercise(
        name="@EXERCISE@",
        lab="@ID@",
        title="Rows without their mean",
        parts=(
            Part("every row has mean 0", 1, _rows, expect(_by_loop, axes="position d_model", mistakes=_MISTAKES)),
            Part("a single row", 1, _one_row, expect(_by_loop, axes="position d_model", mistakes=_MISTAKES)),
        ),
        hints=(
            "You need one mean for each row, in a shape that lines up with x.",
            "x.mean(dim=1, keepdim=True) has the shape (position, 1).",
            "return x - x.mean(dim=1, keepdim=True)",
        ),
        read_again="Take the mean out",
        difficulty=1,
        importance=3,
        minutes=3,
    ),
)
'''

ANSWERS = '''"""Lab @ID@'s answers."""

import torch
from answers import Answers

@EXERCISE@ = Answers("@EXERCISE@")


@@EXERCISE@.wrong(says="column")
def means_of_columns(x):
    return x - x.mean(dim=0, keepdim=True)


@@EXERCISE@.wrong(says="whole matrix")
def one_mean_for_all(x):
    return x - x.mean()


@@EXERCISE@.wrong(says="sum")
def subtracts_the_sum(x):
    return x - x.sum(dim=1, keepdim=True)


@@EXERCISE@.wrong(says="in place")
def works_in_place(x):
    x -= x.mean(dim=1, keepdim=True)
    return x


@@EXERCISE@.right
def row_by_row(x):
    return torch.stack([row - row.sum() / len(row) for row in x])


@@EXERCISE@.right
def by_projection(x):
    d_model = x.shape[1]
    return x @ (torch.eye(d_model) - torch.ones(d_model, d_model) / d_model)
'''


def create(slug: str, root: Path | None = None) -> list[Path]:
    """Write a lab's source, its checks and its wrong answers.

    Args:
        slug: Two digits, an underscore, a topic in lower case: "15_topic".
        root: The repository.

    Returns:
        The files written.

    Raises:
        Problem: The name is not of that form, or the number is taken.
    """
    root = root or paths.ROOT
    if not NAME.fullmatch(slug):
        raise Problem(f"{slug!r} is no name for a lab: use two digits and a topic in lower case, such as 15_topic.")
    lab, _, topic = slug.partition("_")
    files = {
        root / "notebooks" / "source" / f"{slug}.py": SOURCE,
        root / "labs_src" / "checks" / f"lab{lab}.py": CHECKS,
        root / "tests" / "wrong_answers" / f"lab{lab}.py": ANSWERS,
    }
    taken = [*(root / "notebooks" / "source").glob(f"{lab}_*.py"), *(path for path in files if path.exists())]
    if taken:
        raise Problem(f"Lab {lab} exists already ({shown(taken[0])}). Nothing was changed; choose another number.")
    words = {"@ID@": lab, "@TITLE@": topic.replace("_", " ").capitalize(), "@EXERCISE@": f"{topic}_example"}
    for path, text in files.items():
        for word, value in words.items():
            text = text.replace(word, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"made {shown(path)}")
    print("Give it a row in README.md and in notebooks/source/00_start_here.py.")
    print(f'Then edit them, make notebooks ARGS="--only {lab}" and make test. CONTRIBUTING.md says how.')
    return list(files)
