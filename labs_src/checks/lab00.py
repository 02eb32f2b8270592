"""Lab 00: one solved exercise and one to solve, to meet the machinery."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _two_vectors(rng) -> dict:
    return {"a": normal(rng, 5, scale=3.0), "b": normal(rng, 5, scale=0.2)}


def _cosine_by_loop(a, b) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))


def _directions(rng) -> dict:
    return {"W": normal(rng, 4, 6, scale=2.0)}


def _with_zero_row(rng) -> dict:
    W = normal(rng, 4, 6)
    W[int(rng.integers(4))] = 0.0
    return {"W": W}


def _rows_by_loop(W) -> torch.Tensor:
    rows = []
    for row in W.double().tolist():
        length = math.sqrt(sum(x * x for x in row))
        rows.append([x / length if length else 0.0 for x in row])
    return torch.tensor(rows)


_ROW_MISTAKES = (
    Mistake("each column has length 1; each row should. Which dimension holds d_model?", lambda W: W / W.norm(dim=0)),
    Mistake("the whole matrix was divided by one number; every row has a length of its own", lambda W: W / W.norm()),
    Mistake(
        "the rows sum to 1 in absolute value; length is the root of the sum of squares",
        lambda W: W / W.abs().sum(1, True),
    ),
    Mistake("divided by the squared length; take the root", lambda W: W / W.pow(2).sum(1, True)),
    Mistake(
        "rows were scaled to root-mean-square 1; that is length sqrt(d_model)",
        lambda W: W / W.pow(2).mean(1, True).sqrt(),
    ),
)


EXERCISES = (
    Exercise(
        name="cosine_similarity",
        lab="00",
        title="The cosine of two vectors",
        parts=(
            Part(
                "the cosine of two vectors of different length",
                1,
                _two_vectors,
                expect(
                    _cosine_by_loop,
                    mistakes=(
                        Mistake("that is the dot product; divide by both lengths", lambda a, b: a @ b),
                        Mistake("divided by the length of a only", lambda a, b: a @ b / a.norm()),
                        Mistake("divided by the length of b only", lambda a, b: a @ b / b.norm()),
                        Mistake(
                            "divided by the squared lengths; take the root", lambda a, b: a @ b / (a @ a) / (b @ b)
                        ),
                    ),
                ),
            ),
        ),
        hints=(
            "A cosine does not change when a vector is made longer.",
            "Divide the dot product by the product of the two lengths.",
            "a @ b / (a.norm() * b.norm())",
        ),
        read_again="An exercise",
        difficulty=1,
        importance=2,
        minutes=1,
        given=True,
    ),
    Exercise(
        name="unit_directions",
        lab="00",
        title="Directions of length 1",
        parts=(
            Part(
                "every row has length 1",
                1,
                _directions,
                expect(_rows_by_loop, axes="d_sae d_model", mistakes=_ROW_MISTAKES),
            ),
            Part(
                "a row of zeros stays zero",
                1,
                _with_zero_row,
                expect(_rows_by_loop, axes="d_sae d_model", mistakes=_ROW_MISTAKES),
            ),
        ),
        hints=(
            "You need one length for each row: a tensor of shape (d_sae, 1), so that the division lines up.",
            "W.norm(dim=1, keepdim=True) has that shape. What happens where it is zero?",
            "Divide by the length with a tiny floor: .clamp(min=1e-12).",
        ),
        read_again="Your turn",
        difficulty=1,
        importance=2,
        minutes=3,
    ),
)
