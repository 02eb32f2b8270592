"""Lab 01: one causal head, and attention's write as a sum over heads.

Oracles: a loop over queries for the pattern, PyTorch's fused attention for z, concatenation for the sum over heads.
Dimensions differ from each other, and scores are large enough for a missing scale or mask to show.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

BATCH, POS, D_MODEL, HEADS, D_HEAD = 2, 5, 12, 3, 7


def _head_inputs(rng) -> dict:
    inputs = {"x": normal(rng, BATCH, POS, D_MODEL)}
    for name in "QKV":
        inputs[f"W_{name}"] = normal(rng, D_MODEL, D_HEAD, scale=0.45)
        inputs[f"b_{name}"] = normal(rng, D_HEAD, scale=0.7)
    return inputs


def _heads_inputs(rng) -> dict:
    return {
        "z": normal(rng, BATCH, POS, HEADS, D_HEAD),
        "W_O": normal(rng, HEADS, D_HEAD, D_MODEL, scale=0.4),
        "b_O": normal(rng, D_MODEL),
    }


def _pattern_by_loop(x, W_Q, b_Q, W_K, b_K, W_V, b_V) -> torch.Tensor:
    x, W_Q, b_Q, W_K, b_K = map(torch.Tensor.double, (x, W_Q, b_Q, W_K, b_K))
    pattern = torch.zeros(*x.shape[:2], x.shape[1], dtype=torch.float64)
    for i in range(x.shape[0]):
        for query in range(x.shape[1]):
            q = x[i, query] @ W_Q + b_Q
            weights = [math.exp(float(q @ (x[i, key] @ W_K + b_K)) / math.sqrt(len(q))) for key in range(query + 1)]
            for key, weight in enumerate(weights):
                pattern[i, query, key] = weight / sum(weights)
    return pattern


def _z_by_library(x, W_Q, b_Q, W_K, b_K, W_V, b_V) -> torch.Tensor:
    q, k, v = (F.linear(x.double(), W.double().T, b.double()) for W, b in ((W_Q, b_Q), (W_K, b_K), (W_V, b_V)))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _writes(z, W_O, b_O) -> torch.Tensor:
    """Each head's write: the concatenated matrix with the other heads' entries of z set to zero."""
    flat, joined = z.double().flatten(-2), W_O.double().flatten(0, 1)
    one = [torch.arange(flat.shape[-1]) // z.shape[-1] == head for head in range(z.shape[-2])]
    return torch.stack([(flat * mask) @ joined for mask in one])


def _concatenated(z, W_O, b_O) -> torch.Tensor:
    return z.double().flatten(-2) @ W_O.double().flatten(0, 1) + b_O.double()


def _attend(
    x, W_Q, b_Q, W_K, b_K, W_V, b_V, *, want, scale="d_head", mask="causal", dim=-1, swap=False, value_bias=True
):
    q, k, v = (x @ W + b for W, b in ((W_Q, b_Q), (W_K, b_K), (W_V, b_V if value_bias else 0 * b_V)))
    scores = q @ k.transpose(-1, -2)
    scores = scores * {"d_head": q.shape[-1] ** -0.5, "none": 1.0, "d_model": x.shape[-1] ** -0.5, "wrong": q.shape[-1] ** 0.5,
                       "square": 1 / q.shape[-1]}[scale]  # fmt: skip
    scores = scores.transpose(-1, -2) if swap else scores
    ones = torch.ones_like(scores, dtype=torch.bool)
    hidden = {"causal": ones.triu(1), "none": ones & False, "late": ones.triu(2), "early": ones.triu(0), "past": ones.tril(-1),
              "zero": ones.triu(1), "after": ones.triu(1)}[mask]  # fmt: skip
    if mask == "after":
        pattern = scores.softmax(dim).masked_fill(hidden, 0.0)
    else:
        pattern = scores.masked_fill(hidden, 0.0 if mask == "zero" else -1e9).softmax(dim)
    return pattern if want == "pattern" else pattern @ v


_HEAD_MISTAKES = (
    ("the scores are not scaled: divide by sqrt(d_head)", {"scale": "none"}),
    ("scaled by sqrt(d_model); queries and keys have length d_head", {"scale": "d_model"}),
    ("multiplied by sqrt(d_head); divide", {"scale": "wrong"}),
    ("divided by d_head; take its root", {"scale": "square"}),
    ("there is no causal mask: a query must not see later keys", {"mask": "none"}),
    ("the mask is off by one: each query sees the next token", {"mask": "late"}),
    ("the mask is off by one: a query must also see its own position", {"mask": "early"}),
    ("the mask hides the past and shows the future", {"mask": "past"}),
    ("masked scores are 0, which softmax turns into weight; use -inf", {"mask": "zero"}),
    ("masked after the softmax, so that rows do not sum to 1; mask the scores", {"mask": "after"}),
    ("the softmax runs over queries; each query's weights over keys sum to 1", {"dim": -2}),
    ("queries and keys are swapped: rows of the pattern are queries", {"swap": True}),
)


def _head_mistakes(want: str) -> tuple[Mistake, ...]:
    listed = [Mistake(text, lambda *a, k=k: _attend(*a, want=want, **k)) for text, k in _HEAD_MISTAKES]

    def dropped(name):
        def wrong(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
            biases = {"Q": b_Q, "K": b_K, "V": b_V}
            biases |= {c: torch.zeros_like(biases[c]) for c in name}
            return _attend(x, W_Q, biases["Q"], W_K, biases["K"], W_V, biases["V"], want=want)

        return wrong

    # Without b_K the pattern is the same: it adds q·b_K to the score of every key, which softmax does not see.
    listed += [Mistake(f"the bias b_{c} is missing", dropped(c)) for c in "QV"]
    return (*listed, Mistake("the biases are missing", dropped("QKV")))


_WRITES_MISTAKES = (
    Mistake(
        "b_O is not any head's write; it is added once, to the sum", lambda z, W_O, b_O: _writes(z, W_O, b_O) + b_O
    ),
    Mistake(
        "the heads come first: (head, batch, pos, d_model)",
        lambda z, W_O, b_O: _writes(z, W_O, b_O).permute(1, 2, 0, 3),
    ),
)


_OUTPUT_MISTAKES = (
    Mistake("the bias b_O is missing", lambda z, W_O, b_O: _writes(z, W_O, b_O).sum(0)),
    Mistake("b_O is added once for each head; it is added once", lambda z, W_O, b_O: (_writes(z, W_O, b_O) + b_O).sum(0)),
    Mistake("that is the mean over heads; heads add", lambda z, W_O, b_O: _writes(z, W_O, b_O).mean(0) + b_O),
    Mistake("that is the mean over heads; heads add", lambda z, W_O, b_O: (_writes(z, W_O, b_O) + b_O).mean(0)),
    Mistake("all z are summed before W_O; each head has a W_O of its own", lambda z, W_O, b_O: z.sum(2) @ W_O.sum(0) + b_O),
    Mistake("heads and entries of z are interleaved: head h owns the rows h*d_head to (h+1)*d_head of the joined W_O",
            lambda z, W_O, b_O: z.transpose(2, 3).flatten(2) @ W_O.flatten(0, 1) + b_O),
)  # fmt: skip


def item(judge, index: int, names: tuple[str, ...]):
    """A judge of one entry of a returned tuple."""

    def judged(inputs, value):
        if not isinstance(value, tuple | list) or len(value) != len(names):
            return f"return {len(names)} things: {', '.join(names)}"
        return judge(inputs, value[index])

    return judged


_PZ, _WO = ("pattern", "z"), ("writes", "output")


EXERCISES = (
    Exercise(
        name="attention_head",
        lab="01",
        title="One causal attention head",
        parts=(
            Part(
                "the pattern",
                2,
                _head_inputs,
                item(expect(_pattern_by_loop, axes="batch query key", mistakes=_head_mistakes("pattern")), 0, _PZ),
            ),
            Part(
                "z, the values mixed by the pattern",
                2,
                _head_inputs,
                item(expect(_z_by_library, axes="batch pos d_head", mistakes=_head_mistakes("z")), 1, _PZ),
            ),
        ),
        hints=(
            "Scores are dot products of queries with keys. Three things happen to them before they are weights: which?",
            "Divide by sqrt(d_head), set later keys to -inf, softmax over keys. torch.triu(..., diagonal=1) marks later keys.",
            "later = torch.ones(pos, pos, dtype=torch.bool).triu(1); pattern = scores.masked_fill(later, -torch.inf).softmax(-1)",
        ),
        read_again="Attention: a sum over heads",
        difficulty=2,
        importance=5,
        minutes=12,
    ),
    Exercise(
        name="multi_head",
        lab="01",
        title="Attention's write as a sum over heads",
        parts=(
            Part(
                "what each head writes",
                1,
                _heads_inputs,
                item(expect(_writes, axes="head batch pos d_model", mistakes=_WRITES_MISTAKES), 0, _WO),
            ),
            Part(
                "the sum over heads",
                1,
                _heads_inputs,
                item(expect(_concatenated, axes="batch pos d_model", mistakes=_OUTPUT_MISTAKES), 1, _WO),
            ),
        ),
        hints=(
            "Every head has its own W_O[h]: (d_head, d_model). What does z[:, :, h] @ W_O[h] mean?",
            "One einsum gives all writes; sum them over heads, then add b_O once.",
            'writes = torch.einsum("bphe,hed->hbpd", z, W_O)',
        ),
        read_again="Attention: a sum over heads",
        difficulty=2,
        importance=5,
        minutes=8,
    ),
)
