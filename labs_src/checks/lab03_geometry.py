"""Lab 03: oracles and mistakes for directions, co-activation, dimensionality and neurons."""

from __future__ import annotations

import math

import numpy as np
import torch

from labs_src.checks.compare import Mistake, expect, normal

# angle_gaps: for each direction, turn until the next one is met -----------------------------------------------------


def plane(rng) -> dict:
    return {"W": normal(rng, 2, 9, scale=0.9)}  # many, so that neither order nor half-plane is right by luck


def gaps_by_turning(W) -> torch.Tensor:
    z = [complex(a, b) for a, b in zip(*W.double().tolist())]
    gaps = []
    for i, a in enumerate(z):
        turns = [math.degrees(math.atan2((b / a).imag, (b / a).real)) % 360 for j, b in enumerate(z) if j != i]
        gaps.append(min(turns))
    return torch.tensor(sorted(gaps))


def _angles(W):
    return torch.atan2(W[1], W[0])


def _between(W, order=False, close=True):
    """Angles between columns that follow each other, by the cosine: never above 180 degrees."""
    W = W[:, _angles(W).argsort()] if order else W
    after = W.roll(-1, dims=1)
    angle = torch.cosine_similarity(W, after, dim=0).clamp(-1, 1).acos().rad2deg()
    return angle if close else angle[:-1]


IN_THE_LIST = "neighbours in the list are not neighbours on the circle: sort the angles before taking differences"


ANGLES = (
    Mistake("the gap across the cut at ±180 degrees is missing: one gap for each feature, they sum to 360", lambda W: _angles(W).rad2deg().sort().values.diff().sort().values),
    Mistake("those are radians; the answer is in degrees", lambda W: gaps_by_turning(W).deg2rad()),
    Mistake("the gaps are right, but not sorted: smallest first", lambda W: (lambda a: torch.cat([a.diff(), a[:1] + 360 - a[-1:]]))(_angles(W).rad2deg().sort().values)),
    Mistake(IN_THE_LIST, lambda W: (lambda a: torch.cat([a.diff(), a[:1] + 360 - a[-1:]]).sort().values)(_angles(W).rad2deg())),
    Mistake(IN_THE_LIST, lambda W: (lambda a: (a.roll(-1) - a) % 360)(_angles(W).rad2deg())),
    Mistake(IN_THE_LIST, lambda W: (lambda a: ((a.roll(-1) - a) % 360).sort().values)(_angles(W).rad2deg())),
    *(Mistake(IN_THE_LIST, lambda W, c=c, s=s: s(_between(W, close=c))) for c in (True, False) for s in (lambda a: a, lambda a: a.sort().values)),
    Mistake("the gap from the last direction back to the first is missing: one gap for each feature", lambda W: _between(W, order=True, close=False).sort().values),
    Mistake("those are the angles themselves; the answer is the gaps between neighbours", lambda W: _angles(W).rad2deg().sort().values),
)  # fmt: skip

_gaps = expect(gaps_by_turning, axes="gap", mistakes=ANGLES, rtol=1e-3)


def judge_gaps(inputs: dict, value) -> str | None:
    """As `expect`, and the right gaps in any other order are named as such."""
    message = _gaps(inputs, value)
    if message and isinstance(value, torch.Tensor) and value.dim() == 1:
        sorted_message = _gaps(inputs, value.sort().values)
        return message if sorted_message else "the gaps are right, but not sorted: smallest first"
    return message


# co_activation, feature_dimensionality, features_per_neuron: loops --------------------------------------------------


def activations(rng) -> dict:
    on = rng.random((40, 4)) < np.array([0.7, 0.3, 0.5, 0.4])
    on[:, 3] = on[:, 1]  # a correlated pair
    return {"x": torch.from_numpy(on * rng.uniform(0.05, 1, on.shape)).float()}


def count_pairs(x) -> torch.Tensor:
    rows = [[value > 0 for value in row] for row in x.tolist()]
    n = len(rows[0])
    return torch.tensor([[sum(r[i] and r[j] for r in rows) / len(rows) for j in range(n)] for i in range(n)])


CO_ACTIVATION = (
    Mistake("those are products of magnitudes; count whether a feature is on, not how much", lambda x: x.T @ x / len(x)),
    Mistake("those are counts; divide by the size of the batch", lambda x: (x > 0).float().T @ (x > 0).float()),
    Mistake("that is the product of how often each is on; count how often they are on together", lambda x: torch.outer((x > 0).float().mean(0), (x > 0).float().mean(0))),
    Mistake("divided by how often i is on: that is P(j | i), not P(i and j)", lambda x: (lambda on: (on.T @ on) / on.sum(0)[:, None])((x > 0).float())),
    Mistake("divided by how often j is on: that is P(i | j), not P(i and j)", lambda x: (lambda on: (on.T @ on) / on.sum(0)[None, :])((x > 0).float())),
    Mistake("the diagonal should hold how often each feature is on", lambda x: (lambda on: (on.T @ on / len(x)).fill_diagonal_(0))((x > 0).float())),
    Mistake("that is a correlation; count how often both are on", lambda x: torch.corrcoef(x.T)),
    Mistake("that is a correlation; count how often both are on", lambda x: torch.corrcoef((x > 0).float().T)),
    Mistake("that is a covariance; count how often both are on, and leave the means in", lambda x: torch.cov((x > 0).float().T)),
    Mistake("that is a covariance; count how often both are on, and leave the means in", lambda x: torch.cov((x > 0).float().T, correction=0)),
    Mistake("that is how often at least one of the two is on; both must be", lambda x: (lambda on: (on[:, :, None] | on[:, None, :]).float().mean(0))(x > 0)),
)  # fmt: skip


def with_absent(rng) -> dict:
    W = normal(rng, 2, 3, 6)
    for i in range(2):
        W[i, :, int(rng.integers(6))] = 0.0
    return {"W": W}


def polygons(rng) -> dict:
    n = int(rng.integers(5, 9))
    turn = float(rng.uniform(0, 6))
    angle = torch.arange(n) * 2 * torch.pi / n + turn
    return {"W": float(rng.uniform(0.5, 1.5)) * torch.stack((angle.cos(), angle.sin()))[None]}


def dimensionality_by_loop(W) -> torch.Tensor:
    W = W.double().numpy()
    D = np.zeros((W.shape[0], W.shape[2]))
    for i, f in np.ndindex(*D.shape):
        square = float(W[i, :, f] @ W[i, :, f])
        if square > 0:
            projections = [float(W[i, :, f] @ W[i, :, j]) ** 2 / square for j in range(W.shape[2])]
            D[i, f] = square / sum(projections)
    return torch.from_numpy(D)


def polygon_closed_form(W) -> torch.Tensor:
    return torch.full((1, W.shape[2]), 2 / W.shape[2])  # n equal vectors, evenly spread over two dimensions


def _dims(self_counts=True, unit_left=True, unit_right=False, squared=True, numerator=2):
    def D(W):
        norm = W.norm(dim=1)
        unit = W / norm.clamp(min=1e-12)[:, None]
        dots = (unit if unit_left else W).mT @ (unit if unit_right else W)
        total = dots**2 if squared else dots.abs()
        if not self_counts:
            total = total - torch.diag_embed(total.diagonal(dim1=1, dim2=2))
        return norm**numerator / total.sum(2).clamp(min=1e-12)

    return D


DIMENSIONALITY = (
    Mistake("the sum runs over all j, feature i included", _dims(self_counts=False)),
    Mistake("W_i in the denominator should have length 1 (the hat), and is not scaled", _dims(unit_left=False)),
    Mistake("both vectors in the denominator were scaled to length 1; only W_i has a hat", _dims(unit_right=True)),
    Mistake("the dot products in the denominator are squared", _dims(squared=False)),
    Mistake("the numerator is the squared norm", _dims(numerator=1)),
    Mistake("the hat is on W_j; it belongs on W_i (sum along the other axis)", lambda W: (lambda u: W.norm(dim=1) ** 2 / ((u.mT @ W) ** 2).sum(1).clamp(min=1e-12))(W / W.norm(dim=1, keepdim=True).clamp(min=1e-12))),
    Mistake("norms were taken over the features; feature i is a column, of length d_hidden", lambda W: _dims()(W.mT)),
)  # fmt: skip


_shares = expect(dimensionality_by_loop, axes="instance feature", mistakes=DIMENSIONALITY, rtol=1e-3)


def judge_with_absent(inputs: dict, value) -> str | None:
    """As `expect`, but NaN from a feature of norm 0 does not hide what else is wrong."""
    if not isinstance(value, torch.Tensor) or not bool(torch.isnan(value).any()):
        return _shares(inputs, value)
    absent = inputs["W"].norm(dim=1) == 0
    why = "a feature of norm 0 gives 0/0, which is NaN; its D is 0. Clamp its norm before you divide by it"
    if value.shape != absent.shape or bool(torch.isnan(value[~absent]).any()):
        return why + ". The NaN spreads to features that are there"
    other = _shares(inputs, torch.where(absent, 0.0, value))
    return why if other is None else f"{other}. And {why}"


def weights(rng) -> dict:
    return {"W": normal(rng, 6, 11, scale=0.6), "threshold": float(rng.uniform(0.25, 0.5))}


def count_weights(W, threshold) -> torch.Tensor:
    return torch.tensor([sum(abs(v) > threshold for v in row) for row in W.tolist()])


NEURONS = (
    Mistake("negative weights were not counted; take |weight|", lambda W, t: (t < W).sum(1)),
    Mistake("that is a count for each feature; a neuron is a row of W", lambda W, t: (W.abs() > t).sum(0)),
    Mistake("that is one number; each neuron has a count of its own", lambda W, t: (W.abs() > t).sum()),
    Mistake("that says whether a neuron is polysemantic; count its features", lambda W, t: ((W.abs() > t).sum(1) >= 2).long()),
    Mistake("weights were compared after scaling the neuron's row; use them as they are", lambda W, t: ((W / W.norm(dim=1, keepdim=True)).abs() > t).sum(1)),
    Mistake("weights were compared after scaling each feature to length 1; use them as they are", lambda W, t: ((W / W.norm(dim=0)).abs() > t).sum(1)),
    Mistake("weights were squared before comparing with the threshold", lambda W, t: (t < W**2).sum(1)),
)  # fmt: skip

_counts = expect(count_weights, axes="d_hidden", mistakes=NEURONS)


def judge_counts(inputs: dict, value) -> str | None:
    """As `expect`, and counts are integers."""
    message = _counts(inputs, value)
    if message is None and isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
        return "the counts are right, but floating point; sum True and False, which gives integers"
    return message
