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
# # 06 Attention-feature tables
#
# **Question.** What do the weights alone say about which features a head connects?
#
# **After this you can** fold norms into weights, read a head's two tables, score a table against an answer key, find its
# strongest entries without holding it, and say what a perfect table does not prove.
#
# About 150 minutes with the exercises · mini tier, and Gemma tier · 14 exercises and a written answer · from the notes:
# Attention-Feature Tables in Gemma 2 Residual Streams (Bostock 2024)

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import torch
from IPython.display import HTML, display

from labs_src import models
from labs_src.circuits import (association, baselines, bases, findings, folding, head_tables, labelled, planted_scores,
                               published_tables, tables)
from labs_src.dictionaries import sae, training
from labs_src.figures import feature_tables, feature_tables_controls
from labs_src.lab import check, hint, record, recorded, say, show, solution, start
from labs_src.models import planted, tiers
from labs_src.models.planted import ship

start("06", tier=tier, seed=seed)
T = tiers.of(tier)

# %% [markdown]
# ## 1 Norms, folded
#
# An attention head reads the stream with `W_Q`, `W_K`, `W_V` and writes with `W_O`. A **feature** is a direction of the
# stream, here a row of a dictionary's decoder (labs 04, 05). So weights and features can be multiplied, without a run.
#
# First, a model whose answers are known. Its weights were **planted**: written by a program, not trained. The program
# kept a list of which features each head connects, the **answer key**. All else is weak noise. (A second planted model, in
# section 3, has no noise at all.)

# %%
known = models.load("planted-orthonormal")
hook = "blocks.0.hook_resid_pre"  # one dictionary serves both layers: its rows are the planted directions
truth, key = known.dictionaries[hook], known.card["answer_key"]
features = truth.basis()  # (feature, d_model), rows scaled to root mean square 1
raw = folding.fold(known.model, 0, gain="none", post="none")  # the matrices as they are stored, head by head
print(f"{len(features)} features; planted: {len(key['qk'])} query-key pairs, {len(key['ov'])} value-output pairs")

# %% [markdown]
# Between stream and head stand norms. Gemma-2 has one before attention and one after. Both compute
# $x / \mathrm{rms}(x) \cdot (1 + \gamma)$, with their own stored vector $\gamma$; $1 + \gamma$ is called the **gain**.
# The division depends on the token. The gain does not, so it can be **folded** into the weights: what `W_in` reads has
# been multiplied by one gain, what `W_out` writes will be multiplied by the other.
#
# *`fold_norms` · 3 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "fold_norms", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fold_norms(W_in, W_out, gamma_before, gamma_after):
    """W_in: (d_model, d_head). W_out: (d_head, d_model). gamma_before, gamma_after: (d_model,), as stored.

    Returns (W_in, W_out), with the gains folded in.
    """
    ### BEGIN SOLUTION
    return W_in * (1 + gamma_before)[:, None], W_out * (1 + gamma_after)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_fold_norms", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(fold_norms)

# %% [markdown]
# Does it do what the model does? Head 1, once through the model's own norms, once folded: what it asks for, and what it writes.

# %%
block = known.model.original_model.model.layers[0]
gammas = block.input_layernorm.weight, block.post_attention_layernorm.weight
W_Q1, W_O1 = fold_norms(raw.W_Q[1], raw.W_O[1], *gammas)
g = torch.Generator().manual_seed(seed)
x, z = torch.randn(5, len(gammas[0]), generator=g) * 12, torch.randn(5, 64, generator=g)
only_head_1 = torch.nn.functional.pad(z, (64, 128))  # of four heads, 64 numbers each
theirs = (block.self_attn.q_proj(block.input_layernorm(x))[:, 64:128],
          block.post_attention_layernorm(block.self_attn.o_proj(only_head_1)))
ours = x / folding.rms(x) @ W_Q1, z @ W_O1 / folding.rms(z @ raw.W_O[1])  # the divisions stay outside
error = max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs))
record("fold_rel_error", error, tolerance=1e-4, must="< 1e-4", why="float32 rounding")

# %% [markdown]
# `folding.fold` does that for every head of a layer. From here on, `W = folding.fold(model, layer)` holds `W.W_Q`, `W.W_K`,
# `W.W_V`, `W.W_O`, one matrix per head.
#
# ## 2 The query-key table
#
# A query that is feature $i$ meets a key that is feature $j$ with the score $(f_i W_Q) \cdot (f_j W_K) \cdot \text{scale}$. All
# pairs make the head's **QK table**. Several query heads share one key head: with 4 and 2, query heads 0 and 1 use key
# head 0, and 2 and 3 use key head 1.
#
# *`query_key_table` · 3 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "query_key_table", "locked": false, "schema_version": 3, "solution": true, "task": false}
def query_key_table(f, W_Q, W_K, head, scale):
    """f: (feature, d_model). W_Q: (n_heads, d_model, d_head). W_K: (n_kv, d_model, d_head), folded. head: query head.

    Returns (query feature, key feature).
    """
    ### BEGIN SOLUTION
    kv = head // (len(W_Q) // len(W_K))
    return (f @ W_Q[head]) @ (f @ W_K[kv]).T * scale
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_query_key_table", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(query_key_table)

# %% [markdown]
# These are scores for features with root mean square 1 (length $\sqrt{d_{model}}$), as if a token held nothing else; a real
# one holds less of each. Query and key stand at the same place, and the **softcap** is left out (Gemma bends scores with
# $50 \tanh(s / 50)$, which keeps their order). Published values are smaller: rows of length 1, no scale.
#
# The strongest entries, by absolute value, are the list to read. Turn a place in the flattened table back into row and column.
#
# *`strongest_pairs` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "strongest_pairs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def strongest_pairs(table, k):
    """table: (rows, columns). Returns (values, rows, columns), each (k,), strongest first; values keep their sign."""
    ### BEGIN SOLUTION
    places = table.abs().flatten().topk(k).indices
    rows, columns = places // table.shape[1], places % table.shape[1]
    return table[rows, columns], rows, columns
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_strongest_pairs", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(strongest_pairs)

# %% [markdown]
# L0H1 (head 1 of layer 0), with words. The field searches, the headings sort.
#
# **Predict.** The same feature as query and key: what would such a head do?

# %% tags=["nbval-ignore-output"]
W = folding.fold(known.model, 0)
value, query, key_ = strongest_pairs(query_key_table(features, W.W_Q, W.W_K, 1, W.scale), 20)
words = labelled.names(known.labels[hook], len(features))
shown = pd.DataFrame({"value": value.tolist(), "query": query.tolist(), "query label": [words[i] for i in query],
                      "key": key_.tolist(), "key label": [words[i] for i in key_]})
display(HTML(labelled.fragment(shown, "planted-orthonormal, layer 0, head 1, QK", rows=9)))

# %% tags=["nbval-ignore-output"]
itself = value[query == key_]
say("{n} of the 20 are a feature with itself, {plus} of them positive: a token with that feature looks back for tokens that hold it too. The others "
    "join two different features.", n=len(itself), plus=int((itself > 0).sum()))

# %% [markdown]
# ## 3 Against the answer key
#
# With $n$ planted pairs: **recall** is the share of them among the $n$ strongest entries. **Precision** is $n$ over the number
# of all entries that are at least as strong as the weakest planted one. Strength is the absolute value. Both are 1 exactly
# if the planted pairs stand above everything else. (The usual precision, among the $n$ strongest, would equal recall.)
#
# *`recall_and_precision` · 3 points · difficulty 3 of 5 · importance 4 of 5 · 9 minutes*


# %% nbgrader={"grade": false, "grade_id": "recall_and_precision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recall_and_precision(table, planted):
    """table: (rows, columns). planted: (n, 2), whole numbers: row and column of each planted pair. Returns two numbers."""
    ### BEGIN SOLUTION
    size, n = table.abs(), len(planted)
    strong = size[planted[:, 0], planted[:, 1]]
    recall = (strong >= size.flatten().topk(n).values[-1]).float().mean()
    return float(recall), n / int((size >= strong.min()).sum())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_recall_and_precision", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(recall_and_precision)

# %%
packed = models.load("planted-packed")  # the same circuits with 504 features in 128 dimensions: superposition


def heads_with(model, kind):
    """(folded weights, head, planted pairs) of every head in which something of this kind is planted."""
    for layer in range(folding.n_layers(model.model)):
        W = folding.fold(model.model, layer)
        for head in range(W.n_heads):
            cells = findings.planted_entries(model.card["answer_key"][kind], kind, layer, head)
            if cells:
                yield W, head, torch.tensor(list(cells))


# %%
qk_scores, margins = [], []
for model in (known, packed):
    f = model.dictionaries[hook].basis()
    for W, head, pairs in heads_with(model, "qk"):
        table = query_key_table(f, W.W_Q, W.W_K, head, W.scale)
        qk_scores.append(recall_and_precision(table, pairs))
        others = table.abs().index_put(tuple(pairs.T), torch.tensor(0.0))
        margins.append(float(table[tuple(pairs.T)].abs().min() / others.max()))
recall, precision = torch.tensor(qk_scores).amin(0)
record("planted_recall_qk", recall, tolerance=0, must="= 1", why="the worst head of two planted models")
record("planted_precision_qk", precision, tolerance=0, must="= 1", why="the worst head of two planted models")

# %% [markdown]
# **Predict.** One packed head, all entries by rank: how far above the rest does the weakest planted one stand?

# %% tags=["plot", "nbval-ignore-output"]
W, head, pairs = list(heads_with(packed, "qk"))[1]
size = query_key_table(f, W.W_Q, W.W_K, head, W.scale).abs()
is_planted = torch.zeros_like(size, dtype=torch.bool)
is_planted[pairs[:, 0], pairs[:, 1]] = True
order = size.flatten().argsort(descending=True)[:2000]
ranked = pd.DataFrame({"rank": range(1, 2001), "size": size.flatten()[order].tolist(), "planted": is_planted.flatten()[order].tolist()})
show(feature_tables.ranked(ranked, f"Packed model, L{W.layer}H{head}"))

# %% tags=["nbval-ignore-output"]
margin = ranked[ranked.planted]["size"].min() / ranked[~ranked.planted]["size"].max()
of_packed = margins[len(margins) // 2 :]  # as many heads as in the first model
say("{margin:.1f} times as strong as the next, in this head; {low:.1f} to {high:.1f} over the packed model's {n} heads. The others are not noise, since this "
    "model has none. They are planted pairs seen through features that are not quite at right angles to them.",
    margin=margin, low=min(of_packed), high=max(of_packed), n=len(of_packed))

# %% [markdown]
# ## 4 The value-output table
#
# What does the head add, once it looks? A key that is feature $i$ has the value $f_i W_V$, and the head writes $f_i W_V W_O$.
# An output direction $g_j$ reads that with a dot product. All pairs make the **OV table**. $W_V W_O$ is large and not needed:
# keep everything `d_head` wide. The norm after attention also divides, by the rms of all heads' output together. That
# depends on the tokens and stays outside, so OV entries can be compared with each other, not with the stream.
#
# *`value_output_table` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 7 minutes*


# %% nbgrader={"grade": false, "grade_id": "value_output_table", "locked": false, "schema_version": 3, "solution": true, "task": false}
def value_output_table(f, g, W_V, W_O, head):
    """f: (feature, d_model). g: (output, d_model). W_V: (n_kv, d_model, d_head). W_O: (n_heads, d_head, d_model), folded.

    Returns (value feature, output direction).
    """
    ### BEGIN SOLUTION
    kv = head // (len(W_O) // len(W_V))
    return (f @ W_V[kv]) @ (g @ W_O[head].T).T
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_value_output_table", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(value_output_table)

# %% [markdown]
# Output directions are the *encoder* columns of the dictionary behind the layer: what would make its latents fire.

# %%
ov_scores = []
for model in (known, packed):
    d = model.dictionaries[hook]
    for W, head, pairs in heads_with(model, "ov"):
        table = value_output_table(d.basis(), d.W_enc.T, W.W_V, W.W_O, head)
        ov_scores.append(recall_and_precision(table, pairs))
recall, precision = torch.tensor(ov_scores).amin(0)
record("planted_recall_ov", recall, tolerance=0, must="= 1", why="the worst head of two planted models")
record("planted_precision_ov", precision, tolerance=0, must="= 1", why="the worst head of two planted models")

# %% [markdown]
# ## 5 Patterns in a published table
#
# In 2024 J. Bostock printed such tables for layer 13 of Gemma-2-2B. Two patterns were named. **Like-to-like**: a feature
# meets itself. **Cross** pairs: two different features; the post lists the positive ones.
#
# *`like_and_cross` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "like_and_cross", "locked": false, "schema_version": 3, "solution": true, "task": false}
def like_and_cross(values, queries, keys):
    """values, queries, keys: (n,), a list of pairs.

    Returns {"like_to_like": how many pairs of a feature with itself, "avoiding": how many of those are negative,
    "cross": (m,), the places in the list of positive pairs of two different features}.
    """
    ### BEGIN SOLUTION
    same, positive = queries == keys, values > 0
    return {"like_to_like": int(same.sum()), "avoiding": int((same & ~positive).sum()),
            "cross": (~same & positive).nonzero().squeeze(1)}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_like_and_cross", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(like_and_cross)

# %% [markdown]
# A third pattern is a **mutual-exclusion tetrad**: features A and B each attend to themselves and avoid the other. Four
# entries: (A,A) and (B,B) positive, (A,B) and (B,A) negative. One rank of the head's matrix is enough for all four.
#
# *`find_tetrads` · 4 points · difficulty 3 of 5 · importance 4 of 5 · 12 minutes*


# %% nbgrader={"grade": false, "grade_id": "find_tetrads", "locked": false, "schema_version": 3, "solution": true, "task": false}
def find_tetrads(values, queries, keys):
    """values, queries, keys: (n,), a list of pairs in any order. Returns a list of (a, b), a < b, each tetrad once."""
    ### BEGIN SOLUTION
    entry = dict(zip(zip(queries.tolist(), keys.tolist()), values.tolist()))
    found = []
    for (a, b), value in entry.items():
        likes = entry.get((a, a), 0) > 0 and entry.get((b, b), 0) > 0
        if a < b and value < 0 and entry.get((b, a), 0) < 0 and likes:
            found.append((a, b))
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_find_tetrads", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(find_tetrads)

# %% [markdown]
# Now the printed lists, 31 pairs each. The post gives two tetrads of head 7 as examples.
#
# **Predict.** How many does its list hold, and do they stand on top?

# %%
for head in (0, 7):
    p = published_tables.load(f"qk_layer13_head{head}_top").pairs
    counts, tetrads = like_and_cross(p.value, p.left, p.right), find_tetrads(p.value, p.left, p.right)
    print(f"head {head}: of {len(p)} pairs {counts['like_to_like']} like-to-like, {counts['avoiding']} of those negative; tetrads {sorted(tetrads)}")
    record(f"published_like_to_like_head{head}", counts["like_to_like"], tolerance=0, why="counted in the printed list")
    record(f"published_tetrads_head{head}", len(tetrads), tolerance=0, why="counted in the printed list")

# %% tags=["plot", "nbval-ignore-output"]
inside = {(i, j) for a, b in tetrads for i in (a, b) for j in (a, b)}
kind = ["in a tetrad" if (i, j) in inside else "like-to-like only" if i == j else "other"
        for i, j in zip(p.left.tolist(), p.right.tolist())]
bars = pd.DataFrame({"rank": range(1, len(p) + 1), "value": p.value.tolist(), "kind": kind})
show(feature_tables.published(bars, "Layer 13, head 7, as printed"))

# %%
in_one = bars.kind.eq("in a tetrad")
say("Head 7's list holds {n} tetrads: {share:.0%} of its entries, {top} of the first ten. Head 0's holds {none}; and {avoiding} of its {like} like-to-like pairs "
    "are *negative*: those features avoid themselves, which the post does not say.", n=int(recorded("published_tetrads_head7")), share=in_one.mean(), top=int(in_one[:10].sum()),
    none=int(recorded("published_tetrads_head0")), like=int(recorded("published_like_to_like_head0")),
    avoiding=(lambda q: like_and_cross(q.value, q.left, q.right)["avoiding"])(published_tables.load("qk_layer13_head0_top").pairs))

# %% [markdown]
# A detector is worth what it finds where the answer is known. Each planted head that looks for content has two tetrads; L1H0,
# the induction head, none. A list of just the $n$ planted pairs cannot fail, since recall is 1. Longer lists can.
#
# **Predict.** Will it invent tetrads in the 500 strongest entries? In 2000?

# %% tags=["nbval-ignore-output"]
rows = []
for model in (known, packed):
    f = model.dictionaries[hook].basis()
    for W, head, pairs in heads_with(model, "qk"):
        table = query_key_table(f, W.W_Q, W.W_K, head, W.scale)
        wanted = {tuple(sorted((e["query"], e["key"]))) for e in model.card["answer_key"]["qk"] if e["kind"] == "tetrad"
                  and (e["layer"], e["head"]) == (W.layer, head) and e["query"] != e["key"]}
        found = {k: {tuple(t) for t in find_tetrads(*strongest_pairs(table, k))} for k in (len(pairs), 500, 2000)}
        missed, false = zip(*((len(wanted - t), len(t - wanted)) for t in found.values()))
        rows.append([model.name, f"L{W.layer}H{head}", len(wanted), max(missed), *false])
lists = pd.DataFrame(rows, columns=["model", "head", "planted", "missed", "false in n", "false in 500", "false in 2000"])
print(lists.to_string(index=False))

# %% tags=["nbval-ignore-output"]
false = lists.groupby("model").sum(numeric_only=True)
say("{missed} planted tetrads missed. Invented, in all heads: at right angles {a} in 500 and {b} in 2000, packed {c} and {d}. What stands far down a "
    "list may be chance.", missed=lists.missed.sum(),
    **dict(zip("abcd", false.loc[[known.name, packed.name], ["false in 500", "false in 2000"]].values.ravel())))

# %% [markdown]
# ## 6 Tables too large to hold
#
# Gemma's dictionaries have 16384 features, so a table has 268 million entries, 1 GB, and there are 416 of them. Sorting
# one takes several times its size. But the k largest are wanted, not the table. Go through it a block of rows at a
# time, and keep the k best so far. The check watches the size of what you make. Careful: *largest* is meant with its
# sign, not by absolute value as in section 2. (For the other end one gives `-left`.)
#
# *`top_pairs` · 5 points · difficulty 4 of 5 · importance 4 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "top_pairs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def top_pairs(left, right, k, block):
    """left: (rows, d). right: (columns, d). The k largest entries of left @ right.T, `block` rows at a time.

    Returns (values, rows, columns), each (k,), largest first.
    """
    ### BEGIN SOLUTION
    best, at = left.new_empty(0), torch.empty(0, dtype=torch.long)
    for first in range(0, len(left), block):
        part = (left[first : first + block] @ right.T).flatten()
        value, place = part.topk(min(k, len(part)))
        best, at = torch.cat([best, value]), torch.cat([at, place + first * len(right)])
        best, keep = best.topk(min(k, len(best)))
        at = at[keep]
    return best, at // len(right), at % len(right)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_top_pairs", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check(top_pairs)

# %% [markdown]
# "How strong is strong?" needs the table's mean and standard deviation, and those take no table at all.
#
# - The sum over all pairs: $\sum_{ij} l_i \cdot r_j = (\sum_i l_i) \cdot (\sum_j r_j)$.
# - The sum of squares: $\sum_{ij} (l_i \cdot r_j)^2 = \mathrm{tr}(L^T L\, R^T R)$, the sum over entries of two $d \times d$ matrices, multiplied.
#
# *`table_moments` · 3 points · difficulty 4 of 5 · importance 3 of 5 · 12 minutes*


# %% nbgrader={"grade": false, "grade_id": "table_moments", "locked": false, "schema_version": 3, "solution": true, "task": false}
def table_moments(left, right):
    """left: (rows, d). right: (columns, d). Returns (mean, std) over all entries of left @ right.T, as numbers."""
    ### BEGIN SOLUTION
    n = len(left) * len(right)
    mean = left.sum(0) @ right.sum(0) / n
    square = ((left.T @ left) * (right.T @ right)).sum() / n
    return float(mean), float((square - mean**2).sqrt())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_table_moments", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(table_moments)

# %% [markdown]
# Now a model that was trained. Your function against sorting, on a head of it (up to 2000 features), and on tables that are
# all ties, all equal, or have a few huge rows; and `tables.strongest`, the package's, which is what the rest of the lab uses.

# %%
loaded = T.load()
layer, dictionaries = T.studied, T.bases(loaded)
W = folding.fold(loaded.model, layer)
left, right = (v[:2000] for v in head_tables.qk_factors(W, T.heads[1], dictionaries[layer]))  # scaled queries, keys
g = torch.Generator().manual_seed(seed)
ties = [torch.randint(-1, 2, (300, 3), generator=g).float() for _ in range(2)]
cases = {"trained": (left, right), "tied": ties, "constant": (torch.ones(300, 4),) * 2,
         "heavy": (left / torch.rand(len(left), 1, generator=g), right)}
right_values = []
for a, b in cases.values():
    by_sorting = (a @ b.T).flatten().sort(descending=True).values[:50]
    for mine in (top_pairs(a, b, 50, 64)[0], tables.strongest(a, b, 50)[0].value):
        right_values.append(torch.allclose(mine, by_sorting, rtol=1e-4))
record("topk_equals_brute_force", float(all(right_values)), tolerance=0, must="= 1", why="four tables, two functions")

# %% [markdown]
# The trained model's head, with the labels of its dictionary (lab 05; `nonce` is a made-up word, `glue` a small one). Column
# `z`: how many standard deviations an entry lies from the table's mean. Find a pair whose labels tell a story, and note
# its `z` for the control below.

# %% tags=["nbval-ignore-output"]
_, rows = labelled.of_model(loaded, "qk", layer, T.heads[1], 40)
rows = rows[sorted(rows.columns.drop("rank"), key=lambda c: c.startswith("key"))]  # query first, as above
display(HTML(labelled.fragment(rows, f"{loaded.name}, layer {layer}, head {T.heads[1]}, QK", rows=9)))

# %% tags=["nbval-ignore-output"]
_, rows = labelled.of_model(loaded, "ov", layer, T.heads[1], 40)
display(HTML(labelled.fragment(rows.drop(columns="rank"), f"{loaded.name}, layer {layer}, head {T.heads[1]}, OV", rows=9)))

# %% [markdown]
# Every table has a strongest entry, and labels always suggest a story. Is it stronger than chance? Call an entry **confident**
# if it lies more than 8 standard deviations from the mean of its table. Two controls, with the same dictionaries:
#
# - **Gaussian** heads: four matrices of random numbers of the same size.
# - **Rotated** heads: the head's own matrices, each turned at random in the stream. Their singular values stay, so a head that
#   cares for few directions still does; but for which ones, and so for which features, is chance.
#
# **Predict.** How many of the Gaussian tables have a confident entry? Of the rotated ones?

# %%
n_layers = folding.n_layers(loaded.model)
step = max(1, n_layers // 6)
layers = range(layer % step, n_layers, step)  # all of a small model, some of a large one
draws = 4 if tier == "mini" else 1  # of each control
CONTROLS = {"Gaussian": baselines.gaussian_heads, "rotated": baselines.rotated_heads}

# %%
rows = []
for i in layers:
    f, real = dictionaries[i], folding.fold(loaded.model, i)
    out = bases.unit_rms(loaded.dictionaries[bases.leaving(i)].W_enc.T)  # output directions, all of one length
    random = [(name, make(real, g)) for name, make in CONTROLS.items() for _ in range(draws)]
    for name, W in [("the model's", real), *random]:
        for head in range(W.n_heads):
            for kind, t in (("QK", head_tables.qk(W, head, f, 50)), ("OV", head_tables.ov(W, head, f, out, 50))):
                z = float(t.z(t.by_size()).abs().max())
                rows.append({"head": f"L{i}H{head}", "table": kind, "weights": name, "z": z, "confident": len(findings.confident(t))})
stand_out = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
show(feature_tables.outstanding(stand_out, findings.CONFIDENT))

# %% tags=["nbval-ignore-output"]
of = dict(list(stand_out.groupby("weights")))
own, null, turned = of["the model's"], of["Gaussian"], of["rotated"]
record("random_weight_findings", null.confident.sum() / draws, tolerance=1, must=T.must("< 1"), why="entries above 8 in all Gaussian heads; mean over draws")
record("largest_random_z", null.z.max(), tolerance=1.5, why="the largest of many; depends on the random numbers")
record("largest_rotated_z", turned.z.max(), tolerance=2.5, why="the largest of many; depends on the random numbers")
for name, part in (("confident_tables", own), ("rotated_confident_tables", turned)):
    record(name, (part.confident > 0).mean(), tolerance=0.1, why="share of tables")
record("tables_beyond_rotated", (own.z > turned.z.max()).mean(), tolerance=0.25, why="share of tables; the bound is a largest of many")

# %% tags=["nbval-ignore-output"]
beyond = own[own.z > turned.z.max()].table.value_counts()
here = {name: part[(part["head"] == f"L{layer}H{T.heads[1]}") & (part.table == "QK")].z for name, part in of.items()}
say("Gaussian heads ({draws} draws) reach {largest_random_z:.1f}, rotated ones {largest_rotated_z:.1f}: {rotated_confident_tables:.0%} of their tables have a confident entry, though "
    "features meet there by chance. A head that cares for few directions has far entries anyway. So 8 tells a head from Gaussian numbers; the harder bound is "
    "the rotated heads' largest. {n} of {all} tables lie beyond it, {qk} QK and {ov} OV.",
    draws=draws, n=beyond.sum(), all=len(own), qk=beyond.get("QK", 0), ov=beyond.get("OV", 0))
reaches = here["the model's"].iloc[0]
say("Your pair: the QK table of L{layer}H{head} reaches {reaches:.1f}, {verdict} the harder bound. The same head rotated: {low:.1f} to {high:.1f}.",
    layer=layer, head=T.heads[1], reaches=reaches, verdict="beyond" if reaches > turned.z.max() else "not beyond",
    low=here["rotated"].min(), high=here["rotated"].max())

# %% [markdown]
# A bound holds only for tables made as its control was. Output directions had one length here. With encoder columns as they
# stand, some are long.

# %% tags=["nbval-ignore-output"]
unequal = []
for i in layers:
    W, columns = baselines.gaussian_heads(folding.fold(loaded.model, i), g), loaded.dictionaries[bases.leaving(i)].W_enc.T
    ends = (head_tables.ov(W, head, dictionaries[i], columns, 1) for head in range(W.n_heads))
    unequal += [float(t.z(t.by_size()).abs().max()) for t in ends]
say("Gaussian OV tables then reach {long:.1f}, in one draw; with one length {short:.1f}, in {draws}.", long=max(unequal), short=null[null.table == "OV"].z.max(), draws=draws)

# %% [markdown]
# ## 7 What the bias says about distance
#
# So far distance played no part. Gemma turns queries and keys by their position (RoPE), so that a score depends on how far
# the key stands behind. A dictionary's **decoder bias** $b$ is about what every token holds. The post asks: how strongly does
# $b$ as a query meet $b$ as a key, by distance? That is the head's taste for *where*, whatever stands there.
#
# With $n$ = `d_head / 2`: dimension $i$ is paired with $i + n$, and the key's pair is turned by the angle
# $-\text{distance} \cdot \theta^{-2i/d_{head}}$:
# $(k_i, k_{i+n}) \to (k_i \cos - k_{i+n} \sin,\ k_{i+n} \cos + k_i \sin)$. Divide $b$ by its rms first, as the norm would.
#
# *`bias_by_distance` · 4 points · difficulty 4 of 5 · importance 4 of 5 · 14 minutes*


# %% nbgrader={"grade": false, "grade_id": "bias_by_distance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bias_by_distance(b, W_Q, W_K, distances, theta, scale):
    """b: (d_model,). W_Q, W_K: (d_model, d_head), of one head, folded. distances: list of whole numbers.

    Returns (len(distances),): the score of b as the query with b as the key that many positions before.
    """
    ### BEGIN SOLUTION
    b = b / b.pow(2).mean().sqrt()
    n = W_Q.shape[1] // 2
    one, two = (b @ W_K)[:n], (b @ W_K)[n:]
    angle = -torch.tensor(distances)[:, None] * theta ** (-torch.arange(n) / n)  # (distance, pair)
    turned = torch.cat([one * angle.cos() - two * angle.sin(), two * angle.cos() + one * angle.sin()], 1)
    return turned @ (b @ W_Q) * scale
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_bias_by_distance", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(bias_by_distance)

# %% [markdown]
# And the truth: the mean attention that queries really pay to the key at each distance.
#
# *`mean_attention_at` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "mean_attention_at", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_attention_at(pattern, distances):
    """pattern: (batch, query, key). Returns (len(distances),): mean over all queries that have a key so far back."""
    ### BEGIN SOLUTION
    return torch.stack([pattern.diagonal(-d, 1, 2).mean() for d in distances])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_mean_attention_at", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(mean_attention_at)

# %%
def patterns(model, ids, layers):
    """{layer: (batch, head, query, key)} of a run."""
    names = {i: f"blocks.{i}.attn.hook_pattern" for i in layers}
    _, cache = model.run_with_cache(ids, names_filter=list(names.values()))
    return {i: cache[name].float() for i, name in names.items()}


# %%
distances = list(range(24))
repeats = planted.probe.repeated(ship.read_truth(known.path)[1], 20, n=8)  # random planted tokens, twice
runs = {"planted ": (known, {0: truth.b_dec}, patterns(known.model, repeats, [0])),
        "": (loaded, {i: dictionaries[i].bias for i in layers}, patterns(loaded.model, T.text(loaded, 16), layers))}
rows = []
for name, (model, bias, attention) in runs.items():
    for i, b in bias.items():
        W = folding.fold(model.model, i)
        for head in range(W.n_heads):
            score = bias_by_distance(b, W.W_Q[head], W.W_K[W.kv(head)], distances, W.theta, W.scale)
            mean = mean_attention_at(attention[i][:, head], distances)
            rows += [{"head": f"{name}L{i}H{head}", "distance": d, "score": float(s), "attention": float(a)}
                     for d, s, a in zip(distances, score, mean)]
profiles = pd.DataFrame(rows)

# %% [markdown]
# The planted previous-token head, and two heads of the trained model.
#
# **Predict.** Will score and attention peak at the same distance?

# %% tags=["plot", "nbval-ignore-output"]
chosen = ["planted L0H0", *(f"L{layer}H{head}" for head in T.heads)]
show(feature_tables.by_distance(profiles[profiles["head"].isin(chosen)]))

# %% tags=["nbval-ignore-output"]
by_head = profiles[~profiles["head"].str.startswith("planted")].groupby("head")
agree = by_head.apply(lambda p: p.score.corr(p.attention, method="spearman"))
peaks = by_head.apply(lambda p: [p.distance[p.score.idxmax()], p.distance[p.attention.idxmax()]])
previous = [head for head, (a, b) in peaks.items() if a == 1]
record("bias_profile_rank_corr", agree.median(), tolerance=0.05, why="median over heads, 24 distances each")
nearer = by_head.apply(lambda p: -p.distance.corr(p.attention, method="spearman"))
same, n_heads = sum(a == b for a, b in peaks), len(agree)
say("**Peak.** The curves peak at the same distance in {same} of {n} heads of {model}. {real} attend most to the token before; the bias "
    "says so of {k}, rightly of {true}.", same=same, n=n_heads, model=loaded.name, real=sum(b == 1 for _, b in peaks), k=len(previous), true=sum(peaks[h][1] == 1 for h in previous))
say("**Shape.** The rank correlation of the two curves is {bias_profile_rank_corr:.2f} in the median. But most heads look nearby: plain nearness gives {near:.2f}. The bias does "
    "better in {beats} of {n} heads.", near=nearer.median(), beats=int((agree > nearer).sum()), n=n_heads)

# %% [markdown]
# Does the bias know more than "near"? Take distance out of both curves (partial rank correlation), and see what is left.
# Controls: another head's bias, and rotated heads.
#
# **Predict.** Nothing, or something?

# %%
def beyond_distance(score, attention):
    """Rank correlation of two curves with distance taken out of both."""
    return association.beyond(torch.tensor(score), torch.tensor(attention), torch.tensor(distances).float())


curves = {head: (p.score.tolist(), p.attention.tolist()) for head, p in by_head}
left = pd.Series({head: beyond_distance(*pair) for head, pair in curves.items()})
other = [beyond_distance(curves[a][0], curves[b][1]) for a in curves for b in curves if a != b]
rotated = []
for i, b in runs[""][1].items():
    W = baselines.rotated_heads(folding.fold(loaded.model, i), g)
    for head in range(W.n_heads):
        score = bias_by_distance(b, W.W_Q[head], W.W_K[W.kv(head)], distances, W.theta, W.scale).tolist()
        rotated.append(beyond_distance(score, curves[f"L{i}H{head}"][1]))

# %% tags=["nbval-ignore-output"]
record("bias_beyond_distance_corr", left.median(), tolerance=0.1, why="median over heads, 24 distances each")
say("{bias_beyond_distance_corr:.2f} is left in the median ({low:.2f} to {high:.2f} over heads). Of another head's bias {other:.2f}, of a rotated head's {rotated:.2f}.",
    low=left.min(), high=left.max(), other=pd.Series(other).median(), rotated=pd.Series(rotated).median())

# %% [markdown]
# ## 8 What the norm gain does
#
# (Sections 8 and 9 test two guesses of the post. Nothing later builds on what they find.)
#
# The post saw the same features in the lists of many heads, and guessed: "I think this is because they're up-weighted by the
# coefficients of the layernorm". That can be tested. First count in how many heads' lists each feature stands.
#
# *`recurrences` · 2 points · difficulty 2 of 5 · importance 2 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "recurrences", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recurrences(lists, n_features):
    """lists: one (k, 2) tensor of (query, key) features per head. Returns (n_features,): in how many heads' lists it stands."""
    ### BEGIN SOLUTION
    return sum(torch.bincount(pairs.flatten().unique(), minlength=n_features) for pairs in lists)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_recurrences", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(recurrences)

# %% [markdown]
# Two candidates. How much the gain lengthens a feature: $|f \odot (1 + \gamma)| / |f|$. And how long its queries or keys are,
# relative to the head's mean, at most over the heads. (mini-gemma ships with gains that were spread on purpose, so that a wrong
# fold shows, without changing what it computes; `as_trained` takes that back.)
#
# **Predict.** Which of the two goes with recurring?

# %%
trained, rows, distinct = T.as_trained(loaded), [], []
for i in layers:
    f, W = dictionaries[i].directions, folding.fold(trained, i)  # rows as `basis()` gave them
    gain = folding.factor(trained.original_model.model.layers[i].input_layernorm, "1+gamma")
    lists = [head_tables.qk(W, head, f, 50).by_size(50) for head in range(W.n_heads)]
    count = recurrences([torch.stack([p.left, p.right], 1) for p in lists], len(f))
    lengths = [v.norm(dim=1) / v.norm(dim=1).mean() for h in range(W.n_heads) for v in (f @ W.W_Q[h], f @ W.W_K[W.kv(h)])]
    explain = {"length from the norm gain": (f * gain).norm(dim=1) / f.norm(dim=1), "length of queries and keys": torch.stack(lengths).amax(0)}
    rows += [{"layer": i, "explains": name, "correlation": pd.Series(count).corr(pd.Series(v), method="spearman")} for name, v in explain.items()]
    spread = {name: float(v.std() / v.mean()) for name, v in zip(("by_gain", "by_length"), explain.values())}
    distinct.append({"recurring": int((count >= 2).sum()), "listed": int((count >= 1).sum()), **spread})
recurring = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
show(feature_tables_controls.recurring(recurring))

# %% tags=["nbval-ignore-output"]
mean = recurring.groupby("explains").correlation.mean()
record("recurrence_gain_corr", mean["length from the norm gain"], tolerance=0.05, why="mean over layers of a rank correlation")
record("recurrence_length_corr", mean["length of queries and keys"], tolerance=0.05, why="mean over layers of a rank correlation")
say("The length of queries and keys: {recurrence_length_corr:+.2f}. An entry is a product of such lengths, so that is nearly built in. The gain, the post's guess: "
    "{recurrence_gain_corr:+.2f}. On {model} the gain changes features' lengths by {by_gain:.0%} (standard deviation over mean; queries and keys "
    "{by_length:.0%}); the less it changes, the less the guess was put to the test.", model=loaded.name, **pd.DataFrame(distinct).mean())

# %% [markdown]
# ## 9 Heads with small tables
#
# Head 0 of the post has small QK values. "Perhaps this head takes the role of a general aggregator", one that attends to
# many tokens at once. How spread out attention is, entropy says: $-\sum_k p_k \ln p_k$ for each query, with $0 \ln 0 = 0$.
#
# *`attention_entropy` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "attention_entropy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_entropy(pattern):
    """pattern: (batch, query, key), with exact zeros where a query may not look. Returns (batch, query), in nats."""
    ### BEGIN SOLUTION
    return -(pattern * pattern.clamp(min=1e-12).log()).sum(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_attention_entropy", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(attention_entropy)

# %% [markdown]
# A query with $m$ keys in reach has at most $\ln m$, so divide by that. If the guess holds, heads with small tables have large
# entropy: a *negative* correlation.
#
# **Predict.** Is it?

# %%
rows = []
for i, attention in runs[""][2].items():
    W = folding.fold(loaded.model, i)
    reach = W.allowed(attention.shape[-1]).sum(1)[8:].log()
    for head in range(W.n_heads):
        share = (attention_entropy(attention[:, head, 8:]) / reach).mean()
        deviation = table_moments(*head_tables.qk_factors(W, head, dictionaries[i]))[1]
        curve = profiles[profiles["head"] == f"L{i}H{head}"].score
        rows.append({"head": f"L{i}H{head}", "layer": i, "deviation": deviation, "entropy": float(share), "range": curve.max() - curve.min()})
spreads = pd.DataFrame(rows)


def within_layers(column, entropy):
    """Rank correlation with each layer's mean rank taken off: layers differ in everything."""
    return association.rank_correlation(torch.tensor(spreads[column]), entropy, torch.tensor(spreads.layer))


by_size = spreads.deviation.corr(spreads.entropy, method="spearman")

# %% tags=["plot", "nbval-ignore-output"]
show(feature_tables_controls.spread(spreads, by_size))

# %% tags=["nbval-ignore-output"]
spread_out, in_layer = torch.tensor(spreads.entropy), torch.tensor(spreads.layer)
record("small_qk_entropy_corr", within_layers("deviation", spread_out), tolerance=0.1, why="rank correlation over heads, within layers")
orders = ((in_layer + torch.rand(len(spreads), generator=g)).argsort() for _ in range(500))  # shuffled inside each layer
shuffled = torch.tensor([within_layers("deviation", spread_out[order]) for order in orders])
say("All heads together: {all_heads:+.2f}. But layers differ in everything, so compare heads of one layer: {small_qk_entropy_corr:+.2f}; {share:.0%} of shuffles inside "
    "the layers go as far below zero.", all_heads=by_size, share=float((shuffled <= recorded("small_qk_entropy_corr")).float().mean()))
say("The guess needs heads with *small* tables. Here the largest is {ratio:.1f} times the smallest.", ratio=spreads.deviation.max() / spreads.deviation.min())

# %% [markdown]
# One model. The numbers of sections 6 to 9 for models that were trained from other seeds (shorter, with dictionaries of
# their own):

# %%
others = published_tables.training_seeds().set_index("statement")
print(others.round(2).to_string())

# %% tags=["nbval-ignore-output"]
low, high = others.min(axis=1), others.max(axis=1)
spans = {name: f"{low[row]:+.2f} to {high[row]:+.2f}" for name, row in {
    "bias": "bias profile and attention, beyond distance", "gain": "gain and recurring", "length": "length and recurring",
    "size": "table size and entropy", "inside": "table size and entropy, within layers"}.items()}
say("Over {n} models: the bias beyond distance {bias}; recurring with the gain {gain}, with the length of queries and keys {length}. The aggregator guess: {size} over all "
    "heads, {inside} within layers; {verdict}.", n=others.shape[1], **spans,
    verdict="the sign holds, the size differs" if high["table size and entropy, within layers"] < 0 else "not even the sign holds")
say("(Confident: {here:.2f} of the shipped model's tables, where section 6 had {confident_tables:.2f}. The others have no dictionary behind the last "
    "layer, so its OV tables are left out here.) Beyond the rotated heads' largest: {beyond}.", here=others.loc["tables with a confident entry"].iloc[0],
    beyond=", ".join(f"{v:.0%}" for v in others.loc["tables beyond every rotated one"]))

# %% [markdown]
# ## 10 Which fold did they use?
#
# The post multiplies by "the RMS norm coefficients". The stored $\gamma$, or $1 + \gamma$? Nobody has to guess: compute the
# published pairs with every fold and see which gives the published values. That needs the real weights.

# %% tags=["nbval-ignore-output"]
compared = published_tables.of_model(loaded)
print(published_tables.verdict(compared))

# %% [markdown]
# On mini-gemma the question stays open; on the Gemma tier the line above answers it. What is at stake, here: a head's 31
# strongest pairs under each fold.
#
# **Predict.** How many of the 31 does each wrong fold keep: the gain left out, and $\gamma$ in place of $1 + \gamma$?

# %% tags=["nbval-ignore-output"]
lists = {}
for gain in folding.GAINS:
    W = folding.fold(trained, layer, gain=gain)
    p = head_tables.qk(W, T.heads[1], dictionaries[layer], 31).by_size(31)
    lists[gain] = set(zip(p.left.tolist(), p.right.tolist()))
kept = {gain: len(pairs & lists["1+gamma"]) for gain, pairs in lists.items()}
print(", ".join(f"{gain!r} keeps {n}" for gain, n in kept.items()))
gamma = trained.original_model.model.layers[layer].input_layernorm.weight
say("In this head leaving the gain out keeps {none} of 31, taking the stored $\\gamma$ for it {gamma}. $\\gamma$ lies between {low:.2f} and {high:.2f} here: as a "
    "factor it would turn the sign of {share:.0%} of the coordinates. How much is lost depends on the model's gains and differs from head to head.",
    low=float(gamma.min()), high=float(gamma.max()), share=float((gamma < 0).float().mean()), **{k: v for k, v in kept.items() if k != "1+gamma"})

# %% [markdown]
# Lab 07 shows what that did to somebody's finding.
#
# ## 11 From table to behaviour
#
# The tables of the planted models were perfect. Does the circuit *act*, then? Add noise to every matrix of the planted model,
# in steps; noise 1 is as large as the matrix itself. At each: the tables' recall and precision, and, in runs of the model,
# the share of planted attention circuits whose query gives its key more than half of its attention.
#
# **Predict.** At which noise does each of the two fail?

# %%
directions = ship.read_truth(known.path)[0]
circuits, rows = planted.standard(directions, seed), []
for noise in (0.0, 0.3, 0.7, 1.0, 1.5, 2.0):
    made = planted.build(circuits, directions, noise=noise, seed=seed)
    answers = ship.answer_key(made)
    qk, ov = (planted_scores.of_tables(made.model, answers, kind, features) for kind in ("qk", "ov"))
    acting = planted_scores.acting(made)
    rows.append({"noise": noise, "QK tables: recall and precision": min(qk.recall, qk.precision),
                 "OV tables: recall and precision": min(ov.recall, ov.precision), "circuits that act": acting, "margin": qk.margin})
noisy = pd.DataFrame(rows).set_index("noise")

# %% tags=["plot", "nbval-ignore-output"]
show(feature_tables_controls.noise(noisy.drop(columns="margin").reset_index()))

# %% tags=["nbval-ignore-output"]
scores = noisy.filter(like="tables").min(axis=1)
record("table_score_at_noise_1", scores[1.0], tolerance=0, must="= 1", why="recall and precision of every head")
record("acting_at_noise_1", noisy["circuits that act"][1.0], tolerance=0.1, must="< 0.5", why="share of 32 circuits, few prompts")
table_fails, half = scores.index[scores < 1], noisy.index[noisy["circuits that act"] < 0.5]
say("At noise 1 every table is perfect, and {acting_at_noise_1:.0%} of the circuits act. Of these steps, {half} is the first at which less than "
    "half of them act; a table is first wrong {fails}. A perfect table proves nothing by itself.", half=half[0], fails=f"at {table_fails[0]}" if len(table_fails) else "beyond the last")
say("The tables do notice the noise: their weakest planted QK entry is {a:.1f} times the strongest other at noise 0.3, {b:.1f} times at 1. Recall and "
    "precision do not show that.",
    a=noisy.margin[0.3], b=noisy.margin[1.0])

# %% [markdown]
# Why? A table is asked about clean features, and reads two matrices. A run starts from noisy embeddings and goes through all
# matrices. So put the same noise into one group of matrices only, in several draws.
#
# **Predict.** Which group alone brings most circuits down? Do the losses add up?

# %%
groups = {"Q, K": ("q_proj", "k_proj"), "V, O": ("v_proj", "o_proj"), "MLP": ("mlp.",), "embedding": ("embed_tokens",),
          "all but Q, K": ("v_proj", "o_proj", "mlp.", "embed_tokens"), "all": ("",)}
rows = []
for draw in range(4):
    clean, noisy_1 = (planted.build(circuits, directions, noise=n, seed=seed + draw) for n in (0.0, 1.0))
    for group, parts in groups.items():
        model = deepcopy(clean.model)
        model.load_state_dict({n: w for n, w in noisy_1.model.state_dict().items() if any(part in n for part in parts)}, strict=False)
        rows.append({"draw": draw, "noise in": group, "acting": planted_scores.acting(replace(clean, model=model))})
acts = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
show(feature_tables_controls.groups(acts))

# %% tags=["nbval-ignore-output"]
lost = 100 * (1 - acts.pivot(index="draw", columns="noise in", values="acting"))  # points; without noise all act
single = lost[["Q, K", "V, O", "MLP", "embedding"]]
excess, top = lost["all"] - single.sum(axis=1), lost["all"] - lost["all but Q, K"]
record("loss_beyond_the_sum", excess.mean() / 100, tolerance=0.15, why="share of circuits; mean of four draws of noise")
sums, whole, alone, on_top = (f"{p.min():.0f} to {p.max():.0f} points" for p in (single.sum(axis=1), lost["all"], lost["Q, K"], top))
worst = ", ".join(f"{g} ({n} of {len(lost)} draws)" for g, n in single.idxmax(axis=1).value_counts().items())
say("Alone, most is lost by noise in {worst}. Single losses sum to {single}; noise in all costs {all}, more than the sum in {k} of {n} draws. {verdict}",
    worst=worst, single=sums, all=whole, k=int((excess > 0).sum()), n=len(lost),
    verdict="They make each other worse." if (excess > 0).all() else "Not every draw says that they make each other worse.")
say("Noise in Q and K alone, all that a QK table reads, costs {alone}; on top of the rest {top}. A table gives the head clean features, a run does not.",
    alone=alone, top=on_top)

# %% [markdown]
# ## 12 A dictionary that was learned
#
# One more comfort to take away: all this used the *planted* directions. Learn a dictionary instead: a TopK autoencoder with
# 192 latents, trained on the planted model's tokens, three active at a time (lab 04). Three of them, from three seeds.

# %%
tokens = known.model.original_model.get_input_embeddings().weight[4:].clone()  # without the four special ones
tokens = tokens / folding.rms(tokens)


def learn(seed):
    """Decoder rows of the latents that fire, the planted feature nearest to each, and its cosine."""
    draws = tokens[torch.randint(len(tokens), (20_000,), generator=torch.Generator().manual_seed(seed))]
    learned = sae.new_sae(1, tokens.shape[1], 192, seed, activation="topk", k=3, aligned=True)
    learned.b_dec[0] = tokens.mean(0)
    training.train(learned, draws[:, None], steps=500, batch=512, learning_rate=4e-3)
    alive = (learned.encode(tokens[:, None])[:, 0] > 0).any(0)
    cosine, nearest = (learned.W_dec[0][alive] @ truth.W_dec.T).max(1)
    return learned.W_dec[0][alive], nearest, cosine


# %% tags=["nbval-ignore-output"]
learned = [learn(seed + i) for i in range(3)]
for latents, stands_for, cosine in learned:
    found = stands_for[cosine > 0.7]
    print(f"{len(latents)} latents fire; {len(found)} stand for a planted feature, {len(found.unique())} different ones")

# %% [markdown]
# So some features were learned more than once. A copy's entries are as strong as the original's, and count as inventions. Put
# copies into one **group**: two latents whose cosine is above a bound share a group, and so do copies of copies.
#
# *`merge_groups` · 3 points · difficulty 3 of 5 · importance 4 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "merge_groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_groups(directions, cosine):
    """directions: (n, d_model), of any length. Returns (n,), whole numbers: equal for latents of one group, else different."""
    ### BEGIN SOLUTION
    unit = directions / directions.norm(dim=1, keepdim=True)
    group = torch.arange(len(unit))
    for i, j in (unit @ unit.T > cosine).nonzero().tolist():
        group[group == group[j].item()] = group[i].item()
    return group
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_merge_groups", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(merge_groups)

# %% [markdown]
# The answer key names one latent for each feature: the one nearest to it. After merging it names that latent's group, and an
# entry between two groups is the strongest between their members.
#
# **Predict.** Precision before and after?

# %%
W, rows, sizes = folding.fold(known.model, 0), [], []
for number, (latents, stands_for, cosine) in enumerate(learned):
    best = {int(s): int(torch.where(stands_for == s, cosine, -1.0).argmax()) for s in stands_for[cosine > 0.7].unique()}
    group = {c: merge_groups(latents, c).unique(return_inverse=True)[1] for c in (0.5, 0.7, 0.9)}  # numbered without gaps
    sizes.append({"latents": len(latents), **{c: int(g.max()) + 1 for c, g in group.items()}})
    for head in (1, 2, 3):
        cells = findings.planted_entries(key["qk"], "qk", 0, head)
        pairs = torch.tensor([[best[a], best[b]] for a, b in cells if a in best and b in best])
        table = query_key_table(bases.unit_rms(latents), W.W_Q, W.W_K, head, W.scale)
        made = {"as they are": (table, pairs), **{c: (findings.collapsed(table, g, g), g[pairs]) for c, g in group.items()}}
        rows += [{"head": f"L0H{head}", "latents": c, "seed": number, "precision": recall_and_precision(*m)[1]} for c, m in made.items()]
learnt = pd.DataFrame(rows).replace({"latents": {0.7: "merged"}})

# %% tags=["plot", "nbval-ignore-output"]
both = learnt[learnt.latents.isin(["as they are", "merged"])]
show(feature_tables_controls.duplicates(both.groupby(["head", "latents"], as_index=False).precision.mean()))

# %% tags=["nbval-ignore-output"]
mean, size = learnt.groupby("latents").precision.mean(), pd.DataFrame(sizes).mean()
record("precision_with_duplicates", mean["as they are"], tolerance=0.15, must="< 0.9", why="three trainings; rounding changes them")
record("precision_merged", mean["merged"], tolerance=0.08, must="> 0.85", why="three trainings; rounding changes them")
say("{latents:.0f} latents are {groups:.0f} groups at a bound of 0.7. Merging brings precision from {precision_with_duplicates:.2f} to "
    "{precision_merged:.2f}; with the planted directions it was 1. What is left comes of directions that were learned not quite right.", latents=size["latents"], groups=size[0.7])
say("The bound matters. At 0.9: {many:.0f} groups, precision {strict:.2f}. At 0.5: {few:.0f} groups, precision {loose:.2f}, for {n} features that were learned. "
    "Where groups are fewer than features, different ones were merged, and precision does not mind. On a real model nobody knows the number: a list "
    "of 31 may hold far fewer findings.",
    many=size[0.9], strict=mean[0.9], few=size[0.5], loose=mean[0.5], n=len(learned[0][1][learned[0][2] > 0.7].unique()))

# %% [markdown]
# **In your own words.** (3 points, graded by hand.) Somebody shows you the 20 strongest QK pairs of a head with their labels, and says: "the
# head makes programming tokens look at numbers". The list is impressive. Name three things that you would do before you believe
# it, and what each would rule out.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_tables", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# (1) Compare with a null: how many standard deviations do these entries lie from the table's mean, and how far do the strongest entries of
# random weights lie, above all of the head's own matrices rotated? Every table has a top 20, and labels always tell a story.
# (2) Run the model: does the pattern of that head really go from such queries to such keys, against the same prompts without the key? A
# table ignores position, the bias, the softcap, and everything else in the context; at enough noise it stays perfect while nothing acts.
# (3) Merge duplicates and check the labels: are the 20 pairs one finding with copies, and do the labels hold on text that did not make
# them (precision and recall)? (Also good: ask which fold was used and test it; read the OV table; ablate the head.)
# ### END SOLUTION

# %% [markdown]
# ## What this does not show
#
# - The planted circuits are one-dimensional and few. A trained head may spread one job over many dimensions, and no key lists it.
# - "Confident" means unlike Gaussian weights, not important; rotated heads have such entries too. Nothing here measured what an
#   entry does to the model's output.
# - An idle head can have confident entries too: with a little noise, those of the planted model do that share keys with a busy head
#   (`benchmarks/planted_noise.py` counts them).
# - MLPs were passed over: an OV table goes from the layer's input to its output as if nothing stood between.
# - Sections 7 to 9 are about one small model. Other models may answer otherwise; on the Gemma tier the same cells ask the real one.
# - The published list has 31 entries. Tetrads further down are not in it.
#
# ## Sources
#
# - Bostock 2024, Attention-Feature Tables in Gemma 2 Residual Streams, LessWrong, 6 August 2024: the tables, like-to-like pairs, tetrads, the two guesses.
# - Elhage et al. 2021, [A mathematical framework for transformer circuits](https://transformer-circuits.pub/2021/framework/index.html): QK and OV circuits.
# - Lieberum et al. 2024, [Gemma Scope](https://arxiv.org/abs/2408.05147): the dictionaries of the Gemma tier.
# - Su et al. 2021, [RoFormer](https://arxiv.org/abs/2104.09864): rotary positions. Gemma Team 2024, [Gemma 2](https://arxiv.org/abs/2408.00118).
# - Kamath et al. 2025, [Tracing attention computation through feature interactions](https://transformer-circuits.pub/2025/attention-qk/index.html): the same question with attention on real tokens.
#
# ## Recap
#
# - Fold the gain, $1 + \gamma$, into the weights; then features and weights can be multiplied without a run.
# - A QK table says what a query feature asks for, an OV table what a value feature adds. Their ends can be had without the table.
# - Ask how far an entry stands out, and how far it would in the same head, rotated: part of it comes from the spectrum.
# - A perfect table proves nothing by itself, and a learned dictionary's list holds copies.

# %% tags=["nbval-ignore-output"]
say("- The bias against itself gives a head's curve over distance: {bias_beyond_distance_corr:.2f} with attention beyond mere nearness, the right peak in {same} of {n} heads. Feature "
    "tables leave it out.", same=same, n=n_heads)
