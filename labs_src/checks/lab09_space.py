"""Lab 09, third part: the space that activations fill, and the space that a dictionary favours."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _cloud(rng) -> dict:
    """Spread unevenly, far from the origin."""
    spread = torch.from_numpy(rng.uniform(0.2, 6.0, size=6)).float()
    return {"h": normal(rng, 20, 6) * spread @ normal(rng, 6, 6) + 8 * normal(rng, 6)}


def _flat_cloud(rng) -> dict:
    """In three of seven dimensions, whole numbers: four singular values are 0, or would be but for rounding."""
    h = torch.zeros(16, 7)
    h[:, :3] = torch.from_numpy(rng.integers(-4, 5, size=(16, 3))).float() * torch.tensor([1.0, 2, 4])
    h[8:] = -h[:8]
    return {"h": h + torch.from_numpy(rng.integers(1, 4, size=7)).float()}


def _spectrum(h) -> list[float]:
    """By the eigenvalues of the covariance."""
    centred = h.double() - sum(h.double()) / len(h)
    values = torch.linalg.eigvalsh(centred.T @ centred)
    return [math.sqrt(float(v)) for v in values if float(v) > 1e-12 * float(values.max())]


def _entropy(values: list[float], log=math.log) -> float:
    shares = [v / sum(values) for v in values]
    return -sum(p * log(p) for p in shares)


def _rank_by_loop(h) -> float:
    return math.exp(_entropy(_spectrum(h)))


def _not_centred(h) -> float:
    s = torch.linalg.svdvals(h.double())
    return math.exp(_entropy([float(v) for v in s if v > 1e-9 * s[0]]))


def _nan(h) -> float:
    s = torch.linalg.svdvals(h.double() - h.double().mean(0))
    p = s / s.sum()
    p = torch.where(p < 1e-12, torch.zeros_like(p), p)
    return float((-(p * p.log()).sum()).exp())


def _judge_rank(inputs, value) -> str | None:
    message = _EXPECT_RANK(inputs, value)
    if message is not None and "NaN" in message:
        return "0 · log 0 came out as NaN; it is 0 (torch.special.entr, or leave the zeros out)"
    return message


_RANK_MISTAKES = (
    Mistake("the mean is still in h: subtract h.mean(0) first, or the distance from the origin counts as a dimension", _not_centred),
    Mistake("the entropy is of the squared singular values; take the singular values themselves", lambda h: math.exp(_entropy([s * s for s in _spectrum(h)]))),
    Mistake("that is the entropy; the effective rank is its exponential", lambda h: _entropy(_spectrum(h))),
    Mistake("the entropy is in bits, but exp undoes nats: use the natural logarithm", lambda h: math.exp(_entropy(_spectrum(h), math.log2))),
    Mistake("that is the number of singular values that are not 0, the plain rank", lambda h: float(len(_spectrum(h)))),
    Mistake("that is the participation ratio; asked is exp of the entropy", lambda h: sum(s * s for s in _spectrum(h)) ** 2 / sum(s**4 for s in _spectrum(h))),
    Mistake("0 · log 0 came out as NaN; it is 0 (torch.special.entr, or leave the zeros out)", _nan),
)  # fmt: skip
_EXPECT_RANK = expect(_rank_by_loop, mistakes=_RANK_MISTAKES, rtol=1e-3)

EFFECTIVE_RANK = Exercise(
    name="effective_rank",
    lab="09",
    title="How many dimensions do the activations fill?",
    parts=(
        Part("an uneven cloud, far from the origin", 2, _cloud, _judge_rank),
        Part("a flat cloud", 1, _flat_cloud, _judge_rank),
    ),
    hints=(
        "Subtract the mean, take the singular values, divide them by their sum: shares that add to 1.",
        "The entropy of shares p is -sum of p log p; torch.special.entr(p) is -p log p, with 0 at 0.",
        "s = torch.linalg.svdvals(h - h.mean(0)); p = s / s.sum(); torch.special.entr(p).sum().exp()",
    ),
    read_again="5 What had the model learned?",
    difficulty=2,
    importance=3,
    minutes=7,
)


def _two_spaces(rng) -> dict:
    """Leading directions partly shared; no gap in the spectrum is small."""
    d = 7
    scale = torch.tensor([9.0, 6.5, 4.5, 1.2, 0.8, 0.5, 0.3])
    Q = torch.linalg.qr(normal(rng, d, d)).Q
    turn = torch.linalg.qr(torch.eye(d) + 0.5 * normal(rng, d, d)).Q
    A = torch.linalg.qr(normal(rng, 12, d)).Q * scale @ Q
    B = torch.linalg.qr(normal(rng, 10, d)).Q * scale @ (Q @ turn)
    return {"A": A, "B": B, "r": 3 if rng.random() < 0.5 else 2}


def _principal(W, r) -> torch.Tensor:
    return torch.linalg.svd(W.double(), full_matrices=False).Vh[:r]


def _overlap_by_projectors(A, B, r) -> float:
    P = []
    for W in (A, B):
        vectors = torch.linalg.eigh(W.double().T @ W.double()).eigenvectors[:, -r:]
        P.append(vectors @ vectors.T)
    return float(sum((P[0] @ P[1])[i, i] for i in range(len(P[0])))) / r


def _M(A, B, r) -> torch.Tensor:
    return _principal(A, r) @ _principal(B, r).T


def _last(A, B, r) -> float:
    V = [torch.linalg.svd(W.double(), full_matrices=False).Vh[-r:] for W in (A, B)]
    return float((V[0] @ V[1].T).pow(2).sum() / r)


def _centred(A, B, r) -> float:
    return float(_M(A - A.mean(0), B - B.mean(0), r).pow(2).sum() / r)


def _columns(A, B, r) -> tuple[torch.Tensor, torch.Tensor]:
    """The first r columns of Vh: parts of every direction, where whole directions are rows."""
    return tuple(_principal(W, W.shape[1])[:, :r] for W in (A, B))


def _columns_crossed(A, B, r) -> float:
    U, V = _columns(A, B, r)
    return float((U @ V.T).pow(2).sum() / r)


def _columns_inner(A, B, r) -> float:
    U, V = _columns(A, B, r)
    return float((U.T @ V).pow(2).sum() / r)


_SLICED = "the first r columns of Vh are taken; its rows are the directions, so take Vh[:r]"

_OVERLAP_MISTAKES = (
    Mistake(_SLICED, _columns_crossed),
    Mistake(_SLICED, _columns_inner),
    Mistake("divided by the dimension; two equal spaces should give 1, so divide by r", lambda A, B, r: float(_M(A, B, r).pow(2).sum() / A.shape[1])),
    Mistake("not divided by r; two equal spaces should give 1", lambda A, B, r: float(_M(A, B, r).pow(2).sum())),
    Mistake("the cosines are not squared; a projector overlap is a sum of squares", lambda A, B, r: float(_M(A, B, r).abs().sum() / r)),
    Mistake("that is a mean over r x r entries; the sum of squares is divided by r", lambda A, B, r: float(_M(A, B, r).pow(2).mean())),
    Mistake("that is the norm, not its square", lambda A, B, r: float(_M(A, B, r).norm() / r)),
    Mistake("direction i is compared with direction i only; a space does not know the order of its axes", lambda A, B, r: float(_M(A, B, r).diagonal().pow(2).sum() / r)),
    Mistake("the last directions are taken; singular values come largest first", _last),
    Mistake("the mean row was subtracted; the directions themselves are compared here", _centred),
    Mistake("r is ignored: all directions span the whole space", lambda A, B, r: 1.0),
    Mistake("that is the mean cosine of the principal angles; take their squares", lambda A, B, r: float(torch.linalg.svdvals(_M(A, B, r)).mean())),
)  # fmt: skip

SUBSPACE_OVERLAP = Exercise(
    name="subspace_overlap",
    lab="09",
    title="Do they favour the same space?",
    parts=(
        Part(
            "overlap of the r leading directions",
            3,
            _two_spaces,
            expect(_overlap_by_projectors, mistakes=_OVERLAP_MISTAKES, rtol=1e-3),
        ),
    ),
    hints=(
        "torch.linalg.svd(A, full_matrices=False).Vh has the directions of row space, largest first, as rows.",
        "Take r of them from each. All cosines between the two sets are one r x r product.",
        "V1 = svd(A).Vh[:r], V2 = svd(B).Vh[:r]; (V1 @ V2.T).pow(2).sum() / r",
    ),
    read_again="6 A model that computes the sum",
    difficulty=3,
    importance=3,
    minutes=8,
)
