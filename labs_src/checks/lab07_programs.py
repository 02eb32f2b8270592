"""Lab 07: feature programs, their kinds, and the writes that were filled in."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part

# program_kinds -------------------------------------------------------------------------------------------------------


def _triplets(rng) -> dict:
    patterns = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (0, 1, 2)]
    rows, strengths = [], []
    for pattern in patterns:
        for sign in (1, -1):
            names = rng.permutation(50)[:3].tolist()
            rows.append([names[i] for i in pattern])
            strengths.append(sign * float(rng.uniform(0.1, 0.9)))
    order = rng.permutation(len(rows)).tolist()
    return {
        "triplets": torch.tensor([rows[i] for i in order]),
        "strengths": torch.tensor([strengths[i] for i in order]),
    }


_TABLE = {
    (True, True, True): "reinforce",
    (True, False, False): "shift",
    (False, True, False): "cross-copy",
    (False, False, True): "relay",
    (False, False, False): "transform",
}
"""(i = j, j = k, i = k) -> kind"""


def _kinds_by_table(triplets, strengths, table=_TABLE, negative=lambda s, kind: s < 0):
    out = []
    for (i, j, k), s in zip(triplets.tolist(), strengths.tolist(), strict=True):
        kind = table[(i == j, j == k, i == k)]
        out.append("suppress" if negative(s, kind) else kind)
    return out


def _renamed(one: str, two: str):
    swap = {one: two, two: one}
    return {key: swap.get(kind, kind) for key, kind in _TABLE.items()}


_KIND_MISTAKES = (
    Mistake("the sign is ignored: a negative write is suppress, whichever features are the same", lambda t, s: _kinds_by_table(t, s, negative=lambda s, kind: False)),
    Mistake("suppress comes first: a negative write is suppress, whichever features are the same", lambda t, s: _kinds_by_table(t, s, negative=lambda s, kind: s < 0 and kind == "transform")),
    Mistake("suppress comes first: a negative write is suppress, whichever features are the same", lambda t, s: _kinds_by_table(t, s, negative=lambda s, kind: s < 0 and kind != "reinforce")),
    Mistake("the sign is the wrong way round: negative writes suppress", lambda t, s: _kinds_by_table(t, s, negative=lambda s, kind: s > 0)),
    Mistake("relay and cross-copy are swapped: relay writes the query's own feature, cross-copy the key's", lambda t, s: _kinds_by_table(t, s, _renamed("relay", "cross-copy"))),
    Mistake("shift and cross-copy are swapped: in a shift query and key are the same, in a cross-copy key and write", lambda t, s: _kinds_by_table(t, s, _renamed("shift", "cross-copy"))),
    Mistake("shift and relay are swapped: in a shift query and key are the same, in a relay query and write", lambda t, s: _kinds_by_table(t, s, _renamed("shift", "relay"))),
    Mistake("i = j alone is not yet reinforce; the write has to be the same feature too", lambda t, s: _kinds_by_table(t, s, _TABLE | {(True, False, False): "reinforce"})),
)  # fmt: skip


# feature_programs ----------------------------------------------------------------------------------------------------


def _routes_and_writes(rng) -> dict:
    n = 8
    keys = rng.permutation(n)[:4].tolist()
    routes = [[int(rng.integers(n)), keys[i]] for i in (0, 1, 2, 3, 1)]
    routes[0][0] = next(i for i in range(n) if i not in keys)  # a query that no write starts from
    routes[2][0] = keys[1]  # a query that is another route's key: its writes are not this route's
    writes = [[keys[0], int(rng.integers(n))], [keys[1], keys[1]], [keys[1], (keys[1] + 3) % n]]
    writes += [[keys[0], (writes[0][1] + 2) % n], [next(i for i in range(n) if i not in keys), 0]]
    order = rng.permutation(len(writes)).tolist()
    return {
        "routes": torch.tensor(routes),
        "writes": torch.tensor([writes[i] for i in order]),
        "B": normal(rng, n, n).abs() + 1.0,
        "W2F": normal(rng, n, n),
    }


def _join(routes, writes, B, W2F, match="key", fill="key", flag=True, drop=False, always=False, score="abs"):
    rows = {"triplets": [], "score": [], "fallback": []}
    for i, j in routes.tolist():
        mine = [(k, False) for at, k in writes.tolist() if at == (j if match == "key" else i)]
        if always or not (mine or drop):
            mine.append((j if fill == "key" else i, flag))
        for k, filled in mine:
            rows["triplets"].append([i, j, k])
            strength = float(W2F[i, k] if score == "query" else W2F[j, k])
            route = float(B[j, i] if score == "transposed" else B[i, j])
            values = {"signed": route * strength, "route": route, "sum": route + abs(strength)}
            rows["score"].append(values.get(score, route * abs(strength)))
            rows["fallback"].append(filled)
    return {
        "triplets": torch.tensor(rows["triplets"]).reshape(-1, 3),
        "score": torch.tensor(rows["score"]),
        "fallback": torch.tensor(rows["fallback"], dtype=torch.bool),
    }


def _joining(**changed):
    return lambda *inputs: _join(*inputs, **changed)


_PROGRAM_MISTAKES = (
    Mistake("the filled-in writes are not flagged; a reader cannot tell them from what was found", _joining(flag=False)),
    Mistake("routes whose key has no write are dropped; fill in a write to the key itself, and flag it", _joining(drop=True)),
    Mistake("the filled-in write goes to the query; a self-write goes to the key", _joining(fill="query")),
    Mistake("every key gets a self-write; only a key without a write of its own does", _joining(always=True)),
    Mistake("writes are looked up by the query; what is written depends on the key", _joining(match="query")),
    Mistake("the score has the sign of the write; take |W2F[j, k]|", _joining(score="signed")),
    Mistake("the score uses W2F[i, k]; the key j writes", _joining(score="query")),
    Mistake("B is read as B[j, i]; rows are queries", _joining(score="transposed")),
    Mistake("the score is the route alone; multiply by |W2F[j, k]|", _joining(score="route")),
    Mistake("route and write are added; multiply them", _joining(score="sum")),
    Mistake("the filled-in writes are not flagged, and the score has the sign of the write", _joining(flag=False, score="signed")),
)  # fmt: skip


PROGRAM_KINDS = Exercise(
    name="program_kinds",
    lab="07",
    title="Six kinds of feature programs",
    parts=(Part("all kinds, both signs", 2, _triplets, expect(_kinds_by_table, mistakes=_KIND_MISTAKES)),),
    hints=(
        "One `if` after the other, the sign first.",
        "After the sign: are i and j the same? Then only k decides. If not, is k the key's, the query's, or neither?",
        'if s < 0: "suppress"; elif i == j: "reinforce" if j == k else "shift"; elif j == k: "cross-copy"; ...',
    ),
    read_again="13 What a head writes",
    difficulty=1,
    importance=2,
    minutes=5,
)

FEATURE_PROGRAMS = Exercise(
    name="feature_programs",
    lab="07",
    title="Routes and writes joined, fallbacks flagged",
    parts=(
        Part(
            "triplets, scores, and what was filled in",
            4,
            _routes_and_writes,
            expect(_join, mistakes=_PROGRAM_MISTAKES),
        ),
    ),
    hints=(
        "Two loops: over routes, and over the writes of the route's key. What if there are none?",
        "mine = [k for key, k in writes.tolist() if key == j]; then loop over `mine or [j]`. `not mine` is the flag.",
        "Collect [i, j, k], float(B[i, j] * W2F[j, k].abs()) and not mine in three lists; make tensors of them at the end",
    ),
    read_again="13 What a head writes",
    difficulty=3,
    importance=3,
    minutes=10,
)

EXERCISES = (PROGRAM_KINDS, FEATURE_PROGRAMS)
