"""Lab 08's answers."""

import math

import torch
from answers import Answers
from torch.nn.functional import gelu, silu

mean = Answers("mean_state")


@mean.wrong(says="padding for shorter prompts")
def last_column(states, last):
    return states[:, -1].mean(0)


@mean.wrong(says="padding included")
def over_everything(states, last):
    return states.mean(dim=(0, 1))


@mean.wrong(says="only the last one counts")
def over_each_prompt(states, last):
    rows = [states[i, : last[i] + 1].mean(0) for i in range(len(states))]
    return torch.stack(rows).mean(0)


@mean.wrong(says="one token too early")
def minus_one(states, last):
    return torch.stack([states[i, last[i] - 1] for i in range(len(states))]).mean(0)


@mean.wrong(says="pairs every prompt with every end")
def all_pairs(states, last):
    return states[:, last].mean(dim=(0, 1))


@mean.right
def mean_with_gather(states, last):
    index = last[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, index)[:, 0].mean(0)


@mean.right
def mean_by_loop(states, last):
    total = 0
    for state, end in zip(states, last):
        total = total + state[end]
    return total / len(states)


slopes = Answers("gated_slopes")


def _slope(x, approximate="tanh"):
    x = x.clone().requires_grad_(True)
    gelu(x, approximate=approximate).sum().backward()
    return x.grad


@slopes.wrong(says="exact GELU")
def exact_gelu(gate, up):
    return {"by_gate": _slope(gate, "none") * up, "by_up": gelu(gate)}


@slopes.wrong(says="has up in it")
def forgets_up(gate, up):
    return {"by_gate": _slope(gate), "by_up": gelu(gate, approximate="tanh")}


@slopes.wrong(says="not gate")
def linear_gate(gate, up):
    return {"by_gate": _slope(gate) * up, "by_up": gate}


@slopes.wrong(says="swapped")
def swapped(gate, up):
    return {"by_gate": gelu(gate, approximate="tanh"), "by_up": _slope(gate) * up}


@slopes.wrong(says="slope of ReLU")
def relu_slopes(gate, up):
    return {"by_gate": torch.where(gate > 0, up, 0.0), "by_up": gate.clamp(min=0)}


@slopes.wrong(says="applied to up here")
def gelu_on_up(gate, up):
    return {"by_gate": gelu(up, approximate="tanh"), "by_up": _slope(up) * gate}


@slopes.wrong(says="SiLU")
def swish(gate, up):
    s = torch.sigmoid(gate)
    return {"by_gate": (s + gate * s * (1 - s)) * up, "by_up": silu(gate)}


@slopes.wrong(says="factors themselves")
def factors(gate, up):
    return {"by_gate": gelu(gate, approximate="tanh"), "by_up": up}


@slopes.wrong(says="slope were 1")
def gelu_has_slope_one(gate, up):
    return {"by_gate": up, "by_up": gelu(gate, approximate="tanh")}


@slopes.right
def slopes_by_autograd(gate, up):
    g, u = gate.clone().requires_grad_(True), up.clone().requires_grad_(True)
    with torch.enable_grad():
        by_gate, by_up = torch.autograd.grad((gelu(g, approximate="tanh") * u).sum(), (g, u))
    return {"by_gate": by_gate, "by_up": by_up}


@slopes.right
def slopes_by_formula(gate, up):
    c = math.sqrt(2 / math.pi)
    t = torch.tanh(c * (gate + 0.044715 * gate**3))
    d = 0.5 * (1 + t) + 0.5 * gate * (1 - t**2) * c * (1 + 3 * 0.044715 * gate**2)
    return {"by_gate": d * up, "by_up": 0.5 * gate * (1 + t)}


warm = Answers("warm_objective")


@warm.wrong(says="one of the two awake is enough")
def either_awake(post, gate, up):
    return torch.where((gate >= 1) | (up >= 1), post, gate.clamp(max=1.5) + up.clamp(max=1.5))


@warm.wrong(says="not capped")
def uncapped(post, gate, up):
    return torch.where((gate >= 1) & (up >= 1), post, gate + up)


@warm.wrong(says="positive in the false optimum too")
def asks_the_product(post, gate, up):
    return torch.where(post > 0, post, gate.clamp(max=1.5) + up.clamp(max=1.5))


@warm.wrong(says="decide for each row")
def all_or_none(post, gate, up):
    if (gate >= 1).all() and (up >= 1).all():
        return post
    return gate.clamp(max=1.5) + up.clamp(max=1.5)


@warm.wrong(says="cap gate and up each")
def caps_the_sum(post, gate, up):
    return torch.where((gate >= 1) & (up >= 1), post, torch.clamp(gate + up, max=1.5))


@warm.wrong(says="from 1 on")
def awake_above_zero(post, gate, up):
    return torch.where((gate > 0) & (up > 0), post, gate.clamp(max=1.5) + up.clamp(max=1.5))


@warm.wrong(says="that is the cap")
def awake_at_the_cap(post, gate, up):
    return torch.where((gate >= 1.5) & (up >= 1.5), post, gate.clamp(max=1.5) + up.clamp(max=1.5))


@warm.wrong(says="Add them")
def multiplies(post, gate, up):
    return torch.where((gate >= 1) & (up >= 1), post, gate.clamp(max=1.5) * up.clamp(max=1.5))


@warm.wrong(says="count as awake")
def strictly(post, gate, up):
    return torch.where((gate > 1) & (up > 1), post, gate.clamp(max=1.5) + up.clamp(max=1.5))


@warm.right
def warm_by_loop(post, gate, up):
    out = []
    for p, g, u in zip(post, gate, up):
        out.append(p if min(g, u) >= 1 else min(g, torch.tensor(1.5)) + min(u, torch.tensor(1.5)))
    return torch.stack(out)


@warm.right
def warm_with_minimum(post, gate, up):
    asleep = torch.minimum(gate, up) < 1
    cap = torch.full_like(gate, 1.5)
    waking = torch.minimum(gate, cap) + torch.minimum(up, cap)
    return asleep * waking + ~asleep * post


distance = Answers("mahalanobis")


@distance.wrong(says="square root is missing")
def squared(x, rows):
    away = x - rows.mean(0)
    return (away @ torch.linalg.inv(torch.cov(rows.T)) * away).mean(-1)


@distance.wrong(says="division by d is missing")
def without_d(x, rows):
    away = x - rows.mean(0)
    return (away @ torch.linalg.inv(torch.cov(rows.T)) * away).sum(-1).sqrt()


@distance.wrong(says="leaves correlations out")
def z_scores(x, rows):
    return ((x - rows.mean(0)) / rows.std(0)).pow(2).mean(-1).sqrt()


@distance.wrong(says="not inverted")
def by_the_covariance(x, rows):
    away = x - rows.mean(0)
    return ((away @ torch.cov(rows.T) * away).sum(-1) / x.shape[1]).sqrt()


@distance.wrong(says="measured from 0")
def not_centred(x, rows):
    return ((x @ torch.linalg.inv(torch.cov(rows.T)) * x).sum(-1) / x.shape[1]).sqrt()


@distance.wrong(says="Euclidean")
def euclidean(x, rows):
    return (x - rows.mean(0)).norm(dim=-1)


@distance.wrong(says="between two copies")
def not_whitened(x, rows):
    return (torch.linalg.inv(torch.cov(rows.T)) @ (x - rows.mean(0)).T).norm(dim=0) / x.shape[1] ** 0.5


@distance.right
def by_whitening(x, rows):
    centred = rows - rows.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(rows) - 1))
    return ((x - rows.mean(0)) @ vectors / values.sqrt()).pow(2).mean(-1).sqrt()


@distance.right
def by_cholesky(x, rows):
    L = torch.linalg.cholesky(torch.cov(rows.T))
    w = torch.linalg.solve_triangular(L, (x - rows.mean(0)).T, upper=False)
    return w.norm(dim=0) / x.shape[1] ** 0.5


agreement = Answers("top_agreement")


@agreement.wrong(says="paired with itself")
def with_the_diagonal(z):
    value, top = z.max(1)
    return ((top[:, None] == top) & (value > 0)).float().mean().item()


@agreement.wrong(says="silent restarts agree with each other")
def silent_agree(z):
    top = z.argmax(1)
    n = len(z)
    return float(((top[:, None] == top).sum() - n) / (n * (n - 1)))


@agreement.wrong(says="asked are pairs")
def share_of_the_mode(z):
    value, top = z.max(1)
    return float(top[value > 0].bincount().max() / len(z))


@agreement.wrong(says="they count as pairs that disagree")
def drops_the_silent(z):
    z = z[z.max(1).values > 0]
    top, n = z.argmax(1), len(z)
    return float(((top[:, None] == top).sum() - n) / (n * (n - 1)))


@agreement.wrong(says="divided by ordered pairs")
def half(z):
    value, top = z.max(1)
    same = ((top[:, None] == top) & (value > 0)).triu(1).sum()
    return float(same / (len(z) * (len(z) - 1)))


@agreement.right
def pairs_with_combinations(z):
    pairs = torch.combinations(torch.arange(len(z)))
    top = torch.where(z.amax(1) > 0, z.argmax(1), -1 - torch.arange(len(z)))
    return (top[pairs[:, 0]] == top[pairs[:, 1]]).double().mean().item()


@agreement.right
def pairs_by_counting(z):
    value, top = z.max(1)
    count = torch.bincount(top[value > 0], minlength=z.shape[1])
    return float((count * (count - 1)).sum() / (len(z) * (len(z) - 1)))


control = Answers("control_latent")


@control.wrong(says="chosen latent itself")
def itself(mean_activation, share_active, chosen):
    gap = (mean_activation - mean_activation[chosen]).abs()
    gap[share_active < 0.5] = torch.inf
    return int(gap.argmin())


@control.wrong(says="too few places")
def any_latent(mean_activation, share_active, chosen):
    gap = (mean_activation - mean_activation[chosen]).abs()
    gap[chosen] = torch.inf
    return int(gap.argmin())


@control.wrong(says="most active of the others")
def most_active(mean_activation, share_active, chosen):
    allowed = share_active >= 0.5
    allowed[chosen] = False
    return int(torch.where(allowed, mean_activation, -torch.inf).argmax()) if allowed.any() else -1


@control.wrong(says=">=, not >")
def more_than_half(mean_activation, share_active, chosen):
    gap = (mean_activation - mean_activation[chosen]).abs()
    gap[~(share_active > 0.5)] = torch.inf
    gap[chosen] = torch.inf
    return int(gap.argmin()) if gap.min() < torch.inf else -1


@control.wrong(says="return -1")
def never_gives_up(mean_activation, share_active, chosen):
    gap = (mean_activation - mean_activation[chosen]).abs()
    gap[share_active < 0.5] = torch.inf
    gap[chosen] = torch.inf
    return int(gap.argmin())


@control.right
def control_by_sorting(mean_activation, share_active, chosen):
    order = (mean_activation - mean_activation[chosen]).abs().argsort().tolist()
    return next((i for i in order if i != chosen and share_active[i] >= 0.5), -1)


@control.right
def control_by_masking(mean_activation, share_active, chosen):
    allowed = (share_active >= 0.5) & (torch.arange(len(share_active)) != chosen)
    if not allowed.any():
        return -1
    where = allowed.nonzero().squeeze(1)
    return where[(mean_activation[where] - mean_activation[chosen]).abs().argmin()]


curve = Answers("threshold_curve")


def _inside(latent, edges):
    return (latent[:, None] >= edges[:-1]) & (latent[:, None] < edges[1:])


@curve.wrong(says="so NaN")
def zero_when_empty(latent, fires, edges):
    inside = _inside(latent, edges)
    return (inside & fires[:, None]).sum(0) / inside.sum(0).clamp(min=1)


@curve.wrong(says="each bin has its own number")
def of_all_tokens(latent, fires, edges):
    return (_inside(latent, edges) & fires[:, None]).float().mean(0)


@curve.wrong(says="where the firings lie")
def of_the_firings(latent, fires, edges):
    return (_inside(latent, edges) & fires[:, None]).sum(0) / fires.sum()


@curve.wrong(says="belongs to the bin that begins there")
def upper_edge(latent, fires, edges):
    inside = (latent[:, None] > edges[:-1]) & (latent[:, None] <= edges[1:])
    return (inside & fires[:, None]).sum(0) / inside.sum(0)


@curve.wrong(says="cumulative")
def above_the_edge(latent, fires, edges):
    inside = latent[:, None] >= edges[:-1]
    return (inside & fires[:, None]).sum(0) / inside.sum(0)


@curve.wrong(says="first and last bin")
def clamps(latent, fires, edges):
    bins = (torch.bucketize(latent, edges, right=True) - 1).clamp(0, len(edges) - 2)
    return torch.stack([fires[bins == i].float().mean() for i in range(len(edges) - 1)])


@curve.right
def curve_by_bucketize(latent, fires, edges):
    bins = torch.bucketize(latent, edges, right=True) - 1
    return torch.stack([fires[bins == i].float().mean() for i in range(len(edges) - 1)])


@curve.right
def curve_by_loop(latent, fires, edges):
    out = []
    for i in range(len(edges) - 1):
        hits = fires[(latent >= edges[i]) & (latent < edges[i + 1])].tolist()
        out.append(sum(hits) / len(hits) if hits else float("nan"))
    return torch.tensor(out)


contrast = Answers("contrastive_logits")


@contrast.wrong(says="first L_act is missing")
def contrast_alone(act, mean, alpha):
    return alpha[:, None] * (act - mean)


@contrast.wrong(says="wrong way round")
def reversed_contrast(act, mean, alpha):
    return act + alpha[:, None] * (mean - act)


@contrast.wrong(says="L_mean alone")
def subtracts_mean(act, mean, alpha):
    return act - alpha[:, None] * mean


@contrast.wrong(says="one alpha for all rows")
def one_alpha(act, mean, alpha):
    return act + alpha.mean() * (act - mean)


@contrast.wrong(says="laid along the tokens")
def no_column(act, mean, alpha):
    return act + alpha * (act - mean)


@contrast.wrong(says="asked are logits")
def as_distribution(act, mean, alpha):
    return torch.softmax(act + alpha[:, None] * (act - mean), dim=-1)


@contrast.right
def contrast_weighted(act, mean, alpha):
    w = alpha.unsqueeze(1)
    return (1 + w) * act - w * mean


@contrast.right
def contrast_by_lerp(act, mean, alpha):
    return torch.stack([torch.lerp(m, a, 1 + float(w)) for a, m, w in zip(act, mean, alpha)])


successors = Answers("natural_successors")


@successors.wrong(says="at the strong places")
def the_tokens_themselves(ids, strong, least, n_vocab):
    count = torch.bincount(ids[strong], minlength=n_vocab)
    return count >= least * count.sum()


@successors.wrong(says="nothing follows the last position")
def rolls(ids, strong, least, n_vocab):
    count = torch.bincount(ids.roll(-1, dims=1)[strong], minlength=n_vocab)
    return count >= least * count.sum()


@successors.wrong(says="nothing follows the last position")
def flattens(ids, strong, least, n_vocab):
    count = torch.bincount(ids.flatten()[1:][strong.flatten()[:-1]], minlength=n_vocab)
    return count >= least * count.sum()


@successors.wrong(says="before the strong places")
def the_other_way(ids, strong, least, n_vocab):
    count = torch.bincount(ids[:, :-1][strong[:, 1:]], minlength=n_vocab)
    return count >= least * count.sum()


@successors.wrong(says="every token that ever follows")
def any_follower(ids, strong, least, n_vocab):
    return torch.bincount(ids[:, 1:][strong[:, :-1]], minlength=n_vocab) > 0


@successors.wrong(says="at least")
def strictly_more(ids, strong, least, n_vocab):
    after = ids[:, 1:][strong[:, :-1]]
    return torch.bincount(after, minlength=n_vocab) > round(least * len(after), 6)


@successors.right
def successors_by_loop(ids, strong, least, n_vocab):
    count, n = [0] * n_vocab, 0
    for row, on in zip(ids.tolist(), strong.tolist()):
        for here, after in zip(on, row[1:]):
            if here:
                count[after] += 1
                n += 1
    return torch.tensor([c >= least * n for c in count])


@successors.right
def successors_by_places(ids, strong, least, n_vocab):
    text, place = strong[:, :-1].nonzero().T
    one_hot = torch.nn.functional.one_hot(ids[text, place + 1], n_vocab)
    return one_hot.sum(0) >= least * len(text)


covered = Answers("loss_covered")


@covered.wrong(says="negative losses")
def with_gains(before, after, label):
    lost = before - after
    return float((lost * label).sum() / lost.sum())


@covered.wrong(says="gains are counted as losses")
def absolute(before, after, label):
    lost = (before - after).abs()
    return float((lost * label).sum() / lost.sum())


@covered.wrong(says="swapped")
def gains_only(before, after, label):
    lost = torch.relu(after - before)
    return float((lost * label).sum() / lost.sum())


@covered.wrong(says="share of tokens")
def counts_tokens(before, after, label):
    lost = before > after
    return float((lost & label).sum() / lost.sum())


@covered.wrong(says="0 / 0 is no number")
def nan_for_nothing(before, after, label):
    lost = (before - after).clamp(min=0)
    return float(lost[label].sum() / lost.sum())


@covered.wrong(says="divided by the target's activation")
def of_the_activation(before, after, label):
    return float((before - after).clamp(min=0)[label].sum() / before.sum())


@covered.wrong(says="divided by the mean loss over all")
def means_of_both(before, after, label):
    lost = (before - after).clamp(min=0)
    return float(lost[label].mean() / lost.mean()) if lost.sum() > 0 else 0.0


@covered.right
def covered_by_where(before, after, label):
    lost = torch.where(before > after, before - after, 0.0)
    total = lost.sum().item()
    return lost[label].sum().item() / total if total else 0.0


@covered.right
def covered_by_loop(before, after, label):
    inside = total = 0.0
    for b, a, here in zip(before.flatten().tolist(), after.flatten().tolist(), label.flatten().tolist()):
        total += max(b - a, 0)
        inside += max(b - a, 0) * here
    return 0.0 if total == 0 else inside / total
