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
# # 08 Patchscopes
#
# **Question.** Can a neuron be asked what it wants?
#
# **After this you can** search for a vector that drives a neuron, look inside the neuron while it searches, say how natural its
# result is, let the model put it into words, and test by interventions whether any of it is true.
#
# About 130 minutes with the exercises · mini tier · 10 exercises and a written answer · from the notes: gradient-based
# patchscopes (lab 05 first: dictionaries, labels, ablation)

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import tempfile
from functools import lru_cache

import pandas as pd
import torch
from torch.nn.functional import gelu

from labs_src import models
from labs_src.dictionaries import labelling, reading
from labs_src.figures import patchscopes, patchscopes_evidence, patchscopes_text
from labs_src.lab import check, hint, record, recorded, say, show, solution, start
from labs_src.language import corpus
from labs_src.patchscopes import chart, decoding, decomposing, intervening, natural, relabelling, search, setting, validating

start("08", tier=tier, seed=seed)

# %% [markdown]
# ## 1 The proposal
#
# Sahil and Miller (2026) ask a neuron of Gemma-2-2B what it wants, without any text: find by gradient ascent the *vector*
# that drives it most, take the vector apart with a dictionary, let the model put it into words. They report a neuron for
# abstract mathematics, fed by a latent that others had labelled "copyright and licensing". Their last section lists what
# would have to be tested. This lab does it, on a small model where the truth is known.
#
# Words: an MLP **neuron** is one entry of its hidden layer. The **target** is the neuron that we ask. A neuron *fires* above a
# quarter of the most that it does on text, and is *strong* above half of it.

# %%
model_setting = setting.SETTINGS["mini-gemma"]  # that of "gemma-2-2b" has the same calls
loaded = models.load(model_setting.model)
model = loaded.model
text = corpus.sequences("validation", 160, seed=21)
choosing = torch.arange(len(text)) % 2 == 0  # texts to choose by; the others are for measuring
names = [f"blocks.{i}.{name}" for i in (3, 4, 5) for name in ("hook_resid_pre", "mlp.hook_post")]
with torch.no_grad():
    _, cache = model.run_with_cache(text.ids, names_filter=names)
x = {i: cache[f"blocks.{i}.hook_resid_pre"] for i in (3, 4, 5)}  # what enters layer i: (text, position, d_model)
post = {i: cache[f"blocks.{i}.mlp.hook_post"] for i in (3, 4, 5)}  # the neurons of layer i: (text, position, neuron)
natural_max = {i: post[i][:, 1:].amax((0, 1)) for i in post}

# %% [markdown]
# Our target is neuron 41 of layer 3. What it does on text stays hidden for now. `natural_max` is the most it ever does there:
# every result below is given as a multiple of it, its **ratio**.
#
# The vector enters layer 3 in place of one token's state, the **placeholder**: the last token of "list : a" (`site` in the code). Where
# to start? At the **mean vector**: the state of each prompt's *last* token, averaged over prompts. (Ours are the 160 texts.)
#
# *`mean_state` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "mean_state", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_state(states, last):
    """states: (prompt, position, d_model), padded on the right. last: (prompt,), position of each last token.

    Returns (d_model,).
    """
    ### BEGIN SOLUTION
    return states[torch.arange(len(states)), last].mean(0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_mean_state", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(mean_state)

# %% [markdown]
# Now the recipe as published: start at the mean, Adam with learning rate 0.05, 50 steps, nothing else.
#
# **Predict.** Where does the target end, in multiples of its natural maximum?

# %%
story = (3, 41)  # the target of this lab's story: (layer, neuron)
ends = torch.full((len(text),), text.ids.shape[1] - 1)
mean = {i: mean_state(x[i], ends) for i in (3, 4)}
site = {i: model_setting.site(loaded, i) for i in (3, 4)}  # where the vector goes in
plain = search.ascend(site[3], mean[3][None], [story], steps=50, lr=0.05)

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes.traces({"as published": plain}, float(natural_max[3][41])))

# %% tags=["nbval-ignore-output"]
story_plain = float(plain.value[0] / natural_max[3][41])
say("It ends at {r:.2f} of the natural maximum, and still rises.", r=story_plain)

# %% [markdown]
# **Predict.** Where will it be after 400 steps?

# %%
longer = search.ascend(site[3], mean[3][None], [story], steps=400, lr=0.05)
along = longer.trace[:, 0] / natural_max[3][41]
print(", ".join(f"{int(i)} steps: {float(along[i]):.3f}" for i in (0, 25, 50, 100, 200, 400)))

# %% [markdown]
# ## 2 What happens inside
#
# It has stopped: the last 200 steps gained nothing. Look inside the target. Gemma's MLP is *gated*: a neuron reads the stream twice, by its **gate** and its **up** weights.
#
# $$\text{post} = \text{gelu}(\text{gate}) \cdot \text{up}$$
#
# Which way does ascent push each? GELU is the tanh version, as in Gemma.
#
# *`gated_slopes` · 3 points · difficulty 3 of 5 · importance 5 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "gated_slopes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gated_slopes(gate, up):
    """gate, up: (n,). Returns {"by_gate", "by_up"}, each (n,): the derivatives of gelu(gate) * up by gate and by up.

    torch.autograd.grad is allowed. gelu(..., approximate="tanh").
    """
    ### BEGIN SOLUTION
    g = gate.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        slope = torch.autograd.grad(gelu(g, approximate="tanh").sum(), g)[0]
    return {"by_gate": slope * up, "by_up": gelu(gate, approximate="tanh")}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_gated_slopes", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(gated_slopes)

# %% tags=["nbval-ignore-output"]
corners = torch.cat([longer.inside[[0, 25, 50, 400], 0], torch.tensor([[1.0, 1.0]])])
slopes = gated_slopes(*corners.T)
for name, (g, u), by_gate, by_up in zip(("start", "step 25", "step 50", "step 400", "elsewhere"), corners.tolist(), *(v.tolist() for v in slopes.values())):
    print(f"{name:9}: gate {g:5.2f}, up {u:6.2f}: by gate {by_gate:5.2f}, by up {by_up:5.2f}")

# %% tags=["nbval-ignore-output"]
for name, found in (("50", plain), ("400", longer)):
    vector = found.vectors.clone().requires_grad_(True)
    gradient = torch.autograd.grad(search.respond(site[3], vector, [story]).post.sum(), vector)[0]
    print(f"step {name}: length of the target's gradient by the vector {float(gradient.norm()):.4f}")

# %% [markdown]
# Read down. The gate starts negative, where GELU is slightly negative too, so ascent makes **up** *smaller* all the way. With up
# negative, ascent takes the gate to where GELU is lowest, near -0.75, here from below. GELU is flat there; what is left of "by gate" is
# multiplied by a large up. "By up" never vanishes, yet the gradient by the *vector* does: the MLP reads the stream at a fixed length
# (RMSNorm), so a longer vector buys nothing, and no direction lowers up without moving the gate away. A **false optimum**: the product of two
# negative numbers, at its small best. Only the last row pulls both upwards.
#
# The way out: while gate or up is small (the neuron is *asleep*), do not maximise the product. Raise both first.
#
# *`warm_objective` · 3 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "warm_objective", "locked": false, "schema_version": 3, "solution": true, "task": false}
def warm_objective(post, gate, up):
    """All (row,). Returns (row,), to be maximised: `post` where gate and up are both at least 1; elsewhere gate + up, each counted
    up to 1.5 at most, so that neither runs away while the other is small.
    """
    ### BEGIN SOLUTION
    awake = (gate >= 1) & (up >= 1)
    return torch.where(awake, post, gate.clamp(max=1.5) + up.clamp(max=1.5))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_warm_objective", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(warm_objective)


# %% [markdown]
# **Predict.** Same start, 50 steps. Draw the two paths in the plane of gate and up: which way does each turn?


# %%
def warm(response):
    return warm_objective(response.post, response.gate, response.up)


woken = search.ascend(site[3], mean[3][None], [story], objective=warm)
two = {"as published, 400 steps": longer, "warm start, 50 steps": woken}

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes.landscape(two))

# %% tags=["nbval-ignore-output"]
record("story_ratio", woken.value[0] / natural_max[3][41], tolerance=0.3, why="one neuron, 50 steps of float32")
say("{story_ratio:.1f} times the natural maximum, where the recipe as published stays at {r:.2f} however long it runs. Nothing but the objective of the first steps was changed.", r=float(along[-1]))

# %% [markdown]
# ## 3 Many targets, and a control
#
# One neuron is an anecdote. Take 24 **selective** neurons: the twelve of layer 4 and of layer 5 that follow one fact about
# the text best (token, role, previous token ..., by F1 on text that did not choose the fact; lab 05). Vectors enter layer 4.
#
# The control: 24 random neurons of the same layers.
#
# **Predict** three medians: published recipe, warm start, warm start on *random* neurons.

# %%
def selective(layer, n=12):
    """The n neurons with the best label, with at least 20 firings, as a table."""
    sparse = torch.where(post[layer] > 0.25 * natural_max[layer], post[layer], 0.0)
    table = labelling.label(sparse, text, pairs=False)
    return table[table.firings >= 20].sort_values("f1", ascending=False, kind="stable").head(n)


best = {i: selective(i) for i in (4, 5)}
targets = [(i, n) for i in (4, 5) for n in best[i]["index"]]
g = torch.Generator().manual_seed(seed)
rest = {i: [n for n in torch.randperm(256, generator=g).tolist() if (i, n) not in targets][:12] for i in (4, 5)}
random_targets = [(i, n) for i in rest for n in rest[i]]
print("best labels:", ", ".join(best[4].description[:3]))
print(f"F1 from {min(t.f1.min() for t in best.values()):.2f} to {max(t.f1.max() for t in best.values()):.2f}")


# %%
def searched(which, objective=search.plain_objective, begin=None, **more):
    begin = mean[4].repeat(len(which), 1) if begin is None else begin
    return search.ascend(site[4], begin, which, objective=objective, **more)


def ratios(vectors, which):
    with torch.no_grad():
        return search.respond(site[4], vectors, which).post / torch.tensor([float(natural_max[i][n]) for i, n in which])


cohort = {"as published": searched(targets), "warm start": searched(targets, warm)}
reached = {name: ratios(found.vectors, targets) for name, found in cohort.items()}
X_random = searched(random_targets, warm).vectors
reached["random targets, warm"] = ratios(X_random, random_targets)

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes.reached(reached))

# %% tags=["nbval-ignore-output"]
middle = {name: float(value.quantile(0.5)) for name, value in reached.items()}
stuck = (cohort["as published"].gate < 0) & (cohort["as published"].up < 0)
record("target_over_natural_max", middle["warm start"], tolerance=0.3, must="> 2", why="median of 24 neurons, 50 steps")
record("target_over_natural_max_plain", middle["as published"], tolerance=0.05, why="the same, as published")
record("target_over_natural_max_random", middle["random targets, warm"], tolerance=0.4, why="the same, random neurons; no bound: the control")
record("false_optimum_fraction", stuck.float().mean(), tolerance=0.09, why="share of the 24 with gate and up both negative after 50 steps")
say("As published, {false_optimum_fraction:.0%} of the searches end on the way into the false optimum, gate and up both negative. With the warm start {n} of 24 do "
    "better than text ever did. But random neurons, not chosen for any label, reach {target_over_natural_max_random:.1f} against {target_over_natural_max:.1f}; of a random and a selective one, the "
    "random one is ahead in {ahead:.0%} of all pairs. {verdict}", n=int((reached["warm start"] > 1).sum()),
    ahead=(ahead := float((reached["random targets, warm"][:, None] > reached["warm start"]).float().mean())),
    verdict="So a high ratio does not say which kind a neuron is." if 0.35 < ahead < 0.65 else "So the ratio does tell the two apart.")

# %% [markdown]
# ## 4 What kind of vector is that?
#
# Text makes certain states and not others. How far from them is `X`, the vector that we found? Two ways to ask:
# - **cosine with the nearest natural state**;
# - **Mahalanobis distance** from the natural mean: how many standard deviations, with all directions made comparable.
#   With covariance $C$: $\sqrt{(x-\mu)^\top C^{-1} (x-\mu) / d}$. The $d$ makes natural states come out near 1.
#
# *`mahalanobis` · 3 points · difficulty 3 of 5 · importance 3 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "mahalanobis", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mahalanobis(x, rows):
    """x: (n, d). rows: (token, d), natural states, more of them than d. Returns (n,): distances as in the formula, mu and C from rows."""
    ### BEGIN SOLUTION
    away = x - rows.mean(0)
    return (away * torch.linalg.solve(torch.cov(rows.T), away.T).T).sum(-1).div(x.shape[1]).sqrt()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_mahalanobis", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(mahalanobis)

# %% [markdown]
# **Predict.** Will the two ways agree about `X`?

# %%
known, fresh = reading.spoken(x[4][choosing]), reading.spoken(x[4][~choosing])  # without <bos>
cloud = natural.Natural.fit(known)
X = cohort["warm start"].vectors
compared = {"natural states": fresh[::20], "X, warm start": X, "X, as published": cohort["as published"].vectors}
how_far = pd.concat([
    pd.DataFrame({"vectors": name, "cosine": cloud.nearest_cosine(v).tolist(), "distance": mahalanobis(v, known).tolist()})
    for name, v in compared.items()
])

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes.naturalness(how_far))

# %% tags=["nbval-ignore-output"]
typical = how_far.groupby("vectors").median()
record("off_distribution_cosine", typical.cosine["X, warm start"], tolerance=0.03, why="median of 24 vectors: cosine with the nearest natural state")
record("natural_cosine", typical.cosine["natural states"], tolerance=0.01, why="the same for natural states of other texts")
record("off_distribution_distance", typical.distance["X, warm start"], tolerance=0.08, why="median Mahalanobis distance of the same 24")
say("Nearest cosine {off_distribution_cosine:.2f}, where natural states have {natural_cosine:.2f}: no text makes such a state. Yet the Mahalanobis "
    "distance is {off_distribution_distance:.2f}, like a natural state's {n:.2f}. Natural states form a *shell* around their mean, and `X` is on the shell, at the right distance, "
    "in a direction where no text is: a distance cannot see that. Nor is a small one a virtue. The mean itself is at {d:.2f}, and its cosine is {c:.2f}: it is inside the shell, "
    "where next to no text is. What is read from `X` from here on is read outside the model's experience.", n=typical.distance["natural states"],
    d=float(mahalanobis(mean[4][None], known)), c=float(cloud.nearest_cosine(mean[4][None])))

# %% [markdown]
# Can the search be kept natural? After each step, project back: into the ball of natural length, or onto codes of a dictionary whose
# latents stay in their natural range. Or begin at random natural states; there also project into the ellipsoid of natural Mahalanobis
# distance. Or give up searching, and take the **best natural state** of 3000.
#
# **Predict.** What does each do to the cosine, to the distance, and to the ratio?

# %%
hook4 = model_setting.dictionary(4, "width128")  # 128 latents: a coarse dictionary of what enters layer 4
coarse, fine = loaded.dictionaries[hook4], loaded.dictionaries[model_setting.dictionary(4)]
z = coarse.encode(known)
far_natural = float(mahalanobis(fresh, known).quantile(0.99))
begin = natural.starts("natural", len(targets), mean[4], known, torch.Generator().manual_seed(seed))
inside = {"make": coarse.decode, "lr": 0.3, "project": lambda p: p.clamp(min=0).minimum(z.amax(0)), "penalty": lambda p: 0.05 * p.sum(-1)}
ways = {"free, from the mean": cohort["warm start"],
        "ball of natural length": searched(targets, warm, project=cloud.norm_ball()),
        "codes in their range": searched(targets, warm, z.mean(0).repeat(len(targets), 1), **inside),
        "from natural states": searched(targets, warm, begin),
        "the same, ellipsoid": searched(targets, warm, begin, project=cloud.ellipsoid(far_natural))}

# %%
few = known[torch.randperm(len(known), generator=g)[:3000]]
drive = {i: search.everything(site[4], few, i) for i in (4, 5)}  # (state, neuron)
picked = torch.stack([few[drive[i][:, n].argmax()] for i, n in targets])
vectors = {name: found.vectors for name, found in ways.items()} | {"best natural state": picked}
held = pd.DataFrame([
    {"way": name, "ratio": float(ratios(v, targets).quantile(0.5)), "cosine": float(cloud.nearest_cosine(v).quantile(0.5)),
     "distance": float(mahalanobis(v, known).quantile(0.5))}
    for name, v in vectors.items()
])

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes.constraints(held))

# %% tags=["nbval-ignore-output"]
by_way = held.set_index("way")
record("best_natural_ratio", by_way.ratio["best natural state"], tolerance=0.05, why="median of 24 neurons, best of 3000 states")
of_searches = by_way.drop("best natural state")
say("Of the {n} searches, {k} reach a cosine of 0.9. From natural states: cosine {nat.cosine:.2f}, distance {nat.distance:.2f}, ratio {nat.ratio:.1f}. Codes: {code.cosine:.2f}, {code.distance:.2f} and {code.ratio:.1f}. "
    "{short:.0%} of the free vectors are shorter than the ball's radius: those it never touches. By cosine “{one}” is the most natural search, by "
    "distance “{other}”{verdict}. The best natural state is natural by construction and reaches {best_natural_ratio:.2f}.",
    n=len(of_searches), k=int((of_searches.cosine > 0.9).sum()), nat=by_way.loc["from natural states"], code=by_way.loc["codes in their range"],
    short=float((X.norm(dim=-1) <= known.norm(dim=-1).mean()).float().mean()), one=(one := of_searches.cosine.idxmax()),
    other=(other_way := (of_searches.distance - 1).abs().idxmin()), verdict="" if one == other_way else ": the two rulers disagree on the order")

# %% [markdown]
# ## 5 What is in it?
#
# Back to neuron 41. Take its `X` (`woken`) apart with the dictionary of what *enters* layer 3, that is, the one trained after layer 2.
# (Gemma Scope's dictionary "of layer 8" likewise reads what *leaves* layer 8.) Which latents are most active? The labels are a
# colleague's, made on a collection of mathematics and scored on its other half.

# %% tags=["nbval-ignore-output"]
hook3 = model_setting.dictionary(3)
dictionary, labels = loaded.dictionaries[hook3], loaded.labels[hook3].set_index("index")
theirs = loaded.labels[hook3 + "/maths"].set_index("index")  # a colleague's labels, made on a collection of mathematics
code_of_X = dictionary.encode(woken.vectors)[0]
pd.DataFrame([{"latent": i, "activation": round(float(code_of_X[i]), 1), "colleague's label": theirs.description.get(i, "")}
              for i in decomposing.top_latents(code_of_X, 8).tolist()])

# %% [markdown]
# Is this the neuron's answer, or that of one run? The notes ask for **random restarts**: "this ensures the optimization finds the
# same features every time". Measure it: the share of pairs of restarts whose most active latent is the same. A restart in
# which no latent is active agrees with none.
#
# *`top_agreement` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "top_agreement", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_agreement(z):
    """z: (restart, latent), never negative, at least two restarts. Returns a number: share of pairs with the same top latent."""
    ### BEGIN SOLUTION
    value, top = z.max(1)
    same = (top[:, None] == top) & (value > 0)
    return float((same.sum() - same.diagonal().sum()) / (len(z) * (len(z) - 1)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_top_agreement", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(top_agreement)

# %% [markdown]
# Twelve restarts of neuron 41, from the mean plus noise as large as natural spread: after the published 50 steps, and after 100 more.
#
# **Predict.** How many different top latents does each give? Will the latent that wins be active where the neuron is strong on text?

# %%
begin = natural.starts("jittered", 12, mean[3], reading.spoken(x[3][choosing]), torch.Generator().manual_seed(seed))
again = search.ascend(site[3], begin, [story] * 12, objective=warm, steps=150, keep=(50, 150))
story_codes = {steps: dictionary.encode(v) for steps, v in again.kept.items()}
tops = story_codes[150].argmax(1)
winner = int(tops.mode().values)
strong = post[3][:, 1:, 41] > 0.5 * natural_max[3][41]
met = float((dictionary.encode(x[3][:, 1:][strong])[:, winner] > 0).float().mean())

# %% tags=["nbval-ignore-output"]
record("story_agreement", top_agreement(story_codes[150]), tolerance=0.2, why="one neuron, 66 pairs of restarts; near-ties are broken by rounding")
record("story_agreement_published", top_agreement(story_codes[50]), tolerance=0.06, why="the same, after the published number of steps")
say("After 50 steps {k} different top latents ({story_agreement_published:.0%} of the pairs agree){one_run}. After 150 steps {m} ({story_agreement:.0%}): {n} of 12 have latent {winner}, "
    "“{label}”. And it is active at {met:.0%} of the {p} tokens where the neuron is strong on text. {verdict}", k=story_codes[50].argmax(1).unique().numel(),
    one_run=": the table above is the answer of one run" if recorded("story_agreement_published") < 0.5 else "", m=tops.unique().numel(), n=int((tops == winner).sum()),
    winner=winner, label=labels.description[winner], met=met, p=int(strong.sum()),
    verdict="A repeatable answer can be about something that the neuron does not meet." if met < 0.1 else "So the neuron does meet it.")

# %% [markdown]
# Is that neuron 41, or the rule? Six restarts for each of the twelve targets of layer 4 and of twelve random neurons there.
# Decomposed twice: with 1024 latents, as above, and with a coarse dictionary of 128.
#
# **Predict.** Which of the three matters most: the steps, the dictionary, or whether the neuron is selective?

# %%
both = {"selective": targets[:12], "random": random_targets[:12]}
many = [t for which in both.values() for t in which for _ in range(6)]
begin = natural.starts("jittered", len(many), mean[4], known, torch.Generator().manual_seed(seed))
again = searched(many, warm, begin, steps=150, keep=(50, 150))
rows = []
for size, d in (("128 latents", coarse), ("1024 latents", fine)):
    for steps, vectors in again.kept.items():
        for i, v in enumerate(vectors.view(24, 6, -1)):
            pairs = torch.corrcoef(v - mean[4])[torch.triu(torch.ones(6, 6), 1) > 0]  # how alike the vectors themselves are
            rows.append({"size": size, "neurons": list(both)[i // 12], "steps": steps, "agreement": top_agreement(d.encode(v)), "alike": float(pairs.mean())})
restarts = pd.DataFrame(rows).sort_values(["size", "steps"], ascending=[False, True], kind="stable")

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_evidence.agreement(restarts))

# %% tags=["nbval-ignore-output"]
by_group = restarts.groupby(["size", "neurons", "steps"])
agree, alike = by_group.agreement.mean(), by_group.alike.mean()
full = by_group.agreement.agg(lambda values: int((values == 1).sum()))
record("restart_agreement", agree["128 latents", "selective", 150], tolerance=0.08, why="mean of 12 neurons, 6 restarts; near-ties are broken by rounding")
record("restart_agreement_random", agree["128 latents", "random", 150], tolerance=0.08, why="the same, random neurons; no bound: the control")
record("restart_agreement_published", agree["128 latents", "selective", 50], tolerance=0.08, why="the same, after the published number of steps")
record("restart_agreement_fine", agree["1024 latents", "selective", 150], tolerance=0.12, why="after 150 steps, dictionary of 1024: more near-ties")
record("restart_agreement_fine_random", agree["1024 latents", "random", 150], tolerance=0.12, why="the same, random neurons; no bound: the control")

# %% tags=["nbval-ignore-output"]
sizes = ("128 latents", "1024 latents")
ahead = {size: agree[size, "selective", 150] - agree[size, "random", 150] for size in sizes}
say("With 128 latents: {restart_agreement_published:.2f} after 50 steps, {restart_agreement:.2f} after 150 (random neurons {restart_agreement_random:.2f}). With 1024: {restart_agreement_fine:.2f} "
    "(random {restart_agreement_fine_random:.2f}). The vectors are the same in both, and alike: their correlation, the mean taken off, is {a:.2f} after 150 steps (random {ar:.2f}). So how repeatable the *answer* is depends on "
    "the steps, and on the dictionary that reads it. Do all six agree? For {f} of 12 selective and {fr} of 12 random neurons (1024 latents: {g} and {gr}). {verdict}",
    a=alike["128 latents", "selective", 150], ar=alike["128 latents", "random", 150], f=full["128 latents", "selective", 150], fr=full["128 latents", "random", 150],
    g=full["1024 latents", "selective", 150], gr=full["1024 latents", "random", 150],
    verdict="Selective neurons agree with themselves more than random ones in both." if min(ahead.values()) > 0.1
    else "Neurons that nobody chose for a meaning repeat themselves as well: to be repeatable is not to be meaningful.")

# %% [markdown]
# ## 6 Is it necessary?
#
# "If the downstream activation collapses we prove the feature is necessary." Take the latent out where the target fires on
# natural text, and see what share of the target's activation is lost. Which latent? Two choices:
# - `X`'s own most active one, as in the proposal;
# - the one with the largest **attribution** on natural text: its activation times the slope of the target along it (lab 05).
#
# And a control: a latent that is about as active at the same places, but was not chosen.
#
# *`control_latent` · 3 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "control_latent", "locked": false, "schema_version": 3, "solution": true, "task": false}
def control_latent(mean_activation, share_active, chosen):
    """mean_activation, share_active: (latent,), over the places. chosen: which latent it is the control for.

    Returns a whole number: of the other latents active at half of the places or more, the one with the mean activation nearest to
    that of `chosen`; -1 if there is none.
    """
    ### BEGIN SOLUTION
    gap = (mean_activation - mean_activation[chosen]).abs()
    gap[share_active < 0.5] = torch.inf
    gap[chosen] = torch.inf
    return int(gap.argmin()) if gap.min() < torch.inf else -1
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_control_latent", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(control_latent)

# %% [markdown]
# Latents are chosen on one half of the texts and taken out on the other, at up to six places where the target is above half of its
# natural maximum. (The figure also shows the three best by attribution, taken out together.)
#
# **Predict** the order of the three: by attribution, `X`'s own top latent, control. And does a fine dictionary (1024 latents) or a coarse
# one (128) have the more necessary latents?

# %%
halves = [[validating.strong_places(post[i][..., n], 0.5 * float(natural_max[i][n]), half, 6, 48) for i, n in targets]
          for half in (choosing, ~choosing)]
rows, fates = [], []
for size, d in (("1024 latents", fine), ("128 latents", coarse)):
    given, activation, active = validating.attributions(model, d, text.ids, x[4], halves[0], targets)
    by_attribution = given.argmax(1)
    own = d.encode(X).argmax(1)
    fates += ["the same one" if o == a else "never active there" if s[o] == 0 else "another one" for o, a, s in zip(own, by_attribution, active)]
    control = [control_latent(a, s, int(i)) for a, s, i in zip(activation, active, by_attribution)]
    one = {"by attribution": by_attribution[:, None].tolist(), "X's own top": own[:, None].tolist(), "control": [[i] * (i >= 0) for i in control]}
    for name, out in (one | {"three by attribution": given.topk(3).indices.tolist()}).items():
        lost = validating.lost(model, d, text.ids, x[4], halves[1], targets, out)
        rows += [{"size": size, "latent": name, "lost": float(v)} for v, o in zip(lost, out) if o]
necessity = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_evidence.necessity(necessity))

# %% tags=["nbval-ignore-output"]
lost = necessity.groupby(["size", "latent"]).lost.median()
record("necessity_drop", lost["128 latents", "by attribution"], tolerance=0.06, must="> 0.5", why="median of 24 neurons, coarse dictionary")
record("necessity_drop_control", lost["128 latents", "control"], tolerance=0.04, must="< 0.15", why="the same, control latent")
record("necessity_drop_own_top", lost["128 latents", "X's own top"], tolerance=0.09, why="the same, the proposal's choice; no bound")
record("necessity_drop_fine", lost["1024 latents", "by attribution"], tolerance=0.06, why="the same, dictionary of 1024; no bound")
say("The latent that natural text points to carries {necessity_drop:.0%} of the target, the control {necessity_drop_control:.0%}. With 1024 latents even the best carries only "
    "{necessity_drop_fine:.0%}, the best three together {three:.0%}: it spreads what the neuron reads over several latents. `X`'s own top carries {necessity_drop_own_top:.0%}, and with 1024 latents {own:.0%}, "
    "where the control has {control:.0%}. These medians mix cases. Take them apart: is `X`'s own top the one by attribution, another one, or never active where the target is strong?",
    three=lost["1024 latents", "three by attribution"], own=lost["1024 latents", "X's own top"], control=lost["1024 latents", "control"])

# %% tags=["nbval-ignore-output"]
heaps = necessity[necessity.latent == "X's own top"].assign(which=fates).groupby(["size", "which"]).lost.agg(["count", "median"]).round(2)
heaps

# %% tags=["nbval-ignore-output"]
hit = heaps["count"].unstack(fill_value=0).reindex(columns=["the same one", "never active there"], fill_value=0)
say("With 128 latents the search's top latent *is* the one that text points to in {c[0]} of {n} targets, with 1024 in {f[0]}; only there it loses the same, as it must: it is the same latent. In {c[1]} and {f[1]} "
    "it is silent where the target is strong, and can lose nothing. The medians of the rest are in the table. The search alone does not say which case it is.",
    c=hit.loc["128 latents"].tolist(), f=hit.loc["1024 latents"].tolist(), n=len(targets))

# %% [markdown]
# We chose this pair of layers (latents of what enters 4, targets in 4 and 5) after we had seen several. Here are all five that we
# looked at, twelve selective neurons each, by attribution, coarse dictionary:

# %% tags=["nbval-ignore-output"]
chosen_by = best | {3: selective(3)}
chosen_pair = necessity[(necessity["size"] == "128 latents") & (necessity.latent == "by attribution")].lost.to_numpy().reshape(2, 12)
for layer, values in zip((4, 5), chosen_pair):
    print(f"latents of what enters 4, targets in {layer}: median lost {float(pd.Series(values).median()):.2f}")
for enters, layer in ((3, 3), (3, 4), (3, 5)):
    d, which = loaded.dictionaries[model_setting.dictionary(enters, "width128")], [(layer, int(n)) for n in chosen_by[layer]["index"]]
    strong = [[validating.strong_places(post[i][..., n], 0.5 * float(natural_max[i][n]), half, 6, 48) for i, n in which] for half in (choosing, ~choosing)]
    given, _, _ = validating.attributions(model, d, text.ids, x[enters], strong[0], which)
    out = validating.lost(model, d, text.ids, x[enters], strong[1], which, given.argmax(1)[:, None].tolist())
    print(f"latents of what enters {enters}, targets in {layer}: median lost {float(out.quantile(0.5)):.2f}")

# %% [markdown]
# ## 7 Which meaning does the target read?
#
# Back to neuron 41 of layer 3, and to the notes' main claim: the label of a latent can be wrong, and the target shows it. Which
# latent does natural text point to here, and what does our colleague call it?

# %% tags=["nbval-ignore-output"]
at_story = validating.strong_places(post[3][..., 41], 0.5 * float(natural_max[3][41]), choosing, 40)
given, _, _ = validating.attributions(model, dictionary, text.ids, x[3], [at_story], [story])
leading = given[0].topk(4).indices.tolist()
latent = leading[0]
for i in leading:
    print(f"latent {i}: attribution {given[0, i]:.1f}, colleague's label: {theirs.description.get(i, 'none')}")
print(f"The colleague's label of {latent} has F1 {theirs.f1[latent]:.2f} on the colleague's own held-out text.")
ranks = (story_codes[150] > story_codes[150][:, latent, None]).sum(1) + 1
print(f"In X of section 5 it is number {int((code_of_X > code_of_X[latent]).sum()) + 1} of {int((code_of_X > 0).sum())} active latents, in the twelve restarts {int(ranks.min())} to {int(ranks.max())}.")

# %% [markdown]
# "role: var": a variable in mathematics. Two latents have that label; a dictionary may split one meaning. But in this language
# variables share their letters with the *arguments* of functions in code. We built that in (a **planted** confound), so that the
# truth is known. So the latent has two meanings behind one surface. The notes propose: "feed the model pure math formatting and then
# pure software licenses. This measures the exact threshold needed." So, on natural text of each meaning: at which activation of the
# latent does the target fire?
#
# *`threshold_curve` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "threshold_curve", "locked": false, "schema_version": 3, "solution": true, "task": false}
def threshold_curve(latent, fires, edges):
    """latent: (token,), activations. fires: (token,), bool, of the target. edges: (n + 1,), rising.

    Returns (n,): for the tokens with edges[i] <= latent < edges[i + 1] the share at which the target fires; NaN where there are none.
    """
    ### BEGIN SOLUTION
    inside = (latent[:, None] >= edges[:-1]) & (latent[:, None] < edges[1:])
    return (inside & fires[:, None]).sum(0) / inside.sum(0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_threshold_curve", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(threshold_curve)

# %% [markdown]
# **Predict.** Two curves, one for variables, one for arguments. If the target reads this latent, how do they lie?

# %%
z3 = dictionary.encode(x[3])
z3[:, 0] = 0  # not <bos>
fires = post[3][..., 41] > 0.25 * natural_max[3][41]
meanings = {"arguments in code": text.is_role("arg"), "variables in mathematics": text.is_role("var")}
edges = torch.tensor([1.0, 5.0, 7.0, 9.0, 11.0, 13.0, 20.0])
curves = pd.DataFrame([
    {"meaning": name, "activation": float(edges[i : i + 2].mean()), "share": float(share), "tokens": int(n)}
    for name, where in meanings.items()
    for i, (share, n) in enumerate(zip(threshold_curve(z3[where][:, latent], fires[where], edges), torch.histogram(z3[where][:, latent], edges)[0]))
]).dropna()

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_evidence.thresholds(curves, str(latent)))

# %% tags=["nbval-ignore-output"]
shares = {name: float(fires[where].float().mean()) for name, where in meanings.items()}
levels = {name: float(z3[where][:, latent].mean()) for name, where in meanings.items()}
of_args = curves[(curves.meaning == "arguments in code") & (curves.tokens >= patchscopes_evidence.ENOUGH)].share
say("The latent's mean is {v:.1f} at variables and {a:.1f} at arguments; the target fires at {sv:.0%} of the {nv} variables (95% interval {low:.0%} to {high:.0%}) and at {sa:.0%} of the {na} arguments. Among arguments "
    "the share goes from {first:.0%} in the lowest bin to {last:.0%} in the highest. {verdict}",
    nv=(nv := int(meanings["variables in mathematics"].sum())), na=int(meanings["arguments in code"].sum()), v=levels["variables in mathematics"], a=levels["arguments in code"],
    sv=shares["variables in mathematics"], sa=shares["arguments in code"], first=of_args.iloc[0], last=of_args.iloc[-1],
    low=max(0, (ends := patchscopes_evidence.wilson(shares["variables in mathematics"], nv))[0]), high=ends[1],
    verdict="There is no threshold of this latent: it does not decide alone." if of_args.iloc[-1] < of_args.iloc[0] else "Among arguments a threshold may do; for variables it would be another one.")

# %% [markdown]
# What else does? Among the latents that text points to, some tell of *code* around the token, not of a letter: take those that
# the full label table ties to code or to the previous token.

# %% tags=["nbval-ignore-output"]
context = [i for i in given[0].topk(8).indices.tolist() if "code" in labels.description[i] or labels.kind[i].startswith("previous")]
second = next(i for i in leading[1:] if theirs.description.get(i) == theirs.description[latent])  # the other "role: var"
args, at_vars = z3[meanings["arguments in code"]], z3[meanings["variables in mathematics"]]
sequence, position = meanings["variables in mathematics"].nonzero().T
each = torch.arange(len(sequence))
print("code latents:", ", ".join(f"{i} ({labels.description[i]})" for i in context))
for name, some in (("below 9", args[:, latent] < 9), ("above 13", args[:, latent] > 13)):
    print(f"arguments with the letter latent {name} ({int(some.sum())} of them): code latents", [round(float(args[some][:, i].mean()), 1) for i in context])
print(f"all the code latents active: {int((args[:, context] > 0).all(1).sum())} of {len(args)} arguments, {int((at_vars[:, context] > 0).all(1).sum())} of {len(at_vars)} variables")

# %% [markdown]
# Compare those two lines with the curve. Now intervene at the variables: the letter latent on or off, times the code latents on or
# off. A latent that is *on* is at its **level**, its mean where it is active. The second letter latent is held off, so that it cannot
# stand in.
#
# **Predict** the four bars. What would they look like if the target read the letter alone? And if it needed both?


# %%
def target_with(values):
    """The target at the variables with some latents set to given values there, in natural maxima."""
    stream = x[3][sequence].clone()
    for i, value in values.items():
        stream[each, position] += (value - z3[sequence, position, i, None]) * dictionary.W_dec[i]
    with torch.no_grad():
        out = decomposing.targets_with(model, hook3, text.ids[sequence], stream, position, [story] * len(sequence))
    return float(out.mean() / natural_max[3][41])


level = (z3.sum((0, 1)) / (z3 > 0).sum((0, 1)).clamp(min=1)).tolist()
off = dict.fromkeys([latent, second, *context], 0.0)


# %%
@lru_cache
def with_on(*on):
    """The target with these latents at their level; the other letter and code latents are off."""
    return target_with(off | {i: level[i] for i in on})


four = {(a, b): with_on(*[latent] * a, *context * b) for a in (False, True) for b in (False, True)}

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_evidence.factorial(four))

# %% tags=["nbval-ignore-output"]
record("and_interaction", four[True, True] - four[True, False] - four[False, True] + four[False, False], tolerance=0.04, why="mean over all variables of the text, shares of the natural maximum")
say("Letter alone {l:.2f}, code alone {c:.2f}, both {both:.2f} (mean of {n} variables): {and_interaction:+.2f} beyond the sum of the parts.",
    both=four[True, True], l=four[True, False], c=four[False, True], n=len(sequence))

# %% [markdown]
# Does that show that the target needs letter *and* code? gelu(gate) · up is curved: any two inputs that push it up add up to more.
# Controls that have nothing to do with letters or code: of the latents that are almost never active in code or mathematics, the three
# that promise most for the target with the code latents on (level times slope: the way our latent was found). And a part of "code"
# against the other parts.
#
# **Predict.** With code on, a latent adds more than alone. Which share of that is "beyond the sum": for the letter, for the controls?

# %%
present, technical = z3 > 0, text.is_domain("code", "maths")
elsewhere = (present & technical[..., None]).sum((0, 1)) < 0.05 * present.sum((0, 1))
stream = x[3][sequence].clone()
stream[each, position] += (torch.tensor([level[i] for i in context]) - z3[sequence, position][:, context]) @ dictionary.W_dec[context]
slope = decomposing.target_gradients(model, hook3, text.ids[sequence], stream, position, [story] * len(sequence))[each, position].mean(0)
promise = torch.tensor(level) * (dictionary.W_dec @ slope) * elsewhere * (present.float().mean((0, 1)) > 0.005)
unrelated_latents = promise.topk(3).indices.tolist()

# %% tags=["nbval-ignore-output"]
pairs = [("letter", latent, context), ("other letter", second, context), ("part of code", context[0], context[1:]), *(("unrelated", i, context) for i in unrelated_latents)]
added = pd.DataFrame([{"what": what, "latent": i, "label": labels.description[i], "alone": with_on(i) - with_on(), "with code": with_on(i, *others) - with_on(*others)}
                      for what, i, others in pairs])
added["share beyond"] = 1 - added["alone"] / added["with code"]
added.round(2)

# %% tags=["nbval-ignore-output"]
beyond = added.set_index("latent")["share beyond"]
controls = beyond[unrelated_latents]
record("and_share", beyond[latent], tolerance=0.08, why="what the letter adds with code on, the share that it does not add alone; 26 variables")
record("and_share_control", controls.mean(), tolerance=0.08, why="the same, mean of three unrelated latents; no bound: the control")
say("{and_share:.0%} of what our latent adds is beyond the sum; of what the unrelated latents add, {low:.0%} to {high:.0%}. {verdict} What stays: code alone moves the target to {c:.2f}, the letter alone to {l:.2f}. "
    "Our latent is *one input* of several to a target that answers to arguments of code.", low=controls.min(), high=controls.max(), c=four[False, True], l=four[True, False],
    verdict="So the excess is what this neuron, nearly asleep without code, does with unrelated inputs too. It is *no* evidence that it combines letter and code."
    if recorded("and_share") < controls.max() + 0.05 else "So the excess is larger than the curve alone makes it: a hint at an AND.")

# %% [markdown]
# ## 8 In its own words
#
# The last step of the proposal. Put `X` into a prompt and let the model go on. To hear the vector and not the prompt, contrast
# with the same prompt around the mean vector:
#
# $$\text{logits} = L_{act} + \alpha\,(L_{act} - L_{mean})$$
#
# *`contrastive_logits` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "contrastive_logits", "locked": false, "schema_version": 3, "solution": true, "task": false}
def contrastive_logits(act, mean, alpha):
    """act, mean: (row, token). alpha: (row,), one for each row. Returns (row, token)."""
    ### BEGIN SOLUTION
    return act + alpha[:, None] * (act - mean)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_contrastive_logits", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(contrastive_logits)

# %% tags=["nbval-ignore-output"]
for alpha in (0.0, 1.5):
    told = decoding.contrastive(site[3], woken.vectors, mean[3], alpha, n_tokens=12)
    print(f"alpha {alpha}: list : {corpus.pretty(corpus.decode(told))}")

# %% [markdown]
# Without contrast the first token is ")", which does follow arguments; the contrast replaced it by a sentence. Is either "an argument of code"? Anybody can read something into a dozen words. Score it instead. A neuron's **natural successors**
# are the tokens that follow where it is strong on text. Count the first generated token as a hit if it is one of these.
#
# *`natural_successors` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "natural_successors", "locked": false, "schema_version": 3, "solution": true, "task": false}
def natural_successors(ids, strong, least, n_vocab):
    """ids: (text, position). strong: (text, position), bool, somewhere True before the end. least: a share.

    Returns (n_vocab,), bool: the tokens that make up at least `least` of those that directly follow a strong place.
    """
    ### BEGIN SOLUTION
    count = torch.bincount(ids[:, 1:][strong[:, :-1]], minlength=n_vocab)
    return count >= least * count.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_natural_successors", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(natural_successors)

# %% [markdown]
# For all 24 targets, at five values of alpha: `X` of the warm start, `X` as published, the mean vector, the best natural state, and
# `X` of the random targets. (The mean vector contrasted with itself stays what it is.) Successors come from the texts that the natural
# states were *not* taken from. Chance: how often a vector's first token is a successor of *another* target.
#
# **Predict.** Which vector speaks most clearly? Does the published alpha of 1.5 help? Do random targets speak at all?

# %%
ids = text.ids[~choosing]
at_half = {(i, n): post[i][~choosing][..., n] > 0.5 * natural_max[i][n] for i, n in [*targets, *random_targets]}
kept = [k for k, t in enumerate(random_targets) if at_half[t][:, :-1].sum() >= 5]  # too few places say nothing
follow = {"selective": torch.stack([natural_successors(ids, at_half[t], 0.02, corpus.vocab_size()) for t in targets]),
          "random": torch.stack([natural_successors(ids, at_half[random_targets[k]], 0.02, corpus.vocab_size()) for k in kept])}
speakers = {"X, warm start": X, "X, as published": cohort["as published"].vectors, "mean vector": mean[4].repeat(len(targets), 1),
            "best natural state": picked, "X, random targets": X_random[kept]}

# %%
rows, others = [], []
for name, v in speakers.items():
    act, noise = (decoding.next_logits(site[4], u) for u in (v, mean[4].expand_as(v)))
    for alpha in (0.0, 0.5, 1.5, 3.0, 6.0):
        first = contrastive_logits(act, noise, torch.full((len(v),), alpha)).argmax(1)
        table = follow["random" if "random" in name else "selective"][:, first].float()  # (whose successors, who speaks)
        rows.append({"vector": name, "alpha": alpha, "hits": float(table.diagonal().mean())})
        others.append(float((table.sum() - table.diagonal().sum()) / (len(v) * (len(v) - 1))))
spoken_first, chance = pd.DataFrame(rows), max(others)

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_text.sweep(spoken_first, chance))

# %% tags=["nbval-ignore-output"]
hits = spoken_first.set_index(["vector", "alpha"]).hits
record("first_token_concept_rate", hits["X, warm start", 1.5], tolerance=0.09, why="share of 24 targets; two may change sides")
record("first_token_concept_rate_plain", hits["X, as published", 1.5], tolerance=0.05, why="the same, as published; one may change sides")
record("first_token_concept_rate_natural", hits["best natural state", 1.5], tolerance=0.09, why="the same, best of 3000 natural states")
gain = {name: (hits[name].drop(0.0) - hits[name, 0.0]) * len(v) for name, v in speakers.items()}  # in targets
say("Chance is {chance:.2f} at most. At the published alpha, `X` says a right word for {first_token_concept_rate:.0%} of the targets, although it stands where no text is; as published, `X` does for "
    "{first_token_concept_rate_plain:.0%}. Against no contrast, an alpha changes the hits of the warm `X` by {a:+.0f} to {b:+.0f} of its {n} targets, of the random ones by {c:+.0f} to {d:+.0f} of {k}{verdict}. And `X` of random targets "
    "hits {rnd:.0%} without contrast: what is spoken goes with the neuron, chosen or not. The state picked from text says it for {first_token_concept_rate_natural:.0%} at 1.5, with {best_natural_ratio:.2f} natural "
    "maxima in place of {target_over_natural_max:.1f}, and no search.", chance=chance, k=len(kept), n=len(targets), rnd=hits["X, random targets", 0.0],
    a=gain["X, warm start"].min(), b=gain["X, warm start"].max(), c=gain["X, random targets"].min(), d=gain["X, random targets"].max(),
    verdict=": no alpha here clearly helps" if max(gain["X, warm start"].max(), gain["X, random targets"].max()) <= 2 else "")

# %% [markdown]
# ## 9 Intervene while the model writes
#
# "We force activate Feature 302 and Neuron 8526 during unrelated prompts. The model pivots." Take 12 beginnings without mathematics
# or code. Hold our latent, or the target neuron, at a multiple of its natural maximum at every token, and let the model write 12
# tokens. A token's score is the share of its natural uses that are code. Score the *different* tokens of all twelve texts, each once, so that
# repeating one word cannot win. Controls: a random push as long as the latent's, and neuron 17 at the same values.
#
# **Predict.** Does the model turn to code? Held by what, and at which strength?

# %%
uses = torch.zeros(corpus.vocab_size(), len(corpus.DOMAIN_NAMES))
uses.index_put_((text.ids.flatten(), text.domain.flatten()), torch.ones(text.ids.numel()), accumulate=True)
code_share = (uses / uses.sum(1, keepdim=True).clamp(min=1))[:, corpus.DOMAIN_NAMES.index("code")]


def code_score(ids):
    return float(code_share[ids.unique()].mean())


# %%
unrelated = text.ids[~text.is_domain("code", "maths")[:, :16].any(1)][:12, :16]
most, direction = float(z3[..., latent].max()), dictionary.W_dec[latent]
noise = torch.randn(len(direction), generator=g)
noise -= (noise @ direction) / (direction @ direction) * direction  # at right angles, and as long
noise *= direction.norm() / noise.norm()

# %%
rows, written = [], {}
for strength in (1.0, 2.0, 4.0):
    top = strength * float(natural_max[3][41])
    hooks = {"latent": intervening.held_latent(dictionary, latent, strength * most), "random push": intervening.pushed(site[3].hook, strength * most * noise),
             "neuron 41": intervening.held_neuron(3, 41, top), "neuron 17": intervening.held_neuron(3, 17, top)}
    for name, held_on in hooks.items():
        written[name, strength] = intervening.generate(model, unrelated, 12, [held_on])
        rows.append({"held": name, "strength": strength, "code": code_score(written[name, strength])})
pivot = pd.DataFrame(rows)
written["untouched", 0.0] = intervening.generate(model, unrelated, 12)
free = code_score(written["untouched", 0.0])
real = code_score(text.ids[text.is_domain("code")][: 12 * 12])

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_text.pivots(pivot, free, real))

# %% tags=["nbval-ignore-output"]
at = pivot.set_index(["held", "strength"]).code
kinds = {key: sum(len(row.unique()) for row in ids) / len(ids) for key, ids in written.items()}  # different words in twelve
pushed = written["latent", 2.0]
common = pushed.flatten().mode().values
record("pivot_latent", at["latent", 2.0], tolerance=0.09, why="mean share of code of the different tokens in 12 texts; greedy choices can flip")
record("pivot_latent_natural", at["latent", 1.0], tolerance=0.06, why="the same at the natural maximum")
record("pivot_neuron", at["neuron 41", 4.0], tolerance=0.06, why="the same, the neuron at four times its maximum")
say("Real code scores {real:.0%}, untouched text {free:.0%}. With the latent at its natural maximum it is {pivot_latent_natural:.0%}; at twice that {pivot_latent:.0%}. Three of the twelve texts: {samples}. Different words in "
    "twelve: {a:.1f}, where untouched text has {u:.1f} and the random push {p:.1f}; “{token}” alone is {most:.0%} of what is written, and {tc:.0%} of its natural uses are code. At four times: {a4:.1f} and {p4:.1f}. {verdict} "
    "Counting every token alike would have called it {every:.0%} code. With the neuron at four times its maximum, {pivot_neuron:.0%}. Driving a neuron and steering with it are two things.",
    real=real, free=free, samples="; ".join(f"“{corpus.pretty(corpus.decode(row))}”" for row in pushed[:3]), every=float(code_share[pushed].mean()), token=corpus.decode(common[None])[0],
    most=float((pushed == common).float().mean()), tc=float(code_share[common]), a=kinds["latent", 2.0], u=kinds["untouched", 0.0], p=kinds["random push", 2.0], a4=kinds["latent", 4.0], p4=kinds["random push", 4.0],
    verdict="So there are bits of code, and the text falls apart with them." if kinds["latent", 2.0] < 0.75 * kinds["untouched", 0.0] and at["latent", 2.0] < real / 2 else "")

# %% [markdown]
# ## 10 A map over layers and neurons
#
# *Optional: no exercise hangs on it.* "Automating the search across all layers." Six neurons in each of three layers, searched for from the same layer or an
# earlier one, 50 steps, with the published objective and with the warm start. Every cell of the map is a file: stop the run, start it again, and it goes on where it was.
#
# **Predict.** Is the false optimum a habit of layers 4 and 5, or of the recipe?

# %%
cells = [{"model": loaded.name, "inject": i, "layer": j, "neurons": list(range(5, 256, 45)), "steps": 50} for i in (1, 3, 5) for j in (1, 3, 5) if j >= i]
work = chart.searcher(loaded, model_setting, text.ids[:64])
with tempfile.TemporaryDirectory() as folder:  # a real run would keep it
    chart.chart(cells[:2], work, folder, quiet=True)
    atlas = chart.chart(cells, work, folder, quiet=True)  # the first two are read, not made

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_text.atlas(atlas))

# %% tags=["nbval-ignore-output"]
record("map_false_optimum", atlas.false_optimum.mean(), tolerance=0.08, why="share of searches with the published objective, over all cells")
record("map_above_natural", (atlas.warm > 1).mean(), tolerance=0.04, why="share of warm searches above the natural maximum")
say("Of the recipe: {map_false_optimum:.0%} of its searches end there, and at least {least:.0%} in every cell. The warm start exceeds the natural maximum in {map_above_natural:.0%}, for neurons that nobody "
    "chose. A map of what *can* be driven is a map of everything.", least=atlas.groupby(["inject", "layer"]).false_optimum.mean().min())

# %% [markdown]
# ## 11 Correcting labels
#
# "We automatically flag and relabel features that datasets get wrong." Take pairs of a latent and a neuron that reads it.
# Suppress the latent at every token of fresh text, and see at which tokens the target loses. If the label is what the target reads it
# for, most of the loss is at the label's tokens. Gains do not count.
#
# *`loss_covered` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "loss_covered", "locked": false, "schema_version": 3, "solution": true, "task": false}
def loss_covered(before, after, label):
    """before, after: (text, position), the target without and with the latent suppressed. label: (text, position), bool.

    Returns a number: the share of all that is lost that is lost where the label holds; 0 where nothing is lost.
    """
    ### BEGIN SOLUTION
    lost = (before - after).clamp(min=0)
    return float((lost * label).sum() / lost.sum().clamp(min=1e-12))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_loss_covered", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(loss_covered)

# %% [markdown]
# The claims: for our target and the twelve most selective neurons of layer 3, the four latents that natural text points to, with
# the colleague's label where its F1 is above 0.7 there. One more: our latent again, with another neuron that reads it.
#
# A claim is **undecided** where fewer than 15 tokens of the half that chooses causal labels lose something: it counts for nobody.
#
# **Predict.** Our latent has two readers now. At which does each lose more: at one argument, or at one variable?

# %%
readers = [story, *((3, int(n)) for n in selective(3)["index"])]
strong = [validating.strong_places(post[3][..., n], 0.5 * float(natural_max[3][n]), choosing, 12) for _, n in readers]
given, _, _ = validating.attributions(model, dictionary, text.ids, x[3], strong, readers)
claims = [relabelling.Claim(i, theirs.description[i], *reader) for reader, row in zip(readers, given)
          for i in row.topk(4).indices.tolist() if theirs.f1.get(i, 0) > 0.7]
unseen = corpus.sequences("validation", 64, seed=33)
whole = intervening.neuron_activations(model, unseen.ids, 3)
without = intervening.neuron_activations(model, unseen.ids, 3, [intervening.held_latent(dictionary, latent, 0.0)])
at_variables = ((whole - without)[unseen.is_role("var")].mean(0) / natural_max[3]).argmax()  # chosen here, measured on other text below
claims.append(relabelling.Claim(latent, theirs.description[latent], 3, int(at_variables)))

# %% tags=["nbval-ignore-output"]
drops, maxima = relabelling.suppression(model, dictionary, unseen.ids, claims)
relabelled = relabelling.report(unseen, drops, maxima, claims)
everywhere = labelling.singles(text)
relabelled["f1_all_text"] = [labelling.score(z3[..., c.latent] > theirs.threshold[c.latent], labelling.where(text, c.label, everywhere)).f1 for c in claims]
print(relabelled.evidence[0])

# %% tags=["plot", "nbval-ignore-output"]
show(patchscopes_text.relabelled(relabelled))

# %% tags=["nbval-ignore-output"]
mine = loss_covered(whole[..., 41], without[..., 41], unseen.is_role("var"))
decided = relabelled[relabelled.causal != ""]
wrong = decided.f1_all_text < 0.35  # lab 05: keeps less than half of an F1 of 0.7
record("mislabelled_flagged", int(relabelled.disagrees[0] and relabelled.latent[0] == latent and mine < 0.5), tolerance=0, must="= 1", why="the planted confound")
record("flags_agree_with_all_text", (decided.disagrees == wrong).mean(), tolerance=0.17, why="share of the decided claims; labels scored by firing on all text")
print(relabelled[["latent", "target", "observational", "causal", "disagrees"]].replace({"causal": {"": "undecided"}}).to_string(index=False))

# %% tags=["nbval-ignore-output"]
other = int(at_variables)
third = corpus.sequences("validation", 256, seed=77)  # chose neither neuron
change = intervening.neuron_activations(model, third.ids, 3) - intervening.neuron_activations(model, third.ids, 3, [intervening.held_latent(dictionary, latent, 0.0)])
per_token = {(n, role): (change[..., n] / natural_max[3][n])[third.is_role(role)] for n in (41, other) for role in ("arg", "var")}
cost = {key: float(v.mean()) for key, v in per_token.items()}
told = {key: f"{cost[key]:.2f} ± {float(2 * v.std() / len(v) ** 0.5):.3f}" for key, v in per_token.items()}
reverse = (cost[41, "arg"] > cost[41, "var"]) != (cost[other, "arg"] > cost[other, "var"])

# %% tags=["nbval-ignore-output"]
say("The planted label is flagged: {mine:.0%} of what the target loses is at variables. But look at what did the work. Scoring the same labels on *all* text "
    "(lab 05, no intervention) agrees with the flags for {k} of the {n} claims that are decided ({u} are not; {more} other latents are few), and the planted label has F1 {f1:.2f} there. {verdict}",
    mine=mine, k=int((decided.disagrees == wrong).sum()), n=len(decided), u=len(relabelled) - len(decided), more=decided.latent.nunique() - 1, f1=relabelled.f1_all_text[0],
    verdict="Its error was a biased text, and a better text shows it." if relabelled.f1_all_text[0] < 0.35 else "All text does not show its error.")
say("What only the intervention can say is what a *target* uses the latent for. At one argument, suppressing it costs neuron 41 {a} of its maximum, at one variable {v}. For neuron {other}, chosen on other text as the one of "
    "256 that loses most at variables, it is {oa} and {ov} (± two standard errors, {n} variables). {verdict} The table gives both {labels}: it goes by shares of the total, and arguments are far commoner.",
    n=int(third.is_role("var").sum()), a=told[41, "arg"], v=told[41, "var"], other=other, oa=told[other, "arg"], ov=told[other, "var"],
    verdict="Same latent, two readers: within each, the order is the other way round." if reverse else "Same latent, two readers, the same order.",
    labels="the same causal label" if relabelled.causal.iloc[0] == relabelled.causal.iloc[-1] else "different causal labels")

# %% [markdown]
# *`written_conclusion` · 3 points, read by your instructor · 8 minutes.* "After 50 steps the vector drove the target neuron to a high
# activation of 56. The main component is Feature 302. [...] Our intervention proves the downstream neuron ignores the copyright
# meaning entirely." Which of these three sentences would you keep, and what would you have to measure for the last?

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_conclusion", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Keep the first two as reports, with what they lack: 56 in natural maxima and beside random neurons (any neuron can be driven), the
# share of restarts with the same main component, and a control neuron's main component. The last does not follow: nothing was intervened on in text
# of either meaning. To measure: the target on natural licences and natural mathematics at equal activation of the latent; what the
# target loses when the latent is suppressed in each, with a control latent; the latent forced on in neutral text. And even then it is a
# statement about this target, not about the latent's label.
# ### END SOLUTION

# %% [markdown]
# ## What this does not show
#
# - That the published results are wrong. They are about another model; its neuron 8526 may start with an open gate, its latent 302
#   may be what they say. The calls above run on it: `setting.SETTINGS["gemma-2-2b"]` has its prompts, layers 8 and 11, and the
#   target, and `models.load("gemma-2-2b")` the model and its dictionaries.
# - That warm starts find *the* optimum. They leave one bad corner.
# - That a low cosine makes a vector meaningless. It makes the vector's reading an extrapolation.
# - Necessity was measured where the target is strong, in its own text position, one latent at a time; other latents can stand in.
# - The natural maximum is that of one sample of text; a rarer text might drive the neuron higher.
#
# ## Sources
#
# - The notes that this course grew from: gradient-based patchscopes (Sahil and Miller 2026, [text](https://mechanistic-interpretability-lab.pubpub.org/pub/0058vfby)).
# - Ghandeharioun et al. 2024, [Patchscopes](https://arxiv.org/abs/2401.06102): decoding a hidden state by the model itself.
# - Nguyen et al. 2016, [Multifaceted feature visualization](https://arxiv.org/abs/1602.03616): one neuron, several optima.
# - Borowski et al. 2021, [Exemplary natural images explain CNN activations better than feature visualization](https://arxiv.org/abs/2010.12606).
# - Bolukbasi et al. 2021, [An interpretability illusion for BERT](https://arxiv.org/abs/2104.07143): the text decides what a neuron seems to mean.
# - Shazeer 2020, [GLU variants improve transformer](https://arxiv.org/abs/2002.05202): gated MLPs.
# - Lieberum et al. 2024, [Gemma Scope](https://arxiv.org/abs/2408.05147): the dictionaries of the Gemma tier.
#
# ## Recap
#
# - A gated neuron has a false optimum: gate at GELU's minimum, up as low as the norm lets it. Look at gate and up, not at the loss alone.
# - Any neuron can be driven past its natural maximum. Without random targets beside it, a high ratio says nothing.
# - "On distribution" depends on the ruler. Use more than one.
# - What a search puts into its vector may or may not be what the neuron lives on. Choose latents on natural text, test on other text.
# - Two inputs add up to more in any curved neuron. An AND needs unrelated latents that move the target too.
# - Restarts can agree on a latent that the neuron never meets. Another number of steps, another dictionary: another agreement.
# - A causal label belongs to a latent *and* a target.
