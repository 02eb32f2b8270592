"""Lab 01: LayerNorm and RMSNorm.

Oracles are PyTorch's own, in float64. Gains are not 1, biases not 0, means not 0, and eps is as large as the variance.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

BATCH, POS, D_MODEL = 2, 5, 12


def gain(rng, size: int = D_MODEL) -> torch.Tensor:
    return 1.0 + normal(rng, size, scale=0.5)


def _norm_inputs(rng, shape=(3, D_MODEL)) -> dict:
    x = normal(rng, *shape, scale=0.8) + float(rng.uniform(0.5, 1.5))
    return {"x": x, "w": gain(rng), "b": normal(rng, D_MODEL), "eps": float(rng.uniform(0.2, 0.6))}


def _rms_inputs(rng, shape=(3, D_MODEL)) -> dict:
    inputs = _norm_inputs(rng, shape)
    del inputs["b"]
    return inputs


def _batched(make):
    return lambda rng: make(rng, shape=(BATCH, POS, D_MODEL))


def layer_norm(x, w, b, eps) -> torch.Tensor:
    return F.layer_norm(x.double(), (x.shape[-1],), w.double(), b.double(), eps)


def _rms_norm(x, w, eps) -> torch.Tensor:
    return F.rms_norm(x.double(), (x.shape[-1],), w.double(), eps)


def _ln(x, w, b, eps, *, unbiased=False, outside=False, mean_over=-1, var_over=-1, centre=True, root=True):
    x, everything = x.double(), tuple(range(x.dim()))
    mean_over, var_over = (everything if dim == "all" else dim for dim in (mean_over, var_over))
    c = x - x.mean(mean_over, keepdim=True)
    var = x.var(var_over, keepdim=True, correction=int(unbiased))
    scale = var.sqrt() + eps if outside else (var + eps).sqrt() if root else var + eps
    return (c if centre else x) / scale * w.double() + b.double()


_LAYER_NORM_MISTAKES = (
    Mistake("eps belongs inside the root: sqrt(var + eps), not sqrt(var) + eps", lambda *a: _ln(*a, outside=True)),
    Mistake(
        "the variance divides by d_model, not by d_model - 1 (use correction=0)", lambda *a: _ln(*a, unbiased=True)
    ),
    Mistake(
        "two things: the variance divides by d_model, not by d_model - 1 (correction=0), and eps belongs inside the root",
        lambda *a: _ln(*a, unbiased=True, outside=True),
    ),
    Mistake("eps is missing, or is not the one that is passed", lambda x, w, b, eps: _ln(x, w, b, 0.0)),
    Mistake("divided by the variance; take its root", lambda *a: _ln(*a, root=False)),
    Mistake("the mean is not subtracted", lambda *a: _ln(*a, centre=False)),
    Mistake("mean and variance run over everything; each position has its own", lambda *a: _ln(*a, mean_over="all", var_over="all")),
    Mistake("the mean runs over everything (x.mean() without a dim); each position has its own: x.mean(-1, keepdim=True)",
            lambda *a: _ln(*a, mean_over="all")),
    Mistake("the variance runs over everything; each position has its own: dim -1, keepdim=True",
            lambda *a: _ln(*a, var_over="all")),
    Mistake("mean and variance run over positions; they run over d_model", lambda *a: _ln(*a, mean_over=-2, var_over=-2)),
    Mistake("the gain w is missing", lambda x, w, b, eps: _ln(x, torch.ones_like(w), b, eps)),
    Mistake("the bias b is missing", lambda x, w, b, eps: _ln(x, w, torch.zeros_like(b), eps)),
    Mistake("the bias is added before the gain; gain first", lambda x, w, b, eps: _ln(x, w, w * b, eps)),
)  # fmt: skip


def _rms(x, w, eps, *, outside=False, total=False, root=True, centre=False):
    x = x.double()
    x = x - x.mean(-1, keepdim=True) if centre else x
    square = x.pow(2).sum(-1, keepdim=True) if total else x.pow(2).mean(-1, keepdim=True)
    scale = square.sqrt() + eps if outside else (square + eps).sqrt() if root else square + eps
    return x / scale * w.double()


_RMS_NORM_MISTAKES = (
    Mistake("eps belongs inside the root: sqrt(mean square + eps)", lambda *a: _rms(*a, outside=True)),
    Mistake("RMSNorm does not subtract the mean; that is LayerNorm", lambda *a: _rms(*a, centre=True)),
    Mistake("divided by the length; take the mean of the squares, not their sum", lambda *a: _rms(*a, total=True)),
    Mistake("divided by the mean square; take its root", lambda *a: _rms(*a, root=False)),
    Mistake("eps is missing, or is not the one that is passed", lambda x, w, eps: _rms(x, w, 0.0)),
    Mistake("the gain w is missing", lambda x, w, eps: _rms(x, torch.ones_like(w), eps)),
    Mistake("gain 1 + w is Gemma's convention; here the gain is w", lambda x, w, eps: _rms(x, 1 + w, eps)),
)


EXERCISES = (
    Exercise(
        name="layer_norm",
        lab="01",
        title="LayerNorm",
        parts=(
            Part(
                "a few vectors", 1, _norm_inputs, expect(layer_norm, axes="pos d_model", mistakes=_LAYER_NORM_MISTAKES)
            ),
            Part(
                "a batch of sequences",
                1,
                _batched(_norm_inputs),
                expect(layer_norm, axes="batch pos d_model", mistakes=_LAYER_NORM_MISTAKES),
            ),
        ),
        hints=(
            "Each vector of length d_model is normed by itself: which dimension do mean and variance run over?",
            "Subtract the mean, divide by sqrt(variance + eps), then gain, then bias. The variance divides by d_model.",
            "x.var(-1, keepdim=True, correction=0) is that variance; (x - x.mean(-1, keepdim=True)) / (var + eps).sqrt() * w + b",
        ),
        read_again="Reading: what a norm does",
        difficulty=1,
        importance=4,
        minutes=6,
    ),
    Exercise(
        name="rms_norm",
        lab="01",
        title="RMSNorm",
        parts=(
            Part("a few vectors", 1, _rms_inputs, expect(_rms_norm, axes="pos d_model", mistakes=_RMS_NORM_MISTAKES)),
            Part(
                "a batch of sequences",
                1,
                _batched(_rms_inputs),
                expect(_rms_norm, axes="batch pos d_model", mistakes=_RMS_NORM_MISTAKES),
            ),
        ),
        hints=(
            "It is LayerNorm with something left out.",
            "No mean is subtracted. Divide by the root of (mean of squares + eps), then the gain.",
            "x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w",
        ),
        read_again="Reading: what a norm does",
        difficulty=1,
        importance=3,
        minutes=4,
    ),
)
