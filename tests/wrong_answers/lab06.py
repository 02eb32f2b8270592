"""Lab 06's answers."""

import math

import torch
from answers import Answers
from torch.nn.functional import normalize

fold = Answers("fold_norms")


@fold.wrong(says="the 1 is missing")
def without_the_one(W_in, W_out, gamma_before, gamma_after):
    return W_in * gamma_before[:, None], W_out * gamma_after


@fold.wrong(says="the norm before")
def norms_swapped(W_in, W_out, gamma_before, gamma_after):
    return W_in * (1 + gamma_after)[:, None], W_out * (1 + gamma_before)


@fold.wrong(says="W_out is not folded")
def only_in(W_in, W_out, gamma_before, gamma_after):
    return W_in * (1 + gamma_before)[:, None], W_out


@fold.wrong(says="size of tensor")
def wrong_axis(W_in, W_out, gamma_before, gamma_after):
    return W_in * (1 + gamma_before), W_out * (1 + gamma_after)


@fold.wrong(says="multiplies by it")
def divides(W_in, W_out, gamma_before, gamma_after):
    return W_in / (1 + gamma_before)[:, None], W_out / (1 + gamma_after)


@fold.wrong(says="argument W_in")
def in_place(W_in, W_out, gamma_before, gamma_after):
    W_in *= (1 + gamma_before)[:, None]
    return W_in, W_out * (1 + gamma_after)


@fold.right
def with_diag(W_in, W_out, gamma_before, gamma_after):
    return torch.diag(1 + gamma_before) @ W_in, W_out @ torch.diag(1 + gamma_after)


@fold.right
def with_einsum(W_in, W_out, gamma_before, gamma_after):
    return torch.einsum("dh,d->dh", W_in, 1 + gamma_before), torch.einsum("hd,d->hd", W_out, 1 + gamma_after)


qk = Answers("query_key_table")


@qk.wrong(says="rows are keys here")
def transposed(f, W_Q, W_K, head, scale):
    kv = head // (len(W_Q) // len(W_K))
    return (f @ W_K[kv]) @ (f @ W_Q[head]).T * scale


@qk.wrong(says="head % n_kv")
def modulo(f, W_Q, W_K, head, scale):
    return (f @ W_Q[head]) @ (f @ W_K[head % len(W_K)]).T * scale


@qk.wrong(says="head // 2 here")
def two_each(f, W_Q, W_K, head, scale):
    return (f @ W_Q[head]) @ (f @ W_K[head // 2]).T * scale


@qk.wrong(says="head // n_kv here")
def over_key_heads(f, W_Q, W_K, head, scale):
    return (f @ W_Q[head]) @ (f @ W_K[head // len(W_K)]).T * scale


@qk.wrong(says="the scale is missing")
def unscaled(f, W_Q, W_K, head, scale):
    return (f @ W_Q[head]) @ (f @ W_K[head // (len(W_Q) // len(W_K))]).T


@qk.wrong(says="d_head ** -0.5")
def own_scale(f, W_Q, W_K, head, scale):
    return (f @ W_Q[head]) @ (f @ W_K[head // (len(W_Q) // len(W_K))]).T / math.sqrt(W_Q.shape[-1])


@qk.wrong(says="softmax")
def with_softmax(f, W_Q, W_K, head, scale):
    return ((f @ W_Q[head]) @ (f @ W_K[head // (len(W_Q) // len(W_K))]).T * scale).softmax(-1)


@qk.right
def one_small_matrix(f, W_Q, W_K, head, scale):
    group = W_Q.shape[0] // W_K.shape[0]
    return f @ (scale * W_Q[head] @ W_K[head // group].T) @ f.T


@qk.right
def keys_repeated(f, W_Q, W_K, head, scale):
    keys = W_K.repeat_interleave(len(W_Q) // len(W_K), 0)
    return torch.einsum("id,dh,eh,je->ij", f, W_Q[head], keys[head], f) * scale


strongest = Answers("strongest_pairs")


@strongest.wrong(says="negative ones count")
def largest(table, k):
    value, place = table.flatten().topk(k)
    return value, place // table.shape[1], place % table.shape[1]


@strongest.wrong(says="lost their sign")
def absolute(table, k):
    value, place = table.abs().flatten().topk(k)
    return value, place // table.shape[1], place % table.shape[1]


@strongest.wrong(says="divide by the number of rows")
def wrong_divisor(table, k):
    place = table.abs().flatten().topk(k).indices
    return table.flatten()[place], place // table.shape[0], place % table.shape[0]


@strongest.wrong(says="swapped")
def columns_first(table, k):
    place = table.abs().flatten().topk(k).indices
    return table.flatten()[place], place % table.shape[1], place // table.shape[1]


@strongest.wrong(says="weakest first")
def ascending(table, k):
    place = table.abs().flatten().argsort()[-k:]
    return table.flatten()[place], place // table.shape[1], place % table.shape[1]


@strongest.right
def with_unravel(table, k):
    place = table.abs().flatten().argsort(descending=True)[:k]
    i, j = torch.unravel_index(place, table.shape)
    return table[i, j], i, j


@strongest.right
def as_lists(table, k):
    entries = sorted(
        ((v, i, j) for i, row in enumerate(table.tolist()) for j, v in enumerate(row)), key=lambda e: -abs(e[0])
    )
    return tuple(torch.tensor(column) for column in zip(*entries[:k], strict=True))


score = Answers("recall_and_precision")


@score.wrong(says="with their sign")
def signed(table, planted):
    strong, n = table[planted[:, 0], planted[:, 1]], len(planted)
    recall = (strong >= table.flatten().topk(n).values[-1]).float().mean()
    return float(recall), n / int((table >= strong.min()).sum())


@score.wrong(says="are swapped")
def swapped(table, planted):
    size, n = table.abs(), len(planted)
    strong = size[planted[:, 0], planted[:, 1]]
    recall = (strong >= size.flatten().topk(n).values[-1]).float().mean()
    return n / int((size >= strong.min()).sum()), float(recall)


@score.wrong(says="precision repeats recall")
def both_at_n(table, planted):
    size, n = table.abs(), len(planted)
    share = (size[planted[:, 0], planted[:, 1]] >= size.flatten().topk(n).values[-1]).float().mean()
    return float(share), float(share)


@score.wrong(says="count >=, not >")
def strictly_above(table, planted):
    size, n = table.abs(), len(planted)
    strong = size[planted[:, 0], planted[:, 1]]
    recall = (strong >= size.flatten().topk(n).values[-1]).float().mean()
    return float(recall), n / int((size > strong.min()).sum())


@score.wrong(says="those above the weakest are all of them")
def only_the_others(table, planted):
    size, n = table.abs(), len(planted)
    strong = size[planted[:, 0], planted[:, 1]]
    recall = (strong >= size.flatten().topk(n).values[-1]).float().mean()
    return float(recall), n / (int((size >= strong.min()).sum()) - n)


@score.wrong(says="recall")
def always_perfect(table, planted):
    return 1.0, 1.0


@score.right
def by_ranks(table, planted):
    flat = table.abs().flatten()
    rank = torch.empty(len(flat), dtype=torch.long)
    rank[flat.argsort(descending=True)] = torch.arange(len(flat))
    mine = rank[planted[:, 0] * table.shape[1] + planted[:, 1]]
    return (mine < len(planted)).double().mean(), len(planted) / (int(mine.max()) + 1)


@score.right
def by_sets(table, planted):
    order = table.abs().flatten().argsort(descending=True).tolist()
    cells = {i * table.shape[1] + j for i, j in planted.tolist()}
    hits = len(cells & set(order[: len(cells)])) / len(cells)
    return hits, len(cells) / (1 + max(order.index(c) for c in cells))


ov = Answers("value_output_table")


@ov.wrong(says="rows are outputs here")
def ov_transposed(f, g, W_V, W_O, head):
    kv = head // (len(W_O) // len(W_V))
    return (g @ W_O[head].T) @ (f @ W_V[kv]).T


@ov.wrong(says="head % n_kv")
def ov_modulo(f, g, W_V, W_O, head):
    return f @ W_V[head % len(W_V)] @ W_O[head] @ g.T


@ov.wrong(says="head // 2 here")
def ov_two_each(f, g, W_V, W_O, head):
    return f @ W_V[head // 2] @ W_O[head] @ g.T


@ov.wrong(says="head // n_kv here")
def ov_over_value_heads(f, g, W_V, W_O, head):
    return f @ W_V[head // len(W_V)] @ W_O[head] @ g.T


@ov.wrong(says="its own W_O")
def kv_for_both(f, g, W_V, W_O, head):
    kv = head // (len(W_O) // len(W_V))
    return f @ W_V[kv] @ W_O[kv] @ g.T


@ov.wrong(says="a cosine")
def cosines(f, g, W_V, W_O, head):
    written = f @ W_V[head // (len(W_O) // len(W_V))] @ W_O[head]
    return normalize(written, dim=1) @ normalize(g, dim=1).T


@ov.wrong(says="the shape is")
def forgets_the_outputs(f, g, W_V, W_O, head):
    return f @ W_V[head // (len(W_O) // len(W_V))] @ W_O[head]


@ov.right
def whole_matrix(f, g, W_V, W_O, head):
    return f @ (W_V[head // (len(W_O) // len(W_V))] @ W_O[head]) @ g.T


@ov.right
def with_einsum_and_repeats(f, g, W_V, W_O, head):
    values = W_V.repeat_interleave(len(W_O) // len(W_V), 0)[head]
    return torch.einsum("id,dh,he,je->ij", f, values, W_O[head], g)


like = Answers("like_and_cross")


@like.wrong(says="count all entries of a feature with itself")
def only_positive(values, queries, keys):
    same, up = queries == keys, values > 0
    return {"like_to_like": (same & up).sum(), "avoiding": (same & ~up).sum(), "cross": (~same & up).nonzero()[:, 0]}


@like.wrong(says="all negative entries")
def all_negative(values, queries, keys):
    same, up = queries == keys, values > 0
    return {"like_to_like": same.sum(), "avoiding": (~up).sum(), "cross": (~same & up).nonzero()[:, 0]}


@like.wrong(says="negative pairs are among them")
def cross_of_both_signs(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (same & (values < 0)).sum(), "cross": (~same).nonzero()[:, 0]}


@like.wrong(says="True and False")
def a_mask(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (same & (values < 0)).sum(), "cross": ~same & (values > 0)}


@like.wrong(says="holds values")
def the_values(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (same & (values < 0)).sum(), "cross": values[~same & (values > 0)]}


@like.wrong(says="like-to-like pairs are among them")
def positives(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (same & (values < 0)).sum(), "cross": (values > 0).nonzero()[:, 0]}


@like.wrong(says="True and False")
def a_mask_and_a_wrong_count(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (values < 0).sum(), "cross": ~same & (values > 0)}


@like.wrong(says="all negative entries")
def two_things_at_once(values, queries, keys):
    same = queries == keys
    return {
        "like_to_like": (same & (values > 0)).sum(),
        "avoiding": (values < 0).sum(),
        "cross": (~same & (values > 0)).nonzero().squeeze(1),
    }


@like.wrong(says="how many there are, not which")
def masks_for_counts(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same, "avoiding": same & (values < 0), "cross": (~same & (values > 0)).nonzero()[:, 0]}


@like.wrong(says="places are listed")
def places_of_everything(values, queries, keys):
    same = queries == keys
    return {"like_to_like": same.sum(), "avoiding": (same & (values < 0)).sum(), "cross": torch.arange(len(values))}


@like.wrong(says="squeeze(1)")
def a_column_of_places(values, queries, keys):
    same = queries == keys
    return {
        "like_to_like": same.sum(),
        "avoiding": (same & (values < 0)).sum(),
        "cross": (~same & (values > 0)).nonzero(),
    }


@like.right
def with_where(values, queries, keys):
    same = queries.eq(keys)
    return {
        "like_to_like": int(same.sum()),
        "avoiding": int((values[same] < 0).sum()),
        "cross": torch.where((values > 0) & ~same)[0],
    }


@like.right
def like_by_loop(values, queries, keys):
    rows = list(zip(values.tolist(), queries.tolist(), keys.tolist(), strict=True))
    return {
        "like_to_like": sum(i == j for _, i, j in rows),
        "avoiding": sum(i == j and v < 0 for v, i, j in rows),
        "cross": torch.tensor([n for n, (v, i, j) in enumerate(rows) if i != j and v > 0]),
    }


tetrads = Answers("find_tetrads")


def _entries(values, queries, keys):
    return dict(zip(zip(queries.tolist(), keys.tolist(), strict=True), values.tolist(), strict=True))


@tetrads.wrong(says="their signs are not")
def ignores_signs(values, queries, keys):
    e = _entries(values, queries, keys)
    return [(a, b) for a, b in e if a < b and (b, a) in e and (a, a) in e and (b, b) in e]


@tetrads.wrong(says="(b, a) is not asked for")
def one_cross_pair(values, queries, keys):
    e = _entries(values, queries, keys)
    return [(a, b) for (a, b), v in e.items() if a != b and v < 0 and e.get((a, a), 0) > 0 and e.get((b, b), 0) > 0]


@tetrads.wrong(says="like-to-like entries are not asked for")
def mutual_avoidance(values, queries, keys):
    e = _entries(values, queries, keys)
    return [(a, b) for (a, b), v in e.items() if a < b and v < 0 and e.get((b, a), 0) < 0]


@tetrads.wrong(says="twice")
def both_orders(values, queries, keys):
    e = _entries(values, queries, keys)
    ok = lambda a, b: e.get((a, a), 0) > 0 and e.get((b, b), 0) > 0 and e.get((b, a), 0) < 0  # noqa: E731
    return [(a, b) for (a, b), v in e.items() if a != b and v < 0 and ok(a, b)]


@tetrads.wrong(says="each of the two features must")
def one_likes_itself(values, queries, keys):
    e = _entries(values, queries, keys)
    found = {
        tuple(sorted(p))
        for p, v in e.items()
        if p[0] != p[1] and v < 0 and e.get(p[::-1], 0) < 0 and e.get((p[0],) * 2, 0) > 0
    }
    return sorted(found)


@tetrads.wrong(says="(b, b) is not asked for")
def asks_for_the_first_only(values, queries, keys):
    e = _entries(values, queries, keys)
    return [(a, b) for (a, b), v in e.items() if a < b and v < 0 and e.get((b, a), 0) < 0 and e.get((a, a), 0) > 0]


@tetrads.wrong(says="missing")
def finds_nothing(values, queries, keys):
    return []


@tetrads.wrong(says="missing")
def only_neighbours_in_the_list(values, queries, keys):
    rows = list(zip(values.tolist(), queries.tolist(), keys.tolist(), strict=True))
    return [
        (r[0][1], r[1][1])
        for r in zip(rows, rows[1:], rows[2:], rows[3:], strict=False)
        if len({x[1] for x in r}) == 2 and len({x[2] for x in r}) == 2
    ]


@tetrads.right
def by_sets_of_pairs(values, queries, keys):
    pairs = torch.stack([queries, keys], 1)
    plus, minus = ({tuple(p) for p in pairs[mask].tolist()} for mask in (values > 0, values < 0))
    selves = sorted(a for a, b in plus if a == b)
    return [[a, b] for a in selves for b in selves if a < b and {(a, b), (b, a)} <= minus]


@tetrads.right
def as_a_set(values, queries, keys):
    e = _entries(values, queries, keys)
    names = sorted({i for pair in e for i in pair})
    wanted = lambda a, b: min(e.get((a, a), 0), e.get((b, b), 0)) > 0 > max(e.get((a, b), 0), e.get((b, a), 0))  # noqa: E731
    return {(a, b) for n, a in enumerate(names) for b in names[n + 1 :] if wanted(a, b)}


top = Answers("top_pairs")


@top.wrong(says="the whole table was held")
def holds_it(left, right, k, block):
    value, place = (left @ right.T).flatten().topk(k)
    return value, place // len(right), place % len(right)


@top.wrong(says="add the number of the block's first row")
def rows_of_the_block(left, right, k, block):
    best, rows, columns = torch.empty(0), torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    for first in range(0, len(left), block):
        value, place = (left[first : first + block] @ right.T).flatten().topk(k)
        best, rows, columns = (
            torch.cat([best, value]),
            torch.cat([rows, place // len(right)]),
            torch.cat([columns, place % len(right)]),
        )
    best, keep = best.topk(k)
    return best, rows[keep], columns[keep]


@top.wrong(says="several of the k can stand in one block")
def one_per_block(left, right, k, block):
    found = []
    for first in range(0, len(left), block):
        part = left[first : first + block] @ right.T
        place = int(part.argmax())
        found.append((float(part.max()), first + place // len(right), place % len(right)))
    return tuple(torch.tensor(c) for c in zip(*sorted(found, reverse=True)[:k], strict=True))


@top.wrong(says="by absolute value")
def strongest_by_size(left, right, k, block):
    found = []
    for first in range(0, len(left), block):
        part = (left[first : first + block] @ right.T).flatten()
        place = part.abs().topk(k).indices
        found += [
            (v, first + p // len(right), p % len(right))
            for v, p in zip(part[place].tolist(), place.tolist(), strict=True)
        ]
    return tuple(torch.tensor(c) for c in zip(*sorted(found, key=lambda e: -abs(e[0]))[:k], strict=True))


@top.wrong(says="by absolute value")
def sizes_without_sign(left, right, k, block):
    found = []
    for first in range(0, len(left), block):
        part = (left[first : first + block] @ right.T).flatten().abs()
        found += [(v, first + p // len(right), p % len(right)) for p, v in enumerate(part.tolist())]
    return tuple(torch.tensor(c) for c in zip(*sorted(found, reverse=True)[:k], strict=True))


@top.wrong(says="which is not full, is left out")
def drops_the_rest(left, right, k, block):
    found = []
    for n in range(len(left) // block):
        value, place = (left[n * block : (n + 1) * block] @ right.T).flatten().topk(k)
        found += [
            (v, n * block + p // len(right), p % len(right))
            for v, p in zip(value.tolist(), place.tolist(), strict=True)
        ]
    return tuple(torch.tensor(c) for c in zip(*sorted(found, reverse=True)[:k], strict=True))


@top.wrong(says="several of the k can stand in one row")
def one_per_row(left, right, k, block):
    found = []
    for i, row in enumerate(left):
        value, j = (right @ row).max(0)
        found.append((float(value), i, int(j)))
    return tuple(torch.tensor(c) for c in zip(*sorted(found, reverse=True)[:k], strict=True))


@top.wrong(says="only the last block counts")
def forgets_the_blocks_before(left, right, k, block):
    for first in range(0, len(left), block):
        value, place = (left[first : first + block] @ right.T).flatten().topk(k)
        out = value, first + place // len(right), place % len(right)
    return out


@top.wrong(says="out of range")
def k_of_every_block(left, right, k, block):
    best, at = torch.empty(0), torch.empty(0, dtype=torch.long)
    for first in range(0, len(left), block):
        value, place = (left[first : first + block] @ right.T).flatten().topk(k)
        best, at = torch.cat([best, value]), torch.cat([at, place + first * len(right)])
        best, keep = best.topk(k)
        at = at[keep]
    return best, at // len(right), at % len(right)


@top.right
def row_by_row(left, right, k, block):
    best, at = torch.empty(0), torch.empty(0, dtype=torch.long)
    for i in range(len(left)):
        best, at = torch.cat([best, right @ left[i]]), torch.cat([at, i * len(right) + torch.arange(len(right))])
        best, keep = best.sort(descending=True)
        best, at = best[:k].clone(), at[keep[:k]]
    return best, torch.div(at, len(right), rounding_mode="floor"), at % len(right)


@top.right
def blocks_collected(left, right, k, block):
    values, rows, columns = [], [], []
    for first, part in zip(range(0, len(left), block), left.split(block), strict=True):
        scores = part @ right.T
        v, p = scores.flatten().topk(min(k, scores.numel()))
        i, j = torch.unravel_index(p, scores.shape)
        values.append(v), rows.append(i + first), columns.append(j)
    v, keep = torch.cat(values).topk(k)
    return [v, torch.cat(rows)[keep], torch.cat(columns)[keep]]


moments = Answers("table_moments")


@moments.wrong(says="the whole table was held")
def from_the_table(left, right):
    table = left @ right.T
    return table.mean(), table.std(correction=0)


@moments.wrong(says="root mean square")
def mean_not_taken_out(left, right):
    n = len(left) * len(right)
    return left.sum(0) @ right.sum(0) / n, (((left.T @ left) * (right.T @ right)).sum() / n).sqrt()


@moments.wrong(says="that is the variance")
def variance(left, right):
    n = len(left) * len(right)
    mean = left.sum(0) @ right.sum(0) / n
    return mean, ((left.T @ left) * (right.T @ right)).sum() / n - mean**2


@moments.wrong(says="trace(L^T L R^T R)")
def lengths_multiplied(left, right):
    n = len(left) * len(right)
    mean = left.sum(0) @ right.sum(0) / n
    return mean, (left.pow(2).sum() * right.pow(2).sum() / n - mean**2).sqrt()


@moments.wrong(says="divide by the number of pairs")
def sum_for_mean(left, right):
    n = len(left) * len(right)
    total = left.sum(0) @ right.sum(0)
    return total, (((left.T @ left) * (right.T @ right)).sum() / n - (total / n) ** 2).sqrt()


@moments.wrong(says="entry by entry, with *")
def matrix_product_summed(left, right):
    n = len(left) * len(right)
    mean = left.sum(0) @ right.sum(0) / n
    return mean, (((left.T @ left) @ (right.T @ right)).sum() / n - mean**2).sqrt()


@moments.wrong(says="rows * columns")
def mean_of_the_small_matrix(left, right):
    mean = left.mean(0) @ right.mean(0)
    return mean, (((left.T @ left) * (right.T @ right)).mean() - mean**2).sqrt()


@moments.wrong(says="divided by the rows only")
def rows_only(left, right):
    mean = left.sum(0) @ right.sum(0) / len(left)
    square = ((left.T @ left) * (right.T @ right)).sum() / len(left) / len(right)
    return mean, (square - mean**2).clamp(min=0).sqrt()


@moments.wrong(says="swapped")
def std_first(left, right):
    table = left @ right.T
    return table.std(correction=0), table.mean()


@moments.right
def with_trace(left, right):
    mean = left.mean(0) @ right.mean(0)
    square = torch.trace((left.T @ left) @ (right.T @ right)) / (len(left) * len(right))
    return mean, torch.sqrt(square - mean * mean)


@moments.right
def row_after_row(left, right):
    total, square = 0.0, 0.0
    for row in left:
        scores = (right @ row).double()
        total, square = total + float(scores.sum()), square + float(scores.pow(2).sum())
    n = len(left) * len(right)
    return total / n, (square / n - (total / n) ** 2) ** 0.5


bias = Answers("bias_by_distance")


def _turn(k, angle):
    n = k.shape[-1] // 2
    a, b = k[:n], k[n:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()])


def _bias(b, W_Q, W_K, distances, theta, scale, sign=-1.0, normed=True):
    b = b / b.pow(2).mean().sqrt() if normed else b
    n = W_Q.shape[1] // 2
    frequency = theta ** (-torch.arange(n) / n)
    return torch.stack([(b @ W_Q) @ _turn(b @ W_K, sign * d * frequency) * scale for d in distances])


@bias.wrong(says="by plus the distance")
def turned_forward(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, distances, theta, scale, sign=1.0)


@bias.wrong(says="not divided by its rms")
def not_normed(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, distances, theta, scale, normed=False)


@bias.wrong(says="(2i, 2i + 1)")
def interleaved(b, W_Q, W_K, distances, theta, scale):
    b = b / b.pow(2).mean().sqrt()
    q, k, n = b @ W_Q, b @ W_K, W_Q.shape[1] // 2
    out = []
    for d in distances:
        angle = -d * theta ** (-torch.arange(n) / n)
        one, two = k[0::2], k[1::2]
        turned = torch.stack(
            [one * angle.cos() - two * angle.sin(), two * angle.cos() + one * angle.sin()], 1
        ).flatten()
        out.append(q @ turned * scale)
    return torch.stack(out)


@bias.wrong(says="the scale is missing")
def bias_unscaled(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, distances, theta, 1.0)


@bias.wrong(says="2i / d_head")
def half_the_exponent(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, distances, theta**0.5, scale)


@bias.wrong(says="nothing is rotated")
def without_rope(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, [0] * len(distances), theta, scale)


@bias.wrong(says="use the ones in `distances`")
def counts_from_zero(b, W_Q, W_K, distances, theta, scale):
    return _bias(b, W_Q, W_K, range(len(distances)), theta, scale)


@bias.right
def turns_the_query_forward(b, W_Q, W_K, distances, theta, scale):
    b = b / b.pow(2).mean().sqrt()
    n = W_Q.shape[1] // 2
    frequency = theta ** (-2 * torch.arange(n) / W_Q.shape[1])
    return torch.stack([_turn(b @ W_Q, d * frequency) @ (b @ W_K) for d in distances]) * scale


@bias.right
def as_complex_numbers(b, W_Q, W_K, distances, theta, scale):
    b = (b / b.pow(2).mean().sqrt()).double()
    q, k, n = b @ W_Q.double(), b @ W_K.double(), W_Q.shape[1] // 2
    pairs = torch.complex(q[:n], q[n:]).conj() * torch.complex(k[:n], k[n:])
    angle = torch.tensor(distances)[:, None] * theta ** (-torch.arange(n) / n)
    return (pairs * torch.exp(-1j * angle)).sum(1).real * scale


at = Answers("mean_attention_at")


@at.wrong(says="later keys")
def wrong_side(pattern, distances):
    return torch.stack([pattern.diagonal(d, 1, 2).mean() for d in distances])


@at.wrong(says="divided by all queries")
def over_all_queries(pattern, distances):
    return torch.stack([pattern.diagonal(-d, 1, 2).sum(1).mean() / pattern.shape[1] for d in distances])


@at.wrong(says="key number `distance`")
def fixed_key(pattern, distances):
    return torch.stack([pattern[:, :, d].mean() for d in distances])


@at.wrong(says="the sum over queries")
def summed(pattern, distances):
    return torch.stack([pattern.diagonal(-d, 1, 2).sum(1).mean() for d in distances])


@at.wrong(says="use the ones in `distances`")
def first_distances(pattern, distances):
    return torch.stack([pattern.diagonal(-d, 1, 2).mean() for d in range(len(distances))])


@at.right
def by_cells(pattern, distances):
    n = pattern.shape[1]
    means = [float(sum(pattern[:, t, t - d].sum() for t in range(d, n)) / (len(pattern) * (n - d))) for d in distances]
    return torch.tensor(means)


@at.right
def with_a_mask(pattern, distances):
    pos = torch.arange(pattern.shape[1])
    back = pos[:, None] - pos
    return torch.stack([pattern[:, back == d].mean() for d in distances])


recur = Answers("recurrences")


@recur.wrong(says="counted several times")
def counts_entries(lists, n_features):
    return sum(torch.bincount(pairs.flatten(), minlength=n_features) for pairs in lists)


@recur.wrong(says="only queries")
def queries_only(lists, n_features):
    return sum(torch.bincount(pairs[:, 0].unique(), minlength=n_features) for pairs in lists)


@recur.wrong(says="only keys")
def keys_only(lists, n_features):
    return sum(torch.bincount(pairs[:, 1].unique(), minlength=n_features) for pairs in lists)


@recur.wrong(says="counts twice")
def query_and_key(lists, n_features):
    sides = [pairs[:, s].unique() for pairs in lists for s in (0, 1)]
    return sum(torch.bincount(side, minlength=n_features) for side in sides)


@recur.wrong(says="share of heads")
def a_share(lists, n_features):
    return sum(torch.bincount(pairs.flatten().unique(), minlength=n_features) for pairs in lists) / len(lists)


@recur.right
def with_membership(lists, n_features):
    return torch.stack([torch.isin(torch.arange(n_features), pairs) for pairs in lists]).sum(0)


@recur.right
def with_python_sets(lists, n_features):
    heads = [set(pairs.flatten().tolist()) for pairs in lists]
    return torch.tensor([sum(f in head for head in heads) for f in range(n_features)])


entropy = Answers("attention_entropy")


@entropy.wrong(says="0 * log(0)")
def with_nan(pattern):
    return -(pattern * pattern.log()).sum(-1)


@entropy.wrong(says="the sign")
def negative(pattern):
    return (pattern * pattern.clamp(min=1e-12).log()).sum(-1)


@entropy.wrong(says="in bits")
def bits(pattern):
    return -(pattern * pattern.clamp(min=1e-12).log2()).sum(-1)


@entropy.wrong(says="summed over queries")
def wrong_sum(pattern):
    return -(pattern * pattern.clamp(min=1e-12).log()).sum(1)


@entropy.wrong(says="one number for everything")
def all_at_once(pattern):
    return -(pattern * pattern.clamp(min=1e-12).log()).sum(-1).mean()


@entropy.right
def with_xlogy(pattern):
    return -torch.special.xlogy(pattern, pattern).sum(dim=2)


@entropy.right
def with_torch_entr(pattern):
    return torch.special.entr(pattern.double()).sum(-1)


groups = Answers("merge_groups")


@groups.wrong(says="absolute value")
def opposites_too(directions, cosine):
    unit = normalize(directions, dim=1)
    group = torch.arange(len(unit))
    for i, j in ((unit @ unit.T).abs() > cosine).nonzero().tolist():
        group[group == group[j].item()] = group[i].item()
    return group


@groups.wrong(says="normalise the directions first")
def with_lengths(directions, cosine):
    group = torch.arange(len(directions))
    for i, j in (directions @ directions.T > cosine).nonzero().tolist():
        group[group == group[j].item()] = group[i].item()
    return group


@groups.wrong(says="some groups are split")
def first_near_one(directions, cosine):
    unit = normalize(directions, dim=1)
    return (unit @ unit.T > cosine).int().argmax(1)


@groups.wrong(says="a group of its own")
def no_groups(directions, cosine):
    return torch.arange(len(directions))


@groups.wrong(says="one group for each")
def only_representatives(directions, cosine):
    unit = normalize(directions, dim=1)
    return (unit @ unit.T > cosine).int().argmax(1).unique()


@groups.right
def by_paths(directions, cosine):
    unit = normalize(directions, dim=1)
    near = (unit @ unit.T > cosine).float()
    for _ in range(len(unit)):
        near = ((near @ near) > 0).float()
    return near.argmax(1)


@groups.right
def by_scipy(directions, cosine):
    from scipy.sparse.csgraph import connected_components

    unit = normalize(directions, dim=1)
    return torch.from_numpy(connected_components((unit @ unit.T > cosine).numpy(), directed=False)[1])
