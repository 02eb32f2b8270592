"""Lab 03's answers."""

import itertools
import math

import torch
from answers import Answers
from torch import einsum

sparsest = Answers("sparsest_code")


@sparsest.wrong(says="least squares")
def with_lstsq(basis, x):
    return torch.linalg.lstsq(basis, x[:, None], driver="gelsd").solution[:, 0]


@sparsest.wrong(says="first two columns")
def the_first_two_columns(basis, x):
    c = torch.zeros(basis.shape[1])
    c[0], c[1] = torch.linalg.solve(basis[:, 0:2], x)
    return c


@sparsest.wrong(says="sum of squares")
def smallest_l2_pair(basis, x):
    best, best_norm = None, math.inf
    for i in range(basis.shape[1]):
        for j in range(i):
            c = torch.zeros(basis.shape[1])
            c[[i, j]] = torch.linalg.solve(basis[:, [i, j]], x)
            if c.norm() < best_norm:
                best, best_norm = c, c.norm()
    return best


@sparsest.wrong(says="pair")
def smallest_signed_sum(basis, x):
    candidates = []
    for pair in itertools.combinations(range(basis.shape[1]), 2):
        c = torch.zeros(basis.shape[1])
        c[list(pair)] = torch.linalg.solve(basis[:, list(pair)], x)
        candidates.append(c)
    return min(candidates, key=lambda c: c.sum().item())


@sparsest.wrong(says="dot products")
def projections(basis, x):
    return x @ basis


@sparsest.wrong(says="every pair")
def best_aligned_then_its_partner(basis, x):
    first = torch.cosine_similarity(basis, x[:, None], dim=0).abs().argmax().item()
    codes = []
    for other in range(basis.shape[1]):
        if other != first:
            c = torch.zeros(basis.shape[1])
            c[[first, other]] = torch.linalg.solve(basis[:, [first, other]], x)
            codes.append(c)
    return min(codes, key=lambda c: c.abs().sum().item())


@sparsest.wrong(says="every pair")
def the_two_best_aligned(basis, x):
    i, j = torch.cosine_similarity(basis, x[:, None], dim=0).abs().argsort(descending=True)[:2].tolist()
    c = torch.zeros(basis.shape[1])
    c[[i, j]] = torch.linalg.solve(basis[:, [i, j]], x)
    return c


@sparsest.wrong(says="every pair")
def longest_vectors(basis, x):
    i, j = basis.norm(dim=0).topk(2).indices.tolist()
    c = torch.zeros(basis.shape[1])
    c[[i, j]] = torch.linalg.solve(basis[:, [i, j]], x)
    return c


@sparsest.wrong(says="entries are wrong")
def matching_pursuit(basis, x):
    """Greedy: the vector that points most like x, then the next for what is left."""
    unit, c, rest = basis / basis.norm(dim=0), torch.zeros(basis.shape[1]), x
    for _ in range(2):
        k = (unit.T @ rest).abs().argmax()
        c[k] += unit[:, k] @ rest / basis[:, k].norm()
        rest = x - basis @ c
    return c


@sparsest.right
def two_directions_around_x(basis, x):
    """Optimal pairs are those whose triangle holds x furthest out: brute force over signed pairs with Cramer's rule."""
    k = basis.shape[1]
    best = (math.inf, None)
    for i in range(k):
        for j in range(i + 1, k):
            (a, c), (b, d) = basis[:, i].double().tolist(), basis[:, j].double().tolist()
            det = a * d - b * c
            u, v = float(x[0]), float(x[1])
            s, t = (d * u - b * v) / det, (a * v - c * u) / det
            best = min(best, (abs(s) + abs(t), (i, j, s, t)))
    i, j, s, t = best[1]
    return torch.tensor([s if n == i else t if n == j else 0.0 for n in range(k)])


@sparsest.right
def linear_program(basis, x):
    from scipy.optimize import linprog

    k = basis.shape[1]
    both = torch.cat((basis, -basis), dim=1).double().numpy()
    z = linprog([1.0] * (2 * k), A_eq=both, b_eq=x.double().numpy()).x
    return torch.tensor(z[:k] - z[k:]).float()


sampling = Answers("sample_features")


@sampling.wrong(says="binary")
def binary_features(batch, probability, n_features):
    return (torch.rand(batch, len(probability), n_features) < probability[None, :, None]).float()


@sampling.wrong(says="same random numbers")
def mask_reused_as_magnitude(batch, probability, n_features):
    u = torch.rand(batch, probability.shape[0], n_features)
    return torch.where(u < probability.view(1, -1, 1), u, torch.zeros_like(u))


@sampling.wrong(says="same random numbers")
def mask_from_above_reused(batch, probability, n_features):
    u = torch.rand(batch, probability.shape[0], n_features)
    return u * (u > 1 - probability[:, None])


@sampling.wrong(says="1 - p")
def sparsity_in_place_of_probability(batch, probability, n_features):
    shape = (batch, len(probability), n_features)
    return torch.rand(shape) * (torch.rand(shape) > probability[None, :, None])


@sampling.wrong(says="each has a probability of its own")
def one_probability_for_all(batch, probability, n_features):
    shape = (batch, len(probability), n_features)
    return torch.rand(shape) * (torch.rand(shape) < probability.mean())


@sampling.wrong(says="instances share a draw")
def same_data_for_every_instance(batch, probability, n_features):
    u, size = torch.rand(batch, 1, n_features), torch.rand(batch, 1, n_features)
    return size * (u < probability[None, :, None])


@sampling.wrong(says="features of one instance share a draw")
def all_features_at_once(batch, probability, n_features):
    on = torch.rand(batch, len(probability), 1) < probability[None, :, None]
    return on * torch.rand(batch, len(probability), n_features)


@sampling.wrong(says="between 0 and 1")
def gaussian_magnitudes(batch, probability, n_features):
    shape = (batch, len(probability), n_features)
    return torch.randn(shape) * (torch.rand(shape) < probability[None, :, None])


@sampling.wrong(says="not uniform")
def absolute_gaussian_clipped(batch, probability, n_features):
    shape = (batch, len(probability), n_features)
    return torch.randn(shape).abs().clamp(max=1) * (torch.rand(shape) < probability[None, :, None])


@sampling.wrong(says="seed inside")
def seeded_inside(batch, probability, n_features):
    torch.manual_seed(0)
    shape = (batch, len(probability), n_features)
    return torch.rand(shape) * (torch.rand(shape) < probability[None, :, None])


@sampling.wrong(says="the shape is")
def instances_first(batch, probability, n_features):
    shape = (len(probability), batch, n_features)
    return torch.rand(shape) * (torch.rand(shape) < probability[:, None, None])


@sampling.wrong(says="draw")
def mask_shared_by_the_batch(batch, probability, n_features):
    on = torch.rand(len(probability), n_features) < probability[:, None]
    return torch.rand(batch, len(probability), n_features) * on


@sampling.wrong(says="magnitude")
def magnitude_shared_by_features(batch, probability, n_features):
    on = torch.rand(batch, len(probability), n_features) < probability[None, :, None]
    return (torch.rand(batch, len(probability), 1) * on).pow(2)


@sampling.right
def one_draw_rescaled(batch, probability, n_features):
    u = torch.rand(batch, len(probability), n_features) / probability[None, :, None]
    return u * (u < 1)


@sampling.right
def with_bernoulli(batch, probability, n_features):
    p = probability[None, :, None].expand(batch, -1, n_features)
    return torch.bernoulli(p) * torch.empty(p.shape).uniform_(0, 1)


@sampling.right
def with_numpy(batch, probability, n_features):
    import numpy as np

    rng = np.random.default_rng()
    shape = (batch, len(probability), n_features)
    return torch.from_numpy(
        np.where(rng.random(shape) < probability.numpy()[None, :, None], rng.random(shape), 0.0)
    ).float()


forward = Answers("toy_forward")


@forward.wrong(says="bias b is missing")
def without_bias(W, b, x):
    h = einsum("idn,bin->bid", W, x)
    return torch.relu(einsum("idn,bid->bin", W, h))


@forward.wrong(says="ReLU at the end is missing")
def without_relu(W, b, x):
    return einsum("idn,bid->bin", W, einsum("idn,bin->bid", W, x)) + b


@forward.wrong(says="after the ReLU")
def bias_after_relu(W, b, x):
    return einsum("idn,bid->bin", W, einsum("idn,bin->bid", W, x)).relu() + b


@forward.wrong(says="the only ReLU is at the output")
def relu_twice(W, b, x):
    h = torch.relu(einsum("idn,bin->bid", W, x))
    return torch.relu(einsum("idn,bid->bin", W, h) + b)


@forward.wrong(says="instance 0")
def first_instance_only(W, b, x):
    h = x @ W[0].T
    return (h @ W[0] + b).relu()


@forward.wrong(says="the shape is")
def forgets_the_way_back(W, b, x):
    return einsum("idn,bin->bid", W, x).relu()


@forward.right
def with_matmul(W, b, x):
    h = W[None] @ x[..., None]
    return torch.relu((W.mT[None] @ h)[..., 0] + b)


@forward.right
def through_the_gram_matrix(W, b, x):
    return torch.stack([(x[:, i] @ (W[i].T @ W[i]) + b[i]).clamp(min=0) for i in range(W.shape[0])], dim=1)


losses = Answers("toy_loss")


@losses.wrong(says="importance was forgotten")
def forgets_importance(out, x, importance):
    return ((out - x) ** 2).sum(-1).mean(0)


@losses.wrong(says="averaged over the features")
def averages_over_features(out, x, importance):
    return (importance * (out - x) ** 2).mean(dim=(0, 2))


@losses.wrong(says="summed over the batch")
def sums_over_the_batch(out, x, importance):
    return (importance * (out - x) ** 2).sum(dim=(0, 2))


@losses.wrong(says="a loss of its own")
def one_number(out, x, importance):
    return (importance * (out - x) ** 2).sum(-1).mean()


@losses.wrong(says="matched with the instances")
def importance_on_the_instances(out, x, importance):
    weight = importance[: x.shape[1], None] if len(importance) == x.shape[1] else importance
    return (weight * (out - x) ** 2).sum(-1).mean(0)


@losses.wrong(says="matched with the batch")
def importance_on_the_batch(out, x, importance):
    weight = importance[:, None, None] if len(importance) == len(x) else importance
    return (weight * (out - x) ** 2).sum(-1).mean(0)


@losses.wrong(says="the instances stay")
def averages_over_the_instances(out, x, importance):
    return (importance * (out - x) ** 2).sum(-1).mean(1)


@losses.wrong(says="raises")
def importance_with_new_axis(out, x, importance):
    return (importance[:, None] * (out - x) ** 2).sum(-1).mean(0)


@losses.wrong(says="multiplies the square")
def importance_inside_the_square(out, x, importance):
    return ((importance * (out - x)) ** 2).sum(-1).mean(0)


@losses.right
def with_einsum(out, x, importance):
    return einsum("bin,n->i", (out - x) ** 2, importance) / x.shape[0]


@losses.right
def one_instance_at_a_time(out, x, importance):
    return torch.stack([((out[:, i] - x[:, i]).square() @ importance).mean() for i in range(x.shape[1])])


gradients = Answers("toy_gradients")


def _parts(W, b, x, importance):
    h = einsum("idn,bin->bid", W, x)
    out = (einsum("idn,bid->bin", W, h) + b).relu()
    g = 2 * importance * (out - x) * (out > 0) / x.shape[0]
    return h, out, g, einsum("idn,bin->bid", W, g)


@gradients.wrong(says="encoder's part")
def decoder_only(W, b, x, importance):
    h, _, g, _ = _parts(W, b, x, importance)
    return einsum("bid,bin->idn", h, g), g.sum(0)


@gradients.wrong(says="decoder's part")
def encoder_only(W, b, x, importance):
    _, _, g, q = _parts(W, b, x, importance)
    return einsum("bid,bin->idn", q, x), g.sum(0)


@gradients.wrong(says="mask is missing")
def forgets_the_relu(W, b, x, importance):
    h, out, _, _ = _parts(W, b, x, importance)
    g = 2 * importance * (out - x) / x.shape[0]
    q = einsum("idn,bin->bid", W, g)
    return einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), g.sum(0)


@gradients.wrong(says="importance is missing")
def gradient_without_importance(W, b, x, importance):
    h, _, g, q = _parts(W, b, x, torch.ones_like(importance))
    return einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), g.sum(0)


@gradients.wrong(says="2 from differentiating")
def forgets_the_two(W, b, x, importance):
    h, _, g, q = _parts(W, b, x, importance / 2)
    return einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), g.sum(0)


@gradients.wrong(says="batch size")
def forgets_the_mean(W, b, x, importance):
    h, _, g, q = _parts(W, b, x, importance * x.shape[0])
    return einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), g.sum(0)


@gradients.wrong(says="sum it")
def averages_db(W, b, x, importance):
    h, _, g, q = _parts(W, b, x, importance)
    return einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x), g.mean(0)


@gradients.wrong(says="in this order")
def the_other_order(W, b, x, importance):
    h, _, g, q = _parts(W, b, x, importance)
    return g.sum(0), einsum("bid,bin->idn", h, g) + einsum("bid,bin->idn", q, x)


@gradients.right
def with_autograd(W, b, x, importance):
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    out = (einsum("idn,bid->bin", W, einsum("idn,bin->bid", W, x)) + b).relu()
    (importance * (out - x) ** 2).sum(-1).mean(0).sum().backward()
    return W.grad, b.grad


@gradients.right
def through_the_gram_gradient(W, b, x, importance):
    """dW = W (A + Aᵀ) with A = sum over the batch of g xᵀ."""
    _, _, g, _ = _parts(W, b, x, importance)
    A = einsum("bin,bim->inm", g, x)
    return [W @ (A + A.mT), einsum("bin->in", g)]


angles = Answers("angle_gaps")


@angles.wrong(says="across the cut")
def forgets_the_last_gap(W):
    return torch.rad2deg(torch.atan2(W[1], W[0])).sort().values.diff().sort().values


@angles.wrong(says="radians")
def in_radians(W):
    a = torch.atan2(W[1], W[0]).sort().values
    return torch.cat([a.diff(), (a[0] + 2 * math.pi - a[-1])[None]]).sort().values


@angles.wrong(says="not sorted")
def unsorted_gaps(W):
    a = torch.atan2(W[1], W[0]).rad2deg().sort().values
    return torch.cat([a.diff(), (a[0] + 360 - a[-1])[None]])


@angles.wrong(says="neighbours on the circle")
def list_order(W):
    a = torch.atan2(W[1], W[0]).rad2deg()
    return torch.cat([a.diff(), (a[0] + 360 - a[-1])[None]]).sort().values


@angles.wrong(says="neighbours on the circle")
def list_order_with_modulo(W):
    a = torch.atan2(W[1], W[0]).rad2deg()
    return (torch.roll(a, -1) - a) % 360


@angles.wrong(says="not sorted")
def gaps_in_feature_order(W):
    a = torch.atan2(W[1], W[0]).rad2deg()
    gaps = (a[None, :] - a[:, None]) % 360
    return gaps.masked_fill(torch.eye(len(a), dtype=torch.bool), 360).min(dim=1).values


@angles.wrong(says="neighbours on the circle")
def acos_of_neighbouring_columns(W):
    unit = W / W.norm(dim=0)
    return (unit[:, :-1] * unit[:, 1:]).sum(0).acos().rad2deg()


@angles.wrong(says="neighbours on the circle")
def acos_all_the_way_round(W):
    unit = W / W.norm(dim=0)
    return (unit * unit.roll(-1, 1)).sum(0).acos().rad2deg().sort().values


@angles.wrong(says="entries are wrong")
def with_atan(W):
    a = torch.atan(W[1] / W[0]).rad2deg().sort().values
    return torch.cat([a.diff(), (a[0] + 360 - a[-1])[None]]).sort().values


@angles.wrong(says="entries are wrong")
def a_perfect_polygon(W):
    return torch.full((W.shape[1],), 360 / W.shape[1])


@angles.right
def with_modulo(W):
    a = (torch.atan2(W[1], W[0]) * 180 / math.pi % 360).sort().values
    return ((a.roll(-1) - a) % 360).sort().values


@angles.right
def with_python(W):
    a = sorted(math.degrees(math.atan2(y, x)) for x, y in W.T.tolist())
    return torch.tensor(sorted((after - before) % 360 for before, after in zip(a, a[1:] + a[:1])))


interference = Answers("interference_loss")


@interference.wrong(says="diagonal is counted")
def keeps_the_diagonal(W, importance):
    G = W.T @ W
    return {"own": (importance * (1 - G.diag()) ** 2).sum(), "interference": (importance * G.pow(2).sum(1)).sum()}


@interference.wrong(says="norms are free")
def unit_codes(W, importance):
    W = W / W.norm(dim=0)
    G = W.T @ W
    return {
        "own": (importance * (G.diag() - 1) ** 2).sum(),
        "interference": (importance * (G - torch.diag(G.diag())).pow(2).sum(1)).sum(),
    }


@interference.wrong(says="own is zero")
def as_in_the_seed(W, importance):
    G = W.T @ W
    return {"own": 0.0, "interference": (importance * (G - torch.diag(G.diag())).pow(2).sum(1)).sum()}


@interference.wrong(says="importance is missing")
def ignores_importance(W, importance):
    G = W.T @ W
    return {"own": ((G.diag() - 1) ** 2).sum(), "interference": (G - torch.diag(G.diag())).pow(2).sum()}


@interference.wrong(says="counted once")
def each_pair_once(W, importance):
    G = W.T @ W
    n = len(importance)
    off = sum(importance[i] * G[i, j] ** 2 for i in range(n) for j in range(i + 1, n))
    return {"own": (importance * (G.diag() - 1) ** 2).sum(), "interference": off}


@interference.wrong(says="squared norm")
def norm_not_squared(W, importance):
    G = W.T @ W
    off = G - torch.diag(G.diag())
    return {
        "own": (importance * (W.norm(dim=0) - 1) ** 2).sum(),
        "interference": (importance * off.pow(2).sum(1)).sum(),
    }


def _right_terms(W, importance):
    G = W.T @ W
    off = G - torch.diag(G.diag())
    return {"own": importance @ (G.diag() - 1) ** 2, "interference": importance @ off.pow(2).sum(1)}


@interference.wrong(says="plain number")
def as_python_numbers(W, importance):
    return {key: term.item() for key, term in _right_terms(W, importance).items()}


@interference.wrong(says="no gradient")
def without_graph(W, importance):
    with torch.no_grad():
        return _right_terms(W, importance)


@interference.wrong(says="own cannot be differentiated")
def own_detached(W, importance):
    terms = _right_terms(W, importance)
    return terms | {"own": terms["own"].detach()}


@interference.wrong(says="gradient with respect to W")
def gradient_through_one_side_only(W, importance):
    return _right_terms_of(W.detach().T @ W, importance)


def _right_terms_of(G, importance):
    off = G - torch.diag(G.diag())
    return {"own": importance @ (G.diag() - 1) ** 2, "interference": importance @ off.pow(2).sum(1)}


@interference.wrong(says="swapped")
def names_swapped(W, importance):
    G = W.T @ W
    return {
        "interference": (importance * (G.diag() - 1) ** 2).sum(),
        "own": (importance * (G - torch.diag(G.diag())).pow(2).sum(1)).sum(),
    }


@interference.wrong(says="lacks")
def forgets_a_key(W, importance):
    G = W.T @ W
    return {"interference": (importance * (G - torch.diag(G.diag())).pow(2).sum(1)).sum()}


@interference.right
def from_the_gap(W, importance):
    gap = (W.T @ W - torch.eye(W.shape[1])) ** 2
    own = importance @ gap.diagonal()
    return {"own": own, "interference": importance @ gap.sum(1) - own}


@interference.right
def with_loops(W, importance):
    n = W.shape[1]
    dot = [[W[:, i] @ W[:, j] for j in range(n)] for i in range(n)]
    own = sum(importance[i] * (dot[i][i] - 1) ** 2 for i in range(n))
    off = sum(importance[i] * dot[i][j] ** 2 for i in range(n) for j in range(n) if i != j)
    return {"own": own, "interference": off}


linear = Answers("expected_linear_loss")


def _quadratic(W, b, importance, second, mean):
    A = W.T @ W - torch.eye(W.shape[1])
    return (importance * ((A @ second * A).sum(1) + 2 * b * (A @ mean) + b**2)).sum()


def _second(p, off=4, diagonal=3):
    M = p[:, None] * p[None, :] / off
    M[range(len(p)), range(len(p))] = p / diagonal
    return M


@linear.wrong(says="the mean is not zero")
def diagonal_moments_only(W, b, importance, p):
    return _quadratic(W, b, importance, torch.diag(p / 3), p / 2)


@linear.wrong(says="product of two means")
def a_third_everywhere(W, b, importance, p):
    return _quadratic(W, b, importance, _second(p, off=3), p / 2)


@linear.wrong(says="counts once")
def p_squared_on_the_diagonal(W, b, importance, p):
    M = torch.outer(p, p) * (torch.full((len(p), len(p)), 0.25) + torch.eye(len(p)) / 12)
    return _quadratic(W, b, importance, M, p / 2)


@linear.wrong(says="cross term")
def forgets_the_cross_term(W, b, importance, p):
    return _quadratic(W, b, importance, _second(p), 0 * p)


@linear.wrong(says="bias is missing")
def ignores_the_bias(W, b, importance, p):
    return _quadratic(W, 0 * b, importance, _second(p), p / 2)


@linear.wrong(says="mean 0 and variance 1")
def as_for_unit_variance(W, b, importance, p):
    return _quadratic(W, b, importance, torch.eye(len(p)), 0 * p)


@linear.wrong(says="covariance")
def with_the_covariance(W, b, importance, p):
    return _quadratic(W, b, importance, torch.diag(p / 3 - p**2 / 4), 0 * p)


@linear.wrong(says="binary")
def for_binary_features(W, b, importance, p):
    M = torch.outer(p, p)
    M[range(len(p)), range(len(p))] = p
    return _quadratic(W, b, importance, M, p)


@linear.wrong(says="mean of x_i is p_i / 2")
def mean_as_if_always_on(W, b, importance, p):
    return _quadratic(W, b, importance, _second(p), torch.full_like(p, 0.5))


@linear.wrong(says="importance is missing")
def linear_without_importance(W, b, importance, p):
    return _quadratic(W, b, torch.ones(len(p)), _second(p), p / 2)


@linear.wrong(says="G - I")
def forgets_the_identity(W, b, importance, p):
    A = W.T @ W
    return (importance * ((A @ _second(p) * A).sum(1) + 2 * b * (A @ (p / 2)) + b**2)).sum()


@linear.wrong(says="variance of the error alone")
def variance_only(W, b, importance, p):
    A = W.T @ W - torch.eye(len(p))
    return (importance[:, None] * A**2 * (p / 3 - p**2 / 4)).sum()


@linear.right
def bias_and_variance(W, b, importance, p):
    """Mean error squared plus variance: var(x_j) = p/3 - p²/4."""
    A = W.T @ W - torch.eye(W.shape[1])
    mean_error, variance = A @ (p / 2) + b, A**2 @ (p / 3 - p**2 / 4)
    return importance @ (mean_error**2 + variance)


@linear.right
def term_by_term(W, b, importance, p):
    n, total = len(p), 0.0
    A = (W.T @ W - torch.eye(n)).tolist()
    p, b, w = p.tolist(), b.tolist(), importance.tolist()
    for i in range(n):
        error = b[i] ** 2
        for j in range(n):
            error += 2 * b[i] * A[i][j] * p[j] / 2
            for k in range(n):
                error += A[i][j] * A[i][k] * (p[j] / 3 if j == k else p[j] * p[k] / 4)
        total += w[i] * error
    return total


two = Answers("two_feature_losses")


@two.wrong(says="best constant")
def drops_to_zero(p, importance):
    return {"drop": importance[1] * p / 3, "share": importance.sum() * p**2 / 6}


@two.wrong(says="feature 1; it is feature 2")
def drops_the_wrong_one(p, importance):
    return {"drop": importance[0] * (p / 3 - p**2 / 4), "share": importance.sum() * p**2 / 6}


@two.wrong(says="p²")
def shares_with_p(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p / 6}


@two.wrong(says="smaller magnitude")
def errs_by_all_of_the_other(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p**2 / 3}


@two.wrong(says="ReLU")
def forgets_relu_when_sharing(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p / 3}


@two.wrong(says="both features err")
def only_the_second_errs(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance[1] * p**2 / 6}


@two.wrong(says="being off is part")
def variance_of_a_uniform(p, importance):
    return {"drop": importance[1] * p / 12, "share": importance.sum() * p**2 / 6}


@two.wrong(says="square of the mean")
def squares_the_mean_of_the_minimum(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p**2 / 9}


@two.wrong(says="variance of one magnitude")
def a_twelfth(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p**2 / 12}


@two.wrong(says="E[u v]")
def a_quarter(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance.sum() * p**2 / 4}


@two.wrong(says="only feature 1")
def only_the_first_errs(p, importance):
    return {"drop": importance[1] * (p / 3 - p**2 / 4), "share": importance[0] * p**2 / 6}


@two.right
def from_moments(p, importance):
    mean, second = 0.5 * p, p / 3
    minimum = sum(m**2 * 2 * (1 - m) for m in ((torch.arange(4000) + 0.5) / 4000).double().tolist()) / 4000
    return {"drop": float(importance[1]) * (second - mean**2), "share": float(importance.sum()) * p * p * minimum}


@two.right
def on_paper(p, importance):
    larger, smaller = importance.tolist()
    return {"share": p**2 * (larger + smaller) / 6, "drop": smaller * p * (4 - 3 * p) / 12}


co = Answers("co_activation")


@co.wrong(says="products of magnitudes")
def with_magnitudes(x):
    return x.T @ x / x.shape[0]


@co.wrong(says="those are counts")
def counts(x):
    on = (x > 0).float()
    return on.T @ on


@co.wrong(says="how often they are on together")
def product_of_marginals(x):
    p = (x > 0).float().mean(0)
    return p[:, None] * p[None, :]


@co.wrong(says="P(j | i)")
def conditional(x):
    on = (x > 0).float()
    return on.T @ on / on.sum(0)[:, None]


@co.wrong(says="diagonal")
def empty_diagonal(x):
    on = (x > 0).float()
    return on.T @ on / len(x) * (1 - torch.eye(x.shape[1]))


@co.wrong(says="correlation")
def correlation(x):
    return torch.corrcoef(x.T)


@co.wrong(says="correlation")
def correlation_of_on(x):
    return torch.corrcoef((x > 0).double().T).float()


@co.wrong(says="covariance")
def covariance_of_on(x):
    return torch.cov((x > 0).float().T)


@co.wrong(says="Bool")
def product_of_booleans(x):
    on = x > 0
    return on.T @ on / len(x)


@co.right
def by_broadcasting(x):
    on = x > 0
    return (on[:, :, None] & on[:, None, :]).float().mean(0)


@co.right
def by_loop(x):
    n = x.shape[1]
    return torch.tensor([[((x[:, i] > 0) & (x[:, j] > 0)).double().mean().item() for j in range(n)] for i in range(n)])


dimensionality = Answers("feature_dimensionality")


@dimensionality.wrong(says="feature i included")
def leaves_out_itself(W):
    norm = W.norm(dim=1).clamp(min=1e-12)
    dots = ((W / norm[:, None]).mT @ W) ** 2
    return norm**2 / (dots.sum(2) - dots.diagonal(dim1=1, dim2=2)).clamp(min=1e-12)


@dimensionality.wrong(says="is not scaled")
def without_the_hat(W):
    return W.pow(2).sum(1) / ((W.mT @ W) ** 2).sum(2).clamp(min=1e-12)


@dimensionality.wrong(says="only W_i has a hat")
def both_with_hats(W):
    unit = W / W.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return W.pow(2).sum(1) / ((unit.mT @ unit) ** 2).sum(2).clamp(min=1e-12)


@dimensionality.wrong(says="norm 0 gives 0/0")
def divides_by_zero(W):
    unit = W / W.norm(dim=1, keepdim=True)
    return W.pow(2).sum(1) / ((unit.mT @ W) ** 2).sum(2)


@dimensionality.wrong(says="numerator is the squared norm. And a feature of norm 0")
def not_squared_and_no_guard(W):
    norm = W.norm(dim=1)
    return norm / ((W / norm[:, None]).mT @ W).pow(2).sum(2)


@dimensionality.wrong(says="spreads")
def other_axis_and_no_guard(W):
    unit = W / W.norm(dim=1, keepdim=True)
    return W.pow(2).sum(1) / ((unit.mT @ W) ** 2).sum(1)


@dimensionality.wrong(says="numerator is the squared norm")
def numerator_not_squared(W):
    norm = W.norm(dim=1)
    unit = W / norm.clamp(min=1e-12)[:, None]
    return norm / ((unit.mT @ W) ** 2).sum(2).clamp(min=1e-12)


@dimensionality.wrong(says="sum along the other axis")
def sums_the_other_axis(W):
    unit = W / W.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return W.pow(2).sum(1) / ((unit.mT @ W) ** 2).sum(1).clamp(min=1e-12)


@dimensionality.wrong(says="are squared")
def forgets_the_square(W):
    unit = W / W.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return W.pow(2).sum(1) / (unit.mT @ W).abs().sum(2).clamp(min=1e-12)


@dimensionality.right
def norm_to_the_fourth(W):
    """|W_i|² / sum (W_i·W_j)²/|W_i|² = |W_i|⁴ / sum (W_i·W_j)²."""
    fourth = W.pow(2).sum(1) ** 2
    return torch.where(fourth > 0, fourth / (W.mT @ W).pow(2).sum(2).clamp(min=1e-20), fourth)


@dimensionality.right
def feature_by_feature(W):
    D = torch.zeros(W.shape[0], W.shape[2])
    for w, row in zip(W, D):
        for i in range(w.shape[1]):
            if w[:, i].norm() > 0:
                hat = w[:, i] / w[:, i].norm()
                row[i] = w[:, i].norm() ** 2 / ((hat @ w) ** 2).sum()
    return D


neurons = Answers("features_per_neuron")


@neurons.wrong(says="negative weights")
def forgets_the_sign(W, threshold):
    return W.gt(threshold).sum(dim=1)


@neurons.wrong(says="row of W")
def per_feature(W, threshold):
    return (W.abs() > threshold).sum(dim=0)


@neurons.wrong(says="one number")
def all_together(W, threshold):
    return (W.abs() > threshold).sum()


@neurons.wrong(says="count its features")
def polysemantic_or_not(W, threshold):
    return ((W.abs() > threshold).sum(dim=1) > 1).int()


@neurons.wrong(says="True and False")
def a_mask(W, threshold):
    return (W.abs() > threshold).sum(dim=1) > 1


@neurons.wrong(says="scaling each feature")
def relative_to_the_norm(W, threshold):
    return ((W / W.norm(dim=0, keepdim=True)).abs() > threshold).sum(dim=1)


@neurons.wrong(says="floating point")
def counts_as_floats(W, threshold):
    return (W.abs() > threshold).float().sum(dim=1)


@neurons.right
def by_counting(W, threshold):
    return torch.count_nonzero(W.abs().gt(threshold), dim=-1)


@neurons.right
def in_python(W, threshold):
    return torch.tensor([sum(1 for value in row if value > threshold or value < -threshold) for row in W.tolist()])
