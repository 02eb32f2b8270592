"""Lab 05's answers."""

import torch
from answers import Answers
from torch.nn.functional import normalize

statistics = Answers("firing_statistics")


@statistics.wrong(says="<bos> is counted")
def counts_bos(z):
    rows = z.flatten(0, 1)
    n = (rows > 0).sum(0)
    return {"share": n / len(rows), "largest": rows.amax(0), "mean_when_on": rows.sum(0) / n.clamp(min=1)}


@statistics.wrong(says="take it over those at which the latent fires")
def mean_over_all_tokens(z):
    rows = z[:, 1:].flatten(0, 1)
    return {"share": (rows > 0).float().mean(0), "largest": rows.amax(0), "mean_when_on": rows.mean(0)}


@statistics.wrong(says="0 / 0")
def nan_for_the_dead(z):
    rows = z[:, 1:].flatten(0, 1)
    on = rows > 0
    return {"share": on.float().mean(0), "largest": rows.amax(0), "mean_when_on": rows.sum(0) / on.sum(0)}


@statistics.wrong(says="a count of tokens")
def count_for_share(z):
    rows = z[:, 1:].flatten(0, 1)
    n = (rows > 0).sum(0)
    return {"share": n.float(), "largest": rows.amax(0), "mean_when_on": rows.sum(0) / n.clamp(min=1)}


@statistics.wrong(says="still in the number")
def divides_by_all_positions(z):
    rows = z[:, 1:].flatten(0, 1)
    n = (rows > 0).sum(0)
    share = n / (z.shape[0] * z.shape[1])
    return {"share": share, "largest": rows.amax(0), "mean_when_on": rows.sum(0) / n.clamp(min=1)}


@statistics.wrong(says="share of sequences")
def share_of_sequences(z):
    rows = z[:, 1:].flatten(0, 1)
    n = (rows > 0).sum(0)
    share = (z[:, 1:] > 0).any(1).float().mean(0)
    return {"share": share, "largest": rows.amax(0), "mean_when_on": rows.sum(0) / n.clamp(min=1)}


@statistics.wrong(says="the dict lacks mean_when_on")
def forgets_one(z):
    rows = z[:, 1:].flatten(0, 1)
    return {"share": (rows > 0).float().mean(0), "largest": rows.amax(0)}


@statistics.wrong(says="argument z in place")
def clears_bos_in_the_argument(z):
    z[:, 0] = 0
    n = (z > 0).sum((0, 1))
    total = z.shape[0] * (z.shape[1] - 1)
    return {"share": n / total, "largest": z.amax((0, 1)), "mean_when_on": z.sum((0, 1)) / n.clamp(min=1)}


@statistics.right
def statistics_by_loop(z):
    out = {"share": [], "largest": [], "mean_when_on": []}
    for latent in range(z.shape[-1]):
        values = z[:, 1:, latent].reshape(-1)
        on = values[values > 0]
        out["share"].append(len(on) / len(values))
        out["largest"].append(values.max().item())
        out["mean_when_on"].append(on.mean().item() if len(on) else 0.0)
    return {key: torch.tensor(column) for key, column in out.items()}


@statistics.right
def statistics_over_two_axes(z):
    z = z[:, 1:]
    on = (z > 0).float()
    mean = torch.nan_to_num(z.sum((0, 1)) / on.sum((0, 1)))
    return {"share": on.mean((0, 1)), "largest": z.amax((0, 1)), "mean_when_on": mean}


top = Answers("top_contexts")


@top.wrong(says="several contexts come from one sequence")
def top_of_everything(z, k):
    flat = z[:, 1:].flatten().topk(k).indices
    return torch.stack([flat // (z.shape[1] - 1), flat % (z.shape[1] - 1) + 1], dim=1)


@top.wrong(says="<bos> is among them")
def keeps_bos(z, k):
    highest, position = z.max(1)
    sequence = highest.topk(k).indices
    return torch.stack([sequence, position[sequence]], dim=1)


@top.wrong(says="<bos> is among them")
def everything_with_bos(z, k):
    flat = z.flatten().topk(k).indices
    return torch.stack([flat // z.shape[1], flat % z.shape[1]], dim=1)


@top.wrong(says="one too low")
def off_by_one(z, k):
    highest, position = z[:, 1:].max(1)
    sequence = highest.topk(k).indices
    return torch.stack([sequence, position[sequence]], dim=1)


@top.wrong(says="(position, sequence)")
def columns_swapped(z, k):
    highest, position = z[:, 1:].max(1)
    sequence = highest.topk(k).indices
    return torch.stack([position[sequence] + 1, sequence], dim=1)


@top.wrong(says="weakest first")
def ascending(z, k):
    highest, position = z[:, 1:].max(1)
    sequence = highest.argsort()[-k:]
    return torch.stack([sequence, position[sequence] + 1], dim=1)


@top.wrong(says="weakest sequences")
def smallest(z, k):
    highest, position = z[:, 1:].max(1)
    sequence = highest.argsort()[:k]
    return torch.stack([sequence, position[sequence] + 1], dim=1)


@top.right
def top_by_argsort(z, k):
    z = z.clone()
    z[:, 0] = -1
    order = z.amax(1).argsort(descending=True)[:k]
    return torch.stack([order, z.argmax(1)[order]], dim=1)


@top.right
def top_by_sorted(z, k):
    best = [(float(row[1:].max()), i, int(row[1:].argmax()) + 1) for i, row in enumerate(z)]
    return torch.tensor([[i, p] for _, i, p in sorted(best, reverse=True)[:k]])


quantile = Answers("quantile_examples")


@quantile.wrong(says="silent tokens are in the order")
def ranks_everything(values, quantiles):
    order = values.argsort()
    return order[[round(q * (len(order) - 1)) for q in quantiles]]


@quantile.wrong(says="number the firing tokens among themselves")
def ranks_without_places(values, quantiles):
    on = values[values > 0]
    return on.argsort()[[round(q * (len(on) - 1)) for q in quantiles]]


@quantile.wrong(says="these are activations")
def returns_activations(values, quantiles):
    on = values[values > 0].sort().values
    return on[[round(q * (len(on) - 1)) for q in quantiles]]


@quantile.wrong(says="counted from the strongest")
def strongest_first(values, quantiles):
    on = values.nonzero().squeeze(1)
    on = on[values[on].argsort(descending=True)]
    return on[[round(q * (len(on) - 1)) for q in quantiles]]


@quantile.wrong(says="share of the maximum")
def share_of_the_maximum(values, quantiles):
    on = values.nonzero().squeeze(1)
    return torch.stack([on[(values[on] - q * values.max()).abs().argmin()] for q in quantiles])


@quantile.right
def quantiles_by_topk(values, quantiles):
    n = int((values > 0).sum())
    order = values.topk(n).indices.flip(0)
    return torch.stack([order[round(q * (n - 1))] for q in quantiles])


@quantile.right
def quantiles_by_skipping_zeros(values, quantiles):
    silent = int((values == 0).sum())
    order = values.argsort()[silent:]
    return torch.tensor([int(order[round(q * (len(order) - 1))]) for q in quantiles])


effects = Answers("logit_effects")


@effects.wrong(says="gain is left out")
def no_gain(W_dec, norm_weight, W_U):
    return W_dec @ W_U


@effects.wrong(says="norm_weight alone")
def without_the_one(W_dec, norm_weight, W_U):
    return W_dec * norm_weight @ W_U


@effects.wrong(says="divided by the gain")
def divides(W_dec, norm_weight, W_U):
    return W_dec / (1 + norm_weight) @ W_U


@effects.wrong(says="normalised first")
def norm_applied_to_the_latent(W_dec, norm_weight, W_U):
    rms = W_dec.pow(2).mean(-1, keepdim=True).sqrt()
    return (W_dec / rms * (1 + norm_weight)) @ W_U


@effects.wrong(says="normalised first")
def unit_rows(W_dec, norm_weight, W_U):
    return (normalize(W_dec * (1 + norm_weight), dim=1)) @ W_U


@effects.wrong(says="Leave that out")
def divides_by_the_rms_after_the_gain(W_dec, norm_weight, W_U):
    rows = W_dec * (1 + norm_weight)
    return rows / rows.pow(2).mean(-1, keepdim=True).sqrt() @ W_U


@effects.right
def gain_on_the_unembedding(W_dec, norm_weight, W_U):
    return W_dec @ (W_U * (1 + norm_weight)[:, None])


@effects.right
def effects_by_einsum(W_dec, norm_weight, W_U):
    return torch.einsum("ld,d,dv->lv", W_dec, 1 + norm_weight, W_U)


prf = Answers("precision_recall_f1")


@prf.wrong(says="swapped")
def swaps(fires, truth):
    both = (fires & truth).sum().item()
    n, size = fires.sum().item(), truth.sum().item()
    return both / max(size, 1), both / max(n, 1), 2 * both / max(n + size, 1)


@prf.wrong(says="ordinary mean")
def arithmetic_mean(fires, truth):
    both = (fires & truth).sum().item()
    p, r = both / max(fires.sum().item(), 1), both / max(truth.sum().item(), 1)
    return p, r, (p + r) / 2


@prf.wrong(says="accuracy")
def accuracy_as_precision(fires, truth):
    both = (fires & truth).sum().item()
    p, r = (fires == truth).float().mean().item(), both / max(truth.sum().item(), 1)
    return p, r, 2 * both / max((fires.sum() + truth.sum()).item(), 1)


@prf.wrong(says="accuracy")
def accuracy_all_the_way(fires, truth):
    p = (fires == truth).float().mean().item()
    r = (fires & truth).sum().item() / max(truth.sum().item(), 1)
    return p, r, 2 * p * r / (p + r) if p + r else 0.0


@prf.wrong(says="0 where nothing fires, or nothing carries the label: it raises ZeroDivisionError")
def divides_by_zero(fires, truth):
    both = int((fires & truth).sum())
    p, r = both / int(fires.sum()), both / int(truth.sum())
    return p, r, 2 * p * r / (p + r)


@prf.wrong(says="0 / 0; return 0 there")
def nan_by_tensors(fires, truth):
    both = (fires & truth).sum()
    p, r = both / fires.sum(), both / truth.sum()
    return p, r, 2 * p * r / (p + r)


@prf.wrong(says="factor 2 is missing")
def half_f1(fires, truth):
    both = int((fires & truth).sum())
    p, r = both / max(int(fires.sum()), 1), both / max(int(truth.sum()), 1)
    return p, r, p * r / (p + r) if both else 0.0


@prf.right
def with_sklearn(fires, truth):
    from sklearn.metrics import precision_recall_fscore_support

    p, r, f1, _ = precision_recall_fscore_support(truth.numpy(), fires.numpy(), average="binary", zero_division=0)
    return float(p), float(r), float(f1)


@prf.right
def with_cases(fires, truth):
    hits = (fires * truth).sum()
    p = hits / fires.sum() if fires.any() else torch.tensor(0.0)
    r = hits / truth.sum() if truth.any() else torch.tensor(0.0)
    return p, r, 2 * p * r / (p + r) if hits else torch.tensor(0.0)


table = Answers("f1_table")


@table.wrong(says="Jaccard")
def intersection_over_union(fires, truths):
    both = fires.float().T @ truths.float()
    return both / (fires.sum(0)[:, None] + truths.sum(0) - both).clamp(min=1)


@table.wrong(says="that is precision")
def only_precision(fires, truths):
    both = fires.float().T @ truths.float()
    return both / fires.sum(0)[:, None].clamp(min=1)


@table.wrong(says="that is recall")
def only_recall(fires, truths):
    return fires.float().T @ truths.float() / truths.sum(0).clamp(min=1)


@table.wrong(says="no special case")
def nan_where_nothing_fires(fires, truths):
    both = fires.float().T @ truths.float()
    p, r = both / fires.sum(0)[:, None], both / truths.sum(0)
    return 2 * p * r / (p + r)


@table.wrong(says="0 / 0; return 0 there")
def nan_where_both_are_empty(fires, truths):
    both = fires.float().T @ truths.float()
    return 2 * both / (fires.sum(0)[:, None] + truths.sum(0))


@table.wrong(says="transposed")
def labels_first(fires, truths):
    both = truths.float().T @ fires.float()
    return 2 * both / (truths.sum(0)[:, None] + fires.sum(0)).clamp(min=1)


@table.wrong(says="factor 2 is missing")
def without_the_two(fires, truths):
    return fires.float().T @ truths.float() / (fires.sum(0)[:, None] + truths.sum(0)).clamp(min=1)


@table.right
def table_by_broadcasting(fires, truths):
    both = (fires[:, :, None] & truths[:, None, :]).sum(0)
    return 2 * both / (fires.sum(0)[:, None] + truths.sum(0)[None]).clamp(min=1)


@table.right
def table_by_loops(fires, truths):
    out = torch.zeros(fires.shape[1], truths.shape[1])
    for i in range(fires.shape[1]):
        for j in range(truths.shape[1]):
            n = fires[:, i].sum() + truths[:, j].sum()
            out[i, j] = 2 * (fires[:, i] & truths[:, j]).sum() / n if n else 0
    return out


choose = Answers("choose_label")


def _choose(by, scored):
    best, index = by.transpose(0, 1).flatten(1).max(1)
    threshold, label = index // by.shape[2], index % by.shape[2]
    return threshold, label, best, scored[threshold, torch.arange(len(best)), label]


@choose.wrong(says="the score is flattered")
def chosen_on_the_held_out_half(f1_selection, f1_held_out):
    threshold, label, held_out, selection = _choose(f1_held_out, f1_selection)
    return {"threshold": threshold, "label": label, "f1_selection": selection, "f1_held_out": held_out}


@choose.wrong(says="not the score of the one that was chosen")
def best_of_each_half(f1_selection, f1_held_out):
    threshold, label, selection, _ = _choose(f1_selection, f1_held_out)
    return {"threshold": threshold, "label": label, "f1_selection": selection, "f1_held_out": f1_held_out.amax((0, 2))}


@choose.wrong(says="threshold is chosen again")
def label_kept_threshold_not(f1_selection, f1_held_out):
    threshold, label, selection, _ = _choose(f1_selection, f1_held_out)
    held_out = f1_held_out.amax(0)[torch.arange(len(label)), label]
    return {"threshold": threshold, "label": label, "f1_selection": selection, "f1_held_out": held_out}


@choose.wrong(says="both halves took part")
def chosen_on_both(f1_selection, f1_held_out):
    threshold, label, _, held_out = _choose((f1_selection + f1_held_out) / 2, f1_held_out)
    selection = f1_selection[threshold, torch.arange(len(label)), label]
    return {"threshold": threshold, "label": label, "f1_selection": selection, "f1_held_out": held_out}


@choose.wrong(says="mixed up")
def unravels_the_wrong_way(f1_selection, f1_held_out):
    threshold, label, selection, held_out = _choose(f1_selection, f1_held_out)
    index = threshold * f1_selection.shape[2] + label
    n = f1_selection.shape[2]
    return {"threshold": index % n, "label": index // n, "f1_selection": selection, "f1_held_out": held_out}


@choose.wrong(says="threshold: it was chosen on the held-out half")
def threshold_chosen_on_the_held_out_half(f1_selection, f1_held_out):
    label = f1_selection.amax(0).argmax(1)
    rows = torch.arange(len(label))
    held_out, threshold = f1_held_out[:, rows, label].max(0)
    selection = f1_selection[threshold, rows, label]
    return {"threshold": threshold, "label": label, "f1_selection": selection, "f1_held_out": held_out}


@choose.wrong(says="the best at the first threshold")
def label_from_the_first_threshold(f1_selection, f1_held_out):
    label = f1_selection[0].argmax(1)
    rows = torch.arange(len(label))
    best, threshold = f1_selection[:, rows, label].max(0)
    held_out = f1_held_out[threshold, rows, label]
    return {"threshold": threshold, "label": label, "f1_selection": best, "f1_held_out": held_out}


@choose.wrong(says="rows mix latents")
def reshapes_without_transposing(f1_selection, f1_held_out):
    n, labels = f1_selection.shape[1:]
    best, index = f1_selection.reshape(n, -1).max(1)
    threshold, label = index // labels, index % labels
    held_out = f1_held_out[threshold, torch.arange(n), label]
    return {"threshold": threshold, "label": label, "f1_selection": best, "f1_held_out": held_out}


@choose.right
def choose_label_then_threshold(f1_selection, f1_held_out):
    by_label, thresholds = f1_selection.max(0)  # (latent, label)
    best, label = by_label.max(1)
    threshold = thresholds.gather(1, label[:, None])[:, 0]
    rows = torch.arange(len(label))
    held_out = f1_held_out[threshold, rows, label]
    return {"threshold": threshold, "label": label, "f1_selection": best, "f1_held_out": held_out}


@choose.right
def choose_by_loop(f1_selection, f1_held_out):
    out = {"threshold": [], "label": [], "f1_selection": [], "f1_held_out": []}
    for i in range(f1_selection.shape[1]):
        t, j = divmod(int(f1_selection[:, i].argmax()), f1_selection.shape[2])
        for column, value in zip(out.values(), (t, j, float(f1_selection[t, i, j]), float(f1_held_out[t, i, j]))):
            column.append(value)
    return {name: torch.tensor(column) for name, column in out.items()}


within = Answers("f1_within")


def _f1(f, t):
    return 2 * (f & t).sum(0) / (f.sum(0) + t.sum(0)).clamp(min=1)


@within.wrong(says="the mask is not used")
def ignores_the_mask(fires, truth, use):
    return _f1(fires, truth)


@within.wrong(says="only the firings are masked")
def masks_firings_only(fires, truth, use):
    return _f1(fires & use[:, None], truth)


@within.wrong(says="only the label is masked")
def masks_truth_only(fires, truth, use):
    return _f1(fires, truth & use[:, None])


@within.wrong(says="outside the mask")
def inverts_the_mask(fires, truth, use):
    return _f1(fires[~use], truth[~use])


@within.wrong(says="every latent against every label")
def all_pairs(fires, truth, use):
    f, t = fires[use].float(), truth[use].float()
    return 2 * f.T @ t / (f.sum(0)[:, None] + t.sum(0)).clamp(min=1)


@within.wrong(says="0 / 0; return 0 there")
def nan_without_firings_or_label(fires, truth, use):
    f, t = fires[use], truth[use]
    return 2 * (f & t).sum(0) / (f.sum(0) + t.sum(0))


@within.right
def within_by_masks(fires, truth, use):
    keep = use[:, None]
    return _f1(fires & keep, truth & keep)


@within.right
def within_by_precision_and_recall(fires, truth, use):
    f, t = fires[use].float(), truth[use].float()
    both = (f * t).sum(0)
    p, r = both / f.sum(0).clamp(min=1), both / t.sum(0).clamp(min=1)
    return torch.where(both > 0, 2 * p * r / (p + r), torch.zeros_like(both))


by = Answers("firings_by")


@by.wrong(says="share of each value's tokens")
def share_of_the_value(fires, codes, n):
    return torch.tensor([float(fires[codes == v].float().mean()) if (codes == v).any() else 0.0 for v in range(n)])


@by.wrong(says="these are counts")
def counts_only(fires, codes, n):
    on = codes[fires]
    return torch.bincount(on[on >= 0], minlength=n)


@by.wrong(says="divided by the number of tokens")
def over_all_tokens(fires, codes, n):
    on = codes[fires]
    return torch.bincount(on[on >= 0], minlength=n) / len(codes)


@by.wrong(says="look larger than they are")
def drops_those_without_a_value(fires, codes, n):
    on = codes[fires & (codes >= 0)]
    return torch.bincount(on, minlength=n) / len(on)


@by.wrong(says="it raises")
def bincount_of_minus_one(fires, codes, n):
    return torch.bincount(codes[fires], minlength=n) / fires.sum()


@by.wrong(says="counted for the last one")
def index_minus_one(fires, codes, n):
    out = torch.zeros(n)
    for c in codes[fires].tolist():
        out[c] += 1
    return out / fires.sum()


@by.wrong(says="moved up by one")
def bincount_of_codes_plus_one(fires, codes, n):
    return torch.bincount(codes[fires] + 1, minlength=n)[:n] / fires.sum()


@by.right
def by_comparing(fires, codes, n):
    return torch.tensor([float(((codes == v) & fires).sum() / fires.sum()) for v in range(n)])


@by.right
def by_one_hot(fires, codes, n):
    return torch.nn.functional.one_hot(codes[fires] + 1, n + 1).float().mean(0)[1:]


change = Answers("set_latent")


@change.wrong(says="error term is lost")
def runs_the_reconstruction(x, z, W_dec, latent, value):
    z = z.clone()
    z[..., latent] = value
    return z @ W_dec


@change.wrong(says="error term is lost")
def reconstruction_by_difference(x, z, W_dec, latent, value):
    return z @ W_dec + (value - z[..., latent, None]) * W_dec[latent]


@change.wrong(says="old part has to go first")
def adds_the_value(x, z, W_dec, latent, value):
    return x + value * W_dec[latent]


@change.wrong(says="wrong way round")
def subtracts_the_change(x, z, W_dec, latent, value):
    return x - (value - z[..., latent, None]) * W_dec[latent]


@change.wrong(says="`value` is not used")
def always_ablates(x, z, W_dec, latent, value):
    return x - z[..., latent, None] * W_dec[latent]


@change.wrong(says="everything along this direction")
def projects_out(x, z, W_dec, latent, value):
    unit = W_dec[latent] / W_dec[latent].norm()
    return x - (x @ unit)[..., None] * unit + value * W_dec[latent]


@change.wrong(says="changed only where the latent fired")
def only_where_on(x, z, W_dec, latent, value):
    on = (z[..., latent] > 0)[..., None]
    return torch.where(on, x + (value - z[..., latent, None]) * W_dec[latent], x)


@change.right
def with_the_error(x, z, W_dec, latent, value):
    error, new = x - z @ W_dec, z.clone()
    new[..., latent] = value
    return new @ W_dec + error


@change.right
def by_outer_product(x, z, W_dec, latent, value):
    return x + torch.einsum("bt,d->btd", value - z[..., latent], W_dec[latent])


matched = Answers("matched_push")


@matched.wrong(says="still points along push")
def length_only(push, noise):
    return noise / noise.norm(dim=-1, keepdim=True) * push.norm(dim=-1, keepdim=True)


@matched.wrong(says="not of its length")
def angle_only(push, noise):
    return noise - (noise * push).sum(-1, keepdim=True) / push.pow(2).sum(-1, keepdim=True).clamp(min=1e-9) * push


@matched.wrong(says="scaled first")
def length_then_angle(push, noise):
    noise = noise / noise.norm(dim=-1, keepdim=True) * push.norm(dim=-1, keepdim=True)
    return noise - (noise * push).sum(-1, keepdim=True) / push.pow(2).sum(-1, keepdim=True).clamp(min=1e-9) * push


@matched.wrong(says="where push is 0")
def nan_where_silent(push, noise):
    unit = push / push.norm(dim=-1, keepdim=True)
    rest = noise - (noise * unit).sum(-1, keepdim=True) * unit
    return rest / rest.norm(dim=-1, keepdim=True) * push.norm(dim=-1, keepdim=True)


@matched.wrong(says="one length for all tokens")
def one_length(push, noise):
    along = (noise * push).sum(-1, keepdim=True) / push.pow(2).sum(-1, keepdim=True).clamp(min=1e-12)
    rest = noise - along * push
    return rest / rest.norm() * push.norm()


@matched.wrong(says="one length for all tokens")
def length_of_the_whole_push(push, noise):
    along = (noise * push).sum(-1, keepdim=True) / push.pow(2).sum(-1, keepdim=True).clamp(min=1e-12)
    return normalize(noise - along * push, dim=-1) * push.norm()


@matched.wrong(says="the division by |push|^2 is missing")
def forgets_to_divide(push, noise):
    rest = noise - (noise * push).sum(-1, keepdim=True) * push
    return normalize(rest, dim=-1) * push.norm(dim=-1, keepdim=True)


@matched.right
def matched_with_normalize(push, noise):
    unit = normalize(push, dim=-1)
    rest = noise - torch.einsum("btd,btd->bt", noise, unit)[..., None] * unit
    return normalize(rest, dim=-1) * push.norm(dim=-1, keepdim=True)


@matched.right
def matched_by_loop(push, noise):
    out = torch.zeros_like(push)
    for b in range(push.shape[0]):
        for t in range(push.shape[1]):
            p, n = push[b, t], noise[b, t]
            if p.norm() > 0:
                rest = n - (n @ p) / (p @ p) * p
                out[b, t] = rest * (p.norm() / rest.norm())
    return out


given = Answers("attribute")


@given.wrong(says="multiply by how active it is")
def slope_only(z, W_dec, gradient):
    return gradient @ W_dec.T


@given.wrong(says="one number for each token")
def summed_over_latents(z, W_dec, gradient):
    return ((z @ W_dec) * gradient).sum(-1)


@given.wrong(says="summed over positions")
def summed_over_positions(z, W_dec, gradient):
    return (z * (gradient @ W_dec.T)).sum(1)


@given.wrong(says="absolute values")
def sizes(z, W_dec, gradient):
    return (z * (gradient @ W_dec.T)).abs()


@given.wrong(says="the gradient is not used")
def activity_times_length(z, W_dec, gradient):
    return z * W_dec.norm(dim=-1)


@given.wrong(says="multiply by how strongly")
def slope_where_on(z, W_dec, gradient):
    return (z > 0).float() * (gradient @ W_dec.T)


@given.wrong(says="the gradient was normalised")
def slope_of_a_unit_gradient(z, W_dec, gradient):
    return z * (normalize(gradient, dim=-1) @ W_dec.T)


@given.right
def attribute_by_einsum(z, W_dec, gradient):
    return torch.einsum("bpl,ld,bpd->bpl", z, W_dec, gradient)


@given.right
def attribute_by_latent(z, W_dec, gradient):
    return torch.stack([((z[..., j, None] * W_dec[j]) * gradient).sum(-1) for j in range(len(W_dec))], dim=-1)
