"""Lab 03: oracles and mistakes for codes, the toy model, its loss and its gradient."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from labs_src.checks.compare import Mistake, normal


def positive(rng, *shape: int, low: float = 0.3, high: float = 1.5) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(low, high, size=shape)).float()


# sparsest_code: a linear program finds the smallest L1 norm ------------------------------------------------------


def frame(rng) -> dict:
    """A basis and a point for which none of the usual short cuts happens to give the sparsest code."""
    short_cuts = (_first_pair, _greedy_pair, _two_best_aligned, _longest, *map(_smallest, ("l2", "sum", "max")))
    while True:
        inputs = _any_frame(rng)
        best = _smallest("l1")(**inputs)
        if all((best - code(**inputs)).abs().max() > 0.05 for code in short_cuts):
            return inputs


def _any_frame(rng) -> dict:
    k = 5
    angle = np.pi * (np.arange(k) + rng.uniform(-0.25, 0.25, k)) / k  # no two vectors nearly parallel
    length = rng.uniform(0.4, 1.8, k)  # a vector's length matters as well as its direction
    basis = np.stack((np.cos(angle), np.sin(angle))) * length
    x = basis @ rng.normal(size=k)
    return {"basis": torch.from_numpy(basis[:, rng.permutation(k)]).float(), "x": torch.from_numpy(x).float()}


def basis_pursuit(basis, x) -> torch.Tensor:
    from scipy.optimize import linprog

    B = basis.double().numpy()
    k = B.shape[1]
    found = linprog(np.ones(2 * k), A_eq=np.hstack((B, -B)), b_eq=x.double().numpy(), bounds=(0, None))
    return torch.from_numpy(found.x[:k] - found.x[k:])


def _every_pair(basis, x) -> tuple[list[tuple[int, int]], torch.Tensor]:
    """All pairs of columns, and the code that each gives (Cramer's rule): [pairs, k]."""
    pairs = list(itertools.combinations(range(basis.shape[1]), 2))
    codes = torch.zeros(len(pairs), basis.shape[1])
    for row, (i, j) in enumerate(pairs):
        (a, b), (c, d), (u, v) = basis[:, i].tolist(), basis[:, j].tolist(), x.tolist()
        codes[row, i], codes[row, j] = (u * d - v * c) / (a * d - b * c), (a * v - b * u) / (a * d - b * c)
    return pairs, codes


SCORES = {
    "l1": lambda c: c.abs().sum(1),
    "l2": lambda c: (c**2).sum(1),
    "sum": lambda c: c.sum(1),
    "max": lambda c: c.abs().amax(1),
}


def _smallest(score: str):
    def code(basis, x):
        _, codes = _every_pair(basis, x)
        return codes[SCORES[score](codes).argmin()]

    return code


def _pair(basis, x, chosen) -> torch.Tensor:
    pairs, codes = _every_pair(basis, x)
    return codes[pairs.index(tuple(sorted(chosen)))]


def _aligned(basis, x):
    return (basis.T @ x / basis.norm(dim=0)).abs()


def _first_pair(basis, x):
    return _pair(basis, x, (0, 1))


def _two_best_aligned(basis, x):
    return _pair(basis, x, _aligned(basis, x).topk(2).indices.tolist())


def _longest(basis, x):
    return _pair(basis, x, basis.norm(dim=0).topk(2).indices.tolist())


def _greedy_pair(basis, x):
    """The vector that points most like x, then its best partner."""
    first = int(_aligned(basis, x).argmax())
    pairs, codes = _every_pair(basis, x)
    codes = codes[[first in pair for pair in pairs]]
    return codes[SCORES["l1"](codes).argmin()]


SPARSEST = (
    Mistake(
        "that is least squares: it spreads over every vector; at most two may be used",
        lambda basis, x: torch.linalg.pinv(basis) @ x,
    ),
    Mistake("only the first two columns were tried; go through every pair", _first_pair),
    Mistake("the pair with the smallest sum of squares; take the smallest sum of |c|", _smallest("l2")),
    Mistake("the pair with the smallest sum of c with its sign; take |c|", _smallest("sum")),
    Mistake("those are the dot products with x; solve basis @ c = x", lambda basis, x: basis.T @ x),
    Mistake(
        "the vector that points most like x need not be in the best pair: a long vector needs a smaller c. Go through every pair",
        _greedy_pair,
    ),
    Mistake(
        "the two vectors that point most like x need not be the best pair: a long vector needs a smaller c. Go through every pair",
        _two_best_aligned,
    ),
    Mistake(
        "the two longest vectors need not be the best pair: direction matters too. Go through every pair", _longest
    ),
)


# toy_forward, toy_loss, toy_gradients: one input, one feature at a time, in double precision -----------------------


def model(rng) -> dict:
    return {"W": normal(rng, 3, 4, 6), "b": normal(rng, 3, 6, scale=0.7), "x": positive(rng, 8, 3, 6, low=0.0)}


def forward_by_loop(W, b, x) -> torch.Tensor:
    W, b, x = W.double().numpy(), b.double().numpy(), x.double().numpy()
    out = np.zeros(x.shape)
    for row, i in itertools.product(range(x.shape[0]), range(x.shape[1])):
        hidden = sum(W[i, :, n] * x[row, i, n] for n in range(x.shape[2]))
        for n in range(x.shape[2]):
            out[row, i, n] = max(0.0, float(hidden @ W[i, :, n]) + b[i, n])
    return torch.from_numpy(out)


def _pre(W, b, x):
    return torch.einsum("idn,idm,bim->bin", W, W, x) + b


FORWARD = (
    Mistake("the bias b is missing", lambda W, b, x: _pre(W, 0 * b, x).relu()),
    Mistake("the ReLU at the end is missing", _pre),
    Mistake("b is added after the ReLU; it belongs inside", lambda W, b, x: _pre(W, 0 * b, x).relu() + b),
    Mistake("h has a ReLU; here the only ReLU is at the output", lambda W, b, x: (torch.einsum("idn,bid->bin", W, torch.einsum("idn,bin->bid", W, x).relu()) + b).relu()),
    Mistake("every instance uses the weights of instance 0", lambda W, b, x: _pre(W[:1].expand_as(W), b, x).relu()),
    Mistake("every instance uses the bias of instance 0", lambda W, b, x: _pre(W, b[:1], x).relu()),
)  # fmt: skip


def loss_case(batch: int, instances: int, features: int):
    def inputs(rng) -> dict:
        shape = (batch, instances, features)
        return {
            "out": positive(rng, *shape, low=0),
            "x": positive(rng, *shape, low=0),
            "importance": positive(rng, features),
        }

    return inputs


def loss_by_loop(out, x, importance) -> torch.Tensor:
    batch, instances, features = x.shape
    return torch.tensor([
        sum(
            float(importance[n]) * (float(out[r, i, n]) - float(x[r, i, n])) ** 2
            for r in range(batch)
            for n in range(features)
        )
        / batch
        for i in range(instances)
    ])  # fmt: skip


def _sq(out, x):
    return (out - x) ** 2


LOSS = (
    Mistake("importance was forgotten", lambda o, x, w: _sq(o, x).sum(-1).mean(0)),
    Mistake("averaged over the features; sum over them, and average over the batch only", lambda o, x, w: (w * _sq(o, x)).mean((0, 2))),
    Mistake("summed over the batch; take the mean there", lambda o, x, w: (w * _sq(o, x)).sum((0, 2))),
    Mistake("summed over the batch and averaged over the features; it is the other way round", lambda o, x, w: (w * _sq(o, x)).mean(2).sum(0)),
    Mistake("one number for all instances; every instance has a loss of its own", lambda o, x, w: (w * _sq(o, x)).sum(-1).mean()),
    Mistake("one number for all instances; every instance has a loss of its own", lambda o, x, w: (w * _sq(o, x)).sum(-1).mean(0).sum()),
    Mistake("importance is on the wrong axis: it was matched with the instances, it belongs to the features", lambda o, x, w: (w[:, None] * _sq(o, x)).sum(-1).mean(0) if len(w) == x.shape[1] else _sq(o, x)),
    Mistake("importance is on the wrong axis: it was matched with the batch, it belongs to the features", lambda o, x, w: (w[:, None, None] * _sq(o, x)).sum(-1).mean(0) if len(w) == x.shape[0] else _sq(o, x)),
    Mistake("the result has a loss for each feature: the mean runs over the instances, but they are separate models", lambda o, x, w: (w * _sq(o, x)).sum(1).mean(0)),
    Mistake("the result has a loss for each row of the batch; the mean runs over the batch, the instances stay", lambda o, x, w: (w * _sq(o, x)).sum(-1).mean(1)),
    Mistake("importance was squared with the error; it multiplies the square", lambda o, x, w: (w * (o - x)).pow(2).sum(-1).mean(0)),
    Mistake("that is the absolute error; square it", lambda o, x, w: (w * (o - x).abs()).sum(-1).mean(0)),
)  # fmt: skip


def gradient_case(rng) -> dict:
    return {
        "W": normal(rng, 2, 3, 4),
        "b": normal(rng, 2, 4, scale=0.5),
        "x": positive(rng, 5, 2, 4, low=0),
        "importance": positive(rng, 4),
    }


def finite_differences(W, b, x, importance) -> tuple[torch.Tensor, torch.Tensor]:
    W, b, x, importance = (t.double().numpy() for t in (W, b, x, importance))

    def loss(W, b):
        out = np.maximum(0, np.einsum("idn,idm,bim->bin", W, W, x) + b)
        return (importance * (out - x) ** 2).sum() / x.shape[0]

    grads = []
    for which in (0, 1):
        base = (W, b)[which]
        grad = np.zeros(base.shape)
        for place in np.ndindex(*base.shape):
            step = np.zeros(base.shape)
            step[place] = 1e-6
            up, down = (loss(W + s, b) if which == 0 else loss(W, b + s) for s in (step, -step))
            grad[place] = (up - down) / 2e-6
        grads.append(torch.from_numpy(grad))
    return tuple(grads)


def _gradient_with(encoder=True, decoder=True, mask=True, importance_in=True, factor=2.0, mean=True, sum_b=True):
    def gradient(W, b, x, importance):
        h = torch.einsum("idn,bin->bid", W, x)
        pre = torch.einsum("idn,bid->bin", W, h) + b
        g = factor * (importance if importance_in else 1.0) * (pre.relu() - x)
        g = g * (pre > 0 if mask else 1.0) / (x.shape[0] if mean else 1)
        q = torch.einsum("idn,bin->bid", W, g)
        dW = decoder * torch.einsum("bid,bin->idn", h, g) + encoder * torch.einsum("bid,bin->idn", q, x)
        return dW, g.sum(0) if sum_b else g.mean(0)

    return gradient


GRADIENTS = (
    Mistake(
        "dW has only the decoder's part h gᵀ; W is used twice, so add the encoder's part q xᵀ",
        _gradient_with(encoder=False),
    ),
    Mistake(
        "dW has only the encoder's part q xᵀ; W is used twice, so add the decoder's part h gᵀ",
        _gradient_with(decoder=False),
    ),
    Mistake("the ReLU's mask is missing: where the output is cut to 0, nothing flows back", _gradient_with(mask=False)),
    Mistake("importance is missing in g", _gradient_with(importance_in=False)),
    Mistake("the 2 from differentiating the square is missing", _gradient_with(factor=1.0)),
    Mistake("g is not divided by the batch size; the loss is a mean over the batch", _gradient_with(mean=False)),
    Mistake(
        "db is a mean over the batch of g, which is divided by the batch size already; sum it",
        _gradient_with(sum_b=False),
    ),
    Mistake("the result should be the pair (dW, db), in this order", lambda *a: _gradient_with()(*a)[::-1]),
)
