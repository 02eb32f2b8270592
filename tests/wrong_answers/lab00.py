"""Lab 00's answers."""

import torch
from answers import Answers

cosine = Answers("cosine_similarity")


@cosine.wrong(says="dot product")
def only_the_dot_product(a, b):
    return (a * b).sum()


@cosine.wrong(says="length of a only")
def forgets_one_length(a, b):
    return torch.dot(a, b) / torch.sqrt((a**2).sum())


@cosine.wrong(says="squared lengths")
def forgets_the_root(a, b):
    return a @ b / ((a**2).sum() * (b**2).sum())


@cosine.wrong(says="got 1")
def lucky_constant(a, b):
    return 1.0


@cosine.right
def by_library(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0)


@cosine.right
def by_unit_vectors(a, b):
    return float((a / a.norm()) @ (b / b.norm()))


directions = Answers("unit_directions")


@directions.wrong(says="column")
def normalises_columns(W):
    return W / W.norm(dim=0, keepdim=True)


@directions.wrong(says="one number")
def divides_by_the_frobenius_norm(W):
    return W / W.norm()


@directions.wrong(says="squared length")
def forgets_the_root_of_rows(W):
    return W / (W**2).sum(dim=1, keepdim=True)


@directions.wrong(says="NaN")
def ignores_zero_rows(W):
    return W / W.norm(dim=1, keepdim=True)


@directions.wrong(says="in place")
def works_in_place(W):
    W /= W.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return W


@directions.right
def with_normalize(W):
    return torch.nn.functional.normalize(W, dim=-1)


@directions.right
def row_by_row(W):
    return torch.stack([row / row.norm() if row.norm() > 0 else row for row in W])
