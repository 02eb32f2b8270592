"""Lab 09's answers."""

import math

import torch
from answers import Answers
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize


def _best(A, B):
    return (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().amax(1)


def _pwmcc(A, B):
    return float(_best(A, B).mean() + _best(B, A).mean()) / 2


best = Answers("best_cosines")


@best.wrong(says="the sign is still there")
def with_the_sign(A, B):
    return (normalize(A, dim=1) @ normalize(B, dim=1).T).amax(1)


@best.wrong(says="still have their lengths")
def dot_products(A, B):
    return (A @ B.T).abs().amax(1)


@best.wrong(says="each column was normalised")
def columns_normalised(A, B):
    return (normalize(A, dim=0) @ normalize(B, dim=0).T).abs().amax(1)


@best.wrong(says="best partner of each row of B")
def the_other_direction(A, B):
    return (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().amax(0)


@best.wrong(says="take the largest")
def mean_over_partners(A, B):
    return (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().mean(1)


@best.wrong(says="0 / 0")
def nan_for_zeros(A, B):
    A, B = A / A.norm(dim=1, keepdim=True), B / B.norm(dim=1, keepdim=True)
    return (A @ B.T).abs().max(1).values


@best.wrong(says="only the rows of A")
def one_side_normalised(A, B):
    return (normalize(A, dim=1) @ B.T).abs().amax(1)


@best.right
def best_by_cosine_similarity(A, B):
    S = torch.nn.functional.cosine_similarity(A[:, None], B[None], dim=-1)
    return S.abs().max(dim=1).values


@best.right
def best_by_loop(A, B):
    out = []
    for u in A:
        scores = [0.0] + [float(abs(u @ v) / (u.norm() * v.norm())) for v in B if u.norm() > 0 and v.norm() > 0]
        out.append(max(scores))
    return torch.tensor(out)


dead = Answers("dead_two_ways")


@dead.wrong(says="exchanged")
def dead_swapped(z, W_dec, limit):
    return {"by_norm": int((z == 0).all(0).sum()), "by_firing": int((W_dec.norm(dim=1) < limit).sum())}


@dead.wrong(says="asked is how many never do")
def counts_the_living(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=1) < limit).sum()), "by_firing": int((z > 0).any(0).sum())}


@dead.wrong(says="both count the live ones")
def both_living(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=1) >= limit).sum()), "by_firing": int((z > 0).any(0).sum())}


@dead.wrong(says="a latent's direction is a row")
def lengths_of_columns(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=0) < limit).sum()), "by_firing": int((z == 0).all(0).sum())}


@dead.wrong(says="silent somewhere")
def silent_at_some_sample(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=1) < limit).sum()), "by_firing": int((z == 0).any(0).sum())}


@dead.wrong(says="a weak firing is a firing")
def threshold_on_the_codes(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=1) < limit).sum()), "by_firing": int((z.max(0).values < limit).sum())}


@dead.wrong(says="these are shares")
def dead_shares(z, W_dec, limit):
    return {
        "by_norm": float((W_dec.norm(dim=1) < limit).float().mean()),
        "by_firing": float((z == 0).all(0).float().mean()),
    }


@dead.wrong(says="both look along the wrong axis")
def dead_along_the_wrong_axes(z, W_dec, limit):
    return {"by_norm": int((W_dec.norm(dim=0) < limit).sum()), "by_firing": int((z == 0).all(1).sum())}


@dead.right
def dead_by_sums(z, W_dec, limit):
    return {"by_norm": (W_dec.pow(2).sum(1).sqrt() < limit).sum(), "by_firing": (z.sum(0) == 0).sum()}


@dead.right
def dead_by_loop(z, W_dec, limit):
    silent = sum(1 for latent in range(z.shape[1]) if float(z[:, latent].max()) == 0)
    return {"by_norm": sum(float(row.norm()) < limit for row in W_dec), "by_firing": silent}


spread = Answers("kaiming_spread")


@spread.wrong(says="fan_in is exchanged")
def fans_exchanged(d_in, d_sae):
    decoder = math.sqrt(2 / d_in)
    return {"encoder_std": math.sqrt(2 / d_sae), "decoder_std": decoder, "decoder_norm": decoder * math.sqrt(d_in)}


@spread.wrong(says="the end of the interval")
def bounds_for_spreads(d_in, d_sae):
    b = math.sqrt(6 / d_sae)
    return {"encoder_std": math.sqrt(6 / d_in), "decoder_std": b, "decoder_norm": b * math.sqrt(d_in)}


@spread.wrong(says="take the root")
def variances(d_in, d_sae):
    return {"encoder_std": 2 / d_in, "decoder_std": 2 / d_sae, "decoder_norm": d_in * 2 / d_sae}


@spread.wrong(says="grows with sqrt(d_in)")
def norm_times_d(d_in, d_sae):
    s = math.sqrt(2 / d_sae)
    return {"encoder_std": math.sqrt(2 / d_in), "decoder_std": s, "decoder_norm": s * d_in}


@spread.wrong(says="has d_in entries, not d_sae")
def norm_of_a_column(d_in, d_sae):
    s = math.sqrt(2 / d_sae)
    return {"encoder_std": math.sqrt(2 / d_in), "decoder_std": s, "decoder_norm": s * math.sqrt(d_sae)}


@spread.wrong(says="12 goes with the whole width")
def twelve(d_in, d_sae):
    s = math.sqrt(6 / d_sae / 12)
    return {"encoder_std": math.sqrt(6 / d_in / 12), "decoder_std": s, "decoder_norm": s * math.sqrt(d_in)}


@spread.right
def spread_from_the_bound(d_in, d_sae):
    encoder, decoder = (math.sqrt(6 / fan) / math.sqrt(3) for fan in (d_in, d_sae))
    return {"encoder_std": encoder, "decoder_std": decoder, "decoder_norm": (d_in * decoder**2) ** 0.5}


@spread.right
def spread_in_one_line(d_in, d_sae):
    return {
        "decoder_norm": (2 * d_in / d_sae) ** 0.5,
        "encoder_std": (2 / d_in) ** 0.5,
        "decoder_std": (2 / d_sae) ** 0.5,
    }


split = Answers("alive_split")


@split.wrong(says="only the first dictionary")
def split_of_the_first(z1, z2):
    on = (z1 != 0).any(0)
    return float(on.float().mean()), float(_best(z1.T, z2.T)[on].mean())


@split.wrong(says="the mean of two means")
def split_by_mean_of_means(z1, z2):
    on1, on2 = (z1 != 0).any(0), (z2 != 0).any(0)
    value = (_best(z1.T, z2.T)[on1].mean() + _best(z2.T, z1.T)[on2].mean()) / 2
    return float(torch.cat([on1, on2]).float().mean()), float(value)


@split.wrong(says="with their 0")
def split_with_the_dead(z1, z2):
    on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)])
    return float(on.float().mean()), float(torch.cat([_best(z1.T, z2.T), _best(z2.T, z1.T)]).mean())


@split.wrong(says="how often latents fire")
def split_by_density(z1, z2):
    on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)])
    best_ = torch.cat([_best(z1.T, z2.T), _best(z2.T, z1.T)])
    return float(torch.cat([z1, z2]).ne(0).float().mean()), float(best_[on].mean())


@split.wrong(says="samples were compared with samples")
def split_of_samples(z1, z2):
    on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)])
    return float(on.float().mean()), _pwmcc(z1, z2)


@split.wrong(says="share of the dead")
def split_dead(z1, z2):
    on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)])
    best_ = torch.cat([_best(z1.T, z2.T), _best(z2.T, z1.T)])
    return 1 - float(on.float().mean()), float(best_[on].mean())


@split.wrong(says="a mask of its own")
def split_where_both_live(z1, z2):
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    best_ = torch.cat([_best(z1.T, z2.T)[on], _best(z2.T, z1.T)[on]])
    return float(on.float().mean()), float(best_.mean())


@split.wrong(says="a mask of its own")
def split_of_pairs_that_live(z1, z2):
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    a, b = z1[:, on].T, z2[:, on].T
    return float(on.float().mean()), float(torch.cat([_best(a, b), _best(b, a)]).mean())


@split.wrong(says="a mask of its own")
def split_one_way_where_both_live(z1, z2):
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    return on.float().mean(), _best(z1.T, z2.T)[on].mean()


@split.right
def split_by_dropping(z1, z2):
    a, b = z1[:, (z1 > 0).any(0)].T, z2[:, (z2 > 0).any(0)].T
    n = len(a) + len(b)
    return n / (2 * z1.shape[1]), (_best(a, b).sum() + _best(b, a).sum()) / n


@split.right
def split_by_weights(z1, z2):
    n1, n2 = int((z1.sum(0) != 0).sum()), int((z2.sum(0) != 0).sum())
    fraction = (n1 + n2) / (z1.shape[1] + z2.shape[1])
    return torch.tensor([fraction, _pwmcc(z1.T, z2.T) / fraction])


null = Answers("gaussian_null")


@null.wrong(says="the same")
def reseeds_each(d_sae, d_in, pairs, seed):
    values = []
    for _ in range(pairs):
        A = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
        B = torch.randn(d_sae, d_in, generator=torch.Generator().manual_seed(seed))
        values.append(_pwmcc(A, B))
    return sum(values) / pairs


@null.wrong(says="one side")
def even_numbers(d_sae, d_in, pairs, seed):
    g = torch.Generator().manual_seed(seed)
    return sum(_pwmcc(*(torch.rand(d_sae, d_in, generator=g) for _ in range(2))) for _ in range(pairs)) / pairs


@null.wrong(says="d_sae and d_in are exchanged")
def transposed(d_sae, d_in, pairs, seed):
    g = torch.Generator().manual_seed(seed)
    return sum(_pwmcc(*(torch.randn(d_in, d_sae, generator=g) for _ in range(2))) for _ in range(pairs)) / pairs


@null.wrong(says="a lost sign")
def null_with_sign(d_sae, d_in, pairs, seed):
    g, total = torch.Generator().manual_seed(seed), 0.0
    for _ in range(pairs):
        A, B = (normalize(torch.randn(d_sae, d_in, generator=g), dim=1) for _ in range(2))
        total += float((A @ B.T).amax(1).mean()) / pairs
    return total


@null.wrong(says="sum over the pairs")
def null_summed(d_sae, d_in, pairs, seed):
    g = torch.Generator().manual_seed(seed)
    return sum(_pwmcc(*(torch.randn(d_sae, d_in, generator=g) for _ in range(2))) for _ in range(pairs))


@null.wrong(says="expected one number")
def null_list(d_sae, d_in, pairs, seed):
    g = torch.Generator().manual_seed(seed)
    return [_pwmcc(*(torch.randn(d_sae, d_in, generator=g) for _ in range(2))) for _ in range(pairs)]


@null.wrong(says="every pair is the same pair")
def reseeds_each_pair(d_sae, d_in, pairs, seed):
    values = []
    for _ in range(pairs):
        g = torch.Generator().manual_seed(seed)
        values.append(_pwmcc(*(torch.randn(d_sae, d_in, generator=g) for _ in range(2))))
    return sum(values) / pairs


@null.right
def null_by_numpy(d_sae, d_in, pairs, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    draws = [torch.from_numpy(rng.normal(size=(2, d_sae, d_in))) for _ in range(pairs)]
    return torch.tensor([_pwmcc(A, B) for A, B in draws]).mean()


@null.right
def null_by_global_seed(d_sae, d_in, pairs, seed):
    torch.manual_seed(seed)
    total = 0.0
    for _ in range(pairs):
        A, B = torch.randn(2, d_sae, d_in)
        total += _pwmcc(A, B)
    return total / pairs


interval = Answers("seed_interval")


def _left(table):
    n = len(table)
    return torch.stack([table[keep][:, keep].nanmean() for keep in (torch.arange(n) != i for i in range(n))])


@interval.wrong(says="counted as independent")
def pairs_are_draws(table, t):
    values = table[torch.triu(torch.ones_like(table), 1) > 0]
    return float(values.mean()), t * float(values.std()) / math.sqrt(len(values))


@interval.wrong(says="the factor (n - 1) / n is missing")
def no_factor(table, t):
    left = _left(table)
    return float(table.nanmean()), t * float((left - left.mean()).pow(2).sum().sqrt())


@interval.wrong(says="as for independent draws")
def std_of_left_out(table, t):
    return float(table.nanmean()), t * float(_left(table).std())


@interval.wrong(says="the factor t is missing")
def no_t(table, t):
    left, n = _left(table), len(table)
    return float(table.nanmean()), float(((n - 1) / n * (left - left.mean()).pow(2).sum()).sqrt())


@interval.wrong(says="NaN")
def plain_mean(table, t):
    return float(table.mean()), float("nan")


@interval.wrong(says="every pair is counted twice")
def both_halves(table, t):
    values = table[~torch.isnan(table)]
    return float(values.mean()), t * float(values.std()) / math.sqrt(len(values))


@interval.right
def interval_by_rows(table, t):
    n = len(table)
    clean = table.double().nan_to_num(0)
    total = clean.sum() / 2
    left = (total - clean.sum(1)) / ((n - 1) * (n - 2) / 2)
    return total / (n * (n - 1) / 2), t * math.sqrt((n - 1) * float(left.var(unbiased=False)))


@interval.right
def interval_by_deleting(table, t):
    import numpy as np

    T = table.numpy().astype(float)
    n = len(T)
    left = np.array([np.nanmean(np.delete(np.delete(T, i, 0), i, 1)) for i in range(n)])
    return [float(np.nanmean(T)), float(t * np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))]


copy = Answers("copy_test")


@copy.wrong(says="leave them out")
def all_sequences(answers, shown, sums):
    return float((answers == shown).float().mean()), float((answers == sums).float().mean())


@copy.wrong(says="not out of what they are divided by")
def copy_divided_by_all(answers, shown, sums):
    differ = shown != sums
    n = len(answers)
    return int(((answers == shown) & differ).sum()) / n, int(((answers == sums) & differ).sum()) / n


@copy.wrong(says="exchanged")
def copy_swapped(answers, shown, sums):
    d = shown != sums
    return float((answers == sums)[d].float().mean()), float((answers == shown)[d].float().mean())


@copy.wrong(says="need not be the sum")
def copy_complement(answers, shown, sums):
    copied = float((answers == shown)[shown != sums].float().mean())
    return copied, 1 - copied


@copy.right
def copy_by_indexing(answers, shown, sums):
    at = (shown != sums).nonzero().squeeze(1)
    a = answers[at]
    return (a == shown[at]).float().mean(), (a == sums[at]).float().mean()


@copy.right
def copy_by_loop(answers, shown, sums):
    rows = [(int(a), int(c), int(s)) for a, c, s in zip(answers, shown, sums, strict=True) if c != s]
    return [sum(a == c for a, c, _ in rows) / len(rows), sum(a == s for a, _, s in rows) / len(rows)]


one = Answers("one_to_one")


@one.wrong(says="mean of the row maxima")
def row_maxima(A, B):
    return float(_best(A, B).mean())


@one.wrong(says="the worst matching")
def smallest_sum(A, B):
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().numpy()
    return float(S[linear_sum_assignment(S)].mean())


@one.wrong(says="the sign is still there")
def matched_with_sign(A, B):
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).numpy()
    return float(S[linear_sum_assignment(S, maximize=True)].mean())


@one.wrong(says="take the mean")
def matched_sum(A, B):
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().numpy()
    return float(S[linear_sum_assignment(-S)].sum())


@one.wrong(says="the order of latents means nothing")
def same_index(A, B):
    return float((normalize(A, dim=1) * normalize(B, dim=1)).sum(1).abs().mean())


@one.right
def matched_by_cost(A, B):
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs()
    rows, columns = linear_sum_assignment(1 - S.numpy())
    return S[torch.tensor(rows), torch.tensor(columns)].mean()


@one.right
def matched_by_trying(A, B):
    from itertools import permutations

    S = torch.nn.functional.cosine_similarity(A[:, None], B[None], dim=-1).abs()
    return max(float(S[torch.arange(len(A)), list(order)].mean()) for order in permutations(range(len(B))))


overlap = Answers("subspace_overlap")


def _V(W, r):
    return torch.linalg.svd(W, full_matrices=False).Vh[:r]


@overlap.wrong(says="divide by r")
def divided_by_d(A, B, r):
    return float((_V(A, r) @ _V(B, r).T).pow(2).sum() / A.shape[1])


@overlap.wrong(says="not squared")
def absolute_cosines(A, B, r):
    return float((_V(A, r) @ _V(B, r).T).abs().sum() / r)


@overlap.wrong(says="direction i only")
def axis_by_axis(A, B, r):
    return float((_V(A, r) * _V(B, r)).sum(1).pow(2).mean())


@overlap.wrong(says="the last directions")
def smallest_directions(A, B, r):
    V = [torch.linalg.svd(W, full_matrices=False).Vh[-r:] for W in (A, B)]
    return float((V[0] @ V[1].T).pow(2).sum() / r)


@overlap.wrong(says="not its square")
def frobenius_norm(A, B, r):
    return float((_V(A, r) @ _V(B, r).T).norm() / r)


@overlap.wrong(says="mean over r x r")
def mean_of_squares(A, B, r):
    return float((_V(A, r) @ _V(B, r).T).pow(2).mean())


@overlap.wrong(says="its rows are the directions")
def columns_of_Vh(A, B, r):
    U, V = (torch.linalg.svd(W, full_matrices=False).Vh[:, :r] for W in (A, B))
    return float((U @ V.T).pow(2).sum() / r)


@overlap.right
def overlap_by_projectors(A, B, r):
    P = [_V(W, r).T @ _V(W, r) for W in (A, B)]
    return torch.trace(P[0] @ P[1]) / r


@overlap.right
def overlap_by_eigenvectors(A, B, r):
    V = [torch.linalg.eigh(W.T @ W).eigenvectors[:, -r:] for W in (A, B)]
    return float(torch.linalg.svdvals(V[0].T @ V[1]).pow(2).mean())


live = Answers("live_pwmcc")


@live.wrong(says="all latents are compared")
def everybody(W1, W2, z1, z2):
    return _pwmcc(W1, W2)


@live.wrong(says="still there as possible partners")
def dead_partners(W1, W2, z1, z2):
    on1, on2 = (z1 != 0).any(0), (z2 != 0).any(0)
    return float(_best(W1, W2)[on1].mean() + _best(W2, W1)[on2].mean()) / 2


@live.wrong(says="each has its own live latents")
def alive_in_both(W1, W2, z1, z2):
    on = (z1 != 0).any(0) & (z2 != 0).any(0)
    return _pwmcc(W1[on], W2[on])


@live.wrong(says="set to 0 and still counted")
def dead_zeroed(W1, W2, z1, z2):
    return _pwmcc(W1 * (z1 != 0).any(0)[:, None], W2 * (z2 != 0).any(0)[:, None])


@live.wrong(says="average both directions")
def one_way(W1, W2, z1, z2):
    return float(_best(W1[(z1 != 0).any(0)], W2[(z2 != 0).any(0)]).mean())


@live.wrong(says="only the first dictionary is restricted")
def live_in_one(W1, W2, z1, z2):
    return _pwmcc(W1[(z1 != 0).any(0)], W2)


@live.right
def live_by_sums(W1, W2, z1, z2):
    return _pwmcc(W1[z1.sum(0) > 0], W2[z2.sum(0) > 0])


@live.right
def live_by_index(W1, W2, z1, z2):
    A, B = (W[z.amax(0).nonzero().squeeze(1)] for W, z in ((W1, z1), (W2, z2)))
    S = torch.nn.functional.cosine_similarity(A[:, None], B[None], dim=-1).abs()
    return (S.amax(0).mean() + S.amax(1).mean()) / 2


rank = Answers("effective_rank")


@rank.wrong(says="the mean is still in h")
def not_centred(h):
    s = torch.linalg.svdvals(h)
    return float(torch.special.entr(s / s.sum()).sum().exp())


@rank.wrong(says="squared singular values")
def of_variances(h):
    s = torch.linalg.svdvals(h - h.mean(0)) ** 2
    return float(torch.special.entr(s / s.sum()).sum().exp())


@rank.wrong(says="that is the entropy")
def no_exponential(h):
    s = torch.linalg.svdvals(h - h.mean(0))
    return float(torch.special.entr(s / s.sum()).sum())


@rank.wrong(says="natural logarithm")
def in_bits(h):
    s = torch.linalg.svdvals(h - h.mean(0))
    p = s / s.sum()
    p = p[p > 1e-9]
    return float((-(p * p.log2()).sum()).exp())


@rank.wrong(says="plain rank")
def plain_rank(h):
    return int(torch.linalg.matrix_rank(h - h.mean(0)))


@rank.right
def rank_by_eigenvalues(h):
    s = torch.linalg.eigvalsh(torch.cov(h.double().T)).clamp(min=0).sqrt()
    p = s[s > 1e-7 * s.max()]
    p = p / p.sum()
    return float((-(p * p.log()).sum()).exp())


@rank.right
def rank_by_entropy(h):
    from scipy.stats import entropy

    s = torch.linalg.svdvals((h - h.mean(dim=0, keepdim=True)).double())
    return float(math.exp(entropy(s.numpy())))
