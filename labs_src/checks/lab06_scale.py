"""Lab 06, third part: tables too large to hold, and duplicates merged."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, difference, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab06_patterns import by_entry
from labs_src.checks.probes_watched import Watched


def _stream_inputs(rng) -> dict:
    return {"left": normal(rng, 150, 6), "right": normal(rng, 130, 6), "k": 7, "block": 16}


def _tied_inputs(rng) -> dict:
    left = torch.from_numpy(rng.integers(-1, 2, (61, 3))).float()
    right = torch.from_numpy(rng.integers(-1, 2, (5, 3))).float()
    left[-8:] *= 3  # the best stand at the end, in many equal copies
    return {"left": left, "right": right, "k": 12, "block": 2}  # a block has fewer entries than k


def _last_inputs(rng) -> dict:
    made = _stream_inputs(rng)
    made["left"][-3:] *= 6  # in the last block, which is not full
    return made


def _top_by_sorting(left, right, k, block, *, key=lambda v: -v) -> tuple:
    table = left.double() @ right.double().T
    entries = [(v, i, j) for i, row in enumerate(table.tolist()) for j, v in enumerate(row)]
    best = sorted(entries, key=lambda e: key(e[0]))[:k]
    return tuple(torch.tensor(list(c)) for c in zip(*best, strict=True))


def _judge_stream(inputs, outcome) -> str | None:
    left, right, k, block = inputs.values()
    value, largest = outcome["value"], outcome["largest"]
    if not isinstance(value, list | tuple) or len(value) != 3:
        return "return three tensors: values, rows, columns"
    values, rows, columns = (x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in value)
    wanted = _top_by_sorting(left, right, k, block)
    for name, tensor in (("values", values), ("rows", rows), ("columns", columns)):
        if tuple(tensor.shape) != (k,):
            return f"{name}: the shape is {tuple(tensor.shape)}, expected ({k},)"
    if difference(values, wanted[0]) is not None:
        return _name_stream(inputs, values, rows, columns, wanted)
    if not bool(((rows >= 0) & (rows < len(left)) & (columns >= 0) & (columns < len(right))).all()):
        return "rows or columns point outside the table"
    there = (left.double()[rows.long()] * right.double()[columns.long()]).sum(1)
    if difference(there, wanted[0]) is not None:
        swapped = bool((columns < len(left)).all() and (rows < len(right)).all()) and difference(
            (left.double()[columns.long()] * right.double()[rows.long()]).sum(1), wanted[0]
        ) is None  # fmt: skip
        if swapped:
            return "rows and columns are swapped"
        if bool((rows < block).all()):
            return "rows count inside their block; add the number of the block's first row"
        return "the values are right, but they do not stand at these rows and columns"
    if len({(int(i), int(j)) for i, j in zip(rows, columns, strict=True)}) < k:
        return "a pair is there twice"
    table = len(left) * len(right)
    kept = -(-len(left) // block) * min(k, block * len(right))  # the k best of every block, sorted at the end
    allowed = max(3 * block * len(right), kept, left.numel())  # a slice of left counts with all of its storage
    if largest > allowed:
        what = "the whole table" if largest >= table else f"a tensor of {largest} entries"
        return f"the result is right, but {what} was held; a block of {block} rows has {block * len(right)} entries"
    return None


def _name_stream(inputs, values, rows, columns, wanted) -> str:
    left, right, k, block = inputs.values()
    by_size = _top_by_sorting(left, right, k, block, key=lambda v: -abs(v))[0].abs()
    if difference(values.abs(), by_size) is None and difference(by_size, wanted[0]) is not None:  # ties of either sign
        return "these are the strongest by absolute value; asked are the largest"
    if difference(values.flip(0), wanted[0]) is None:
        return "smallest first; the largest should come first"
    if difference(values, _top_by_sorting(left[-(len(left) % block or block) :], right, k, block)[0]) is None:
        return "only the last block counts; keep the best of all blocks"
    full = len(left) // block * block
    if difference(values, _top_by_sorting(left[:full], right, k, block)[0]) is None:
        return "the last block, which is not full, is left out"
    each = torch.cat([_top_by_sorting(left[r : r + block], right, 1, block)[0] for r in range(0, len(left), block)])
    if difference(values, each.sort(descending=True).values[:k]) is None:
        return "only the best entry of each block is kept; several of the k can stand in one block"
    row_best = (left.double() @ right.double().T).amax(1).topk(k).values
    if difference(values, row_best) is None:
        return "only the best entry of each row is kept; several of the k can stand in one row"
    return difference(values, wanted[0], axes="rank", name="values") or "the values are wrong"


def _moment_inputs(rng) -> dict:
    return {"left": normal(rng, 150, 5) + 0.4, "right": normal(rng, 130, 5) + 0.3}


def _moments_of_the_table(left, right) -> tuple:
    entries = (left.double() @ right.double().T).flatten().tolist()
    mean = math.fsum(entries) / len(entries)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in entries) / len(entries))


def _spread(square, a, b) -> float:
    """What someone calls std who has this for the mean square; NaN where it is smaller than the squared mean."""
    rest = float(square) - float((a @ b.T).mean()) ** 2
    return math.sqrt(rest) if rest >= 0 else math.nan


_MOMENT_MISTAKES = {
    "mean": (
        Mistake("that is the sum; divide by the number of pairs", lambda a, b: float((a @ b.T).sum())),
        Mistake("divided by the rows only; there are rows * columns pairs", lambda a, b: float((a @ b.T).sum()) / len(a)),
        Mistake("divided by the columns only; there are rows * columns pairs", lambda a, b: float((a @ b.T).sum()) / len(b)),
        Mistake("divided by rows + columns; there are rows * columns pairs", lambda a, b: float((a @ b.T).sum()) / (len(a) + len(b))),
    ),
    "std": (
        Mistake("that is the root mean square; the square of the mean has to go", lambda a, b: float((a @ b.T).pow(2).mean().sqrt())),
        Mistake("that is the variance; take its root", lambda a, b: float((a @ b.T).var(correction=0))),
        Mistake("that is the mean square; the square of the mean has to go, and then take the root", lambda a, b: float((a @ b.T).pow(2).mean())),
        Mistake("(L^T L) @ (R^T R) was summed whole; the trace takes its diagonal only: multiply the two entry by entry, with *, and sum", lambda a, b: _spread(((a.T @ a) @ (b.T @ b)).sum() / len(a) / len(b), a, b)),
        Mistake("the sum of squares is not that of the products: it is trace(L^T L R^T R), entry by entry (L^T L) * (R^T R)", lambda a, b: _spread(a.pow(2).sum() * b.pow(2).sum() / len(a) / len(b), a, b)),
        Mistake("the two d x d matrices are summed apart; multiply them entry by entry, then sum", lambda a, b: _spread((a.T @ a).sum() * (b.T @ b).sum() / len(a) / len(b), a, b)),
        Mistake("divided by the d * d entries of the small matrices; a table has rows * columns", lambda a, b: _spread(((a.T @ a) * (b.T @ b)).mean(), a, b)),
        Mistake("the mean is taken off, not its square: variance = mean square - mean ** 2", lambda a, b: math.sqrt(max(0.0, float((a @ b.T).pow(2).mean() - (a @ b.T).mean())))),
    ),
}  # fmt: skip


def _judge_moments(inputs, outcome) -> str | None:
    value, wanted = outcome["value"], _moments_of_the_table(*inputs.values())
    gap = difference(value, wanted, names=("mean", "std"), rtol=1e-3)
    if gap is None:
        if outcome["largest"] > 5000:
            return "the result is right, but the whole table was held; two d x d matrices and two sums are enough"
        return None
    pair = value.tolist() if isinstance(value, torch.Tensor) else value
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return gap
    named = [dict(zip(("mean", "std"), x, strict=True)) for x in (pair, wanted)]
    messages = by_entry(inputs, *named, _MOMENT_MISTAKES, rtol=1e-3)
    if len(messages) == 2 and difference(pair[::-1], wanted, rtol=1e-3) is None:
        return "mean and std are swapped"
    return messages[0]  # a wrong mean makes a wrong deviation


def _group_inputs(rng) -> dict:
    """Copies of a few directions, some joined only through a third, at random places, of different lengths."""
    base = torch.linalg.qr(normal(rng, 12, 12))[0]
    rows = []
    for f in range(4):
        u, w = base[f], base[f + 4]
        angles = ([0.0], [0.0, 0.3], [0.0, 0.55, 1.1, 1.65], [0.0])[f]  # of four in a chain, one is first in the list
        rows += [math.cos(a) * u + math.sin(a) * w for a in angles]
    rows.append(-base[0])  # the opposite is no copy
    order = torch.from_numpy(rng.permutation(len(rows)))
    lengths = torch.from_numpy(rng.uniform(0.3, 0.8, len(rows))).float()
    lengths[1:3] += 1.5  # without normalising, these two are joined and the chain is not
    return {"directions": (torch.stack(rows) * lengths[:, None])[order], "cosine": 0.7}


def _groups_by_search(directions, cosine, *, absolute=False, chains=True, raw=False) -> list[int]:
    rows = directions if raw else torch.nn.functional.normalize(directions, dim=1)
    near = rows @ rows.T
    near = (near.abs() if absolute else near) > cosine
    group = [-1] * len(rows)
    for start in range(len(rows)):
        if group[start] >= 0:
            continue
        number, todo = max(group) + 1, [start]
        while todo:
            i = todo.pop()
            if group[i] >= 0:
                continue
            group[i] = number
            todo += [j for j in range(len(rows)) if near[i, j]] if chains or i == start else []
    return group


def _same_groups(a, b) -> bool:
    return all((a[i] == a[j]) == (b[i] == b[j]) for i in range(len(a)) for j in range(i))


def _judge_groups(inputs, value) -> str | None:
    n = len(inputs["directions"])
    value = value.tolist() if isinstance(value, torch.Tensor) else value
    if not isinstance(value, list | tuple) or len(value) != n:
        return f"expected one group for each of the {n} directions"
    if any(isinstance(g, list | tuple | bool) for g in value):
        return "expected one whole number for each direction"
    wanted = _groups_by_search(*inputs.values())
    if _same_groups(value, wanted):
        return None
    for message, wrong in (
        ("the opposite of a direction is no copy of it: do not take the absolute value of the cosine", _groups_by_search(*inputs.values(), absolute=True)),
        ("lengths count here; normalise the directions first, so that the product is a cosine", _groups_by_search(*inputs.values(), raw=True)),
        ("every direction has a group of its own; those with a large cosine share one", list(range(n))),
        ("everything is in one group", [0] * n),
    ):  # fmt: skip
        if _same_groups(value, wrong):
            return message
    if len(set(value)) > len(set(wanted)):
        return "some groups are split: if a is near b and b is near c, all three are one group"
    return "some groups are joined that have no large cosine between them"


TOP_PAIRS = Exercise(
    name="top_pairs",
    lab="06",
    title="The largest pairs, without the table",
    parts=(
        Part("the k largest, a block at a time", 3, _stream_inputs, _judge_stream, probe=Watched()),
        Part("the best in the last block, which is not full", 1, _last_inputs, _judge_stream, probe=Watched()),
        Part("many equal entries, and blocks smaller than k", 1, _tied_inputs, _judge_stream, probe=Watched()),
    ),
    hints=(
        "Keep the k best so far. For each block of rows: its own k best, joined with those, and again the k best.",
        "A place in a block's flattened table is row * n_columns + column; add the block's first row.",
        "for first in range(0, len(left), block): part = (left[first:first+block] @ right.T).flatten(); v, p = part.topk(min(k, len(part))); cat with the best so far, topk(k) again.",
    ),
    read_again="6 Tables too large to hold",
    difficulty=4,
    importance=4,
    minutes=15,
)  # fmt: skip

TABLE_MOMENTS = Exercise(
    name="table_moments",
    lab="06",
    title="Mean and spread of a table nobody holds",
    parts=(Part("mean and standard deviation of all pairs", 3, _moment_inputs, _judge_moments, probe=Watched()),),
    hints=(
        "The sum over all pairs l . r: which sum can be taken first?",
        "sum of squares = sum over pairs of l^T (r r^T) l = trace(L^T L R^T R), and a trace of a product of symmetric matrices is a sum of their entries multiplied.",
        "mean = left.sum(0) @ right.sum(0) / n; square = ((left.T @ left) * (right.T @ right)).sum() / n; std = (square - mean ** 2) ** 0.5",
    ),
    read_again="6 Tables too large to hold",
    difficulty=4,
    importance=3,
    minutes=12,
)  # fmt: skip

MERGE_GROUPS = Exercise(
    name="merge_groups",
    lab="06",
    title="Duplicates of a learned dictionary",
    parts=(Part("copies, and copies of copies, share a group", 3, _group_inputs, _judge_groups),),
    hints=(
        "Start with every direction as its own group. For each pair with a large cosine, let one group take the other's number.",
        "near = cosines > bound. For each pair (i, j) in near.nonzero(): wherever the group is group[j], write group[i].",
        "group = torch.arange(n); for i, j in near.nonzero().tolist(): group[group == group[j].item()] = group[i].item()",
    ),
    read_again="12 A dictionary that was learned",
    difficulty=3,
    importance=4,
    minutes=10,
)  # fmt: skip
