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
# # 09 Are the features stable?
#
# **Question.** Would another seed have found the same features?
#
# **After this you can** measure how far two dictionaries agree and what chance would give, notice when a number measures
# something else, take such a number apart, put an interval on five seeds, and say what makes dictionaries agree.
#
# About 150 minutes with the exercises · mini tier · 11 exercises and a written answer · from the notes: Layer 0 PWMCC anomaly

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import math

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr, t
from torch.nn.functional import normalize

from labs_src import models
from labs_src.dictionaries import nulls, seeds, stability, sweeps
from labs_src.dictionaries.recovery import explained_variance
from labs_src.figures import stability as figures
from labs_src.figures import stability_sweeps
from labs_src.lab import check, hint, record, say, show, solution, start
from labs_src.models.recipes import grokking
from labs_src.models.recipes import seeds as recipe

start("09", tier=tier, seed=seed)

# %% [markdown]
# ## 1 Two dictionaries, one number
#
# A *report* (in the notes; sources at the end) trained sparse autoencoders (SAEs, lab 04) with five random seeds on one
# model: do they find the same features? One number made its author stop and investigate, in public, with code. That is why
# we can learn from it.
#
# The model adds: it reads `BOS a + b = c EOS` with `c = a + b mod 113`. We trained one as the published code does. The SAEs
# read the residual stream after layer 0 at `+`. They are **TopK**: of 1024 latents the 32 largest fire, the others are 0.

# %%
model_name = "leaky-113"  # section 5 explains the name
leaky = models.load(model_name).model
ab = grokking.pairs()  # every pair (a, b), ordered by a, then b
h = grokking.stream(leaky, grokking.leaky_tokens(ab), "blocks.0.hook_resid_post", at=2)  # (pair, d_model)
sae = models.load("grokking-113").dictionaries["blocks.0.hook_resid_post/leaky"]  # five seeds, one instance each
z = seeds.encode(sae, h[:5000])  # (seed, sample, latent); the report compared the first 5000 rows
h.shape, z.shape, sae.W_dec.shape

# %% [markdown]
# To compare two sets of vectors: for each vector of one set, the largest |cosine| with any vector of the other.
# A vector without length agrees with nothing: its cosine is 0.
#
# *`best_cosines` · 3 points · difficulty 1 of 5 · importance 5 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "best_cosines", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_cosines(A, B):
    """A: (n, d). B: (m, d). Returns (n,): for each row of A, the largest |cosine| with a row of B."""
    ### BEGIN SOLUTION
    return (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().amax(1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_best_cosines", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(best_cosines)

# %% [markdown]
# **PWMCC** (pairwise maximum cosine correlation) is the mean of these, in both directions. It can compare *directions* (rows
# of the decoder), or *activations*: then a latent's vector is its activation at every sample, a column of `z`.


# %%
def pwmcc(A, B):
    return float((best_cosines(A, B).mean() + best_cosines(B, A).mean()) / 2)


def of_pairs(things, statistic=pwmcc):
    """(seed, seed), symmetric, NaN on the diagonal."""
    return stability.pairs(list(things), statistic)


def upper(table):
    return table[torch.triu(torch.ones_like(table), 1) > 0]


# %% [markdown]
# The report compared activations, beside the PWMCC of two *random* sets of 1024 directions in 128 dimensions.
#
# **Predict.** Trained twice on the same data: below the random number, near it, or far above?

# %%
activation = of_pairs(z, lambda a, b: pwmcc(a.T, b.T))
g = torch.Generator().manual_seed(seed)
random_pair = pwmcc(torch.randn(1024, 128, generator=g), torch.randn(1024, 128, generator=g))

# %% tags=["plot", "nbval-ignore-output"]
show(figures.pair_values({"activations": upper(activation)}, random_pair, "PWMCC"))

# %% tags=["nbval-ignore-output"]
report = {"activation": 0.047, "random": 0.300, "decoder": 0.3086, "layer_1": 0.302, "dead": 0, "latents": 1024,
          "norm": 0.500, "decoder_std": 0.045, "encoder_std": 0.126, "smallest_norm": 0.398}  # as published
record("pwmcc_activation", upper(activation).mean(), tolerance=0.003, must="< 0.2", why="shipped weights; mean of 10 pairs")
say("Ours: {pwmcc_activation:.3f}; the report's: {activation:.3f}, beside {random:.2f} for random directions. *Below* "
    "chance. Two trained dictionaries seem to agree less than two that have learned nothing.", **report)

# %% [markdown]
# Stop for five minutes. **What would you check?** Write down three things.
#
# ## 2 The checks of the report
#
# Four suspects: (1) dead latents, (2) degenerate weights, (3) NaN or infinite numbers, (4) a metric that fails on sparse
# codes. It rejects three and confirms the fourth. Each is a claim that a measurement can contradict.
#
# (1) It calls a latent dead if its decoder row is shorter than 0.01, and finds none. Activation counts were not at hand, says
# its script; length stands in, as "an approximation". We have the codes. Count both ways.
#
# *`dead_two_ways` · 2 points · difficulty 1 of 5 · importance 5 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "dead_two_ways", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dead_two_ways(z, W_dec, limit):
    """z: (sample, latent), 0 where silent. W_dec: (latent, d_in). limit: a length.

    Returns {"by_norm": how many rows of W_dec are shorter than limit, "by_firing": how many latents never fire}.
    """
    ### BEGIN SOLUTION
    return {"by_norm": int((W_dec.norm(dim=1) < limit).sum()), "by_firing": int((z == 0).all(0).sum())}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_dead_two_ways", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(dead_two_ways)

# %% [markdown]
# **Predict.** How many of 1024 latents does each way call dead?

# %%
counts = [dead_two_ways(z[i], sae.W_dec[i], 0.01) for i in range(len(z))]
print(pd.DataFrame(counts, index=[f"seed {s}" for s in seeds.SEEDS]))

# %% tags=["plot", "nbval-ignore-output"]
alive = (z != 0).any(1)  # (seed, latent)
show(figures.lengths(sae.W_dec.norm(dim=-1)[0], alive[0], report["norm"], 0.01, f"Seed {seeds.SEEDS[0]}"))

# %% tags=["nbval-ignore-output"]
long, short = (float(sae.W_dec.norm(dim=-1)[mask].mean()) for mask in (alive, ~alive))
say("Mean length of the live: {long:.2f}, of the dead: {short:.2f}. Not firing does not make a row short.",
    long=long, short=short)

# %% [markdown]
# Why could length not show it? A latent that does not fire gets no gradient, so its row stays as it is. Rows start from
# `kaiming_uniform_`: entries drawn evenly from $-b$ to $b$ with $b = \sqrt{6/\text{fan\_in}}$, where `fan_in` is how many
# numbers one output reads.
#
# *`kaiming_spread` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 7 minutes*


# %% nbgrader={"grade": false, "grade_id": "kaiming_spread", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kaiming_spread(d_in, d_sae):
    """Of an untrained SAE. Returns {"encoder_std", "decoder_std", "decoder_norm"}: standard deviations of the entries, and
    the (root mean square) length of a decoder row, which has d_in entries."""
    ### BEGIN SOLUTION
    encoder, decoder = math.sqrt(2 / d_in), math.sqrt(2 / d_sae)
    return {"encoder_std": encoder, "decoder_std": decoder, "decoder_norm": decoder * math.sqrt(d_in)}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_kaiming_spread", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(kaiming_spread)

# %% tags=["nbval-ignore-output"]
untrained = kaiming_spread(128, 1024)
say("Untrained, by this formula: encoder {encoder_std:.3f}, decoder {decoder_std:.4f}, length {decoder_norm:.3f}. The "
    "report's trained ones: {e:.3f}, {d:.3f}, {n:.3f}, which it calls healthy. Ours after training: {oe:.3f}, "
    "{od:.4f}, {on:.3f}.",
    **untrained, e=report["encoder_std"], d=report["decoder_std"], n=report["norm"],
    oe=float(sae.W_enc.std()), od=float(sae.W_dec.std()), on=float(sae.W_dec.norm(dim=-1).mean()))

# %% [markdown]
# So (2) is rejected rightly: the weights look like a good start, because most are near it. (3) needs one line.

# %% tags=["nbval-ignore-output"]
print("all finite:", all(bool(torch.isfinite(w).all()) for w in sae.weights().values()))
start_W = seeds.start(seeds.SEEDS, 128, 1024).W_dec  # the untrained decoders: five seeds, the same numbers everywhere
same = (start_W == sae.W_dec).all(-1)
turn = torch.rad2deg(stability.moved(start_W, sae.W_dec).clamp(max=1).acos())[~alive & ~same]
record("alive_fraction_anomaly", alive.float().mean(), tolerance=0.005, must="< 0.3", why="shipped weights; 5 seeds")
say("{alive_fraction_anomaly:.1%} of the latents fire. Of the others, {same:.0%} still have their first decoder row, "
    "to the last bit, so they never fired in training either. The median row of the others turned by {turn:.0f} degrees, "
    "before its latent fell silent here.",
    same=float(same[~alive].float().mean()), turn=turn.median())

# %% [markdown]
# Why so few? With causal attention the sign `+` sees `a` and nothing after it. **Predict** how many different vectors there are.

# %% tags=["nbval-ignore-output"]
different = len(h.unique(dim=0)), len(h[:5000].unique(dim=0))
constant = float(h.mean(0).pow(2).sum() / h.pow(2).sum(1).mean())
say("{n} different vectors, {k} of them in the first 5000 rows, and {constant:.1%} of their mean square is the same "
    "for all. Of the 32 that fire at a sample, {on:.0f} are the same ones at every sample.",
    n=different[0], k=different[1], constant=constant, on=(z != 0).all(1).sum(1).float().mean())
everywhere = (seeds.encode(sae, h[::113]) != 0).any(1)  # a changes every 113 rows: one row for each a
say("Do the silent ones wait for inputs beyond the first 5000 rows? On all {n} different ones {more} of {dead} silent "
    "latents do fire; {never:.0%} of all still never do.", n=different[0], more=int((everywhere & ~alive).sum()),
    dead=int((~alive).sum()), never=float((~everywhere).float().mean()))

# %% [markdown]
# ## 3 The cause in our copy, on two latents
#
# Two dictionaries of two latents. The first latents are the same; the second never fire.
#
# **Predict** the PWMCC of the activations, and of the directions.

# %%
z1 = z2 = torch.tensor([[3.0, 0.0], [4.0, 0.0], [1.0, 0.0]])  # (sample, latent)
W1 = torch.tensor([[1.0, 0.0], [0.6, 0.8]])  # the dead rows are where they started, by chance
W2 = torch.tensor([[1.0, 0.0], [-0.8, 0.6]])
print("activations:", best_cosines(z1.T, z2.T).tolist(), "->", round(pwmcc(z1.T, z2.T), 3))
print("directions: ", [round(v, 3) for v in best_cosines(W1, W2).tolist()], "->", round(pwmcc(W1, W2), 3))

# %% [markdown]
# What is used agrees perfectly. The dead latent pulls activations towards 0, and directions towards chance. For activations
#
# $$\text{PWMCC} = \text{fraction alive} \times \text{mean over live latents}$$
#
# with both dictionaries' latents counted together, each with its best cosine in the other.
#
# *`alive_split` · 3 points · difficulty 3 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "alive_split", "locked": false, "schema_version": 3, "solution": true, "task": false}
def alive_split(z1, z2):
    """z1, z2: (sample, latent), same shape. Returns (fraction, value): the share of latents, of both dictionaries together,
    that fire at all; and the mean of the best |cosine| over those."""
    ### BEGIN SOLUTION
    best = torch.cat([best_cosines(z1.T, z2.T), best_cosines(z2.T, z1.T)])
    on = torch.cat([(z1 != 0).any(0), (z2 != 0).any(0)])
    return float(on.float().mean()), float(best[on].mean())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_alive_split", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(alive_split)

# %% tags=["nbval-ignore-output"]
splits = [alive_split(z[i], z[j]) for i, j in torch.combinations(torch.arange(5)).tolist()]
error = (torch.tensor([fraction * value for fraction, value in splits]) - upper(activation)).abs().max()
record("alive_identity_abs_error", error, tolerance=1e-5, must="< 0.0001", why="largest of 10 pairs; float32 rounding")
fraction, value = torch.tensor(splits).mean(0).tolist()
say("Ours: {fraction:.4f} alive × {value:.3f} among the live = {product:.4f}. If the report's live latents agreed as "
    "ours do, its {theirs} means about {n:.0f} live latents.", fraction=fraction, value=value, product=fraction * value,
    theirs=report["activation"],
    n=1024 * report["activation"] / value)

# %% [markdown]
# Is that agreement? Split the live latents once more: *always on* at all these samples, or *picky*.

# %%
live = [z[i][:, alive[i]].T for i in range(5)]  # (live latent, sample)
kinds = []
for i, j in torch.combinations(torch.arange(5)).tolist():
    best = torch.cat([best_cosines(live[i], live[j]), best_cosines(live[j], live[i])])
    on = torch.cat([(part != 0).all(1) for part in (live[i], live[j])])
    kinds.append([on.float().mean(), best[on].mean(), best[~on].mean()])
share, steady, choosy = torch.tensor(kinds).mean(0).tolist()

# %% tags=["nbval-ignore-output"]
steady_1, steady_2 = (part[(part != 0).all(1)] for part in live[:2])
shuffled = nulls.permuted(steady_1, steady_2, pwmcc, n=5, signs=False).mean()
say("{share:.0%} of the live are always on, with a best cosine of {steady:.3f}; with samples shuffled (one pair of seeds) "
    "it is {shuffled:.3f}: hardly any of it depends on what they stand for. The picky ones: {choosy:.2f}.", share=share, steady=steady,
    shuffled=shuffled, choosy=choosy)

# %% [markdown]
# Do the picky ones agree, then? Chance for random directions in 128 dimensions is no measure of codes, which are never
# negative. Shuffle the samples of one dictionary: all stays but the relation. But shuffle what can be exchanged. The
# 5000 rows are a few different inputs, each many times (113 rows with one `a` follow each other); so take each input once.
#
# **Predict.** Above shuffled ones, or below? What would shuffling all 5000 rows have said?

# %%
picky = [part[(part == 0).any(1)] for part in live]  # without the latents that always fire
codes = [part[:, ::113] for part in picky]  # (latent, different input)
seen, by_chance = of_pairs(codes), of_pairs(codes, lambda a, b: nulls.permuted(a, b, pwmcc, n=20, signs=False).mean())
more, low, high = stability.jackknife(seen - by_chance)  # 95% over seeds; section 4 explains it
by_row = nulls.permuted(picky[0], picky[1], pwmcc, n=5, signs=False).mean()

# %% tags=["nbval-ignore-output"]
say("{n} inputs, {a} to {b} latents: {value:.2f}; inputs shuffled: {chance:.2f}. The difference is {more:+.2f}, "
    "95% over seeds from {low:+.2f} to {high:+.2f}: in our copy picky latents {verdict}. Shuffling rows one by "
    "one would have given {row:.2f} (one pair), as if rows with the same input were separate draws.", more=more, low=low,
    high=high, verdict="agree above chance" if low > 0 else "do not clearly agree above chance",
    n=codes[0].shape[1], a=min(map(len, codes)), b=max(map(len, codes)), value=upper(seen).mean(),
    chance=upper(by_chance).mean(), row=by_row)

# %% [markdown]
# ### Is sparsity the cause?
#
# (4) The report's explanation: a latent is 0 at nearly all samples, so normalising makes cosines too small. Two tests that
# could confirm it:
#
# - *padding*: to live codes that agree, add samples at which all are silent;
# - *independent codes*: 32 of 1024 fire at random, all are alive, nothing agrees.
#
# **Predict** both curves as the zeros increase: falling, flat or rising?

# %%
def random_codes(n, width, k):
    return torch.zeros(n, width).scatter_(1, torch.rand(n, width, generator=g).topk(k).indices, torch.rand(n, k,
        generator=g))


tests = []
for extra in (0, 1000, 4000, 20000, 100000):
    a, b = (torch.cat([live[i], torch.zeros(len(live[i]), extra)], dim=1) for i in (0, 1))
    tests.append({"test": "live codes, padded", "silent": float((a == 0).float().mean()), "value": pwmcc(a, b)})
for k in (512, 256, 128, 32):
    a, b = (random_codes(5000, 1024, k) for _ in range(2))
    value = stability.pwmcc(a.T, b.T)  # the same number, in one product instead of two
    tests.append({"test": "independent codes", "silent": 1 - k / 1024, "value": value})
tests = pd.DataFrame(tests)

# %% tags=["plot", "nbval-ignore-output"]
show(figures.sparsity(tests))

# %% tags=["nbval-ignore-output"]
unrelated = tests[tests.test == "independent codes"].value
say("A cosine does not see samples at which both are 0, so padding cannot change it. Where one fires and the other "
    "does not, it does, and there the report is right: unrelated codes fall from {high:.2f} to {low:.3f} as they get "
    "sparser. {random:.2f} is no baseline for codes. Yet {theirs} is lower still than these codes, whose strengths are drawn evenly.",
    high=unrelated.iloc[0], low=unrelated.iloc[-1], random=report["random"], theirs=report["activation"])

# %% [markdown]
# Five other SAEs on the *same copying model*, after layer 1 where the answer is read: again 32 of 1024 fire, but nearly all
# latents fire somewhere. **Predict** the PWMCC of their activations. And of the same SAEs *untrained*?

# %%
table = sweeps.read()  # shipped numbers of SAEs trained elsewhere: a row for each pair of seeds at each setting
second, dense = (table[table.sweep == name] for name in ("second layer", "relu"))
copying = grokking.stream(leaky, grokking.leaky_tokens(ab), grokking.STUDIED, grokking.LEAKY_POSITION)
idle = seeds.encode(seeds.start(seeds.SEEDS[:3], 128, 1024, normalise=True), copying[::6])  # the shipped ones: same rows
untaught = upper(of_pairs(idle, lambda a, b: stability.pwmcc(a.T, b.T))).mean()

# %% tags=["nbval-ignore-output"]
say("{k} of {width} fire at each sample, {alive:.1%} fire somewhere: {a:.3f}. As sparse, and {times:.0f} times our first "
    "number. So in our copy it is not sparsity alone that makes the number small. Latents that never fire do.",
    k=int(second.k.iloc[0]), width=int(second.width.iloc[0]), a=second.activation.mean(), alive=second.alive.mean(),
    times=second.activation.mean() / upper(activation).mean())
say("But *untrained* ones give {untaught:.2f} (three seeds, {alive:.0%} alive). High is no proof of agreement either: codes of the "
    "same inputs are alike before anything is learned. ReLU SAEs of section 6 have {relu:.2f} in activations, and decoders "
    "{gap:+.4f} from untrained ones.", untaught=untaught, alive=(idle != 0).any(1).float().mean(), relu=dense.activation.mean(),
    gap=(dense.decoder - dense.before).mean())

# %% [markdown]
# The report's script has dead latents as its first hypothesis, and prints that they deflate the score "proportional to % dead
# features": in our copy the right cause. One measurement was missing: who fires.
#
# ## 4 The corrected number, and what chance gives
#
# The report then compared *directions*, a good choice for its question. How far is that from chance?
#
# *`gaussian_null` · 3 points · difficulty 2 of 5 · importance 5 of 5 · 7 minutes*


# %% nbgrader={"grade": false, "grade_id": "gaussian_null", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gaussian_null(d_sae, d_in, pairs, seed):
    """The mean PWMCC of `pairs` independent pairs of dictionaries (d_sae, d_in) with Gaussian entries. Returns a number."""
    ### BEGIN SOLUTION
    g = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(pairs):
        A, B = (torch.randn(d_sae, d_in, generator=g) for _ in range(2))
        values.append(float(best_cosines(A, B).mean() + best_cosines(B, A).mean()) / 2)
    return sum(values) / pairs
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_gaussian_null", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(gaussian_null)

# %% [markdown]
# A second null is closer to the case: the same SAEs *before training*, whose entries are drawn evenly.

# %% tags=["nbval-ignore-output"]
decoder = of_pairs(sae.W_dec)
before = of_pairs(start_W)
record("pwmcc_null", gaussian_null(1024, 128, 6, seed), tolerance=0.002,
       why="six random pairs; their spread is below 0.002")
record("pwmcc_null_at_start", upper(before).mean(), tolerance=1e-4, why="fixed numbers")
record("pwmcc_decoder_anomaly", upper(decoder).mean(), tolerance=0.001, why="shipped weights; mean of 10 pairs")
exact = nulls.expected(1024, 128)
say("Decoders: {pwmcc_decoder_anomaly:.4f} (the report: {decoder:.4f}). Gaussian: {pwmcc_null:.4f}; by integration, "
    "without sampling: {exact:.4f}. The same SAEs untrained: {pwmcc_null_at_start:.4f}.", exact=exact, **report)
say("So the report's own number is {theirs:+.4f} beyond Gaussian chance, ours {ours:+.4f}.",
    theirs=report["decoder"] - exact, ours=upper(decoder).mean() - exact)

# %% [markdown]
# Is the difference real? Ten pairs are not ten draws: pairs that share a seed are not independent. The **jackknife** leaves
# out one seed at a time. With $m_i$ the mean over the pairs without seed $i$ and $\bar m$ their mean, half the interval is $t \sqrt{\tfrac{n-1}{n} \sum_i (m_i - \bar m)^2}$.
#
# *`seed_interval` · 3 points · difficulty 3 of 5 · importance 4 of 5 · 9 minutes*


# %% nbgrader={"grade": false, "grade_id": "seed_interval", "locked": false, "schema_version": 3, "solution": true, "task": false}
def seed_interval(table, t):
    """table: (n, n), symmetric, one number for each pair of seeds, NaN on the diagonal. t: a number.

    Returns (mean over the pairs, half the width of the interval)."""
    ### BEGIN SOLUTION
    n = len(table)
    left = torch.stack([table[keep][:, keep].nanmean() for keep in ~torch.eye(n, dtype=torch.bool)])
    squares = ((left - left.mean()) ** 2).sum()
    return float(table.nanmean()), t * float(((n - 1) / n * squares).sqrt())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_seed_interval", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(seed_interval)

# %% tags=["nbval-ignore-output"]
t_5 = float(t.ppf(0.975, 4))  # Student's factor for 95% and five seeds


def line(name, table, chance, space=math.nan):
    """A row for the figure: mean and interval of a table of pairs, beside what untrained and same-space rows give."""
    mean, half = seed_interval(table, t_5)
    return {"name": name, "mean": mean, "low": mean - half, "high": mean + half, "chance": float(chance), "space": space}


gap, half = seed_interval(decoder - before, t_5)
say("After minus before training, pair by pair: {gap:+.4f} ± {half:.4f}. Near chance, but not equal to it: the "
    "interval {verdict} 0. Now remember how many rows training has touched.", gap=gap, half=half,
    verdict="leaves out" if abs(gap) > half else "contains")

# %% [markdown]
# Rows of silent latents are near their start, and starts are random. So compare live latents only.
#
# *`live_pwmcc` · 2 points · difficulty 2 of 5 · importance 4 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "live_pwmcc", "locked": false, "schema_version": 3, "solution": true, "task": false}
def live_pwmcc(W1, W2, z1, z2):
    """W1, W2: (latent, d_in). z1, z2: (sample, latent). Returns the PWMCC of the rows of the latents that fire at all."""
    ### BEGIN SOLUTION
    A, B = W1[(z1 != 0).any(0)], W2[(z2 != 0).any(0)]
    return float((best_cosines(A, B).mean() + best_cosines(B, A).mean()) / 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_live_pwmcc", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(live_pwmcc)

# %% [markdown]
# Chance must have the same size: the *same* rows, before training. And training may give all seeds one *space* without giving
# them one direction. So a second null: Gaussian rows that fill the same space. Each dictionary keeps its number of rows and
# its second moment (of rows at length 1); its features are gone.
#
# **Predict.** Live latents: near chance too? Always-on and picky ones?

# %%
def same_space(sets, n=20, statistic=pwmcc):
    """Mean over pairs of seeds: random rows in the space that each seed's rows fill."""
    return float(upper(of_pairs(sets, lambda a, b: nulls.same_space(a, b, statistic, n).mean())).mean())


def live_table(W, z):
    return of_pairs(range(5), lambda i, j: live_pwmcc(W[i], W[j], z[i], z[j]))


def rows_of(W, masks):
    return [w[mask] for w, mask in zip(W, masks, strict=True)]


# %%
always = (z != 0).all(1)  # (seed, latent)
rows = [line("all latents", decoder, upper(before).mean(), same_space(sae.W_dec, 1)),
        line("live latents", live_table(sae.W_dec, z), upper(live_table(start_W, z)).mean(),
             same_space(rows_of(sae.W_dec, alive)))]
for name, masks in (("live, always on", always), ("live, picky", alive & ~always)):
    trained, first = rows_of(sae.W_dec, masks), rows_of(start_W, masks)
    rows.append(line(name, of_pairs(trained), upper(of_pairs(first)).mean(), same_space(trained)))

# %% tags=["plot", "nbval-ignore-output"]
show(figures.against_chance(pd.DataFrame(rows), "decoder PWMCC, layer 0 at the sign +"))

# %% tags=["nbval-ignore-output"]
record("live_gap_anomaly", rows[1]["mean"] - rows[1]["chance"], tolerance=0.01, why="shipped weights; 5 seeds")
record("live_gap_space_anomaly", rows[1]["mean"] - rows[1]["space"], tolerance=0.01, why="against Gaussian rows in the same space")
say("All latents: {all:+.3f} beyond untrained rows. The live ones: {live_gap_anomaly:+.3f}, of which {part:.0%} comes with the "
    "space alone; {live_gap_space_anomaly:+.3f} ± {half:.3f} is left for directions. Beyond their space the always-on ones "
    "have {on:+.3f}, the picky ones {picky:+.3f}. The number over all latents is mostly an average over rows that "
    "training hardly touched.", all=rows[0]["mean"] - rows[0]["chance"],
    part=(rows[1]["space"] - rows[1]["chance"]) / (rows[1]["mean"] - rows[1]["chance"]),
    half=rows[1]["high"] - rows[1]["mean"], on=rows[2]["mean"] - rows[2]["space"], picky=rows[3]["mean"] - rows[3]["space"])

# %% [markdown]
# ## 5 What had the model learned?
#
# Watch another copy of the model learn, with another seed, on pairs that it does not train on.
#
# **Predict.** Modular addition is known for *grokking*: long memorising before it generalises. How many steps here?

# %%
run = grokking.leaky(seed=1)
curve = pd.DataFrame({"step": [e["step"] for e in run.history], "accuracy": [e["test"] for e in run.history]})

# %% tags=["plot", "nbval-ignore-output"]
show(figures.answers(curve))

# %% tags=["nbval-ignore-output"]
say("{n} steps until 99% of the unseen pairs are right; one epoch, each pair once, is {epoch} steps. That is no grokking.",
    n=curve[curve.accuracy > 0.99].step.min(), epoch=math.ceil(0.9 * len(ab) / 512))  # 90% of the pairs, batches of 512

# %% [markdown]
# Look at the sequence again: `BOS a + b = c EOS`. The answer is read at position −2, where the input token *is* `c`. A
# test: show a wrong `c`. Does the model answer what it is shown, or the sum?
#
# *`copy_test` · 2 points · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "copy_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
def copy_test(answers, shown, sums):
    """answers, shown, sums: (sequence,), whole numbers.

    Returns (copied, computed): among sequences that show a wrong number, the share of answers that equal the shown number,
    and the share that equal the sum."""
    ### BEGIN SOLUTION
    differ = shown != sums
    return float((answers == shown)[differ].float().mean()), float((answers == sums)[differ].float().mean())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_copy_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(copy_test)

# %% tags=["nbval-ignore-output"]
sums = grokking.sums(ab)
shown = torch.randint(113, sums.shape, generator=g)
for name, model in (("shipped", leaky), ("trained above", run.model)):
    answers = grokking.logits(model, grokking.leaky_tokens(ab, shown), grokking.LEAKY_POSITION).argmax(-1)
    print(f"{name}: copied {copy_test(answers, shown, sums)[0]:.1%}, computed {copy_test(answers, shown, sums)[1]:.1%}")

# %% [markdown]
# It copies; nothing here had to grok. Was the published model of this kind? Its checkpoints are not public. Its code keeps the
# weights of the epoch that reaches the highest accuracy first: look where the curve stands after one. And a later paper of the
# project gives the **effective rank** of its activations after layer 1: the exponential of the entropy of their singular
# values (about the mean, divided by their sum).
#
# *`effective_rank` · 3 points · difficulty 2 of 5 · importance 3 of 5 · 7 minutes*


# %% nbgrader={"grade": false, "grade_id": "effective_rank", "locked": false, "schema_version": 3, "solution": true, "task": false}
def effective_rank(h):
    """h: (row, d). Returns a number from 1 to d."""
    ### BEGIN SOLUTION
    s = torch.linalg.svdvals(h - h.mean(0))
    return float(torch.special.entr(s / s.sum()).sum().exp())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_effective_rank", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(effective_rank)

# %% [markdown]
# Beside it a model that cannot copy: `grokking-113` reads `a b =`, and trained on 30% of the pairs until the others were right.

# %% tags=["nbval-ignore-output"]
grokked = models.load("grokking-113")
train, test = grokking.split()
record("grok_test_accuracy", grokking.accuracy(grokked.model, test), tolerance=0.002, must="> 0.99",
       why="pairs not trained on; shipped weights")
x = grokking.stream(grokked.model, grokking.tokens(ab), grokking.STUDIED, at=-1)  # after layer 1, at =
twin = grokking.stream(run.model, grokking.leaky_tokens(ab), grokking.STUDIED, grokking.LEAKY_POSITION)
record("effective_rank_copying", effective_rank(copying), tolerance=0.1, why="shipped weights")
record("effective_rank_grokked", effective_rank(x), tolerance=0.1, why="shipped weights")
say("Published: {published}. Our copying model: {effective_rank_copying:.1f}, with another seed {twin:.1f}. Our grokked model, "
    "which took {steps} steps: {effective_rank_grokked:.1f}. The published value fits a model that copies. It proves nothing about weights "
    "that we have not seen: 113 random vectors give {random:.0f}.", published=80.5, twin=effective_rank(twin),
    random=effective_rank(torch.randn(113, 128, generator=g)),
    steps=grokked.card["history"][-1]["step"])

# %% [markdown]
# The report sets its anomaly beside an *activation-based* value of layer 1. In the published code the layer-1 file is
# written by a function that compares *decoders*. Both, of the five SAEs after layer 1 of section 3:

# %% tags=["nbval-ignore-output"]
say("Layer 1, where the answer is read: decoders {d:.3f} (untrained {chance:.3f}), activations {a:.3f} (alive: "
    "{alive:.1%}). The report's {theirs} is where decoders are, and near chance. If it is theirs, two metrics and two positions were compared, and \"layer 0 differs from "
    "layer 1\" was never measured.",
    d=second.decoder.mean(), chance=second.before.mean(), a=second.activation.mean(), alive=second.alive.mean(), theirs=report["layer_1"])

# %% [markdown]
# ## 6 A model that computes the sum
#
# Now the question itself, on the grokked model: five seeds of 1024 latents, TopK and ReLU. Their decoder
# rows are held at length 1 in training; those of section 1 were free.

# %% tags=["nbval-ignore-output"]
topk, relu = (grokked.dictionaries[f"{grokking.STUDIED}/{name}"] for name in ("topk", "relu"))
begin = seeds.start(seeds.SEEDS, 128, 1024, normalise=True).W_dec
rebuilt = [explained_variance(x, seeds.one(topk, i).decode(seeds.one(topk, i).encode(x[:, None]))[:,
    0]) for i in range(5)]
record("grok_explained_variance", torch.stack(rebuilt).mean(), tolerance=0.005, must="> 0.9",
       why="about the mean; 5 seeds, all pairs")
turns = [torch.rad2deg(stability.moved(begin, d.W_dec).clamp(max=1).acos()) for d in (topk, relu)]  # (seed, latent)
active = [(seeds.encode(d, x[::6]) != 0) for d in (topk, relu)]  # (seed, sample, latent)
l0, turned = ([float(v) for v in values] for values in ([a.float().sum(-1).mean() for a in active], [a.mean() for a in turns]))

# %% tags=["nbval-ignore-output"]
say("TopK: {grok_explained_variance:.1%} of the variance explained, {k:.0f} latents fire at each input, rows turned by {turn:.1f} "
    "degrees on average. ReLU: {ev:.1%}, **{dense:.0f}** latents fire, rows turned by {little:.1f}. Latents of TopK that never "
    "fire here turned by {dead:.1f}. So this ReLU recipe is hardly sparse and hardly moved: read it as this recipe, not as ReLU.",
    k=l0[0], turn=turned[0], dense=l0[1], little=turned[1], ev=dense.explained_variance.mean(),
    dead=turns[0][~active[0].any(1)].mean())

# %% [markdown]
# PWMCC lets many latents claim one partner. Stricter: each latent gets a partner *of its own*, so that the sum of |cosine| is
# largest (Hungarian method; scipy's `linear_sum_assignment`).
#
# *`one_to_one` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "one_to_one", "locked": false, "schema_version": 3, "solution": true, "task": false}
def one_to_one(A, B):
    """A, B: (n, d). Returns the mean |cosine| of the best one-to-one matching of their rows."""
    ### BEGIN SOLUTION
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs().numpy()
    return float(S[linear_sum_assignment(S, maximize=True)].mean())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_one_to_one", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(one_to_one)

# %% [markdown]
# **Predict.** Every seed rebuilds the same data. How far are the directions the same?

# %%
rows, first_ones = [], {}
for name, W in (("TopK", topk.W_dec), ("ReLU", relu.W_dec)):
    for how, statistic in (("PWMCC", pwmcc), ("one-to-one", one_to_one)):
        first = first_ones.setdefault(how, upper(of_pairs(begin, statistic)).mean())
        rows.append(line(f"{name}, {how}", of_pairs(W, statistic), first, same_space(W, 1) if how == "PWMCC" else math.nan))

# %% tags=["plot", "nbval-ignore-output"]
show(figures.against_chance(pd.DataFrame(rows), "agreement of decoders, grokked model, after layer 1"))

# %% tags=["nbval-ignore-output"]
record("pwmcc_decoder", rows[0]["mean"], tolerance=0.001, why="shipped weights; mean of 10 pairs")
record("pwmcc_gap_abs", abs(rows[0]["mean"] - rows[0]["chance"]), tolerance=0.001, must="< 0.05",
       why="against the same SAEs untrained")
record("pwmcc_gap_relu", rows[2]["mean"] - rows[2]["chance"], tolerance=0.001, why="against the same SAEs untrained")
say("TopK {pwmcc_gap_abs:.4f} ± {half:.4f} from untrained rows, {rest:+.4f} from random rows in the same space. ReLU "
    "{pwmcc_gap_relu:+.4f} ± {relu:.4f} from untrained rows: the interval {verdict} 0. But rows that hardly turn "
    "leave little room for agreement beyond that of the starts.", rest=rows[0]["mean"] - rows[0]["space"],
    half=rows[0]["high"] - rows[0]["mean"], relu=rows[2]["high"] - rows[2]["mean"],
    verdict="contains" if rows[2]["low"] < rows[2]["chance"] < rows[2]["high"] else "leaves out")
wide_share = (rows[0]["space"] - rows[0]["chance"]) / (rows[0]["mean"] - rows[0]["chance"])  # for section 8

# %% [markdown]
# What is that space? Modular addition lives in circles: planes in which no axis is special, so directions
# may turn though the *space* may not. Compare the $r$ leading directions of two decoders (right singular vectors of the matrix
# as it stands, no mean subtracted; rows of $V$): the overlap is $\lVert V_1 V_2^\top \rVert_F^2 / r$. Chance gives $r/d$.
#
# *`subspace_overlap` · 3 points · difficulty 3 of 5 · importance 3 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "subspace_overlap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def subspace_overlap(A, B, r):
    """A: (n, d). B: (m, d). Returns the overlap of the spaces of their r leading directions, from 0 to 1."""
    ### BEGIN SOLUTION
    V = [torch.linalg.svd(W, full_matrices=False).Vh[:r] for W in (A, B)]
    return float((V[0] @ V[1].T).pow(2).sum() / r)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_subspace_overlap", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(subspace_overlap)

# %% [markdown]
# **Predict.** At $r = 8$ chance is 8/128. Where are the trained ones?

# %%
spaces = []
for name, W in (("TopK", topk.W_dec), ("ReLU", relu.W_dec), ("untrained", begin)):
    for r in (8, 16, 32, 64, 128):
        spaces.append({"series": name, "r": r, "overlap": sum(subspace_overlap(W[i], W[i + 1],
            r) for i in range(4)) / 4})
data = torch.linalg.qr(x - x.mean(0)).R  # the right singular vectors of the centred data, in 128 rows
for r in (8, 16, 32, 64, 128):
    shared = sum(subspace_overlap(topk.W_dec[i], data, r) for i in range(5)) / 5
    spaces.append({"series": "TopK and the data", "r": r, "overlap": shared})
spaces = pd.DataFrame(spaces)

# %% tags=["plot", "nbval-ignore-output"]
show(stability_sweeps.overlap(spaces, 128))

# %% tags=["nbval-ignore-output"]
at_8 = spaces[spaces.r == 8].set_index("series").overlap
record("subspace_overlap_topk", at_8["TopK"], tolerance=0.005, why="shipped weights; r = 8, 4 pairs of seeds")
say("At r = 8 TopK shares {subspace_overlap_topk:.2f}, ReLU {relu:.2f}, untrained {un:.2f}; TopK with the data's own "
    "leading directions, {data:.2f}. That seeds of TopK all lean to the data's directions can explain what they share. "
    "ReLU seeds of this recipe differ from untrained ones by {more:+.3f}.", relu=at_8["ReLU"],
    un=at_8["untrained"], data=at_8["TopK and the data"], more=at_8["ReLU"] - at_8["untrained"])

# %% [markdown]
# ## 7 A truth that is known
#
# Would the instrument ever say "stable"? Plant 64 features at right angles, four of them active in each sample. Train five
# seeds, live: with as many latents as features, and with eight times as many. The recipe is kinder than the report's: the
# encoder starts *aligned* (as the decoder, transposed), and the learning rate is 3e-3. What each does we look at after.
#
# **Predict** decoder PWMCC in both cases.

# %%
planted, features = recipe.planted(8192, d=64, active=4)
how = {"k": 4, "steps": 500, "learning_rate": 3e-3, "aligned": True}
exact, _ = seeds.train(planted, d_sae=64, **how)
wide, _ = seeds.train(planted, d_sae=512, **how)

# %%
rows = []
for name, d, width in (("64 latents", exact, 64), ("512 latents", wide, 512)):
    codes, first = seeds.encode(d, planted[:2000]), seeds.start(seeds.SEEDS, 64, width, normalise=True).W_dec
    on = (codes != 0).any(1)  # (seed, latent)
    rows.append(line(name, of_pairs(d.W_dec), upper(of_pairs(first)).mean(), same_space(d.W_dec, 1)))
    rows.append(line(f"{name}, live only", live_table(d.W_dec, codes), upper(live_table(first, codes)).mean(),
                     same_space(rows_of(d.W_dec, on), 2)))
found = best_cosines(features, wide.W_dec[0]).mean()
dead = {name: torch.stack([best_cosines(W[0], W[1])[~on[0]].mean(), best_cosines(W[0], features)[~on[0]].mean()])
        for name, W in (("after", wide.W_dec), ("before", first))}  # best partner in the other seed; best feature

# %% tags=["plot", "nbval-ignore-output"]
show(figures.against_chance(pd.DataFrame(rows), "decoder PWMCC, planted features"))

# %% tags=["nbval-ignore-output"]
record("planted_pwmcc", rows[0]["mean"], tolerance=0.03, must="> 0.9", why="five seeds trained live; 64 latents")
record("planted_wide_pwmcc", rows[2]["mean"], tolerance=0.03, why="five seeds trained live; 512 latents, all counted")
record("planted_wide_alive_pwmcc", rows[3]["mean"], tolerance=0.05, must="> 0.9", why="the same, live latents only")
say("As many latents as features: {planted_pwmcc:.3f}, where random rows in the same space give {space:.2f}. Eight times as "
    "many: the features are found (mean cosine {found:.3f}), yet PWMCC says {planted_wide_pwmcc:.2f}. Live latents only: "
    "{planted_wide_alive_pwmcc:.3f}, {verdict} than the 64.", found=found, space=rows[0]["space"],
    verdict="better" if rows[3]["mean"] > rows[0]["high"] else "not clearly better")
say("How many are dead cannot be read from it: the {n:.0%} dead (two seeds) have a best partner at {pair:.2f}, at the start "
    "{old:.2f}, and a nearest feature at {near:.2f}, at the start {far:.2f}. They turned before they died.",
    n=(~on[0]).float().mean(), pair=dead["after"][0], old=dead["before"][0], near=dead["after"][1], far=dead["before"][1])

# %% [markdown]
# Which part of the kinder recipe matters, the rate or the alignment? And has training arrived? 64 latents, three seeds.
# **Predict** the order.

# %%
def kinder(aligned, rate, steps):
    d, _ = seeds.train(planted, seeds.SEEDS[:3], d_sae=64, k=4, steps=steps, learning_rate=rate, aligned=aligned)
    return {"aligned": aligned, "rate": rate, "steps": steps, "PWMCC": float(upper(of_pairs(d.W_dec)).mean()),
            "features found": float(best_cosines(features, d.W_dec[0]).mean())}


settings = ((True, 1e-3, 500), (False, 3e-3, 500), (False, 1e-3, 500), (False, 1e-3, 1000))
ways = pd.DataFrame([kinder(*setting) for setting in settings])
fast = rows[0]["mean"]  # aligned at the fast rate: above, five seeds

# %% tags=["nbval-ignore-output"]
print(ways.to_string(index=False, float_format="{:.2g}".format))
slow, plain, plain_slow, longer = ways.PWMCC
say("Alignment adds {slow:+.2f} at the slow rate and {fast:+.2f} at the fast one; the fast rate adds {rate:+.2f} when not "
    "aligned; twice the steps, {steps:+.2f}. So a low number may only say that training has not arrived.",
    slow=slow - plain_slow, fast=fast - plain, rate=plain - plain_slow, steps=longer - plain_slow)

# %% [markdown]
# ## 8 What makes dictionaries agree?
#
# A later paper of the project relates stability to `d_sae` over the effective rank. Seven widths, five seeds each, on the
# grokked model; the numbers are shipped. We train two of them here, for a null that shares their
# space.

# %%
small = []
for width, part in table[(table.sweep == "width") & table.width.isin((16, 64))].groupby("width"):
    W = seeds.train(x, d_sae=width, k=int(part.k.iloc[0]), steps=1000, learning_rate=1e-3)[0].W_dec
    beyond = of_pairs(W, lambda a, b: pwmcc(a, b) - nulls.same_space(a, b, pwmcc, 20).mean())
    mean, half = seed_interval(beyond, t_5)
    small.append({"series": "modular addition, beyond its space", "x": width, "gap": mean, "low": mean - half,
                  "high": mean + half, "here": float(upper(of_pairs(W)).mean()), "shipped": part.decoder.mean()})
small = pd.DataFrame(small)

# %% tags=["nbval-ignore-output"]
print(small[["x", "here", "shipped"]].round(2).to_string(index=False))

# %%
def gaps(part, which=""):
    """One setting's agreement beyond the same SAEs untrained: (seed, seed)."""
    return sweeps.of_pairs(part, part[which + "decoder"] - part[which + "before"])


def swept(name, by, series, which=""):
    """Gap to the same SAEs untrained, pair by pair, with its interval over seeds, for each value of a setting."""
    out = []
    for value, part in table[table.sweep == name].groupby(by):
        mean, half = seed_interval(gaps(part, which), t_5)
        out.append({"series": series, "x": value, "gap": mean, "low": mean - half, "high": mean + half})
    return pd.DataFrame(out)


# %% [markdown]
# Beside it 128 planted features, same rate and steps. For modular addition `k` is a quarter of the width, at most 32; for planted
# features, 8 of which make a sample, it is 8 (4 at 16 latents). **Predict** both curves. Where is each highest? And what is
# left of modular addition beyond its space?

# %% tags=["plot", "nbval-ignore-output"]
widths = pd.concat([swept("width", "width", "modular addition"), small, swept("planted", "width", "128 planted features"),
                    swept("planted", "width", "planted, live only", "live_")])
show(stability_sweeps.sweep(widths, "latents (d_sae)"))

# %% tags=["nbval-ignore-output"]
mine = widths[widths.series == "modular addition"]
record("stability_width_rank_corr", spearmanr(mine.x, mine.gap).statistic, tolerance=0.05, must="<= -0.9",
       why="7 widths; shipped numbers")
peak = widths[widths.series == "128 planted features"].sort_values("gap").iloc[-1]
gap, rest = mine.set_index("x").gap, small.set_index("x").gap

# %% tags=["nbval-ignore-output"]
say("Modular addition, from {first:.1f} to {last:.0f} times its effective rank: the gap to untrained rows falls from {a:+.3f} to "
    "{b:+.3f} (rank correlation {stability_width_rank_corr:.2f}). But {share:.0%} of it at 16 latents, and {at_64:.0%} at 64, "
    "comes with the space that seeds share (in section 6, at 1024 and a slower rate, {wide:.0%}). Beyond it are left "
    "{x16:+.3f} ± {half:.3f} and {x64:+.3f} ± {half_64:.3f}.", first=16 / effective_rank(x), last=1024 / effective_rank(x),
    a=gap[16], b=gap[1024], share=1 - rest[16] / gap[16], at_64=1 - rest[64] / gap[64], wide=wide_share, x16=rest[16],
    x64=rest[64], half=small.high[0] - rest[16], half_64=small.high[1] - rest[64])

# %% tags=["nbval-ignore-output"]
planted_live = widths[widths.series == "planted, live only"].set_index("x").gap
say("Planted features, of which there are 128: highest at {at:.0f} latents with the dead counted. Live ones only: {p128:+.3f} at "
    "128, {p256:+.3f} at 256, {p512:+.3f} at 512.", at=peak.x, p128=planted_live[128], p256=planted_live[256],
    p512=planted_live[512])

# %% [markdown]
# On modular addition `k` grew from 4 to 32 as the width grew from 16 to 128. Could `k` make the fall? Change `k` alone, at 256
# latents. **Predict** the curve.

# %% tags=["plot", "nbval-ignore-output"]
ks, ks_live = swept("k", "k", "all 256 latents"), swept("k", "k", "live only", "live_")
show(stability_sweeps.sweep(pd.concat([ks, ks_live]), "active latents (k)"))

# %%
def change(name, by, low, high, which=""):
    """(mean, half): how the gap changes between two values of a setting, seed by seed."""
    part = table[table.sweep == name]
    return seed_interval(gaps(part[part[by] == high], which) - gaps(part[part[by] == low], which), t_5)


# %% tags=["nbval-ignore-output"]
(every, half), (living, living_half) = change("k", "k", 4, 32), change("k", "k", 4, 32, "live_")
fell = gap[128] - gap[16]
alive_at = {name: table[table.sweep == name].groupby(name).alive.mean() for name in ("k", "steps")}
say("From `k` 4 to 32: {every:+.3f} ± {half:.3f} over all latents, {living:+.3f} ± {living_half:.3f} among the live (other "
    "latents at each `k`: {a:.0%} are alive at 4, {b:.0%} at 32). The width, from 16 to 128: {fell:+.3f}. So at 256 latents "
    "`k` does {verdict}.", every=every, half=half, living=living, living_half=living_half, fell=fell,
    a=alive_at["k"][4], b=alive_at["k"][32], verdict="less than the width did" if max(abs(every), abs(living)) < abs(fell) else
    "enough to make the fall")

# %% [markdown]
# And the length of training, at 1024 latents. **Predict.** Does longer training make wide dictionaries agree?

# %% tags=["plot", "nbval-ignore-output"]
degrees = table[table.sweep == "steps"].groupby("steps").moved.mean().map(lambda c: math.degrees(math.acos(c)))
lengths = swept("steps", "steps", "all 1024 latents")
show(stability_sweeps.turned(lengths.assign(steps=lengths.x, degrees=degrees.tolist())))

# %% tags=["nbval-ignore-output"]
record("pwmcc_gap_long", lengths.gap.iloc[-1], tolerance=0.002, why="shipped numbers")
late, half = change("steps", "steps", 1000, 2000)
say("The gap goes from {first:+.3f} at 50 steps to {a:+.3f} at 1000; from there to 2000 it changes by {late:+.4f} ± {half:.4f}. "
    "But the share of the live goes from {before:.0%} to {after:.0%}: those that survive are not the same set, so live ones at two "
    "lengths cannot be compared from these numbers.", first=lengths.gap.iloc[0], a=lengths.gap.iloc[-2], late=late, half=half,
    before=alive_at["steps"][1000], after=alive_at["steps"][2000])

# %% [markdown]
# ## 9 What can be known
#
# | claim of the report | what we find |
# | --- | --- |
# | 0.047 is not a fact about stability | right, in our copy |
# | its weights are neither degenerate nor NaN | right |
# | no latent is dead | lengths were counted; by firing, most are dead in our copy |
# | activation PWMCC fails because codes are sparse | right that unrelated codes fall with sparsity, so that random directions are no baseline; in our copy dead latents make the number: as sparse with nearly all alive it is high, and high before training too |
# | decoders agree at the level of chance | near it; the report's number is slightly above, like ours; in our copy the live ones are further above, part of it a shared space |
# | layer 1 was measured by activations | the published code writes that file with a function that compares decoders |
#
# Not to be known without the checkpoints: how many latents of the published SAEs fired, and whether that model copies. Whoever has
# the files can tell in a line of code. Where our numbers equal the published ones they support the explanation; they do not prove it.
#
# *`written_report` · 4 points, read by your instructor · 12 minutes.* Write to the author: at most 120 words, what you found, what their data would have to show
# if you are wrong, and what stands.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_report", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Thank you for publishing the anomaly with its code. I retrained your layer-0 setting. At the sign + only 113 different inputs exist, and most of
# my latents never fire: 7% alive times 0.87 among the live gives your size of number. Unrelated codes do fall with sparsity, but SAEs as sparse
# with nearly all alive give 0.69 here (untrained ones 0.62). Decoder norms cannot show this: they stay near their Kaiming start. If I am wrong, encoding your
# 5000 rows will show several hundred live latents per seed. Could you count them, and show the model a wrong c? What stands: the number was an artefact,
# directions suit your question, and wide dictionaries trained briefly agree little beyond chance.
#
# Rubric: one point each for the cause with a number, a test by which it could fail on the author's own data, what stands said fairly, and a limit (another seed,
# no checkpoints). No point for tone that claims more than was measured.
# ### END SOLUTION

# %% [markdown]
# ## What this does not show
#
# - One grokked and one copying model. Intervals are over SAE seeds; another model would give other numbers.
# - Our copying model has the published sizes and optimiser, not the published weights; its layer-1 SAEs lack the published auxiliary loss, which revives dead latents.
# - Near chance in direction is not "nothing shared": whole circles may be. We did not look for them.
# - Explained variance is on the pairs that the SAEs were trained on; there are no others.
# - The sweep varies the width, not the effective rank; planted features and modular addition differ in `k`.
# - Training stopped at 2000 steps. Which latents live changes with length and `k`: no number here follows one latent.
# - Same-space rows take their second moment from the dictionaries themselves: in a narrow dictionary the null is strict.
# - The ReLU dictionaries are barely sparse: another penalty, or more steps, could give other numbers.
#
# ## Sources
#
# - From the notes: Layer 0 PWMCC anomaly, diagnostic report. Code and later paper: [HUSAI](https://github.com/brightlikethelight/HUSAI)
#   (`scripts/experiments/cross_layer_validation.py`, `scripts/training/`, `archive/experimental_scripts/diagnose_layer0.py`, `src/analysis/feature_matching.py`, `FINAL_PAPER.md`).
# - Nanda et al. 2023, [Progress measures for grokking](https://arxiv.org/abs/2301.05217): modular addition mod 113.
# - Sharkey et al. 2022, [Taking features out of superposition](https://www.alignmentforum.org/posts/z6QQJbtpkEAX3Aojj): mean max cosine similarity.
# - Gao et al. 2024, [Scaling and evaluating sparse autoencoders](https://arxiv.org/abs/2406.04093): TopK.
# - Paulo and Belrose 2025, [Sparse autoencoders trained on the same data learn different features](https://arxiv.org/abs/2501.16615): the question on language models, with one-to-one matching.
#
# ## Recap
#
# - A number below chance says that something else was measured. Ask what a latent that does nothing contributes.
# - Dead means never fires. Weights cannot show it.
# - Chance depends on shape, on the kind of vector and on which latents count.
# - Ten pairs of five seeds are five draws.
# - High is no proof either: codes of untrained SAEs on the same inputs agree too.
# - Planted features agreed once training had arrived. On modular addition most of what *narrow* dictionaries shared beyond
#   untrained rows was a space, and that part shrinks with the width: compare with random rows that fill the space.
