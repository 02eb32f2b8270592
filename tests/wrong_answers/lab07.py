"""Lab 07's answers: parity tests, scores, peaks, suspects, shares. Those about causes are in lab07_causal.py."""

import math
from itertools import permutations, product

import lab07_causal  # noqa: F401  (its answers register themselves)
import torch
from answers import Answers
from scipy.stats import pearsonr, rankdata, spearmanr

rho = Answers("row_rho")


def _rows(predicted, actual, window, first=1, least=3, ahead=1):
    for q in range(len(predicted)):
        low = first if window is None else max(first, q - window + 1)
        a, b = predicted[q, low : q + ahead], actual[q, low : q + ahead]
        if len(a) >= least:
            yield a, b


def _mean(rows, score=lambda a, b: spearmanr(a, b).statistic):
    found, skipped = [], 0
    for a, b in rows:
        if a.min() == a.max() or b.min() == b.max():
            skipped += 1
        else:
            found.append(float(score(a, b)))
    return sum(found) / max(1, len(found)), len(found) + skipped, skipped


@rho.wrong(says="<bos>")
def rho_with_bos(predicted, actual, window):
    return _mean(_rows(predicted, actual, window, first=0))


@rho.wrong(says="own key is left out")
def rho_without_itself(predicted, actual, window):
    return _mean(_rows(predicted, actual, window, ahead=0))


@rho.wrong(says="causal")
def rho_without_the_mask(predicted, actual, window):
    rows = [(p[1:], a[1:]) for p, a in zip(predicted, actual)]
    return _mean(rows)


@rho.wrong(says="one key too wide")
def rho_window_off_by_one(predicted, actual, window):
    return _mean(_rows(predicted, actual, window and window + 1))


@rho.wrong(says="the window is ignored")
def rho_no_window(predicted, actual, window):
    return _mean(_rows(predicted, actual, None))


@rho.wrong(says="two keys or fewer")
def rho_of_short_rows(predicted, actual, window):
    return _mean(_rows(predicted, actual, window, least=2))


@rho.wrong(says="Pearson")
def rho_by_pearson(predicted, actual, window):
    return _mean(_rows(predicted, actual, window), lambda a, b: pearsonr(a, b).statistic)


@rho.wrong(says="ranked together")
def rho_of_all_pairs(predicted, actual, window):
    rows = list(_rows(predicted, actual, window, least=1))
    a, b = (torch.cat([row[i] for row in rows]) for i in (0, 1))
    _, n, skipped = _mean(_rows(predicted, actual, window))
    return float(spearmanr(a, b).statistic), n, skipped


@rho.wrong(says="counted as 0")
def rho_zero_for_constant_rows(predicted, actual, window):
    found, n, skipped = [], 0, 0
    for a, b in _rows(predicted, actual, window):
        n += 1
        flat = bool(a.min() == a.max() or b.min() == b.max())
        skipped += flat
        found.append(0.0 if flat else float(spearmanr(a, b).statistic))
    return sum(found) / n, n, skipped


@rho.wrong(says="NaN")
def rho_nan(predicted, actual, window):
    found = [float(spearmanr(a, b).statistic) for a, b in _rows(predicted, actual, window)]
    return sum(found) / len(found), len(found), 0


@rho.wrong(says="equal ranks")
def rho_argsort_ranks(predicted, actual, window):
    def score(a, b):
        return pearsonr(a.argsort(stable=True).argsort().double(), b.argsort(stable=True).argsort().double()).statistic

    return _mean(_rows(predicted, actual, window), score)


@rho.right
def rho_by_ranks(predicted, actual, window):
    values, rows, skipped = [], 0, 0
    n = predicted.shape[0]
    for q in range(n):
        keys = [k for k in range(1, q + 1) if window is None or q - k < window]
        if len(keys) < 3:
            continue
        rows += 1
        a, b = rankdata(predicted[q, keys].numpy()), rankdata(actual[q, keys].numpy())
        if a.std() == 0 or b.std() == 0:
            skipped += 1
            continue
        values.append(pearsonr(a, b).statistic)
    return torch.tensor(values).mean(), rows, skipped


@rho.right
def rho_by_generator(predicted, actual, window):
    return _mean(_rows(predicted, actual, window))


fold = Answers("fold_gain")


@fold.wrong(says="first post's bug")
def fold_gamma(W, gamma):
    return W * gamma


@fold.wrong(says="the gain is not in it")
def fold_nothing(W, gamma):
    return W


@fold.wrong(says="each output is scaled")
def fold_rows(W, gamma):
    return (1 + gamma)[:, None] * W


@fold.wrong(says="divided out")
def fold_divides(W, gamma):
    return W / (1 + gamma)


@fold.wrong(says="1 is added to the whole product")
def fold_adds_one(W, gamma):
    return W * gamma + 1


@fold.wrong(says="transposed")
def fold_transposed(W, gamma):
    return W.T * (1 + gamma)[:, None]


@fold.right
def fold_by_diag(W, gamma):
    return W @ torch.diag(1 + gamma)


@fold.right
def fold_by_einsum(W, gamma):
    return W + torch.einsum("od,d->od", W, gamma)


parity = Answers("gamma_parity")


def _measures(reference, candidate, x):
    for scale in (1, 12, 100):
        a, b = candidate(scale * x), reference(scale * x)
        for h in range(b.shape[1]):
            one, two = a[:, h].flatten(), b[:, h].flatten()
            yield (one - two).norm() / two.norm(), torch.cosine_similarity(one.double(), two.double(), dim=0)


@parity.wrong(says="wrong by a factor")
def parity_cosine_only(reference, candidate, x):
    return all(bool(cosine > 0.99999) for _, cosine in _measures(reference, candidate, x))


@parity.wrong(says="at scale")
def parity_one_scale(reference, candidate, x):
    a, b = candidate(x), reference(x)
    errors = (a - b).norm(dim=(0, 2)) / b.norm(dim=(0, 2))
    return bool((errors < 1e-4).all())


@parity.wrong(says="large numbers")
def parity_absolute(reference, candidate, x):
    return all(bool((candidate(s * x) - reference(s * x)).abs().max() < 1e-4) for s in (1, 12, 100))


@parity.wrong(says="judge each head alone")
def parity_all_heads_together(reference, candidate, x):
    for s in (1, 12, 100):
        a, b = candidate(s * x), reference(s * x)
        if not (
            (a - b).norm() / b.norm() < 1e-4 and torch.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.99999
        ):
            return False
    return True


@parity.wrong(says="NaN")
def parity_passes_nan(reference, candidate, x):
    return not any(bool(error > 1e-4) or bool(cosine < 0.99999) for error, cosine in _measures(reference, candidate, x))


@parity.wrong(says="fails right code")
def parity_exact(reference, candidate, x):
    return all(torch.equal(candidate(s * x), reference(s * x)) for s in (1, 12, 100))


@parity.wrong(says="one in a thousand")
def parity_loose(reference, candidate, x):
    return all(bool(error < 1e-2) for error, _ in _measures(reference, candidate, x))


@parity.wrong(says="first post's fold")
def parity_cannot_fail(reference, candidate, x):
    return True


@parity.wrong(says="fails right code")
def parity_always_fails(reference, candidate, x):
    return False


@parity.wrong(says="return True or False")
def parity_returns_the_error(reference, candidate, x):
    return max(float(error) for error, _ in _measures(reference, candidate, x))


@parity.right
def parity_over_heads(reference, candidate, x):
    for scale in (1.0, 12.0, 100.0):
        a, b = candidate(scale * x).double(), reference(scale * x).double()
        error = (a - b).norm(dim=(0, 2)) / b.norm(dim=(0, 2))
        cosine = (a * b).sum((0, 2)) / (a.norm(dim=(0, 2)) * b.norm(dim=(0, 2)))
        if not bool((error < 1e-4).all() and (cosine > 0.99999).all()):
            return False
    return True


@parity.right
def parity_by_measures(reference, candidate, x):
    return all(bool(error < 1e-4) and bool(cosine > 0.99999) for error, cosine in _measures(reference, candidate, x))


rotate = Answers("rotate_key")


@rotate.wrong(says="pairs neighbours")
def rotate_neighbours(k, distance, theta):
    d = k.shape[1]
    angle = -distance[:, None] * theta ** (-torch.arange(0, d, 2) / d)
    a, b = k[:, 0::2], k[:, 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1).flatten(1)


@rotate.wrong(says="by plus the distance")
def rotate_forward(k, distance, theta):
    half = k.shape[1] // 2
    angle = distance[:, None] * theta ** (-torch.arange(half) / half)
    a, b = k[:, :half], k[:, half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)


@rotate.wrong(says="fall too slowly")
def rotate_slow(k, distance, theta):
    d = k.shape[1]
    angle = -distance[:, None] * theta ** (-torch.arange(d // 2) / d)
    a, b = k.chunk(2, 1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)


@rotate.wrong(says="grow with i")
def rotate_growing(k, distance, theta):
    d = k.shape[1]
    angle = -distance[:, None] * theta ** (torch.arange(0, d, 2) / d)
    a, b = k.chunk(2, 1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)


@rotate.wrong(says="counts from 1")
def rotate_from_one(k, distance, theta):
    half = k.shape[1] // 2
    angle = -distance[:, None] * theta ** (-torch.arange(1, half + 1) / half)
    a, b = k.chunk(2, 1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)


@rotate.right
def rotate_by_complex(k, distance, theta):
    half = k.shape[1] // 2
    angle = distance[:, None].double() * theta ** (-torch.arange(half) / half).double()
    z = torch.complex(k[:, :half].double(), k[:, half:].double()) * torch.exp(-1j * angle)
    return torch.cat([z.real, z.imag], 1).float()


@rotate.right
def rotate_half_form(k, distance, theta):
    d = k.shape[1]
    angle = (distance[:, None] / theta ** (torch.arange(0, d, 2) / d)).repeat(1, 2)
    turned = torch.cat([-k[:, d // 2 :], k[:, : d // 2]], 1)
    return k * angle.cos() - turned * angle.sin()


codes = Answers("attention_codes")


@codes.wrong(says="divided before it is encoded")
def codes_of_divided(x, W_enc, b_enc, threshold, eps):
    x = x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    pre = x @ W_enc + b_enc
    return pre * (pre > threshold)


@codes.wrong(says="divided before it is encoded")
def codes_of_divided_no_eps(x, W_enc, b_enc, threshold, eps):
    pre = x / x.pow(2).mean(-1, keepdim=True).sqrt() @ W_enc + b_enc
    return pre * (pre > threshold)


@codes.wrong(says="divided before it is encoded")
def codes_of_divided_and_back(x, W_enc, b_enc, threshold, eps):
    rms = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    pre = x / rms @ W_enc + b_enc
    return pre * (pre > threshold) * rms


@codes.wrong(says="not divided by")
def codes_undivided(x, W_enc, b_enc, threshold, eps):
    pre = x @ W_enc + b_enc
    return pre * (pre > threshold)


@codes.wrong(says="threshold is taken off")
def codes_soft(x, W_enc, b_enc, threshold, eps):
    return (x @ W_enc + b_enc - threshold).relu() / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@codes.wrong(says="this is a ReLU")
def codes_relu(x, W_enc, b_enc, threshold, eps):
    return (x @ W_enc + b_enc).relu() / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@codes.wrong(says="MEAN square")
def codes_by_norm(x, W_enc, b_enc, threshold, eps):
    pre = x @ W_enc + b_enc
    return pre * (pre > threshold) / x.norm(dim=-1, keepdim=True)


@codes.wrong(says="eps is missing")
def codes_no_eps(x, W_enc, b_enc, threshold, eps):
    pre = x @ W_enc + b_enc
    return pre * (pre > threshold) / x.pow(2).mean(-1, keepdim=True).sqrt()


@codes.wrong(says="one rms for all")
def codes_one_rms(x, W_enc, b_enc, threshold, eps):
    pre = x @ W_enc + b_enc
    return pre * (pre > threshold) / (x.pow(2).mean() + eps).sqrt()


@codes.right
def codes_by_where(x, W_enc, b_enc, threshold, eps):
    pre = torch.einsum("nd,df->nf", x, W_enc) + b_enc
    kept = torch.where(pre > threshold, pre, torch.zeros_like(pre))
    return kept * torch.rsqrt(x.square().mean(1, keepdim=True) + eps)


@codes.right
def codes_row_by_row(x, W_enc, b_enc, threshold, eps):
    out = []
    for row in x:
        pre = (row @ W_enc + b_enc).relu()
        pre[pre <= threshold] = 0
        out.append(pre / math.sqrt(float((row**2).mean()) + eps))
    return torch.stack(out)


first = Answers("first_difference")


def _error(a, b):
    return (a - b).norm() / b.norm()


@first.wrong(says="the last stage")
def first_takes_the_last(ours, reference, tolerance):
    found = ""
    for s in reference:
        if not _error(ours[s], reference[s]) < tolerance:
            found = s
    return found


@first.wrong(says="largest error")
def first_takes_the_worst(ours, reference, tolerance):
    return max(reference, key=lambda s: float((ours[s] - reference[s]).norm()))


@first.wrong(says="absolute difference")
def first_absolute(ours, reference, tolerance):
    for s in reference:
        if (ours[s] - reference[s]).abs().max() > tolerance:
            return s
    return ""


@first.wrong(says="NaN passed")
def first_misses_nan(ours, reference, tolerance):
    for s in reference:
        if _error(ours[s], reference[s]) > tolerance:
            return s
    return ""


@first.wrong(says="smallest rounding")
def first_exact(ours, reference, tolerance):
    for s in reference:
        if not torch.equal(ours[s], reference[s]):
            return s
    return ""


@first.wrong(says="return the name of a stage")
def first_none(ours, reference, tolerance):
    for s in reference:
        if not _error(ours[s], reference[s]) < tolerance:
            return s


@first.right
def first_by_next(ours, reference, tolerance):
    return next((s for s, b in reference.items() if not (ours[s] - b).norm() < tolerance * b.norm()), "")


@first.right
def first_by_list(ours, reference, tolerance):
    off = [s for s in ours if torch.isnan(ours[s]).any() or _error(ours[s], reference[s]) >= tolerance]
    return off[0] if off else ""


peak = Answers("peaks")


@peak.wrong(says="down the columns")
def peaks_of_columns(B):
    p = B.softmax(0)
    return {"selectivity": float(p.amax(0).mean()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


@peak.wrong(says="the softmax runs down the columns, the largest along the rows")
def peaks_of_columns_by_rows(B):
    p = B.softmax(0)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


@peak.wrong(says="divide by 1 / n")
def peaks_not_over_uniform(B):
    p = B.softmax(-1)
    return {"selectivity": float(p.amax(-1).mean()), "diagonal": float(p.diagonal().mean())}


@peak.wrong(says="the diagonal mass is not over uniform")
def peaks_one_over_uniform(B):
    p = B.softmax(-1)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().mean())}


@peak.wrong(says="the selectivity is not over uniform")
def peaks_other_over_uniform(B):
    p = B.softmax(-1)
    return {"selectivity": float(p.amax(-1).mean()), "diagonal": float(p.diagonal().mean()) * len(B)}


@peak.wrong(says="whole table")
def peaks_of_all(B):
    p = B.flatten().softmax(0).view_as(B)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


@peak.wrong(says="largest of each row")
def peaks_the_largest(B):
    p = B.softmax(-1)
    return {"selectivity": float(p.max()) * len(B), "diagonal": float(p.diagonal().mean()) * len(B)}


@peak.wrong(says="entries of B")
def peaks_raw(B):
    return {"selectivity": float(B.amax(-1).mean()) * len(B), "diagonal": float(B.diagonal().mean()) * len(B)}


@peak.wrong(says="SUM")
def peaks_sum(B):
    p = B.softmax(-1)
    return {"selectivity": float(p.amax(-1).mean()) * len(B), "diagonal": float(p.diagonal().sum()) * len(B)}


@peak.right
def peaks_by_exp(B):
    e = (B - B.amax(1, keepdim=True)).exp()
    p = e / e.sum(1, keepdim=True)
    return {"selectivity": (p.max(1).values.mean() * B.shape[1]).item(), "diagonal": (torch.trace(p)).item()}


@peak.right
def peaks_tensors(B):
    p = torch.nn.functional.softmax(B, dim=1) * B.shape[1]
    return {"diagonal": p.diag().mean(), "selectivity": p.amax(dim=1).mean()}


null = Answers("matched_null")


@null.wrong(says="BEFORE the tanh")
def null_scales_after(scores, std, cap):
    capped = cap * torch.tanh(scores / scores.std() / cap)
    capped = capped * std / capped.std()
    return capped if capped.abs().max() > cap else 3 * cap * torch.tanh(scores)


@null.wrong(says="right before the cap")
def null_by_ratio(scores, std, cap):
    return cap * torch.tanh(std / scores.std() * scores / cap)


@null.wrong(says="the cap is missing")
def null_without_cap(scores, std, cap):
    c = min(float(std / scores.std()), float(cap / scores.abs().max()))
    return c * scores


@null.wrong(says="search longer")
def null_narrow_search(scores, std, cap):
    low, high = 0.0, 1.0
    for _ in range(4):
        c = (low + high) / 2
        low, high = (c, high) if (cap * torch.tanh(c * scores / cap)).std() < std else (low, c)
    return cap * torch.tanh(high * scores / cap)


@null.wrong(says="too")
def null_unscaled(scores, std, cap):
    return cap * torch.tanh(scores / cap)


@null.wrong(says="changed sign")
def null_minus(scores, std, cap):
    return -null_by_log(scores, std, cap)


@null.right
def null_by_log(scores, std, cap):
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if float((cap * torch.tanh(2.0**middle * scores / cap)).std()) < std:
            low = middle
        else:
            high = middle
    return cap * torch.tanh(2.0**high * scores / cap)


@null.right
def null_by_secant(scores, std, cap):
    from scipy.optimize import brentq

    def gap(c):
        return float((cap * torch.tanh(c * scores.double() / cap)).std()) - std

    high = 1.0
    while gap(high) < 0:
        high *= 3
    return cap * torch.tanh(brentq(gap, 1e-12, high) * scores / cap)


area = Answers("rope_area")


@area.wrong(says="log2 of the distance")
def area_linear(stability, distances):
    x = distances.double()
    return float(torch.trapezoid(stability.double(), x) / (x[-1] - x[0]))


@area.wrong(says="divide by the range")
def area_undivided(stability, distances):
    return float(torch.trapezoid(stability.double(), distances.double().log2()))


@area.wrong(says="begins at the first")
def area_from_zero(stability, distances):
    x = distances.double().log2()
    return float(torch.trapezoid(stability.double(), x) / x[-1])


@area.wrong(says="this is the mean")
def area_mean(stability, distances):
    return float(stability.mean())


@area.wrong(says="left value")
def area_left(stability, distances):
    x = distances.double().log2()
    return float((x.diff() * stability[:-1]).sum() / (x[-1] - x[0]))


@area.wrong(says="evenly spaced")
def area_even(stability, distances):
    return float(torch.trapezoid(stability) / (len(stability) - 1))


@area.right
def area_by_trapezoid(stability, distances):
    x = torch.log2(distances.double())
    return torch.trapezoid(stability.double(), x) / (x[-1] - x[0])


@area.right
def area_by_loop(stability, distances):
    x, s = [math.log(d) for d in distances.tolist()], stability.tolist()
    return sum((b - a) * (p + q) / 2 for a, b, p, q in zip(x, x[1:], s, s[1:])) / (x[-1] - x[0])


suspect = Answers("suspects")


@suspect.wrong(says="take the best")
def suspects_by_mean(own, others):
    d = others.mean(0) - own
    order = d.argsort(descending=True)
    return order, float(d[order[0]] - d[order[1]])


@suspect.wrong(says="OTHERS do better")
def suspects_wrong_way(own, others):
    d = own - others.amax(0)
    order = d.argsort(descending=True)
    return order, float(d[order[0]] - d[order[1]])


@suspect.wrong(says="absolute")
def suspects_absolute(own, others):
    d = (others.amax(0) - own).abs()
    order = d.argsort(descending=True)
    return order, float(d[order[0]] - d[order[1]])


@suspect.wrong(says="hard for every probe")
def suspects_lowest(own, others):
    d, order = others.amax(0) - own, own.argsort()
    return order, float(d[order[0]] - d[order[1]])


@suspect.wrong(says="SECOND")
def suspects_margin_is_the_first(own, others):
    d = others.amax(0) - own
    return d.argsort(descending=True), float(d.max())


@suspect.wrong(says="hold layers")
def suspects_values(own, others):
    d = (others.amax(0) - own).sort(descending=True).values
    return d, float(d[0] - d[1])


@suspect.right
def suspects_by_topk(own, others):
    top = (others.max(dim=0).values - own).topk(len(own))
    return top.indices, top.values[0] - top.values[1]


@suspect.right
def suspects_by_sorted(own, others):
    d = [max(column) - o for column, o in zip(others.T.tolist(), own.tolist())]
    order = sorted(range(len(d)), key=lambda layer: -d[layer])
    return order, d[order[0]] - d[order[1]]


share = Answers("contributions")


def _set(at, i):
    return tuple(1 if j == i else b for j, b in enumerate(at))


@share.wrong(says="put back first")
def shares_first(rho):
    none = (0,) * rho.dim()
    return torch.stack([rho[_set(none, i)] - rho[none] for i in range(rho.dim())])


@share.wrong(says="alone is missing")
def shares_last(rho):
    n = rho.dim()
    return torch.stack([rho[(1,) * n] - rho[tuple(int(j != i) for j in range(n))] for i in range(n)])


@share.wrong(says="one order only")
def shares_one_order(rho):
    n, out = rho.dim(), []
    for i in range(n):
        out.append(rho[(1,) * (i + 1) + (0,) * (n - i - 1)] - rho[(1,) * i + (0,) * (n - i)])
    return torch.stack(out)


@share.wrong(says="counts the same")
def shares_banzhaf(rho):
    return torch.stack([(rho.select(i, 1) - rho.select(i, 0)).mean() for i in range(rho.dim())])


@share.wrong(says="take their mean")
def shares_sum(rho):
    return shares_by_orders(rho) * math.factorial(rho.dim())


@share.wrong(says="sign is the wrong way")
def shares_minus(rho):
    return -shares_by_orders(rho)


@share.right
def shares_by_orders(rho):
    n = rho.dim()
    total = torch.zeros(n)
    for order in permutations(range(n)):
        at = (0,) * n
        for i in order:
            total[i] += rho[_set(at, i)] - rho[at]
            at = _set(at, i)
    return total / math.factorial(n)


@share.right
def shares_by_weights(rho):
    n = rho.dim()
    out = []
    for i in range(n):
        value = 0.0
        for at in product((0, 1), repeat=n):
            if at[i] == 0:
                weight = 1 / (n * math.comb(n - 1, sum(at)))
                value += weight * float(rho[_set(at, i)] - rho[at])
        out.append(value)
    return out
