"""Lab 03: oracles and mistakes for the closed-form losses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.lab03_model import positive

# interference_loss: every sign vector once. Signs have mean 0 and variance 1 and are independent ----------------------


def directions(rng) -> dict:
    return {"W": normal(rng, 3, 5, scale=0.7), "importance": positive(rng, 5)}


def by_signs(W, importance) -> dict:
    W = W.double()
    own = total = torch.zeros(W.shape[1], dtype=torch.float64)
    vectors = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=W.shape[1])), dtype=torch.float64)
    for s in vectors:
        error = W.T @ (W @ s) - s
        total = total + error**2 / len(vectors)
        own = own + error * s / len(vectors)  # E[e_i s_i] = G_ii - 1
    own = own**2
    return {"own": float((importance * own).sum()), "interference": float((importance * (total - own)).sum())}


def _terms(own, off):
    def loss(W, importance):
        G = W.T @ W
        return {"own": own(G, importance, W), "interference": off(G, importance, W)}

    return loss


def _own(G, w, W):
    return (w * (G.diagonal() - 1) ** 2).sum()


def _off(G, w, W):
    return (w * ((G**2).sum(1) - G.diagonal() ** 2)).sum()


INTERFERENCE = (
    Mistake("the diagonal is counted in the interference as well; sum over j ≠ i only", _terms(_own, lambda G, w, W: (w * (G**2).sum(1)).sum())),
    Mistake("the columns were scaled to length 1; their norms are free here", lambda W, w: _terms(_own, _off)(W / W.norm(dim=0), w)),
    Mistake("the columns were scaled to length 1 for the interference; their norms are free here", _terms(_own, lambda G, w, W: _off((W / W.norm(dim=0)).T @ (W / W.norm(dim=0)), w, W))),
    Mistake("importance is missing", lambda W, w: _terms(_own, _off)(W, torch.ones_like(w))),
    Mistake("each pair is counted once; the sum runs over i and j, so each pair counts with I_i and with I_j", _terms(_own, lambda G, w, W: (w[:, None] * G.triu(1) ** 2).sum())),
    Mistake("the own term is (G_ii - 1)², not G_ii²", _terms(lambda G, w, W: (w * G.diagonal() ** 2).sum(), _off)),
    Mistake("the own term is squared: (G_ii - 1)²", _terms(lambda G, w, W: (w * (G.diagonal() - 1)).sum(), _off)),
    Mistake("the dot products are squared before they are summed", _terms(_own, lambda G, w, W: (w * (G.sum(1) - G.diagonal()) ** 2).sum())),
    Mistake("the own term compares the squared norm with 1: G_ii = |W_i|², not |W_i|", _terms(lambda G, w, W: (w * (W.norm(dim=0) - 1) ** 2).sum(), _off)),
    Mistake("own is zero: that assumes unit codes, here norms are free", _terms(lambda G, w, W: torch.tensor(0.0), _off)),
    Mistake("the two terms are swapped", _terms(_off, _own)),
)  # fmt: skip


def gradients_on_paper(W, importance) -> dict:
    """dL/dW = W (A + Aᵀ), where A_ij = dL/dG_ij: 2 I_i (G_ii - 1) on the diagonal for own, 2 I_i G_ij off it for the rest."""
    W, w = W.double(), importance.double()
    G = W.T @ W
    own = torch.diag(2 * w * (G.diagonal() - 1))
    off = 2 * w[:, None] * (G - torch.diag(G.diagonal()))
    return {"own": W @ (own + own.T), "interference": W @ (off + off.T)}


_gradients = expect(gradients_on_paper, axes={"own": "d_hidden feature", "interference": "d_hidden feature"}, rtol=1e-3)


def judge_gradients(inputs: dict, value) -> str | None:
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, str):
            return (
                f"{key} cannot be differentiated ({item}): keep one torch number, without .item(), float() or .detach()"
            )
    message = _gradients(inputs, value)
    return message and f"gradient with respect to W: {message}"


# expected_linear_loss: off, or one of the two Gauss points of [0, 1]: exact for anything quadratic -------------------


def uniform_case(dense: bool):
    def inputs(rng) -> dict:
        n = 4
        p = torch.ones(n) if dense else positive(rng, n, low=0.1, high=0.7)
        return {
            "W": normal(rng, 3, n, scale=0.7),
            "b": normal(rng, n, scale=0.4),
            "importance": positive(rng, n),
            "p": p,
        }

    return inputs


def by_gauss_points(W, b, importance, p) -> float:
    W, b = W.double(), b.double()
    points = [(0.0, None), (0.5 - 0.5 / math.sqrt(3), 0.5), (0.5 + 0.5 / math.sqrt(3), 0.5)]
    total = 0.0
    for state in itertools.product(points, repeat=len(p)):
        weight = 1.0
        for (_, half), p_i in zip(state, p.tolist()):
            weight *= 1 - p_i if half is None else p_i * half
        x = torch.tensor([value for value, _ in state], dtype=torch.float64)
        total += weight * float((importance * (W.T @ (W @ x) + b - x) ** 2).sum())
    return total


def _linear_with(
    diagonal=lambda p: p / 3,
    off=lambda p: torch.outer(p, p) / 4,
    cross=2.0,
    mean=lambda p: p / 2,
    bias=1.0,
    identity=1.0,
):
    def loss(W, b, importance, p):
        b = bias * b
        gap = W.T @ W - identity * torch.eye(W.shape[1])
        second = off(p)
        second = second - torch.diag(second.diagonal()) + torch.diag(diagonal(p))
        error = ((gap @ second) * gap).sum(1) + cross * b * (gap @ mean(p)) + b**2
        return (importance * error).sum()

    return loss


LINEAR_LOSS = (
    Mistake("the terms E[x_i x_j] = p_i p_j / 4 for i ≠ j are missing: the mean is not zero", _linear_with(off=lambda p: torch.zeros(len(p), len(p)))),
    Mistake("E[x_i x_j] is the product of two means, p_i p_j / 4, not / 3", _linear_with(off=lambda p: torch.outer(p, p) / 3)),
    Mistake("E[x_i²] is p_i / 3: being on counts once, not squared", _linear_with(diagonal=lambda p: p**2 / 3)),
    Mistake("E[x_i²] is p_i / 3; p_i² / 4 is the square of the mean", _linear_with(diagonal=lambda p: p**2 / 4)),
    Mistake("the diagonal holds variances; the error needs E[x_i²] = p_i / 3", _linear_with(diagonal=lambda p: p / 3 - p**2 / 4)),
    Mistake("that is the covariance: it leaves out the mean, and with a bias the mean matters", _linear_with(diagonal=lambda p: p / 3 - p**2 / 4, off=lambda p: torch.zeros(len(p), len(p)), cross=0.0)),
    Mistake("mean 0 and variance 1 were assumed; these features are uniform when on", _linear_with(diagonal=torch.ones_like, off=lambda p: torch.zeros(len(p), len(p)), cross=0.0)),
    Mistake("the cross term 2 b_i [(G - I) E[x]]_i is missing", _linear_with(cross=0.0)),
    Mistake("the cross term comes twice: 2 b_i [(G - I) E[x]]_i", _linear_with(cross=1.0)),
    Mistake("the mean of x_i is p_i / 2", _linear_with(mean=lambda p: torch.full_like(p, 0.5))),
    Mistake("the bias is missing", _linear_with(bias=0.0)),
    Mistake("binary features were assumed: a feature that is on has the second moment 1/3 and the mean 1/2", _linear_with(diagonal=lambda p: p, off=lambda p: torch.outer(p, p), mean=lambda p: p)),
    Mistake("importance is missing", lambda W, b, w, p: _linear_with()(W, b, torch.ones_like(w), p)),
    Mistake("x itself was not subtracted: the error uses G - I, not G", lambda W, b, w, p: _linear_with(identity=0.0)(W, b, w, p)),
    Mistake("that is the variance of the error alone; the squared mean of the error, from E[x] and the bias, comes on top", lambda W, b, w, p: w @ ((W.T @ W - torch.eye(len(p))) ** 2 @ (p / 3 - p**2 / 4))),
)  # fmt: skip


# two_feature_losses: the two models run on a fine grid of magnitudes ------------------------------------------------


def two(rng) -> dict:
    return {
        "p": float(rng.uniform(0.05, 0.95)),
        "importance": torch.tensor([float(rng.uniform(1.0, 2.0)), float(rng.uniform(0.2, 0.9))]),
    }


def on_a_grid(p, importance) -> dict:
    u = (np.arange(600) + 0.5) / 600
    a, c = np.meshgrid(u, u)
    I1, I2 = importance.double().tolist()
    drop = share = 0.0
    for on1, on2 in itertools.product((0, 1), repeat=2):
        weight = (p if on1 else 1 - p) * (p if on2 else 1 - p)
        x1, x2 = a * on1, c * on2
        drop += weight * I2 * ((p / 2 - x2) ** 2).mean()
        errors = I1 * (np.maximum(0, x1 - x2) - x1) ** 2 + I2 * (np.maximum(0, x2 - x1) - x2) ** 2
        share += weight * errors.mean()
    return {"drop": drop, "share": share}


def _two_with(drop, share):
    return lambda p, importance: {"drop": drop(p, *importance), "share": share(p, *importance)}


def _drop(p, a, b):
    return b * (p / 3 - p**2 / 4)


def _share(p, a, b):
    return (a + b) * p**2 / 6


TWO = (
    Mistake("drop is too large: output 2 may be the best constant, the mean p/2, so what is left is the variance", _two_with(lambda p, a, b: b * p / 3, _share)),
    Mistake("drop counts the importance of feature 1; it is feature 2 that is dropped", _two_with(lambda p, a, b: a * (p / 3 - p**2 / 4), _share)),
    Mistake("drop counts both features; feature 1 is exact", _two_with(lambda p, a, b: (a + b) * (p / 3 - p**2 / 4), _share)),
    Mistake("the variance of a feature that is on is 1/12, but being off is part of the variance too: p/3 - p²/4", _two_with(lambda p, a, b: b * p / 12, _share)),
    Mistake("the best constant is the mean p/2, not 1/2", _two_with(lambda p, a, b: b * ((1 - p) / 4 + p / 12), _share)),
    Mistake("share goes with p: it costs only when both are on, which is p²", _two_with(_drop, lambda p, a, b: (a + b) * p / 6)),
    Mistake("share counts only feature 2; both features err when both are on", _two_with(_drop, lambda p, a, b: b * p**2 / 6)),
    Mistake("share ignores the ReLU at the outputs: an output that should be 0 is never negative", _two_with(_drop, lambda p, a, b: (a + b) * p / 3)),
    Mistake("when both are on, each errs by the smaller magnitude, not by all of the other: E[min²] is 1/6, not 1/3", _two_with(_drop, lambda p, a, b: (a + b) * p**2 / 3)),
    Mistake("each squared error is E[min(u, v)²] = 1/6; 1/9 is the square of the mean E[min] = 1/3", _two_with(_drop, lambda p, a, b: (a + b) * p**2 / 9)),
    Mistake("when both are on, each errs by the smaller magnitude: E[min(u, v)²] is 1/6; 1/12 is the variance of one magnitude", _two_with(_drop, lambda p, a, b: (a + b) * p**2 / 12)),
    Mistake("when both are on, each errs by the smaller magnitude: E[min(u, v)²] is 1/6; 1/4 is E[u v]", _two_with(_drop, lambda p, a, b: (a + b) * p**2 / 4)),
    Mistake("share counts only feature 1; both features err when both are on", _two_with(_drop, lambda p, a, b: a * p**2 / 6)),
    Mistake("drop and share are swapped", _two_with(_share, _drop)),
)  # fmt: skip
