"""Lab 07's answers, second part: ablations, intervals, correlations, writing, programs, tuning."""

import math

import torch
from answers import Answers

mean = Answers("mean_ablated")


@mean.wrong(says="padding is counted")
def mean_with_padding(z, last, head):
    z = z.clone()
    z[:, :, head] = z[:, :, head].mean(0, keepdim=True)
    return z


@mean.wrong(says="zero ablation")
def zeroes(z, last, head):
    z = z.clone()
    z[:, :, head] = 0
    return z


@mean.wrong(says="every head is replaced")
def all_heads(z, last, head):
    here = (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None, None]
    return ((z * here).sum(0) / here.sum(0)).expand_as(z).clone()


@mean.wrong(says="one mean for all positions")
def one_mean(z, last, head):
    here = torch.arange(z.shape[1]) <= last[:, None]
    new = z.clone()
    new[:, :, head] = z[here][:, head].mean(0)
    return new


@mean.wrong(says="over positions of each prompt")
def mean_of_each_prompt(z, last, head):
    new = z.clone()
    for i, end in enumerate(last.tolist()):
        new[i, :, head] = z[i, : end + 1, head].mean(0)
    return new


@mean.wrong(says="the last token of each prompt is left out")
def off_by_one(z, last, head):
    here = (torch.arange(z.shape[1]) < last[:, None]).float()[..., None]
    new = z.clone()
    new[:, :, head] = (z[:, :, head] * here).sum(0) / here.sum(0).clamp(min=1)
    return new


@mean.wrong(says="number of all prompts")
def divided_by_all(z, last, head):
    here = (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None]
    new = z.clone()
    new[:, :, head] = (z[:, :, head] * here).mean(0)
    return new


@mean.wrong(says="argument z in place")
def in_place(z, last, head):
    here = (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None]
    z[:, :, head] = (z[:, :, head] * here).sum(0) / here.sum(0)
    return z


@mean.wrong(says="is subtracted")
def subtracts(z, last, head):
    here = (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None]
    new = z.clone()
    new[:, :, head] -= (z[:, :, head] * here).sum(0) / here.sum(0)
    return new


@mean.right
def mean_by_masked_sum(z, last, head):
    here = (torch.arange(z.shape[1]) <= last[:, None]).float()[..., None]
    new = z.clone()
    new[:, :, head] = (z[:, :, head] * here).sum(0) / here.sum(0).clamp(min=1)
    return new


@mean.right
def mean_by_position(z, last, head):
    new = z.clone()
    for position in range(z.shape[1]):
        there = last >= position
        new[there, position, head] = z[there, position, head].mean(0)
    return new


@mean.right
def mean_with_nan(z, last, head):
    seen = z[:, :, head].clone()
    seen[torch.arange(z.shape[1]) > last[:, None]] = math.nan
    out = z.clone()
    out[:, :, head] = seen.nanmean(0)
    return out


interval = Answers("bootstrap_interval")
TAILS = torch.tensor([0.025, 0.975])


def _told(change, means, tails=TAILS):
    low, high = torch.quantile(means, tails)
    return {"change": change, "low": low, "high": high}


@interval.wrong(says="wrong way round")
def before_minus_after(before, after, drawn):
    change = before - after
    return _told(change.mean(), change[drawn].mean(1))


@interval.wrong(says="quantiles of single prompts")
def quantiles_of_prompts(before, after, drawn):
    change = after - before
    return _told(change.mean(), change)


@interval.wrong(says="the mean runs over the draws")
def wrong_axis(before, after, drawn):
    change = after - before
    return _told(change.mean(), change[drawn].mean(0))


@interval.wrong(says="90% interval")
def ninety(before, after, drawn):
    change = after - before
    return _told(change.mean(), change[drawn].mean(1), torch.tensor([0.05, 0.95]))


@interval.wrong(says="lower end is the quantile 0.05")
def one_sided(before, after, drawn):
    change = after - before
    return _told(change.mean(), change[drawn].mean(1), torch.tensor([0.05, 0.975]))


@interval.wrong(says="upper end is the quantile 0.95")
def one_sided_above(before, after, drawn):
    change = after - before
    return _told(change.mean(), change[drawn].mean(1), torch.tensor([0.025, 0.95]))


@interval.wrong(says="the pairing is lost")
def two_intervals(before, after, drawn):
    one, two = torch.quantile(before[drawn].mean(1), TAILS), torch.quantile(after[drawn].mean(1), TAILS)
    return {"change": after.mean() - before.mean(), "low": two[0] - one[1], "high": two[1] - one[0]}


@interval.wrong(says="normal approximation")
def normal_approximation(before, after, drawn):
    change = after - before
    spread = change[drawn].mean(1).std()
    return {"change": change.mean(), "low": change.mean() - 1.96 * spread, "high": change.mean() + 1.96 * spread}


@interval.wrong(says="textbook")
def standard_error(before, after, drawn):
    change = after - before
    spread = change.std() / math.sqrt(len(change))
    return {"change": change.mean(), "low": change.mean() - 1.96 * spread, "high": change.mean() + 1.96 * spread}


@interval.wrong(says="not over the draws")
def mean_of_draws(before, after, drawn):
    means = (after - before)[drawn].mean(1)
    return _told(means.mean(), means)


@interval.wrong(says="smallest and largest")
def extremes(before, after, drawn):
    means = (after - before)[drawn].mean(1)
    return {"change": (after - before).mean(), "low": means.min(), "high": means.max()}


@interval.wrong(says="the dict lacks")
def without_change(before, after, drawn):
    low, high = torch.quantile((after - before)[drawn].mean(1), TAILS)
    return {"low": low, "high": high}


@interval.right
def by_quantile(before, after, drawn):
    change = after - before
    return _told(change.mean(), change[drawn].mean(1))


@interval.right
def by_loop(before, after, drawn):
    means = torch.tensor([float(after[row].double().mean() - before[row].double().mean()) for row in drawn])
    return {
        "change": float(after.mean() - before.mean()),
        "low": float(means.quantile(0.025)),
        "high": float(means.quantile(0.975)),
    }


within = Answers("rank_correlation_within")


def _rank(v):
    return v.argsort().argsort().float()


def _centre(v, groups):
    v = v.clone()
    for g in groups.unique():
        v[groups == g] -= v[groups == g].mean()
    return v


def _cosine(a, b):
    return float((a * b).sum() / (a.norm() * b.norm()))


@within.wrong(says="depth is still in it")
def plain_spearman(x, y, groups):
    return float(torch.corrcoef(torch.stack([_rank(x), _rank(y)]))[0, 1])


@within.wrong(says="take ranks first")
def values_centred(x, y, groups):
    return _cosine(_centre(x, groups), _centre(y, groups))


@within.wrong(says="ranks came after")
def centred_then_ranked(x, y, groups):
    a, b = _rank(_centre(x, groups)), _rank(_centre(y, groups))
    return _cosine(a - a.mean(), b - b.mean())


@within.wrong(says="ranked inside each layer")
def ranked_inside(x, y, groups):
    a, b = x.clone(), y.clone()
    for v in (a, b):
        for g in groups.unique():
            v[groups == g] = _rank(v[groups == g])
            v[groups == g] -= v[groups == g].mean()
    return _cosine(a, b)


@within.wrong(says="one correlation of all the residual ranks")
def mean_over_layers(x, y, groups):
    found = []
    for g in groups.unique():
        found.append(float(torch.corrcoef(torch.stack([_rank(x[groups == g]), _rank(y[groups == g])]))[0, 1]))
    return sum(found) / len(found)


@within.wrong(says="one side only")
def one_side(x, y, groups):
    a, b = _centre(_rank(x), groups), _rank(y)
    return _cosine(a, b - b.mean())


@within.wrong(says="argsort().argsort()")
def single_argsort(x, y, groups):
    return _cosine(_centre(x.argsort().float(), groups), _centre(y.argsort().float(), groups))


@within.right
def within_by_cosine(x, y, groups):
    return _cosine(_centre(_rank(x), groups), _centre(_rank(y), groups))


@within.right
def within_by_projection(x, y, groups):
    from scipy.stats import pearsonr, rankdata

    indicator = (groups[:, None] == groups.unique()).double()
    project = torch.eye(len(x), dtype=torch.float64) - indicator @ torch.linalg.pinv(indicator)
    a, b = (project @ torch.from_numpy(rankdata(v.numpy())) for v in (x, y))
    return pearsonr(a.numpy(), b.numpy()).statistic


change = Answers("head_change")


def _ratio(new, old):
    return (new - old).norm(dim=1) / old.norm(dim=1)


@change.wrong(says="*columns* of o_proj")
def rows_of_o(base, tuned, n_heads):
    both = [torch.cat([w[n].reshape(n_heads, -1) for n in ("q_proj", "o_proj")], 1) for w in (tuned, base)]
    return _ratio(*both)


@change.wrong(says="keys and values are in it")
def all_four(base, tuned, n_heads):
    def rows(w):
        k, v = (w[n].reshape(2, -1).repeat_interleave(n_heads // 2, 0) for n in ("k_proj", "v_proj"))
        return torch.cat([w["q_proj"].reshape(n_heads, -1), k, v, w["o_proj"].T.reshape(n_heads, -1)], 1)

    return _ratio(rows(tuned), rows(base))


@change.wrong(says="divide once")
def mean_of_two(base, tuned, n_heads):
    q = _ratio(tuned["q_proj"].reshape(n_heads, -1), base["q_proj"].reshape(n_heads, -1))
    o = _ratio(tuned["o_proj"].T.reshape(n_heads, -1), base["o_proj"].T.reshape(n_heads, -1))
    return (q + o) / 2


@change.wrong(says="relative to the tuned")
def by_the_tuned(base, tuned, n_heads):
    return heads_by_transpose(tuned, base, n_heads)


@change.wrong(says="the root is missing")
def squared(base, tuned, n_heads):
    return heads_by_transpose(base, tuned, n_heads) ** 2


@change.wrong(says="one number for the whole layer")
def whole_layer(base, tuned, n_heads):
    moved = sum((tuned[n] - base[n]).pow(2).sum() for n in ("q_proj", "o_proj"))
    whole = sum(base[n].pow(2).sum() for n in ("q_proj", "o_proj"))
    return (moved / whole).sqrt().repeat(n_heads)


@change.wrong(says="the norms are compared")
def norms_compared(base, tuned, n_heads):
    new, old = (torch.cat([w["q_proj"], w["o_proj"].T], 1).reshape(n_heads, -1).norm(dim=1) for w in (tuned, base))
    return (new - old).abs() / old


@change.wrong(says="only q_proj counts")
def queries_alone(base, tuned, n_heads):
    return _ratio(tuned["q_proj"].reshape(n_heads, -1), base["q_proj"].reshape(n_heads, -1))


@change.right
def heads_by_transpose(base, tuned, n_heads):
    new, old = (torch.cat([w["q_proj"], w["o_proj"].T], 1).reshape(n_heads, -1) for w in (tuned, base))
    return (new - old).norm(dim=1) / old.norm(dim=1)


@change.right
def heads_by_slices(base, tuned, n_heads):
    size = base["q_proj"].shape[0] // n_heads
    out = []
    for h in range(n_heads):
        s = slice(h * size, (h + 1) * size)
        moved = (tuned["q_proj"][s] - base["q_proj"][s]).pow(2).sum() + (
            tuned["o_proj"][:, s] - base["o_proj"][:, s]
        ).pow(2).sum()
        out.append((moved / (base["q_proj"][s].pow(2).sum() + base["o_proj"][:, s].pow(2).sum())).sqrt())
    return torch.stack(out)


predicted = Answers("predicted_change")


@predicted.wrong(says="the bias is left out")
def no_bias(alpha, a, one, W2F, b_write):
    return alpha @ a @ W2F


@predicted.wrong(says="the bias is not divided")
def plain_bias(alpha, a, one, W2F, b_write):
    return alpha @ (a @ W2F + b_write)


@predicted.wrong(says="read at the keys")
def bias_at_the_query(alpha, a, one, W2F, b_write):
    return alpha @ a @ W2F + one[:, None] * b_write


@predicted.wrong(says="transposed")
def transposed_attention(alpha, a, one, W2F, b_write):
    return alpha.T @ (a @ W2F + one[:, None] * b_write)


@predicted.wrong(says="once more")
def divided_twice(alpha, a, one, W2F, b_write):
    return alpha @ ((a @ W2F + b_write) * one[:, None])


@predicted.wrong(says="no attention")
def without_attention(alpha, a, one, W2F, b_write):
    return a @ W2F + one[:, None] * b_write


@predicted.right
def offered_then_mixed(alpha, a, one, W2F, b_write):
    return alpha @ (a @ W2F + one[:, None] * b_write)


@predicted.right
def two_sums(alpha, a, one, W2F, b_write):
    features = torch.einsum("ts,sj,jk->tk", alpha, a, W2F)
    return features + torch.outer(alpha @ one, b_write)


name = Answers("write_archetype")


def _numbers(W2F):
    off = W2F[~torch.eye(len(W2F), dtype=torch.bool)]
    dominance = (W2F.argmax(1) == torch.arange(len(W2F))).float().mean()
    return dominance, W2F.diagonal().mean(), off, W2F.sum(0).max()


@name.wrong(says="another order")
def broadcast_too_early(W2F):
    dominance, score, off, column = _numbers(W2F)
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if column > 3 * score:
        return "broadcast"
    if off.max() > 0.5:
        return "transform"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="the diagonal counts as a transform")
def transform_with_diagonal(W2F):
    dominance, score, _off, column = _numbers(W2F)
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if W2F.max() > 0.5:
        return "transform"
    if column > 3 * score:
        return "broadcast"
    return "suppress" if W2F.min() < -0.5 else "diffuse"


@name.wrong(says="copy needs both")
def dominance_alone(W2F):
    dominance, score, off, column = _numbers(W2F)
    if dominance > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if column > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="copy needs both")
def score_alone(W2F):
    _, score, off, column = _numbers(W2F)
    if score > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if column > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="counted over columns")
def dominance_by_columns(W2F):
    _, score, off, column = _numbers(W2F)
    dominance = (W2F.argmax(0) == torch.arange(len(W2F))).float().mean()
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if column > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="row sums")
def row_sums(W2F):
    dominance, score, off, _ = _numbers(W2F)
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if W2F.sum(1).max() > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="absolute values are added up")
def absolute_columns(W2F):
    dominance, score, off, _ = _numbers(W2F)
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if W2F.abs().sum(0).max() > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.wrong(says="the same name for every head")
def always_diffuse(W2F):
    return "diffuse"


@name.right
def by_ifs(W2F):
    dominance, score, off, column = _numbers(W2F)
    if dominance > 0.3 and score > 0.3:
        return "copy"
    if off.max() > 0.5:
        return "transform"
    if column > 3 * score:
        return "broadcast"
    return "suppress" if off.min() < -0.5 else "diffuse"


@name.right
def by_a_table(W2F):
    n = len(W2F)
    inside = W2F.clone().fill_diagonal_(0.0)
    score = W2F.trace() / n
    rules = [
        ("copy", (W2F.max(1).values == W2F.diagonal()).sum() > 0.3 * n and score > 0.3),
        ("transform", (inside > 0.5).any()),
        ("broadcast", (W2F.sum(0) > 3 * score).any()),
        ("suppress", (inside < -0.5).any()),
        ("diffuse", True),
    ]
    return next(name for name, holds in rules if holds)


kinds = Answers("program_kinds")


def _kind(i, j, k):
    if i == j:
        return "reinforce" if j == k else "shift"
    if j == k:
        return "cross-copy"
    return "relay" if i == k else "transform"


@kinds.wrong(says="the sign is ignored")
def kinds_without_sign(triplets, strengths):
    return [_kind(*t) for t in triplets.tolist()]


@kinds.wrong(says="suppress comes first")
def sign_last(triplets, strengths):
    out = []
    for (i, j, k), s in zip(triplets.tolist(), strengths.tolist(), strict=True):
        kind = _kind(i, j, k)
        out.append("suppress" if kind == "transform" and s < 0 else kind)
    return out


@kinds.wrong(says="negative writes suppress")
def sign_turned(triplets, strengths):
    return ["suppress" if s > 0 else _kind(*t) for t, s in zip(triplets.tolist(), strengths.tolist(), strict=True)]


@kinds.wrong(says="relay and cross-copy are swapped")
def relay_swapped(triplets, strengths):
    swap = {"relay": "cross-copy", "cross-copy": "relay"}
    return [swap.get(kind, kind) for kind in kinds_by_ifs(triplets, strengths)]


@kinds.wrong(says="shift and cross-copy are swapped")
def shift_swapped(triplets, strengths):
    swap = {"shift": "cross-copy", "cross-copy": "shift"}
    return [swap.get(kind, kind) for kind in kinds_by_ifs(triplets, strengths)]


@kinds.wrong(says="not yet reinforce")
def reinforce_too_wide(triplets, strengths):
    return ["reinforce" if kind == "shift" else kind for kind in kinds_by_ifs(triplets, strengths)]


@kinds.right
def kinds_by_ifs(triplets, strengths):
    return ["suppress" if s < 0 else _kind(*t) for t, s in zip(triplets.tolist(), strengths.tolist(), strict=True)]


@kinds.right
def kinds_by_masks(triplets, strengths):
    i, j, k = triplets.T
    names = ["transform"] * len(triplets)
    rules = {"relay": i == k, "cross-copy": j == k, "shift": (i == j) & (j != k), "reinforce": (i == j) & (j == k)}
    for kind, where in (rules | {"suppress": strengths < 0}).items():
        for at in where.nonzero().flatten().tolist():
            names[at] = kind
    return names


programs = Answers("feature_programs")


def _joined(
    routes, writes, B, W2F, fill=True, flag=True, own=False, score=lambda B, W, i, j, k: B[i, j] * W[j, k].abs()
):
    triplets, scores, fallback = [], [], []
    for i, j in routes.tolist():
        mine = [k for key, k in writes.tolist() if key == j]
        for k in mine or ([i if own else j] if fill else []):
            triplets.append([i, j, k])
            scores.append(float(score(B, W2F, i, j, k)))
            fallback.append(flag and not mine)
    return {"triplets": torch.tensor(triplets), "score": torch.tensor(scores), "fallback": torch.tensor(fallback)}


@programs.wrong(says="not flagged")
def unflagged(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F, flag=False)


@programs.wrong(says="are dropped")
def dropped(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F, fill=False)


@programs.wrong(says="goes to the query")
def fills_the_query(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F, own=True)


@programs.wrong(says="has the sign of the write")
def signed_score(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F, score=lambda B, W, i, j, k: B[i, j] * W[j, k])


@programs.wrong(says="rows are queries")
def transposed_routes(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F, score=lambda B, W, i, j, k: B[j, i] * W[j, k].abs())


@programs.wrong(says="looked up by the query")
def writes_of_the_query(routes, writes, B, W2F):
    triplets, scores, fallback = [], [], []
    for i, j in routes.tolist():
        mine = [k for key, k in writes.tolist() if key == i]
        for k in mine or [j]:
            triplets.append([i, j, k])
            scores.append(float(B[i, j] * W2F[j, k].abs()))
            fallback.append(not mine)
    return {"triplets": torch.tensor(triplets), "score": torch.tensor(scores), "fallback": torch.tensor(fallback)}


@programs.wrong(says="every key gets a self-write")
def always_a_self_write(routes, writes, B, W2F):
    triplets, scores, fallback = [], [], []
    for i, j in routes.tolist():
        for k, filled in [*((k, False) for key, k in writes.tolist() if key == j), (j, True)]:
            triplets.append([i, j, k])
            scores.append(float(B[i, j] * W2F[j, k].abs()))
            fallback.append(filled)
    return {"triplets": torch.tensor(triplets), "score": torch.tensor(scores), "fallback": torch.tensor(fallback)}


@programs.right
def programs_by_loop(routes, writes, B, W2F):
    return _joined(routes, writes, B, W2F)


@programs.right
def programs_by_dictionary(routes, writes, B, W2F):
    by_key = {}
    for key, k in writes.tolist():
        by_key.setdefault(key, []).append(k)
    rows = [
        (i, j, k, j not in by_key) for i, j in routes.tolist() for k in by_key.get(j, [j])
    ]  # fmt: skip
    t = torch.tensor([row[:3] for row in rows])
    return {
        "triplets": t,
        "score": B[t[:, 0], t[:, 1]] * W2F[t[:, 1], t[:, 2]].abs(),
        "fallback": torch.tensor([row[3] for row in rows]),
    }
