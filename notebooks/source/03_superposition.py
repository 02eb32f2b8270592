# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 Superposition
#
# **Question.** When does a network store more features than it has dimensions?
#
# **After this you can** build and train the toy model, say from its loss why features become orthogonal, get dropped or
# share a dimension, read the geometry of a trained model, and tell superposition from polysemanticity.
#
# 170 minutes · mini tier · from the notes: superposition, privileged bases, correlated features, proof of orthogonality

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import itertools
import time
from dataclasses import replace

import pandas as pd
import torch

from labs_src.figures import superposition as draw
from labs_src.figures.superposition_neurons import neuron_weights
from labs_src.figures.superposition_theory import geometry_curve, lines, phase_diagram
from labs_src.lab import check, hint, record, say, show, solution, start
from labs_src.superposition import geometry, toy
from labs_src.superposition.data import make, pairs, sweep
from labs_src.superposition.toy import HIDDEN_RELU, LINEAR, TOY, Kind, best_of, evaluate, train

start("03", tier=tier, seed=seed)

# %% [markdown]
# ## More directions than dimensions
#
# Two vectors are a basis of the plane. Three are an **overcomplete** basis: every point now has many sets of
# coefficients. Sparsity chooses one: the fewest basis vectors, with the smallest sum of sizes (L1 norm).
#
# In the plane two vectors always suffice, so try every pair.
#
# *`sparsest_code` · 2 points · difficulty 2 of 5 · importance 2 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "sparsest_code", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sparsest_code(basis, x):
    """basis: (2, k), a vector in each column. x: (2,). Returns c: (k,) with basis @ c = x, at most two entries
    not zero, and the smallest sum of |c|."""
    ### BEGIN SOLUTION
    best = None
    for pair in itertools.combinations(range(basis.shape[1]), 2):
        c = torch.zeros(basis.shape[1])
        c[list(pair)] = torch.linalg.solve(basis[:, list(pair)], x)
        if best is None or c.abs().sum() < best.abs().sum():
            best = c
    return best
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_sparsest_code", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(sparsest_code)

# %% [markdown]
# Least squares solves the same equation, with the smallest sum of *squares*.

# %%
basis = torch.tensor([[1.0, 0.0, 0.5**0.5], [0.0, 1.0, 0.5**0.5]])
x = torch.tensor([1.0, 1.1])
codes = {"fewest": sparsest_code(basis, x), "least squares": torch.linalg.pinv(basis) @ x}
pd.DataFrame({name: [*c.tolist(), (c.abs() > 1e-5).sum().item(), c.abs().sum().item()] for name, c in codes.items()},
             index=["(1, 0)", "(0, 1)", "(1, 1)/√2", "used", "sum of |c|"]).round(3)

# %% [markdown]
# Least squares uses every vector. Lab 04 learns such codes; this lab asks when a network makes them necessary.
#
# ## Data with known features
#
# A feature is off (0), or on with a magnitude uniform on [0, 1]. It is on with probability `p`; the study notes that this
# course grew from ("the notes") speak of the sparsity `S = 1 - p`. All features are independent. Instances are models trained side by side, each with its own `p`.
#
# *`sample_features` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "sample_features", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample_features(batch, probability, n_features):
    """batch: int. probability: (instances,), of a feature being on. Returns fresh samples: (batch, instances, n_features)."""
    ### BEGIN SOLUTION
    shape = (batch, len(probability), n_features)
    on = torch.rand(shape) < probability[None, :, None]
    return on * torch.rand(shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_sample_features", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(sample_features)

# %% tags=["nbval-ignore-output"]
x = sample_features(20_000, torch.tensor([1.0, 0.25, 0.05]), 5)
on = x > 0
pd.DataFrame({"p": [1.0, 0.25, 0.05], "fraction on": on.float().mean((0, 2)), "mean when on": x.sum((0, 2)) / on.sum((0, 2)),
              "empty inputs": (~on).all(2).float().mean(0)}).round(3)

# %% [markdown]
# The mean is not zero. The notes' derivation assumes mean 0 and variance 1; we will need both.
#
# ## The toy model
#
# `h = W x` squeezes n features into d dimensions; `x' = ReLU(Wᵀ h + b)` reads them back with the same `W`.
# Column i of `W` is feature i's direction in the hidden space.
#
# *`toy_forward` · 2 points · difficulty 2 of 5 · importance 5 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "toy_forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def toy_forward(W, b, x):
    """W: (instances, d_hidden, n_features). b: (instances, n_features). x: (batch, instances, n_features).
    Returns x', of the shape of x."""
    ### BEGIN SOLUTION
    h = torch.einsum("idn,bin->bid", W, x)
    return (torch.einsum("idn,bid->bin", W, h) + b).relu()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_toy_forward", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(toy_forward)

# %% [markdown]
# The loss of an instance: importance times squared error, **summed over features**, averaged over the batch.
#
# *`toy_loss` · 2 points · difficulty 1 of 5 · importance 5 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "toy_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def toy_loss(out, x, importance):
    """out, x: (batch, instances, n_features). importance: (n_features,). Returns (instances,)."""
    ### BEGIN SOLUTION
    return (importance * (out - x) ** 2).sum(dim=-1).mean(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_toy_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(toy_loss)

# %% [markdown]
# ## Its gradient, by hand
#
# The model is small enough to differentiate on paper, and that is what makes this lab fast.
#
# - `g = ∂L/∂(Wᵀh + b)`: two times importance times error, where the ReLU is open, divided by the batch size.
# - `b` adds to every row, so its gradient is the sum of `g` over the batch.
# - `W` is used **twice**. As decoder it sees `h` and `g`; as encoder it sees `q = W g` and `x`.
#
# *`toy_gradients` · 3 points · difficulty 4 of 5 · importance 3 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "toy_gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def toy_gradients(W, b, x, importance):
    """Shapes as above. Returns (dW, db): the gradients of toy_loss, with the shapes of W and b."""
    ### BEGIN SOLUTION
    h = torch.einsum("idn,bin->bid", W, x)
    out = (torch.einsum("idn,bid->bin", W, h) + b).relu()
    g = 2 * importance * (out - x) * (out > 0) / x.shape[0]
    q = torch.einsum("idn,bin->bid", W, g)
    dW = torch.einsum("bid,bin->idn", h, g) + torch.einsum("bid,bin->idn", q, x)
    return dW, g.sum(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_toy_gradients", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(toy_gradients)

# %% [markdown]
# The package trains with this formula and Adam, in one pass over all instances. Yours and the package's, and autograd on
# your forward and loss:

# %%
importance = 0.9 ** torch.arange(5.0)
W, b = torch.randn(3, 2, 5, requires_grad=True), torch.randn(3, 5, requires_grad=True)
yours = toy_gradients(W.detach(), b.detach(), x, importance)
package = toy.gradients(W.detach(), b.detach(), x.transpose(0, 1), importance.expand(3, 5))
autograd = torch.autograd.grad(toy_loss(toy_forward(W, b, x), x, importance).sum(), (W, b))
for name, other in {"package": package, "autograd": autograd}.items():
    print(name, "agrees:", all(torch.allclose(a, c, rtol=1e-3, atol=1e-4) for a, c in zip(yours, other)))

# %% [markdown]
# ## Five features, two dimensions
#
# Importance falls as 0.9^i. Eight instances: always on (p = 1) down to one time in twenty. Gradient descent has local
# minima here, so each instance starts four times and the lowest loss is kept.
#
# **Predict.** With p = 1, how many of the five features will have a norm near 1? And with p = 1/20?

# %% tags=["nbval-ignore-output"]
probability = sweep(8, 1 / 20)
five = make(probability, 5)
started = time.perf_counter()
quick = {"d_hidden": 2, "lr": 2e-2}
model, losses = best_of(4, five, importance=importance, steps=3000, seed=seed, snapshots=20, **quick)
record("sweep_seconds", time.perf_counter() - started, tolerance=None, why="a time", unit="s")

# %% tags=["nbval-ignore-output"]
show(draw.arrows(model.W, probability))

# %%
norm = geometry.norms(model.W)
count = geometry.kept(model.W, threshold=0.9)
why = "a count; the best of four starts finds it on every seed tried"
record("features_kept_dense", int(count[0]), tolerance=0, must="= 2", why=why)
record("features_kept_sparse", int(count[-1]), tolerance=0, must="= 5", why=why)

# %% [markdown]
# How evenly are five directions spread? Measure the gaps between neighbours around the circle.
#
# *`angle_gaps` · 2 points · difficulty 2 of 5 · importance 2 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "angle_gaps", "locked": false, "schema_version": 3, "solution": true, "task": false}
def angle_gaps(W):
    """W: (2, n_features). Returns (n_features,): the angles in degrees between neighbouring directions, all the way
    round, smallest first. They sum to 360."""
    ### BEGIN SOLUTION
    angle = torch.atan2(W[1], W[0]).rad2deg().sort().values
    gaps = torch.cat([angle.diff(), angle[:1] + 360 - angle[-1:]])
    return gaps.sort().values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_angle_gaps", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(angle_gaps)

# %% tags=["nbval-ignore-output"]
error = (angle_gaps(model.W[-1]) - 72).abs().max()
why = "importances differ and batches are small"
record("pentagon_angle_error_deg", error, tolerance=1.0, must="<= 5", unit="degrees", why=why)
record("dense_max_abs_cos", geometry.max_abs_cosine(model.W[0]), tolerance=0.05, must="< 0.1", why=why)
say("Sparse: a pentagon; no gap is further than {pentagon_angle_error_deg:.0f}° from that of a regular one. Dense: the two most important features, "
    "orthogonal (|cosine| {dense_max_abs_cos:.3f}); the other three have norms of {rest:.2f} and less.",
    rest=norm[0].sort().values[2].item())

# %% [markdown]
# `Wᵀ W` says the same in any number of dimensions: the diagonal holds squared norms, the rest holds interference.
# **Predict** the heatmap of four features in two antipodal pairs: how many entries off the diagonal, and of which sign?

# %% tags=["nbval-ignore-output"]
show(draw.gram(model.W, probability, [0, 3, 5, 7]))
G = (model.W.mT @ model.W)[3]
say("At p = {q:.2g}: {n} entries below -0.5, two for each pair, and {m} above 0.5 off the diagonal.", q=float(probability[3]),
    n=int((G < -0.5).sum()), m=int((G - torch.diag(G.diagonal()) > 0.5).sum()))

# %% [markdown]
# **Predict.** At p = 1 three features have to go: at once, or one after the other?

# %% tags=["nbval-ignore-output"]
some = [0, 3, 7]
show(draw.training(model.history[:, some], model.steps, probability[some]))
dropped = [i for i in range(5) if norm[0, i] < 0.5]
last = {i: max((s for s, w in zip(model.steps, model.history) if geometry.norms(w[0])[i] > 0.1), default=0) for i in dropped}
say("One after the other. Last snapshot with a norm above 0.1: {t}.", t=", ".join(f"feature {i} at step {s}" for i, s in last.items()))

# %% [markdown]
# What the two hidden units hold: rays when features come alone, a cloud when they come together. **Predict** which
# instance has the cloud.

# %% tags=["nbval-ignore-output"]
x = make(probability[some], 5).sample(1000, torch.Generator().manual_seed(seed))
show(draw.hidden_states(toy.hidden(model.W[some], x), (x > 0).sum(2), probability[some]))

# %% [markdown]
# How often does one start suffice? And a training that breaks stops at once, and says why:

# %% tags=["nbval-ignore-output"]
_, single = best_of(32, five, importance=importance, steps=1000, seed=seed + 1, **quick)
good = (single < 1.02 * single.min(0).values).sum(0)
print("of 32 starts, within 2% of the best:", {f"p = {p:.2g}": g for p, g in zip(probability.tolist(), good.tolist())})
print("best of four over best of 32:", [f"{v:.2f}" for v in (losses.min(0).values / single.min(0).values).tolist()])
try:
    train(five, 2, importance, lr=1e12)
except toy.Diverged as stopped:
    print(stopped)

# %% [markdown]
# ## Why orthogonal when everything is on
#
# Leave out ReLU and bias. With `G = WᵀW` the error is `e = (G - I) x`. For independent features of mean 0 and variance 1:
#
# $$L = \sum_i I_i \Big[ \underbrace{(G_{ii}-1)^2}_{\text{own}} + \underbrace{\sum_{j \ne i} G_{ij}^2}_{\text{interference}} \Big]$$
#
# The notes assume unit codes (directions of length 1, `G_ii = 1`), so that only the second term is left. Keep both. Use torch operations
# throughout: a later cell differentiates your function.
#
# *`interference_loss` · 2 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "interference_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def interference_loss(W, importance):
    """W: (d_hidden, n_features). importance: (n_features,). Returns {"own": number, "interference": number}."""
    ### BEGIN SOLUTION
    G = W.T @ W
    own = importance * (G.diagonal() - 1) ** 2
    interference = importance * ((G**2).sum(dim=1) - G.diagonal() ** 2)
    return {"own": own.sum(), "interference": interference.sum()}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_interference_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(interference_loss)

# %% [markdown]
# ### What the dropped diagonal hides
#
# **Predict.** Minimise three losses over `W` for five features in two dimensions: (a) interference only, with unit codes;
# (b) interference only, norms free; (c) both terms, norms free. Which norms come out?


# %%
def minimise(terms, unit_codes=False):
    W = (torch.randn(2, 5, generator=torch.Generator().manual_seed(seed)) / 2).requires_grad_()
    for _ in range(500):
        parts = interference_loss(W / W.norm(dim=0) if unit_codes else W, importance)
        loss = sum(parts[term] for term in terms)
        W.data -= 0.1 * torch.autograd.grad(loss, W)[0]
    norms = torch.ones(5) if unit_codes else W.detach().norm(dim=0)
    return [*(abs(round(v, 2)) for v in norms.tolist()), round(loss.item(), 2)]


# %% tags=["nbval-ignore-output"]
rows = {
    "(a) interference, unit codes": minimise(["interference"], unit_codes=True),
    "(b) interference, free norms": minimise(["interference"]),
    "(c) own + interference": minimise(["own", "interference"]),
}
pd.DataFrame(rows, index=[*(f"norm {i}" for i in range(5)), "loss"]).T

# %% [markdown]
# - (a) cannot drop a feature: unit codes are all kept, and interfere. "Suppress the rest" does not follow from this loss.
# - (b) reaches 0 wherever nothing interferes: `W = 0` will do. Which features survive, and with what norm, depends on the start.
# - (c) keeps the two most important features and drops the rest. Only the diagonal term *rewards* representing something.
#
# Why norm zero and not small? Give a dropped feature j the squared norm t on the axis of a kept feature k. Its own term gains
# `2 I_j t`. Now `G_jk² = t` counts twice and costs `(I_j + I_k) t`. The slope at t = 0 is `I_k - I_j`:

# %%
kept_pair = torch.eye(5)[:2]  # features 0 and 1 on the two axes
for j in (2, 3, 4):
    t = 1e-3
    W = kept_pair.clone()
    W[1, j] = t**0.5  # on the axis of feature 1, the cheaper of the two
    change = sum(interference_loss(W, importance).values()) - sum(interference_loss(kept_pair, importance).values())
    print(f"feature {j}: slope {change / t:+.2f}, I_1 - I_{j} = {importance[1] - importance[j]:+.2f}")

# %% [markdown]
# Positive: every dropped feature is pushed back to zero, because whatever it lands on matters more.
#
# ### Why not a pentagon at zero sparsity?
#
# The notes' question, in numbers. **Predict** which is cheapest: a pentagon of unit codes, the same shrunk as far as it helps, or the two
# most important features alone. And when all five are equally important?

# %%
angle = torch.arange(5) * 2 * torch.pi / 5
pentagon = torch.stack((angle.cos(), angle.sin()))
lengths = [s * pentagon for s in torch.linspace(0.3, 1, 141)]
options = {"pentagon, unit codes": [pentagon], "pentagon, best length": lengths, "two features": [kept_pair]}


def lowest(Ws, importance):
    return round(min(float(sum(interference_loss(W, importance).values())) for W in Ws), 2)


pd.DataFrame({"importance 0.9^i": {name: lowest(Ws, importance) for name, Ws in options.items()},
              "equal importance": {name: lowest(Ws, torch.ones(5)) for name, Ws in options.items()}})

# %% [markdown]
# The pentagon loses because importances differ. With **equal** importance the shrunk one ties: any plane is as good as any other, and "no sparsity, hence
# orthogonal" is no longer true. **Predict** what training finds then.

# %% tags=["nbval-ignore-output"]
equal, _ = best_of(4, make(1.0, 5), steps=3000, seed=seed, **quick)
say("All on, equally important: norms {norms}; largest |cosine| of two features with a norm above 0.3: {cos:.2f}. "
    "The squared norms still sum to {total:.2f}. Orthogonality at zero sparsity needs unequal importance.",
    norms=", ".join(f"{v:.2f}" for v in geometry.norms(equal.W[0]).tolist()),
    cos=float(geometry.max_abs_cosine(equal.W[0], 0.3)), total=float(equal.W.pow(2).sum()))

# %% [markdown]
# ## What sparsity changes: first the moments
#
# Our features are not of mean 0. Being on has probability p_i, and then the mean is 1/2 and the second moment 1/3. So
# `E[x_i²] = p_i/3`, `E[x_i x_j] = p_i p_j / 4`, `E[x_i] = p_i/2`. With a bias the error is `e = (G - I) x + b`. Work out
# `Σ I_i E[e_i²]`.
#
# *`expected_linear_loss` · 3 points · difficulty 4 of 5 · importance 4 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "expected_linear_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_linear_loss(W, b, importance, p):
    """W: (d_hidden, n_features). b, importance, p: (n_features,). Returns a number: the exact expected loss of
    x' = WᵀW x + b (no ReLU) on independent features, on with probability p_i, uniform when on."""
    ### BEGIN SOLUTION
    gap = W.T @ W - torch.eye(W.shape[1])
    mean = p / 2
    second = torch.outer(p, p) / 4
    second = second - torch.diag(second.diagonal()) + torch.diag(p / 3)
    error = ((gap @ second) * gap).sum(dim=1) + 2 * b * (gap @ mean) + b**2
    return (importance * error).sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_expected_linear_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(expected_linear_loss)

# %% [markdown]
# **Predict.** Train the sweep without the output ReLU. How large is `W` (the sum of squared norms) at p = 1/20: near 2, or near 5?

# %% tags=["nbval-ignore-output"]
linear, _ = best_of(4, five, importance=importance, kind=LINEAR, seed=seed, **quick)
size = {"without ReLU": linear.W.pow(2).sum((1, 2)), "with ReLU": model.W.pow(2).sum((1, 2))}
data = pd.DataFrame([{"model": name, "1 / p": 1 / p, "sum of squared norms": v}
                     for name, sums in size.items() for p, v in zip(probability.tolist(), sums.tolist())])
without, with_relu = (float(sums[-1]) for sums in size.values())
show(lines(data, "1 / p", "sum of squared norms", "model", log_x=True, y_range=[0, 7],
           title=f"At p = 1/20 the squared norms sum to {without:.2f} without the output ReLU, {with_relu:.2f} with it"))

# %% [markdown]
# With the best bias the loss is `Σ_i I_i Σ_j (G - I)_ij² v_j`, where `v_j = p_j/3 - p_j²/4` is the variance of feature j: own error and
# interference have **the same factor**. One p for all features scales the loss and leaves its minimiser. Different p's do not:

# %% tags=["nbval-ignore-output"]
rates = torch.tensor([0.02, 0.05, 0.1, 0.5, 0.9])
variance = rates / 3 - rates**2 / 4
W = (torch.randn(2, 5, generator=torch.Generator().manual_seed(seed)) / 2).requires_grad_()
for _ in range(1000):
    gap = W.T @ W - torch.eye(5)
    W.data -= 0.5 * torch.autograd.grad((gap**2 @ variance).sum(), W)[0]
say("Equally important features with p = {p} get norms {n}: in a linear model, variance selects as importance does.",
    p=", ".join(f"{v:g}" for v in (0.02, 0.05, 0.1, 0.5, 0.9)), n=", ".join(f"{abs(v):.2f}" for v in W.norm(dim=0).tolist()))

# %% [markdown]
# So sparsity shared by all features is not the reason. The notes multiply each squared dot product by `m_ij`, the probability that i and
# j are both on. That skips something: feature j disturbs
# output i whenever j is on, **whether or not i is on**. What the ReLU adds: take two opposite features, `W = [1, -1]`.

# %% tags=["nbval-ignore-output"]
rare = make(0.05, 2).sample(400_000, torch.Generator().manual_seed(seed))[:, 0]
read = rare @ torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
for name, out in {"linear": read, "ReLU": read.relu()}.items():
    error = ((out - rare) ** 2)[:, 0]
    off, both = (rare[:, 0] == 0), (rare > 0).all(1)
    print(f"{name:7s} loss of feature 0: {(error * off).mean():.5f} while off, {(error * both).mean():.5f} while both are on")

# %% [markdown]
# The ReLU removes negative interference with a feature that is off. What is left needs **both** on: `m_ij = p²`, against a
# benefit that goes with p. That is the notes' `m_ij`, and it holds for opposite features, thanks to the ReLU.
#
# ## One feature of two, in one dimension
#
# The smallest case can be solved. Two independent features, one hidden dimension, importance `I_1 ≥ I_2`.
#
# - **drop**: `W = [1, 0]`. Feature 1 is exact; output 2 is the best constant.
# - **share**: `W = [1, -1]`, `b = 0`, output ReLU. What is each output when one is on, and when both are?
#
# *`two_feature_losses` · 2 points · difficulty 4 of 5 · importance 4 of 5 · 12 minutes*


# %% nbgrader={"grade": false, "grade_id": "two_feature_losses", "locked": false, "schema_version": 3, "solution": true, "task": false}
def two_feature_losses(p, importance):
    """p: number. importance: (2,), larger first. Returns {"drop": number, "share": number}: exact expected losses."""
    ### BEGIN SOLUTION
    drop = importance[1] * (p / 3 - p**2 / 4)  # importance times variance
    share = importance.sum() * p**2 / 6  # both on: each errs by the smaller magnitude, E[min(u, v)²] = 1/6
    return {"drop": drop, "share": share}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_two_feature_losses", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(two_feature_losses)

# %% [markdown]
# Benefit over penalty, at equal importance:

# %%
one = torch.ones(2)
costs = {p: two_feature_losses(p, one) for p in (1.0, 0.5, 0.1, 0.01)}
pd.DataFrame([{"p": p, "benefit (loss of dropping)": f"{c['drop']:.2e}", "penalty (loss of sharing)": f"{c['share']:.2e}",
               "benefit / penalty": f"{c['drop'] / c['share']:.2f}"} for p, c in costs.items()])

# %% [markdown]
# The ratio is `1/p - 3/4`: it grows without bound as features get rare.
#
# **Predict** the picture: relative importance from 0.1 to 10 across, probability upwards. Where is feature 2 not represented,
# where has it the dimension to itself, where does it share? Then train a model in every cell.

# %% tags=["nbval-ignore-output"]
p, ratio = sweep(12, 0.05), torch.logspace(-1, 1, 12)
grid_p, grid_r = (g.reshape(-1) for g in torch.meshgrid(p, ratio, indexing="ij"))
weights = torch.stack((torch.ones_like(grid_r), grid_r), dim=1) / grid_r.clamp(min=1)[:, None]
pair = make(grid_p, 2)
cells, _ = best_of(8, pair, d_hidden=1, importance=weights, seed=seed, steps=600, batch=64, lr=2e-2)
found, predicted = geometry.phase(cells.W, feature=1), geometry.predicted_phase(grid_p, grid_r)
show(phase_diagram(found.view(12, 12), predicted.view(12, 12), p, ratio))

# %% tags=["nbval-ignore-output"]
r = torch.minimum(grid_r, 1 / grid_r)  # share = drop at p = 2r / (1 + 2.5 r)
distance = (grid_p / (2 * r / (1 + 2.5 * r))).log2().abs()
larger_first = weights.sort(dim=1, descending=True).values
pure = torch.tensor([min(two_feature_losses(q, w).values()) for q, w in zip(grid_p, larger_first)])
gain = sum(evaluate(cells, pair, weights, samples=50_000, seed=s) for s in range(4)) / 4 / pure
say("{n} of {all} cells differ. Where p is within a factor of 1.2 of the border, the trained loss is {near:.2f} times the better "
    "of the two pure solutions: training mixes them, with one direction shorter and biases that are not zero. More than a factor of 2 away it is {away:.2f} times.",
    n=int((found != predicted).sum()), all=len(r), near=gain[distance < 0.26].median().item(), away=gain[distance > 1].median().item())

# %% [markdown]
# Are the closed forms exact? Two million samples each. The worst relative error:


# %%
def monte_carlo(W, b, importance, x, relu=False):
    out = x @ (W.T @ W) + b
    return (importance * ((out.relu() if relu else out) - x) ** 2).sum(1).mean()


def relative_errors(W, n=2_000_000):
    draws, b = torch.Generator().manual_seed(seed), torch.linspace(-0.2, 0.1, 5)
    unit = torch.randn(n, 5, generator=draws)
    errors = {"mean 0, variance 1": sum(interference_loss(W, importance).values()) / monte_carlo(W, 0, importance, unit) - 1}
    for p in (1.0, 0.25, 0.05):
        x = make(p, 5).sample(n, draws)[:, 0]
        expected = expected_linear_loss(W, b, importance, torch.full((5,), p))
        errors[f"uniform, p = {p}"] = expected / monte_carlo(W, b, importance, x) - 1
    x, opposite = make(0.5, 2).sample(n, draws)[:, 0], torch.tensor([[1.0, -1.0]])
    expected = two_feature_losses(0.5, one)["share"]
    errors["opposite pair, ReLU, p = 0.5"] = expected / monte_carlo(opposite, 0, one, x, relu=True) - 1
    return {name: abs(float(e)) for name, e in errors.items()}


# %% tags=["nbval-ignore-output"]
errors = relative_errors(model.W[-1])
print({name: f"{e:.1e}" for name, e in errors.items()})
record("closed_form_rel_error", max(errors.values()), tolerance=0.01, must="< 0.01", why="Monte Carlo noise of two million samples")

# %% [markdown]
# In the trained pentagon, where does the loss come from? **Predict**: mostly from inputs with one feature on, or with several?

# %% tags=["nbval-ignore-output"]
x = five.sample(200_000, torch.Generator().manual_seed(seed))
error = (importance * (toy.forward(model.W, model.b, x) - x) ** 2).sum(2)[:, -1]
active = (x[:, -1] > 0).sum(1)
share = {k: float((error * (active == k)).sum() / error.sum()) for k in (0, 1, 2)}
say("At p = 1/20, {one:.0%} of the loss comes from inputs with one feature on, {more:.0%} from inputs with two or more, "
    "though only {rare:.0%} of the inputs are of that kind. The biases are {low:.2f} to {high:.2f}: negative, to cut off small "
    "positive interference. At p = 1 the biases of the dropped features are {dense:.2f} on average: their mean.",
    one=share[1], more=1 - share[0] - share[1], rare=float((active > 1).float().mean()),
    low=float(model.b[-1].min()), high=float(model.b[-1].max()), dense=float(model.b[0][norm[0] < 0.5].mean()))

# %% [markdown]
# ## Correlated and anticorrelated features
#
# Now features come in pairs: (0, 1) and (2, 3). *Correlated*: both on or both off, magnitudes independent.
# *Anticorrelated*: never both on. Measure what counts, `m_ij`: how often i and j are on together.
#
# *`co_activation` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "co_activation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def co_activation(x):
    """x: (batch, n_features). Returns (n_features, n_features): the fraction of the batch in which i and j are both on;
    on the diagonal, in which i is on."""
    ### BEGIN SOLUTION
    on = (x > 0).float()
    return on.T @ on / x.shape[0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_co_activation", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(co_activation)

# %% tags=["nbval-ignore-output"]
kinds = {"independent": {}, "correlated": {"correlated": pairs(4)}, "anticorrelated": {"anticorrelated": pairs(4)}}
for kind, groups in kinds.items():
    m = co_activation(make(0.05, 4, **groups).sample(400_000, torch.Generator().manual_seed(seed))[:, 0])
    print(f"{kind:15s} m_00 = {m[0, 0]:.4f}   m_01 = {m[0, 1]:.4f}   m_02 = {m[0, 2]:.4f}")

# %% [markdown]
# Two dimensions have room for two opposite pairs. An opposite pair pays `m_ij`. **Predict**: who becomes whose opposite in each of the
# three data sets? And what happens to correlated pairs when p is high?


# %% tags=["nbval-ignore-output"]
def trained_pairs(kind, p, s):
    return best_of(8, make(p, 4, **kinds[kind]), steps=1000, seed=s, **quick)[0].W


panels = [("independent", 0.4), ("anticorrelated", 0.05), ("correlated", 0.05), ("correlated", 0.4)]
W_pairs = torch.cat([trained_pairs(kind, p, seed) for kind, p in panels])
labels = [f"{kind}, p = {p}" for kind, p in panels]
inside = ", ".join(f"{round(c, 1) + 0:.1f}" for c in geometry.cosines(W_pairs)[1:, 0, 1].tolist())
show(draw.arrows(W_pairs, labels, title=f"Pairs are (0, 1) and (2, 3): cosine within the first pair of the tied data {inside}"))

# %% tags=["nbval-ignore-output"]
within = torch.stack((geometry.cosines(W_pairs)[:, 0, 1], geometry.cosines(W_pairs)[:, 2, 3]), dim=1)
record("correlated_abs_cos", within[2].abs().max(), tolerance=0.05, must="< 0.1", why="noise of small batches")
record("anticorrelated_cos", within[1].max(), tolerance=0.05, must="< -0.9", why="noise of small batches")
say("Anticorrelated features are opposite (cosine {anticorrelated_cos:.2f}): they share an axis for free, since m = 0. In one and the "
    "same direction nobody could tell which of them is on. Correlated ones are orthogonal (|cosine| {correlated_abs_cos:.2f}): as opposites "
    "they would pay p, where a member of the other pair pays p². But at p = 0.4 that costs more than to **merge** a correlated pair "
    "(cosine {merged:.2f}, norms {norms}): its sum is kept, its difference is lost. Room is not the reason: independent features keep four "
    "norms of {low:.2f} or more at the same p. Which of them pair up is arbitrary.", merged=float(within[3].min()),
    norms=", ".join(f"{v:.2f}" for v in geometry.norms(W_pairs[3]).tolist()), low=float(geometry.norms(W_pairs[0]).min()))

# %% [markdown]
# ## Eighty features, twenty dimensions
#
# The same code, live. **Predict** how many of the 80 are represented at p = 1.

# %% tags=["nbval-ignore-output"]
many = make(sweep(6, 1 / 50), 80)
started = time.perf_counter()
large = train(many, d_hidden=20, importance=0.95 ** torch.arange(80.0), seed=seed)
print(f"{time.perf_counter() - started:.1f} s")
show(draw.gram(large.W, many.probability[:, 0], [0, 2, 5]))

# %% [markdown]
# How large a share of a dimension does a feature have? Project every feature on the unit direction of feature i:
#
# $$D_i = \frac{\lVert W_i \rVert^2}{\sum_j (\hat W_i \cdot W_j)^2}$$
#
# Alone: 1. A feature of norm 0 has no dimension: 0. **Predict** an opposite pair and a pentagon.
#
# *`feature_dimensionality` · 2 points · difficulty 3 of 5 · importance 3 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "feature_dimensionality", "locked": false, "schema_version": 3, "solution": true, "task": false}
def feature_dimensionality(W):
    """W: (instances, d_hidden, n_features). Returns D: (instances, n_features)."""
    ### BEGIN SOLUTION
    norm = W.norm(dim=1)  # (instances, n_features)
    unit = W / norm.clamp(min=1e-12)[:, None]
    total = ((unit.mT @ W) ** 2).sum(dim=2)
    return norm**2 / total.clamp(min=1e-12)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_feature_dimensionality", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(feature_dimensionality)

# %% [markdown]
# Sixty equally important features in twelve dimensions, sixteen sparsities. If geometry were smooth, `D` could take any value.
# **Predict** where it sticks.

# %% tags=["nbval-ignore-output"]
p = sweep(16, 1 / 50)
shapes = train(make(p, 60), d_hidden=12, seed=seed)
D = feature_dimensionality(shapes.W)
show(geometry_curve(p, D))

# %% tags=["nbval-ignore-output"]
near = {name: [int(((d - v).abs() < 0.02).sum()) for d in D] for name, v in {"1/2": 1 / 2, "2/5": 2 / 5}.items()}
say("Most features within 0.02 of 1/2 (opposite pairs): {a} of 60; of 2/5 (pentagons): {b}. From p = {q:.2f} downwards none is near either. "
    "At every sparsity the shares add up to {low:.2f} to {high:.2f}, out of 12 dimensions: capacity is divided, never made.",
    a=max(near["1/2"]), b=max(near["2/5"]), q=float(p[1 + max(k for k in range(16) if near["1/2"][k] + near["2/5"][k])]),
    low=float(D.sum(1).min()), high=float(D.sum(1).max()))

# %% [markdown]
# ## Superposition and polysemanticity are two things
#
# *Superposition*: more features than dimensions. *Polysemanticity*: one neuron responds to several features.
#
# *`features_per_neuron` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 3 minutes*


# %% nbgrader={"grade": false, "grade_id": "features_per_neuron", "locked": false, "schema_version": 3, "solution": true, "task": false}
def features_per_neuron(W, threshold):
    """W: (d_hidden, n_features). Returns (d_hidden,) integers: for how many features |weight| is above the threshold."""
    ### BEGIN SOLUTION
    return (W.abs() > threshold).sum(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_features_per_neuron", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(features_per_neuron)

# %% [markdown]
# **Polysemantic without superposition.** Two features, two neurons, no interference. Rotate the hidden space by 45 degrees:

# %%
own = torch.eye(2)
turned = geometry.rotation(torch.tensor(torch.pi / 4)) @ own
print("features per neuron:", features_per_neuron(own, 0.3).tolist(), "turned:", features_per_neuron(turned, 0.3).tolist())
print("largest interference after turning:", round(float((turned.T @ turned - own).abs().max()), 6))

# %% [markdown]
# **Superposition without polysemanticity?** With n features and d < n neurons, each feature in at least one neuron, some neuron has
# two: pigeonhole. No rotation helps. Turn the pentagon and look for the best angle:

# %% tags=["nbval-ignore-output"]
turns = geometry.rotation(torch.linspace(0, torch.pi, 361)) @ model.W[-1]
worst = torch.stack([features_per_neuron(W, 0.3).max() for W in turns])
print(f"over {len(turns)} rotations the busiest of 2 neurons has {worst.min()} to {worst.max()} features; pigeonhole says at least {-(-5 // 2)}")

# %% tags=["nbval-ignore-output"]
rare = make(0.05, 5)
before = evaluate(model[-1:], rare, importance)
after = [evaluate(replace(model[-1:], W=turns[k : k + 1]), rare, importance) for k in (45, 90, 200)]
say("But the implication needs care. Turning leaves the loss as it was (ratios {r}), so here **there are no neurons**: the axes are ours, "
    "not the model's. Superposition is a property of the model; polysemanticity, of a model and a basis.",
    r=", ".join(f"{float(a / before):.4f}" for a in after))

# %% [markdown]
# ## A privileged basis: ReLU in the hidden layer
#
# `h = ReLU(W x)` acts on each axis. Now the axes are the model's own. Ten features, five neurons, importance 0.75^i.
# **Predict**: what does rotating cost now? And does sparser data make more neurons polysemantic, as the notes suspect?

# %% tags=["nbval-ignore-output"]
p = torch.tensor([0.5, 0.25, 0.12, 0.06, 0.03, 0.015])
ten, fading = make(p, 10), 0.75 ** torch.arange(10.0)
settings = {"d_hidden": 5, "importance": fading, "seed": seed}
neurons = {name: best_of(4, ten, kind=kind, **settings)[0] for name, kind in {"linear": TOY, "ReLU": HIDDEN_RELU}.items()}
panels = torch.stack((neurons["linear"].W[0], neurons["ReLU"].W[0]))
show(neuron_weights(panels, ["linear hidden, p = 0.5", "ReLU hidden, p = 0.5"]))

# %% tags=["nbval-ignore-output"]
turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(seed)))[0]
cost = {name: (evaluate(replace(m, W=turn @ m.W), ten, fading) / evaluate(m, ten, fading)).tolist() for name, m in neurons.items()}
align = {name: geometry.axis_alignment(m.W).tolist() for name, m in neurons.items()}
for name in neurons:
    print(f"{name:6s} loss after / before rotation:", [round(v, 2) for v in cost[name]], "alignment:", [round(v, 2) for v in align[name]])
say("A random rotation multiplies the loss by {a:.2f} at most with a linear hidden layer, by {b:.1f} at least with ReLU. That is the evidence for a "
    "privileged basis. Alignment (largest weight over norm, mean over features) is not: with ReLU it falls from {c:.2f} to {d:.2f}.",
    a=max(cost["linear"]), b=min(cost["ReLU"]), c=align["ReLU"][0], d=align["ReLU"][-1])

# %% [markdown]
# **Predict** the curve: polysemantic neurons, of five, as features get rarer.

# %% tags=["nbval-ignore-output"]
many_features = {name: [int((features_per_neuron(w, 0.3) >= 2).sum()) for w in m.W] for name, m in neurons.items()}
data = pd.DataFrame([{"hidden layer": name, "1 / p": float(1 / q), "polysemantic neurons": n}
                     for name, counts in many_features.items() for q, n in zip(p, counts)])
first, last = many_features["ReLU"][0], many_features["ReLU"][-1]
show(lines(data, "1 / p", "polysemantic neurons", "hidden layer", log_x=True, y_range=[-0.2, 5.4],
           title=f"With hidden ReLU, polysemantic neurons go from {first} to {last} of 5 as features get rarer"))

# %% [markdown]
# ## Sparse data is not sparse activity
#
# Elhage et al. make the *features* sparse. Olshausen and Field make the *activity* sparse, with a cost on it. The notes: sparse data
# leads to sparse activity by itself; sparse activity does not need sparse data. **Predict** both curves, for 20 features and 10
# hidden ReLU units: activity against p without any cost, and at p = 1 against the weight of an L1 cost.


# %%
def activity(kind, probabilities):
    data = make(probabilities, 20)
    x = data.sample(4000, torch.Generator().manual_seed(seed))
    m = train(data, d_hidden=10, kind=kind, seed=seed)
    active, some = (toy.hidden(m.W, x, kind).abs() > 0.05).float(), (x > 0).any(2)  # empty inputs activate nothing
    dead = int((active.mean(0) == 0).sum())
    return [float(active[some[:, i], i].mean()) for i in range(len(probabilities))], dead, float(evaluate(m, data)[0])


# %% tags=["nbval-ignore-output"]
p = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02]
curves = {name: activity(kind, p)[0] for name, kind in {"linear hidden": TOY, "ReLU hidden": HIDDEN_RELU}.items()}
y, (first, *_, last) = "fraction of hidden units active", curves["ReLU hidden"]
data = pd.DataFrame([{"hidden layer": name, "p": a, y: v} for name, curve in curves.items() for a, v in zip(p, curve)])
show(lines(data, "p", y, "hidden layer", log_x=True, y_range=[0, 1.03],
           title=f"Given an input that is not empty, {first:.0%} of the ReLU units are active at p = 1, {last:.0%} at p = 0.02"))

# %% tags=["nbval-ignore-output"]
dense = {w: activity(Kind(hidden_relu=True, activity_penalty=w), [1.0]) for w in (0.0, 0.03, 0.1, 0.3)}
say("Costs of " + ", ".join(map(str, dense)) + " at p = 1 leave {v} of the units active: dense data, sparse activity. It has a price: the "
    "reconstruction loss is {loss}, and units that never fire number {dead}.", v=", ".join(f"{v[0]:.0%}" for v, _, _ in dense.values()),
    loss=", ".join(f"{v:.2f}" for _, _, v in dense.values()), dead=", ".join(str(n) for _, n, _ in dense.values()))

# %% [markdown]
# In a linear hidden layer "active" depends on who draws the axes. Keep the trained model, and lay the axes along its features:

# %% tags=["nbval-ignore-output"]
data = make([0.05], 20)
W = train(data, d_hidden=10, seed=seed).W
axes = [0]
for i in range(20):  # features that are orthogonal to those chosen before
    if geometry.cosines(W)[0, i, axes].abs().max() < 0.5:
        axes.append(i)
turn = torch.linalg.qr(geometry.unit(W)[0][:, axes])[0]
h = toy.hidden(W, data.sample(4000, torch.Generator().manual_seed(seed)))
say("At p = 0.05, {before:.0%} of the units are active in the axes that training started from, {after:.0%} of the {n} in axes along features. "
    "No output has changed.", before=(h.abs() > 0.05).float().mean().item(), after=((h @ turn).abs() > 0.05).float().mean().item(), n=len(axes))

# %% [markdown]
# ## On other seeds too
#
# Every trained number above with a bound, on five seeds:


# %%
def results(s):
    m = best_of(4, five, importance=importance, steps=3000, seed=s, **quick)[0].W
    within = {kind: geometry.cosines(trained_pairs(kind, 0.05, s))[0][[0, 2], [1, 3]] for kind in ("correlated", "anticorrelated")}
    return {
        "seed": s, "kept dense": int(geometry.kept(m)[0]), "|cos| dense": float(geometry.max_abs_cosine(m[0])),
        "kept sparse": int(geometry.kept(m)[-1]), "angle error": float((angle_gaps(m[-1]) - 72).abs().max()),
        "correlated |cos|": float(within["correlated"].abs().max()), "anticorrelated cos": float(within["anticorrelated"].max()),
    }


# %% tags=["nbval-ignore-output"]
pd.DataFrame([results(s) for s in range(5)]).round(3)

# %% [markdown]
# ## In your words
#
# *Graded by hand, 3 points.* A colleague finds that every neuron of an MLP layer responds to several features, and concludes that the layer
# is in superposition. Name another explanation, a measurement that would tell the two apart, and what changes if the finding were about the
# axes of the residual stream.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_superposition", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# The features may be orthogonal but turned against the neurons: then there are no more features than dimensions and no interference
# (`WᵀW` is diagonal), yet each neuron sees several. Count features against dimensions, or measure the interference `Σ_j (Ŵ_i·W_j)²`: it is zero in the first
# case and not in the second. In the residual stream no axis is special, so responding to several features says nothing: only rotation-invariant measures
# such as `WᵀW` do.
# ### END SOLUTION

# %% [markdown]
# ## What this does not show
#
# - The features were given. A real network has no list of them, and importance and sparsity are not known.
# - Feature independence and uniform magnitudes are choices; the closed forms change with them.
# - The border in the phase diagram compares two pure solutions. Training can mix them, and does so near the border.
# - "Kept" means a norm above a threshold (0.9 or 0.5). Of 80 features some lie between.
# - Best of several starts is not what one training run finds: the counts of starts above say how seldom one run does, and how far four fall short of 32.
# - Threshold 0.3 for "responds" is ours. The counts of polysemantic neurons move with it; the pigeonhole does not.
#
# **Stretch, not graded: double descent.** `train` takes any object with `instances`, `n_features`, `probability` and `sample`. Write one that draws from a *fixed* set of T
# samples. For small T the model stores samples (rows of `h` form a polygon), for large T features; in between the test loss peaks. Plot it against T.
#
# ## Sources
#
# - Elhage et al. 2022, [Toy Models of Superposition](https://arxiv.org/abs/2209.10652): model, phases, geometry, correlated features, privileged basis.
# - Henighan et al. 2023, [Superposition, Memorization, and Double Descent](https://transformer-circuits.pub/2023/toy-double-descent/index.html).
# - Scherlis et al. 2022, [Polysemanticity and Capacity in Neural Networks](https://arxiv.org/abs/2210.01892): capacity as dimensionality.
# - Olshausen and Field 1996, [Emergence of simple-cell receptive field properties](https://doi.org/10.1038/381607a0): sparse activity.
#
# ## Recap
#
# - Always on: the loss is own error plus interference. The network takes the most important features, orthogonal, and drops the rest to norm zero.
# - The diagonal term is the only reward for representing anything. With unit codes it vanishes, and so does the explanation.
# - Sparsity that all features share does not move the minimiser of a linear model. With ReLU, opposite features pay only when both are on: p² against a benefit of p.
# - Anticorrelated features are opposite, correlated ones orthogonal, or merged when being on together gets too frequent.
# - Superposition belongs to the model, polysemanticity to model and basis.
