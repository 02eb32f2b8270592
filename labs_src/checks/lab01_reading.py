"""Lab 01: reading the sum in advance (logit lens) and by writer (direct logit attribution)."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab01_norms import layer_norm

LAYERS, COMPONENTS, POS, D_MODEL, VOCAB = 4, 6, 5, 12, 9


def _readout(rng) -> dict:
    return {
        "w": 1.0 + normal(rng, D_MODEL, scale=0.5),
        "b": normal(rng, D_MODEL),
        "eps": float(rng.uniform(0.1, 0.4)),
        "W_U": normal(rng, D_MODEL, VOCAB, scale=0.6),
        "b_U": normal(rng, VOCAB),
    }


def _states(rng) -> dict:
    return {"states": normal(rng, LAYERS, POS, D_MODEL) + 0.7} | _readout(rng)


def _parts(rng) -> dict:
    sizes = torch.from_numpy(rng.uniform(0.3, 1.5, size=(COMPONENTS, 1, 1))).float()
    return {"parts": sizes * normal(rng, COMPONENTS, POS, D_MODEL) + 0.4} | _readout(rng)


# logit lens


def _logits(states, w, b, eps, W_U, b_U) -> torch.Tensor:
    return layer_norm(states, w, b, eps) @ W_U.double() + b_U.double()


def _lens(*a) -> torch.Tensor:
    """Log-probabilities by the definition: exponentiate, divide by the sum, take the logarithm."""
    odds = _logits(*a).exp()
    return (odds / odds.sum(-1, keepdim=True)).log()


def _no_norm(states, w, b, eps, W_U, b_U):
    return (states @ W_U + b_U).log_softmax(-1)


_LENS_MISTAKES = (
    Mistake("those are logits; take log_softmax", _logits),
    Mistake("those are probabilities; take their logarithm (log_softmax does both)", lambda *a: _lens(*a).exp()),
    Mistake("a softmax of a softmax: log_softmax takes logits, not probabilities", lambda *a: _lens(*a).exp().log_softmax(-1)),
    Mistake("the softmax runs over positions; it runs over the vocabulary", lambda *a: _logits(*a).log_softmax(-2)),
    Mistake("the softmax runs over layers; it runs over the vocabulary", lambda *a: _logits(*a).log_softmax(0)),
    Mistake("W_U reads the stream through the last norm; it is missing here", _no_norm),
    Mistake("b_U is missing", lambda s, w, b, eps, W_U, b_U: _lens(s, w, b, eps, W_U, 0 * b_U)),
    Mistake("the norm's bias b is missing", lambda s, w, b, eps, W_U, b_U: _lens(s, w, 0 * b, eps, W_U, b_U)),
    Mistake("the norm's gain w is missing", lambda s, w, b, eps, W_U, b_U: _lens(s, 1 + 0 * w, b, eps, W_U, b_U)),
    Mistake("eps is missing, or is not the one that is passed", lambda s, w, b, eps, W_U, b_U: _lens(s, w, b, 1e-5, W_U, b_U)),
    Mistake("only the last state is normed like that; each state has a mean and a scale of its own",
            lambda s, w, b, eps, W_U, b_U: _shared_scale(s, w, b, eps, W_U, b_U)),
)  # fmt: skip


def _shared_scale(s, w, b, eps, W_U, b_U):
    s = s.double()
    scale = (s[-1].var(-1, keepdim=True, correction=0) + eps).sqrt()
    normed = (s - s.mean(-1, keepdim=True)) / scale * w.double() + b.double()
    return (normed @ W_U.double() + b_U.double()).log_softmax(-1)


# direct logit attribution


def _shares(parts, w, b, eps, W_U, b_U) -> torch.Tensor:
    """By one matrix: centring, gain and unembedding, built entry by entry; the divisor is that of the summed stream."""
    n = parts.shape[-1]
    centre = torch.eye(n, dtype=torch.float64) - 1.0 / n
    read = centre @ torch.diag(w.double()) @ W_U.double()
    shares = torch.zeros(len(parts) + 1, parts.shape[1], W_U.shape[1], dtype=torch.float64)
    for pos in range(parts.shape[1]):
        total = centre @ sum(part[pos].double() for part in parts)
        scale = (float(total @ total) / n + eps) ** 0.5
        for i, part in enumerate(parts):
            shares[i, pos] = part[pos].double() @ read / scale
        shares[-1, pos] = b.double() @ W_U.double() + b_U.double()
    return shares


def _each_scaled(parts, w, b, eps, W_U, b_U, bias_each=False):
    shares = layer_norm(parts, w, b if bias_each else 0 * b, eps) @ W_U.double()
    return torch.cat([shares, _bias_row(parts, b, W_U, b_U)])


def _bias_row(parts, b, W_U, b_U):
    return (b.double() @ W_U.double() + b_U.double()).expand(1, parts.shape[1], -1)


def _frozen(parts, w, b, eps, W_U, b_U, *, centre=True, root=True, norm=True, total_centre=True):
    p = parts.double()
    total = p.sum(0)
    square = (total - total.mean(-1, keepdim=True) * total_centre).pow(2).mean(-1, keepdim=True) + eps
    p = p - p.mean(-1, keepdim=True) if centre else p
    scale = (square.sqrt() if root else square) if norm else torch.ones_like(square)
    return torch.cat([p / scale * w.double() @ W_U.double(), _bias_row(parts, b, W_U, b_U)])


def _with_row(parts, w, b, eps, W_U, b_U, row):
    return torch.cat([_shares(parts, w, b, eps, W_U, b_U)[:-1], row.double().expand(1, parts.shape[1], -1)])


def _bias_in_each(parts, w, b, eps, W_U, b_U):
    shares = _shares(parts, w, b, eps, W_U, b_U)
    shares[:-1] += _bias_row(parts, b, W_U, b_U)
    return shares


_SHARE_MISTAKES = (
    Mistake("each part is divided by a scale of its own; the scale is the whole stream's, the same for all", _each_scaled),
    Mistake("each part went through the whole norm: its scale and its bias belong to the stream, not to a part",
            lambda *a: _each_scaled(*a, bias_each=True)),
    Mistake("the parts' means are not subtracted; the norm subtracts them", lambda *a: _frozen(*a, centre=False)),
    Mistake("the parts are not divided by the norm's scale", lambda *a: _frozen(*a, norm=False)),
    Mistake("divided by the variance; the scale is its root", lambda *a: _frozen(*a, root=False)),
    Mistake("the scale is that of the centred stream: a variance, not a mean of squares", lambda *a: _frozen(*a, total_centre=False)),
    Mistake("the gain w is missing", lambda p, w, b, e, W, c: _shares(p, 1 + 0 * w, b, e, W, c)),
    Mistake("eps is missing, or is not the one that is passed", lambda p, w, b, e, W, c: _shares(p, w, b, 1e-5, W, c)),
    Mistake("the last row lacks b_U: it is b @ W_U + b_U", lambda p, w, b, e, W, c: _with_row(p, w, b, e, W, c, b @ W)),
    Mistake("the last row lacks b @ W_U: it is b @ W_U + b_U", lambda p, w, b, e, W, c: _with_row(p, w, b, e, W, c, c)),
    Mistake("the biases are in every row; they have a row of their own, the last", _bias_in_each),
    Mistake("the biases are in every row, so they count once for each writer; give them a row of their own, the last",
            lambda *a: _bias_in_each(*a)[:-1]),
    Mistake("the norm's bias b is in every row, so it counts once for each writer; b @ W_U + b_U is a row of its own, the last",
            lambda p, w, b, e, W, c: _bias_in_each(p, w, b, e, W, 0 * c)[:-1]),
    Mistake("b_U is in every row, so it counts once for each writer; b @ W_U + b_U is a row of its own, the last",
            lambda p, w, b, e, W, c: _bias_in_each(p, w, 0 * b, e, W, c)[:-1]),
    Mistake("the biases' row is missing: one more row, the last, holds b @ W_U + b_U", lambda *a: _shares(*a)[:-1]),
)  # fmt: skip


def _rows_sum_to_logits(inputs, value) -> str | None:
    if not isinstance(value, torch.Tensor) or value.dim() != 3:
        return "expected one tensor (component + 1, pos, d_vocab)"
    parts, rest = inputs["parts"], [inputs[name] for name in ("w", "b", "eps", "W_U", "b_U")]
    message = expect(lambda *_: _logits(parts.double().sum(0), *rest), axes="pos d_vocab")(inputs, value.sum(0))
    return message and f"summed over rows they should be the logits. {message[0].upper()}{message[1:]}"


EXERCISES = (
    Exercise(
        name="logit_lens",
        lab="01",
        title="The logit lens",
        parts=(
            Part(
                "log-probabilities of every state",
                2,
                _states,
                expect(_lens, axes="layer pos d_vocab", mistakes=_LENS_MISTAKES),
            ),
        ),
        hints=(
            "Treat every state as if it were the last one. What does the model do with the last one?",
            "The last norm, W_U, b_U, then log_softmax over the vocabulary. Your layer_norm takes any number of dimensions.",
            "(layer_norm(states, w, b, eps) @ W_U + b_U).log_softmax(-1)",
        ),
        read_again="Read the sum early: the logit lens",
        difficulty=1,
        importance=4,
        minutes=6,
    ),
    Exercise(
        name="direct_logit_attribution",
        lab="01",
        title="Direct logit attribution",
        parts=(
            Part(
                "each writer's share of each logit",
                2,
                _parts,
                expect(_shares, axes="component pos d_vocab", mistakes=_SHARE_MISTAKES),
            ),
            Part("the shares sum to the logits", 2, _parts, _rows_sum_to_logits),
        ),
        hints=(
            "All of the last norm is linear in its input but one number for each position. Which?",
            "Compute that number once, from parts.sum(0); centre each part; divide, gain, W_U. One more row holds the biases.",
            "scale = (total.var(-1, keepdim=True, correction=0) + eps).sqrt(); centred / scale * w @ W_U; torch.cat with (b @ W_U + b_U)",
        ),
        read_again="Split the sum by writer: direct logit attribution",
        difficulty=3,
        importance=5,
        minutes=15,
    ),
)
