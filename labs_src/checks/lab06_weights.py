"""Lab 06, first part: norms folded into weights, the two tables of a head, and the bias against itself."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part


def _norms(rng) -> dict:
    d_model, d_head = 9, 5
    return {
        "W_in": normal(rng, d_model, d_head),
        "W_out": normal(rng, d_head, d_model),
        "gamma_before": normal(rng, d_model, scale=0.6),
        "gamma_after": normal(rng, d_model, scale=0.6),
    }


def _folded(W_in, W_out, gamma_before, gamma_after) -> tuple:
    """By what a fold is for: the weight's answer to each single coordinate, after the norm's factor."""
    first = torch.stack([(1 + float(g)) * row for g, row in zip(gamma_before, W_in, strict=True)])
    second = torch.stack([(1 + float(g)) * column for g, column in zip(gamma_after, W_out.T, strict=True)]).T
    return first, second


_FOLD_MISTAKES = (
    Mistake("the 1 is missing: Gemma stores gamma and multiplies by 1 + gamma", lambda W, U, a, b: (W * a[:, None], U * b)),
    Mistake("W_in has the gain of the norm after, and W_out that of the norm before", lambda W, U, a, b: (W * (1 + b)[:, None], U * (1 + a))),
    Mistake("W_out is not folded; the norm after attention multiplies what it writes", lambda W, U, a, b: (W * (1 + a)[:, None], U)),
    Mistake("W_in is not folded; the norm before attention multiplies what it reads", lambda W, U, a, b: (W, U * (1 + b))),
    Mistake("divided by the gain; the norm multiplies by it", lambda W, U, a, b: (W / (1 + a)[:, None], U / (1 + b))),
    Mistake("the 1 is missing in W_in only", lambda W, U, a, b: (W * a[:, None], U * (1 + b))),
    Mistake("the 1 is missing in W_out only", lambda W, U, a, b: (W * (1 + a)[:, None], U * b)),
)  # fmt: skip


SHARED = ((24, 6, 9), (28, 7, 10), (28, 7, 11), (32, 8, 11), (35, 7, 11))
"""Query heads, key heads, and a query head: its key head, the first, the last, head % n_kv, // n_kv and // 2 all differ."""


def _qk_inputs(rng) -> dict:
    n_heads, n_kv, head = SHARED[int(rng.integers(len(SHARED)))]
    return {
        "f": normal(rng, 7, 8),
        "W_Q": normal(rng, n_heads, 8, 4),
        "W_K": normal(rng, n_kv, 8, 4),
        "head": head,
        "scale": float(rng.uniform(0.2, 0.6)),
    }


def _qk_by_loop(f, W_Q, W_K, head, scale) -> torch.Tensor:
    kv = head // (W_Q.shape[0] // W_K.shape[0])
    table = torch.empty(len(f), len(f))
    for i, query in enumerate(f):
        for j, key in enumerate(f):
            table[i, j] = scale * torch.dot(query @ W_Q[head], key @ W_K[kv])
    return table


def _qk_with(f, W_Q, W_K, head, scale, *, kv=None, root=False) -> torch.Tensor:
    kv = head // (W_Q.shape[0] // W_K.shape[0]) if kv is None else kv
    return (f @ W_Q[head]) @ (f @ W_K[kv]).T * (W_Q.shape[2] ** -0.5 if root else scale)


_QK_MISTAKES = (
    Mistake("rows are keys here; rows should be queries, columns keys", lambda *a: _qk_by_loop(*a).T),
    Mistake("the key head is head % n_kv; consecutive query heads share one: head // (n_heads // n_kv)", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, kv=h % len(K))),
    Mistake("the key head is head // 2 here; how many query heads share one is n_heads // n_kv", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, kv=h // 2)),
    Mistake("the key head is head // n_kv here; divide by the size of a group, n_heads // n_kv", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, kv=h // len(K))),
    Mistake("the key head is the first one; which one it is depends on the query head", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, kv=0)),
    Mistake("the key head is the last one; which one it is depends on the query head", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, kv=len(K) - 1)),
    Mistake("the scale is missing", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, 1.0)),
    Mistake("divided by the scale; scores are multiplied by it", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, 1 / s)),
    Mistake("the scale is d_head ** -0.5 here; use the one that is given: Gemma has its own", lambda f, Q, K, h, s: _qk_with(f, Q, K, h, s, root=True)),
    Mistake("scores went through a softmax; the table holds them as they are", lambda *a: _qk_by_loop(*a).softmax(-1)),
    Mistake("those are the queries against the directions themselves; keys are missing", lambda f, Q, K, h, s: (f @ Q[h]) @ Q[h].T @ f.T * s),
)  # fmt: skip


def _ov_inputs(rng) -> dict:
    n_heads, n_kv, head = SHARED[int(rng.integers(len(SHARED)))]
    return {
        "f": normal(rng, 7, 8),
        "g": normal(rng, 5, 8),
        "W_V": normal(rng, n_kv, 8, 4),
        "W_O": normal(rng, n_heads, 4, 8),
        "head": head,
    }


def _ov_by_loop(f, g, W_V, W_O, head) -> torch.Tensor:
    kv = head // (W_O.shape[0] // W_V.shape[0])
    table = torch.empty(len(f), len(g))
    for i, value in enumerate(f):
        written = (value @ W_V[kv]) @ W_O[head]
        for j, out in enumerate(g):
            table[i, j] = torch.dot(written, out)
    return table


def _ov_with(f, g, W_V, W_O, head, kv) -> torch.Tensor:
    return f @ W_V[kv] @ W_O[head] @ g.T


_OV_MISTAKES = (
    Mistake("rows are outputs here; rows should be values, columns outputs", lambda *a: _ov_by_loop(*a).T),
    Mistake("the value head is head % n_kv; consecutive query heads share one: head // (n_heads // n_kv)", lambda f, g, V, U, h: _ov_with(f, g, V, U, h, h % len(V))),
    Mistake("the value head is head // 2 here; how many query heads share one is n_heads // n_kv", lambda f, g, V, U, h: _ov_with(f, g, V, U, h, h // 2)),
    Mistake("the value head is head // n_kv here; divide by the size of a group, n_heads // n_kv", lambda f, g, V, U, h: _ov_with(f, g, V, U, h, h // len(V))),
    Mistake("the value head is the first one; which one it is depends on the head", lambda f, g, V, U, h: _ov_with(f, g, V, U, h, 0)),
    Mistake("W_O of the value head is used; every query head has its own W_O", lambda f, g, V, U, h: f @ V[h // (len(U) // len(V))] @ U[h // (len(U) // len(V))] @ g.T),
    Mistake("that is a cosine; the table holds plain dot products", lambda f, g, V, U, h: torch.nn.functional.normalize(f @ V[h // (len(U) // len(V))] @ U[h], dim=1) @ torch.nn.functional.normalize(g, dim=1).T),
)  # fmt: skip


def _bias_inputs(rng) -> dict:
    return {
        "b": normal(rng, 8),
        "W_Q": normal(rng, 8, 6, scale=0.5),
        "W_K": normal(rng, 8, 6, scale=0.5),
        "distances": sorted(int(d) for d in rng.choice(40, 5, replace=False)),
        "theta": float(rng.uniform(50, 500)),
        "scale": float(rng.uniform(0.2, 0.6)),
    }


def _turned(k, angle_of, pairs) -> torch.Tensor:
    out = k.double().clone()
    for i, (a, b) in enumerate(pairs):
        c, s = math.cos(angle_of(i)), math.sin(angle_of(i))
        out[a], out[b] = k[a] * c - k[b] * s, k[b] * c + k[a] * s
    return out


def _bias_by_loop(
    b, W_Q, W_K, distances, theta, scale, *, sign=-1, interleaved=False, turn_query=False, power=2.0, normed=True
):
    x = b / b.pow(2).mean().sqrt() if normed else b
    q, k = x @ W_Q, x @ W_K
    n = len(k)
    pairs = [(2 * i, 2 * i + 1) if interleaved else (i, i + n // 2) for i in range(n // 2)]
    out = []
    for d in distances:

        def angle(i, d=d):
            return sign * d * theta ** (-power * i / n)

        turned = _turned(q if turn_query else k, angle, pairs)
        other = k if turn_query else q
        out.append(float((turned * other.double()).sum()) * scale)
    return torch.tensor(out)


_BIAS_MISTAKES = (
    Mistake("the key is rotated by plus the distance; it stands behind the query, so by minus the distance", lambda *a: _bias_by_loop(*a, sign=1)),
    Mistake("dimensions are paired as (2i, 2i + 1); Gemma pairs i with i + d_head / 2", lambda *a: _bias_by_loop(*a, interleaved=True)),
    Mistake("paired as (2i, 2i + 1), and rotated by plus the distance", lambda *a: _bias_by_loop(*a, interleaved=True, sign=1)),
    Mistake("the angles are theta ** (-i / d_head); they fall with 2i / d_head", lambda *a: _bias_by_loop(*a, power=1.0)),
    Mistake("b is not divided by its rms; the norm before attention does that to whatever comes in", lambda *a: _bias_by_loop(*a, normed=False)),
    Mistake("the scale is missing", lambda b, Q, K, d, t, s: _bias_by_loop(b, Q, K, d, t, 1.0)),
    Mistake("nothing is rotated: every distance gives the same", lambda b, Q, K, d, t, s: _bias_by_loop(b, Q, K, [0] * len(d), t, s)),
    Mistake("these are distances 0, 1, 2 ..; use the ones in `distances`", lambda b, Q, K, d, t, s: _bias_by_loop(b, Q, K, list(range(len(d))), t, s)),
)  # fmt: skip


FOLD_NORMS = Exercise(
    name="fold_norms",
    lab="06",
    title="The gains of two norms, folded",
    parts=(Part("what a head reads and what it writes", 3, _norms, expect(_folded, mistakes=_FOLD_MISTAKES, names=("W_in", "W_out"))),),
    hints=(
        "The norm multiplies coordinate i of the stream. Which entries of W_in touch coordinate i? Which of W_out?",
        "x * gain @ W equals x @ (W with row i times gain[i]). On the way out it is column i.",
        "W_in * (1 + gamma_before)[:, None], W_out * (1 + gamma_after)",
    ),
    read_again="1 Norms, folded",
    difficulty=2,
    importance=5,
    minutes=8,
)  # fmt: skip

QUERY_KEY_TABLE = Exercise(
    name="query_key_table",
    lab="06",
    title="What a query feature asks for",
    parts=(Part("every query feature against every key feature", 3, _qk_inputs, expect(_qk_by_loop, axes="query key", mistakes=_QK_MISTAKES)),),
    hints=(
        "Queries of all features in one product, keys of all features in another. Then each with each.",
        "There are fewer key heads than query heads. With 6 and 3, query heads 0 and 1 share key head 0, 2 and 3 share key head 1.",
        "kv = head // (len(W_Q) // len(W_K)); (f @ W_Q[head]) @ (f @ W_K[kv]).T * scale",
    ),
    read_again="2 The query-key table",
    difficulty=2,
    importance=5,
    minutes=8,
)  # fmt: skip

VALUE_OUTPUT_TABLE = Exercise(
    name="value_output_table",
    lab="06",
    title="What a value feature adds",
    parts=(Part("every value feature against every output direction", 3, _ov_inputs, expect(_ov_by_loop, axes="value output", mistakes=_OV_MISTAKES)),),
    hints=(
        "A head reads with W_V, writes with W_O. The output direction then reads what was written.",
        "Values are shared like keys; W_O is not shared. Keep everything d_head wide until the last product.",
        "kv = head // (len(W_O) // len(W_V)); (f @ W_V[kv]) @ (g @ W_O[head].T).T",
    ),
    read_again="4 The value-output table",
    difficulty=2,
    importance=4,
    minutes=7,
)  # fmt: skip

BIAS_BY_DISTANCE = Exercise(
    name="bias_by_distance",
    lab="06",
    title="The bias against itself over distance",
    parts=(Part("one score for each distance", 4, _bias_inputs, expect(_bias_by_loop, axes="distance", mistakes=_BIAS_MISTAKES, rtol=1e-3, atol=1e-4)),),
    hints=(
        "One query, one key; only the key's rotation changes with the distance. Write the rotation for one distance first.",
        "angle = -distance * theta ** (-2 i / d_head), i = 0 .. d_head / 2 - 1; split the key into its first and second half.",
        "a, c = k[:n], k[n:]; rotated = cat([a * cos - c * sin, c * cos + a * sin]); scale * (q @ rotated)",
    ),
    read_again="7 What the bias says about distance",
    difficulty=4,
    importance=4,
    minutes=14,
)  # fmt: skip
