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
# # 02 Induction heads and OV diagonals
#
# **Question.** How do two heads copy a pattern, and why is the OV circuit diagonal?
#
# **After this you can** find heads by what they attend to, read a circuit from weights alone, split a score and a logit
# into parts that add up, and prove a circuit by cutting one path.
#
# About 90 minutes with the exercises · mini tier · 14 exercises and a written answer · from the notes: Induction heads, OV circuit

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import math

import pandas as pd
import torch

from labs_src import models
from labs_src.circuits import ablation, composition, heads, weights
from labs_src.figures import attention_patterns, explorer, head_scores, induction_loss, phase_change, vocab_circuits
from labs_src.lab import check, hint, record, recorded, say, show, solution, start
from labs_src.language import markov

start("02", tier=tier, seed=seed)

# %% [markdown]
# ## 1 A number that should not be possible
#
# The model has two layers of attention and nothing else: no MLP, no norm, no bias. It reads syllables.
#
# Its text here is random: a beginning-of-sequence token (BOS), 30 random syllables, and **the same 30 again**.

# %%
model = models.load("induction-2l").model
L = 30
tokens = markov.repeated_tokens(64, L, seed + 1)  # (batch, 1 + 2L)
logits, cache = model.run_with_cache(tokens)
print(" ".join(markov.decode(tokens[0])))

# %% [markdown]
# The loss of a token is $-\log p$ of that token, as predicted one position earlier.
#
# *`per_token_loss` · 2 points · difficulty 1 of 5 · importance 4 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "per_token_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def per_token_loss(logits, tokens):
    """logits: (batch, pos, vocab). tokens: (batch, pos), whole numbers.

    Returns (batch, pos - 1), in nats: entry t is the loss of the token at t + 1.
    """
    ### BEGIN SOLUTION
    log_probs = logits[:, :-1].log_softmax(-1)
    return -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_per_token_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(per_token_loss)

# %% [markdown]
# The first token of the second copy is in neither average below: nothing says that the block ends there.

# %%
loss = per_token_loss(logits, tokens)
first, second = loss[:, :L].mean(), loss[:, L + 1 :].mean()
shipped = "fixed weights and text: only float sums differ between processors"
record("repeated_loss_first_half", first, tolerance=0.02, must="> 4", unit="nats", why=shipped)
record("repeated_loss_second_half", second, tolerance=0.01, must="< 0.3", unit="nats", why=shipped)

# %% [markdown]
# **Predict.** Draw the loss against position. Is it a slope or a step? Where?

# %% tags=["plot", "nbval-ignore-output"]
show(induction_loss.loss_by_position(loss, uniform=math.log(markov.CONTENT)))

# %%
say(
    "Nobody can predict random syllables: a uniform guess costs {uniform:.2f} nats. In the first copy the model pays "
    "{repeated_loss_first_half:.1f}, even more, because it bets on the habits of the text it was trained on. "
    "In the second it pays {repeated_loss_second_half:.2f}. It must be looking things up.",
    uniform=math.log(markov.CONTENT),
)

# %% [markdown]
# ## 2 Which heads?
#
# A shorter text for the eye: 12 syllables, twice. Rows are queries, columns are keys; a row sums to 1.
#
# **Predict.** A token of the second copy wants to know what comes next. Where should it look?

# %% tags=["plot", "nbval-ignore-output"]
short = markov.repeated_tokens(1, 12, seed + 2)
names = markov.decode(short[0])
_, short_cache = model.run_with_cache(short)
stacked = heads.patterns(short_cache)[:, 0]  # (layer, head, query, key)
head_names = [heads.name(layer, h) for layer in range(2) for h in range(4)]
flat = stacked.flatten(0, 1)  # (head, query, key), layer by layer
show(attention_patterns.grid(dict(zip(head_names, flat, strict=True))))

# %% [markdown]
# The same heads to explore: hover over a token or a head. (Drawn by circuitsvis; nothing below needs it.)

# %% tags=["strip-output", "nbval-ignore-output"]
explorer.attention_explorer(flat, names, head_names)

# %% [markdown]
# Eyes are fooled easily. A **detector** is one number: the mean attention to a place that is known beforehand. The
# current token is 0 back, the previous one 1 back. Early queries have no key far back; they do not count.
#
# *`offset_score` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "offset_score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def offset_score(pattern, offset):
    """pattern: (batch, head, query, key). offset: how many tokens back, 0 or more.

    Returns (head,): mean attention from a query to the key `offset` back, over texts and over queries that have one.
    """
    ### BEGIN SOLUTION
    return pattern.diagonal(-offset, -2, -1).mean((0, 2))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_offset_score", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(offset_score)

# %%
pattern_0, pattern_1 = heads.patterns(cache)  # each (batch, head, query, key)
print("previous token:", offset_score(pattern_0, 1))
print("current token: ", offset_score(pattern_0, 0))

# %% [markdown]
# An **induction head** looks at the token *after* the earlier occurrence of the current one. Positions: 0 is BOS,
# 1 to L the first copy, L+1 to 2L the second. Query $q$ of the second copy was at $q-L$ before; the token after that
# is at $q-L+1$.
#
# *`induction_score` · 3 points · difficulty 3 of 5 · importance 5 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "induction_score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def induction_score(pattern):
    """pattern: (batch, head, query, key) on BOS + block + block, so query = key = 1 + 2L.

    Returns (head,): mean attention from queries L+1 .. 2L to the token after their first occurrence.
    """
    ### BEGIN SOLUTION
    L = pattern.shape[-1] // 2
    return pattern.diagonal(-(L - 1), -2, -1)[..., -L:].mean((0, 2))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_induction_score", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(induction_score)

# %%
previous, induction = offset_score(pattern_0, 1), induction_score(pattern_1)
record("previous_token_score_best", previous.max(), tolerance=0.01, must="> 0.8", why=shipped)
record("induction_score_best", induction.max(), tolerance=0.01, must="> 0.8", why=shipped)

# %% [markdown]
# **Predict.** Which layer has the induction heads? Could it be the other way round?

# %% tags=["plot", "nbval-ignore-output"]
scores = heads.score_table(cache)
show(head_scores.detector_grid(scores))

# %%
prev, ind = int(previous.argmax()), int(induction.argmax())
prev_heads = (previous > 0.3).nonzero().flatten().tolist()
ind_heads = (induction > 0.3).nonzero().flatten().tolist()
other_heads = [h for h in range(model.cfg.n_heads) if h not in prev_heads]
print("previous-token heads of layer 0:", prev_heads, "best:", prev)
print("induction heads of layer 1:     ", ind_heads, "best:", ind)

# %% [markdown]
# Several heads share each job. That is common, and it matters in section 7.
#
# ## 3 What is copied: the OV circuit
#
# Attention decides *where* a head looks. `W_V` and `W_O` decide *what it says* about what it sees there. From token to
# token, with row vectors as in the code:
#
# $$W_E\,W_V\,W_O\,W_U \quad\text{(source token, predicted token)}$$
#
# *`full_ov_circuit` · 2 points · difficulty 1 of 5 · importance 5 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "full_ov_circuit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def full_ov_circuit(W_E, W_V, W_O, W_U):
    """W_E: (vocab, d_model). W_V: (d_model, d_head). W_O: (d_head, d_model). W_U: (d_model, vocab_out).

    Returns (vocab, vocab_out): the logits that each source token adds when it is attended to.
    """
    ### BEGIN SOLUTION
    return W_E @ W_V @ W_O @ W_U
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_full_ov_circuit", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(full_ov_circuit)

# %% [markdown]
# The notes write the same circuit for column vectors, $W_U W_O W_V W_E$, where every matrix is the transpose of ours.

# %%
W_E, W_U = model.W_E, model.W_U
W_V, W_O = model.W_V[1, ind], model.W_O[1, ind]
OV = full_ov_circuit(W_E, W_V, W_O, W_U)
OV_columns = W_U.T @ W_O.T @ W_V.T @ W_E.T
print("transposes of each other:", torch.allclose(OV, OV_columns.T, atol=1e-3))

# %% [markdown]
# **Predict.** A head that copies should turn each token into itself. What does its OV circuit look like?

# %% tags=["plot", "nbval-ignore-output"]
content = slice(1, None)  # BOS is never copied
show(vocab_circuits.circuit_heatmap(OV[content, content], f"OV of L1H{ind}", "source token", "predicted token"))

# %% [markdown]
# One number for the picture: the fraction of rows whose largest entry is on the diagonal. An all-zero row prefers
# nothing, so a tie does not count.
#
# *`diagonal_top1` · 2 points · difficulty 2 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "diagonal_top1", "locked": false, "schema_version": 3, "solution": true, "task": false}
def diagonal_top1(circuit):
    """circuit: (n, n). Returns the fraction of rows whose diagonal entry is larger than every other entry."""
    ### BEGIN SOLUTION
    others = circuit.clone()
    others.fill_diagonal_(-torch.inf)
    return (circuit.diagonal() > others.max(1).values).double().mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_diagonal_top1", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(diagonal_top1)

# %%
top1 = diagonal_top1(OV[content, content])
record("ov_diagonal_top1", top1, tolerance=0.01, must=">= 0.95", why="one of 127 tokens may be nearly tied")
for h in range(model.cfg.n_heads):
    circuit = full_ov_circuit(W_E, model.W_V[1, h], model.W_O[1, h], W_U)[content, content]
    print(f"L1H{h}: induction {induction[h]:.2f}, diagonal top-1 {diagonal_top1(circuit):.2f}")

# %% [markdown]
# The circuit has rank `d_head`: it is a product of two thin factors. So it need never be multiplied out. Its nonzero
# eigenvalues are those of the small matrix `right @ left`. An eigenvector with a positive eigenvalue is a mixture of
# tokens that the head makes more likely when it sees it. The **copying score** is $\sum \mathrm{Re}\,\lambda \,/ \sum |\lambda|$.
#
# *`copying_score` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "copying_score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def copying_score(left, right):
    """left: (vocab, d_head). right: (d_head, vocab). For the circuit left @ right.

    Returns the sum of its eigenvalues' real parts over the sum of their sizes: from -1 to 1.
    """
    ### BEGIN SOLUTION
    eigenvalues = torch.linalg.eigvals(right @ left)
    return eigenvalues.real.sum() / eigenvalues.abs().sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_copying_score", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(copying_score)

# %%
full = weights.full_ov(model, 1, ind)
print(f"factors: {full.left.numel() + full.right.numel()} numbers, product: {OV.numel()}, rank {full.left.shape[1]}")
for layer, h in [(1, h) for h in ind_heads] + [(0, prev)]:
    circuit = weights.full_ov(model, layer, h)
    print(f"{heads.name(layer, h)}: copying score {copying_score(circuit.left, circuit.right):+.2f}")

# %% [markdown]
# ## 4 Why it is diagonal
#
# The notes' argument. Write the text as a one-hot matrix $X$ (vocab, pos) and attention as $A$ with a column for each
# query. Attention mixes positions, weights mix features, so $A$ can move to the right end:
#
# $$\text{logits} = W_U W_O W_V W_E\,X\,A = \mathrm{OV}\cdot(XA)$$
#
# *`ov_logit_contribution` · 3 points · difficulty 3 of 5 · importance 5 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "ov_logit_contribution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ov_logit_contribution(OV, tokens, pattern):
    """OV: (vocab_out, vocab), the notes' column convention. tokens: (pos,). pattern: (query, key), rows sum to 1.

    Returns (vocab_out, pos): the logits that the head adds at each position, OV @ X @ A.
    """
    ### BEGIN SOLUTION
    X = torch.nn.functional.one_hot(tokens, OV.shape[1]).T.float()
    return OV @ X @ pattern.T
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_ov_logit_contribution", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(ov_logit_contribution)

# %% [markdown]
# Is that what the model does? The head reads the stream: embeddings *and* what layer 0 wrote. Split its logits by
# source. The formula should be the embedding's part, and all parts should sum to the cached whole.

# %%
embedding, written = cache["hook_embed"], cache["blocks.0.attn.hook_result"]
sources = [embedding, *written.unbind(2)]  # each (batch, pos, d_model)
parts = [pattern_1[:, ind] @ source @ W_V @ W_O @ W_U for source in sources]
cached = cache["blocks.1.attn.hook_result"][:, :, ind] @ W_U
formula = ov_logit_contribution(OV_columns, tokens[0], pattern_1[0, ind])
print("formula = embedding's part:", torch.allclose(formula, parts[0][0].T, atol=1e-3))
print("parts sum to the cached logits:", torch.allclose(sum(parts), cached, atol=1e-3))

# %%
queries = torch.arange(L + 1, 2 * L)  # the second copy, where the next token is known
share = [float(p[:, queries].gather(-1, tokens[:, queries + 1, None]).mean()) for p in parts]
for name, value in zip(["embedding", *(heads.name(0, h) for h in range(4))], share, strict=True):
    print(f"{name:10} adds {value:+6.1f} to the correct token's logit")

# %% [markdown]
# The embedding's part is the OV circuit. A head of layer 0 can add to it: one that attends to its own token writes about
# that token, and the induction head carries that along.
#
# Now one logit, at the last position: a dot product over source tokens, $\sum_i \mathrm{OV}[c,i]\,(XA)[i,-1]$.
#
# **Predict.** How many of its 128 terms matter?

# %% tags=["plot", "nbval-ignore-output"]
X = torch.nn.functional.one_hot(tokens[0], markov.VOCAB).T.float()
XA = X @ pattern_1[0, ind].T
c = int(tokens[0, L + 1])  # after the last token of the block comes its first
show(vocab_circuits.terms(OV_columns[c], XA[:, -1], c, markov.TOKENS))

# %%
say(
    "- The pattern puts most weight on the correct token: $(XA)[c,-1]$ is {weight:.2f}, of 1.\n"
    "- So nearly all of the logit comes from $\\mathrm{{OV}}[c,c]$, one diagonal entry.\n"
    "- Training raises that logit whatever $c$ is. Hence every diagonal entry is large.",
    weight=float(XA[c, -1]),
)

# %% [markdown]
# The argument needs the pattern first. A head that attends elsewhere gets no such push: compare the top-1 of the heads
# in section 3 with their induction scores.
#
# ## 5 Where to look: the QK circuit
#
# A query meets every key up to its own: $\text{score} = q \cdot k / \sqrt{d_\text{head}}$, then a softmax over keys.
#
# *`attention_pattern` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "attention_pattern", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_pattern(q, k):
    """q, k: (..., pos, d_head). Returns (..., query, key): causal attention; rows sum to 1."""
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_attention_pattern", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(attention_pattern)

# %%
q, k = cache["blocks.1.attn.hook_q"], cache["blocks.1.attn.hook_k"]  # (batch, pos, head, d_head)
mine = attention_pattern(q.transpose(1, 2), k.transpose(1, 2))
print("equals the cached pattern:", torch.allclose(mine, pattern_1, atol=1e-4))

# %% [markdown]
# Positions enter this model in one place: `W_pos` is added to what queries and keys read, never to the stream
# (*shortformer*). So we can ask what a head would do if it saw positions and no tokens at all.
#
# *`positional_pattern` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 5 minutes*


# %% nbgrader={"grade": false, "grade_id": "positional_pattern", "locked": false, "schema_version": 3, "solution": true, "task": false}
def positional_pattern(W_pos, W_Q, W_K):
    """W_pos: (pos, d_model). W_Q, W_K: (d_model, d_head). Returns (query, key): the pattern with no tokens."""
    ### BEGIN SOLUTION
    return attention_pattern(W_pos @ W_Q, W_pos @ W_K)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_positional_pattern", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(positional_pattern)

# %% [markdown]
# **Predict.** Does the previous-token head need to know which tokens it sees?

# %% tags=["plot", "nbval-ignore-output"]
n = tokens.shape[1]
by_position = positional_pattern(model.W_pos[:n], model.W_Q[0, prev], model.W_K[0, prev])
real = pattern_0[:, prev].mean(0)
only = float(offset_score(by_position[None, None], 1))
title = f"Previous-token score: {only:.2f} from positions alone, {previous[prev]:.2f} with tokens"
show(attention_patterns.grid({f"L0H{prev}, positions only": by_position, f"L0H{prev}, real (mean)": real}, title=title))

# %%
for h in range(model.cfg.n_heads):
    alone = positional_pattern(model.W_pos[:n], model.W_Q[0, h], model.W_K[0, h])
    print(f"L0H{h}: {float(offset_score(alone[None, None], 1)):.2f} from positions, {previous[h]:.2f} with tokens")

# %% [markdown]
# ## 6 Two heads, one circuit
#
# An induction head must find "the token after an earlier *urs*" while standing on *urs*. Its key knows its own token.
# Who told it the token before? The previous-token head: it writes "I follow X" into the stream, and the induction head
# reads that tag as a **key**. The notes end with a question: *how should the full K circuit look?* In their convention
#
# $$W_E^\top\,W_{QK}\,W_{OV}^{\text{prev}}\,W_E$$
#
# with a row for the query's token and a column for the token that the key *follows*. With row vectors, keys are made
# from `W_E @ W_OV`.
#
# *`k_composition_circuit` · 3 points · difficulty 3 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "k_composition_circuit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def k_composition_circuit(W_E, W_Q, W_K, W_OV):
    """W_E: (vocab, d_model). W_Q, W_K: (d_model, d_head). W_OV: (d_model, d_model), the earlier head writes x @ W_OV.

    Returns (query token, token before the key): unscaled scores, (vocab, vocab).
    """
    ### BEGIN SOLUTION
    queries = W_E @ W_Q
    keys = W_E @ W_OV @ W_K
    return queries @ keys.T
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_k_composition_circuit", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(k_composition_circuit)

# %% [markdown]
# Take the best previous-token head and the best induction head.
#
# **Predict.** Which tag should a query with token X look for?

# %% tags=["plot", "nbval-ignore-output"]
W_Q, W_K = model.W_Q[1, ind], model.W_K[1, ind]
W_OV_prev = model.W_V[0, prev] @ model.W_O[0, prev]
K_circuit = k_composition_circuit(W_E, W_Q, W_K, W_OV_prev)[content, content]
title = f"K circuit of L0H{prev} and L1H{ind}"
show(vocab_circuits.circuit_heatmap(K_circuit, title, "query token", "token before the key", unit="score"))

# %%
top1 = diagonal_top1(K_circuit)
record("kcomp_diagonal_top1", top1, tolerance=0.02, must=">= 0.95", why="one or two of 127 tokens may be nearly tied")
OVs = [model.W_V[0, h] @ model.W_O[0, h] for h in range(model.cfg.n_heads)]
for h, W_OV in enumerate(OVs):
    circuit = k_composition_circuit(W_E, W_Q, W_K, W_OV)[content, content]
    print(f"with L0H{h}: diagonal top-1 {diagonal_top1(circuit):.2f}, previous-token score {previous[h]:.2f}")
together = k_composition_circuit(W_E, W_Q, W_K, sum(OVs[h] for h in prev_heads))[content, content]
print(f"with L0H{prev_heads} together: diagonal top-1 {diagonal_top1(together):.2f}")

# %%
E, QK = W_E.T, W_Q @ W_K.T  # the notes' columns: E is (d_model, vocab)
same = torch.allclose((E.T @ QK @ W_OV_prev.T @ E)[content, content], K_circuit, atol=1e-2)
print("the notes' form gives the same matrix:", same)
say("**The answer to the notes' question:** diagonal, for {kcomp_diagonal_top1:.1%} of the tokens.")

# %% [markdown]
# Is "composition" visible without tokens? Compare the size of a product with the sizes of its factors:
#
# $$\frac{\lVert W_A W_B\rVert_F}{\lVert W_A\rVert_F\,\lVert W_B\rVert_F}$$
#
# *`composition_score` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "composition_score", "locked": false, "schema_version": 3, "solution": true, "task": false}
def composition_score(W_A, W_B):
    """W_A: (a, b), acts first. W_B: (b, c). Returns the norm of their product over the product of their norms."""
    ### BEGIN SOLUTION
    return (W_A @ W_B).norm() / (W_A.norm() * W_B.norm())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_composition_score", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(composition_score)

# %% [markdown]
# `W_A` is an OV circuit of layer 0. `W_B` is how a head of layer 1 reads: $W_{QK}$ for its queries, $W_{QK}^\top$ for
# its keys, $W_{OV}$ for its values. Random matrices do not score 0, so 200 random pairs give the baseline.

# %%
rows = []
for kind in composition.KINDS:
    for i, j in [(i, j) for i in range(4) for j in range(4)]:
        W_B = composition.reader(model, 1, j, kind).full
        value = float(composition_score(weights.ov(model, 0, i).full, W_B))
        group = "previous-token to induction" if i in prev_heads and j in ind_heads else "other pairs"
        rows.append({"kind": kind, "pair": f"L0H{i} to L1H{j}", "group": group, "score": value})
composed = pd.DataFrame(rows)

# %% [markdown]
# **Predict.** Through which of Q, K, V do induction heads read previous-token heads?

# %% tags=["plot", "nbval-ignore-output"]
baseline = composition.random_baseline(model.cfg.d_model, model.cfg.d_head, seed=seed)
show(head_scores.composition_dots(composed, baseline.numpy()))

# %%
low, high = baseline.quantile(0.025), baseline.quantile(0.975)
print(f"random pairs, middle 95%: {low:.3f} to {high:.3f}")
print(composed.groupby(["kind", "group"])["score"].agg(["min", "max"]).round(3))

# %% [markdown]
# A high score says that a channel is open, not what goes through it. So take the induction head's real score apart. Its
# queries and keys are linear in six sources: embedding, position, and four heads of layer 0.
#
# *`scores_by_source` · 3 points · difficulty 3 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "scores_by_source", "locked": false, "schema_version": 3, "solution": true, "task": false}
def scores_by_source(q_sources, k_sources, W_Q, W_K):
    """q_sources: (q_source, pos, d_model). k_sources: (k_source, pos, d_model). W_Q, W_K: (d_model, d_head).

    Returns (q_source, k_source, query, key): scaled, unmasked scores that add up to the head's score.
    """
    ### BEGIN SOLUTION
    q, k = q_sources @ W_Q, k_sources @ W_K
    return torch.einsum("aqe,bke->abqk", q, k) / W_Q.shape[1] ** 0.5
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_scores_by_source", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(scores_by_source)

# %%
sources = torch.stack([embedding, cache["hook_pos_embed"], *written.unbind(2)])  # (source, batch, pos, d_model)
print("sources sum to the cached q:", torch.allclose((sources @ W_Q).sum(0), q[:, :, ind], atol=1e-3))
print("sources sum to the cached k:", torch.allclose((sources @ W_K).sum(0), k[:, :, ind], atol=1e-3))
split = scores_by_source(sources[:, 0], sources[:, 0], W_Q, W_K)
past = torch.ones(n, n, dtype=torch.bool).tril()
cached = cache["blocks.1.attn.hook_attn_scores"][0, ind]
print("all 36 parts sum to the cached scores:", torch.allclose(split.sum((0, 1))[past], cached[past], atol=1e-2))

# %% [markdown]
# A softmax only sees differences. So the figure shows, for each pair of sources, the score of the right key minus the
# average over all keys that the query may see, over the second copy.
#
# **Predict.** Which of the 36 squares is bright?

# %% tags=["plot", "nbval-ignore-output"]
queries = torch.arange(L + 1, 2 * L + 1)
parts = [scores_by_source(sources[:, b], sources[:, b], W_Q, W_K) for b in range(16)]
split = torch.stack(parts).mean(0)  # (q_source, k_source, query, key)
visible = (split * past).sum(-1) / past.sum(-1)
contrast = (split[:, :, queries, queries - L + 1] - visible[:, :, queries]).mean(-1)
show(vocab_circuits.source_grid(contrast, ["embedding", "position", *(heads.name(0, h) for h in range(4))]))

# %% [markdown]
# ## 7 Does it matter?
#
# So far we looked. Now we cut. **Zero ablation** replaces a head's output by 0; **mean ablation** by its average over
# texts, so that what every text has stays and what this text says goes.
#
# *`mean_ablate` · 2 points · difficulty 2 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "mean_ablate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_ablate(result, heads):
    """result: (batch, pos, head, d_model), what each head writes. heads: a list of head numbers.

    Returns a copy in which those heads write their mean over the batch, position by position.
    """
    ### BEGIN SOLUTION
    new = result.clone()
    new[:, :, heads] = result[:, :, heads].mean(0, keepdim=True)
    return new
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_mean_ablate", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(mean_ablate)

# %% [markdown]
# **Predict.** There are several heads of each kind. Will removing one induction head hurt? One previous-token head?

# %%
def second_half_loss(logits):
    return float(per_token_loss(logits, tokens)[:, L + 1 :].mean())


rows = []
for layer, h in [(layer, h) for layer in range(2) for h in range(4)]:
    hook = (f"blocks.{layer}.attn.hook_result", lambda result, name, h=h: mean_ablate(result, [h]))
    mean = second_half_loss(model.run_with_hooks(tokens, [hook]))
    zero = second_half_loss(ablation.ablate_heads(model, tokens, [(layer, h)], how="zero"))
    rows += [{"head": heads.name(layer, h), "how": how, "loss": x} for how, x in [("zero", zero), ("mean", mean)]]
ablated = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
show(head_scores.ablated_losses(ablated, intact=recorded("repeated_loss_second_half")))

# %%
everything = [(0, h) for h in prev_heads], [(1, h) for h in ind_heads]
for label, group in zip(["previous-token", "induction"], everything, strict=True):
    both = [second_half_loss(ablation.ablate_heads(model, tokens, group, how)) for how in ("zero", "mean")]
    print(f"all {label} heads: zero {both[0]:.1f}, mean {both[1]:.1f} nats")

# %% [markdown]
# Removing a head breaks everything downstream of it. Our claim is narrower: previous-token heads act **through the
# keys** of layer 1. A **path ablation** cuts that one path. Keys are linear, so subtract what those heads put there.
#
# *`path_ablated_pattern` · 4 points · difficulty 4 of 5 · importance 5 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "path_ablated_pattern", "locked": false, "schema_version": 3, "solution": true, "task": false}
def path_ablated_pattern(q, k, written, heads, W_K):
    """q, k: (batch, pos, d_head), of one later head. written: (batch, pos, head, d_model), what earlier heads wrote.

    heads: a list of earlier heads. W_K: (d_model, d_head).
    Returns (batch, query, key): the pattern when the keys lack what `heads` wrote, and nothing else changes.
    """
    ### BEGIN SOLUTION
    k = k - written[:, :, heads].sum(2) @ W_K
    return attention_pattern(q, k)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_path_ablated_pattern", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(path_ablated_pattern)

# %% [markdown]
# The control: the same cut for the *other* heads of layer 0. Without it, "any damage would do that" is a fair reply.


# %%
def best_induction(cut):
    patterns = [
        path_ablated_pattern(q[:, :, h], k[:, :, h], written, cut, model.W_K[1, h]) for h in range(model.cfg.n_heads)
    ]
    return induction_score(torch.stack(patterns, 1)).max()


after, control = best_induction(prev_heads), best_induction(other_heads)
record("induction_after_path_ablation", after, tolerance=0.01, must="< 0.1", why=shipped)
drop = recorded("induction_score_best") - control
record("induction_drop_control", drop, tolerance=0.01, must="< 0.1", why=shipped)

# %% [markdown]
# **Predict.** The same heads could also act through queries or values. What do those cuts do?

# %%
cuts = [("intact", [], "k"), ("other heads, keys", other_heads, "k")]
cuts += [(f"previous-token heads, {long}", prev_heads, into) for into, long in [("k", "keys"), ("q", "queries"), ("v", "values")]]
rows = []
for path, cut, into in cuts:
    cut_logits, cut_pattern = ablation.ablate_path(model, tokens, cut, into)
    rows.append({"path": path, "induction": float(induction_score(cut_pattern).max()), "loss": second_half_loss(cut_logits)})
paths = pd.DataFrame(rows)

# %% tags=["plot", "nbval-ignore-output"]
title = "Induction needs what previous-token heads write into keys: {:.2f} without, {:.2f} with"
show(head_scores.path_ablations(paths, title.format(after, recorded("induction_score_best"))))

# %% [markdown]
# *Written answer · 3 points.* A sceptic says: "You damaged the keys, so of course induction broke." Which bars answer
# that, and what would they have shown if the sceptic were right? Two or three sentences.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_sceptic", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# The same cut of the other layer-0 heads leaves the induction score where it was, although it also changes every key.
# If any change to the keys were enough, that bar would be low too. Cutting the same heads out of the queries also
# leaves the score high: what matters is what these heads write, where it is read as a key.

# %% [markdown]
# ## 8 One layer cannot
#
# Same recipe, same text, one layer. Its keys know their own token and position, and nothing of the token before.
#
# **Predict.** Its induction score, its loss in the second copy.

# %%
single = models.load("induction-1l").model
single_logits, single_cache = single.run_with_cache(tokens)
(single_pattern,) = heads.patterns(single_cache)
print(f"one layer: best previous-token score {offset_score(single_pattern, 1).max():.2f}")
print(f"one layer: loss in the second copy {second_half_loss(single_logits):.1f} nats")

# %% [markdown]
# A head that always looks the same distance back would score at one block length by luck. So score the last layer of
# both models at six block lengths.


# %%
lengths = [8, 12, 16, 20, 25, 30]


def scores_by_length(model):  # (length, head)
    texts = [markov.repeated_tokens(64, block_len, seed + 1) for block_len in lengths]
    return torch.stack([induction_score(heads.patterns(model.run_with_cache(text)[1])[-1]) for text in texts])


one, two = scores_by_length(single), scores_by_length(model)
pd.DataFrame({"one layer": one.max(1).values, "two layers": two.max(1).values}, index=lengths).round(2)

# %%
record("one_layer_induction", one.mean(0).max(), tolerance=0.002, must="< 0.1", why=shipped)
print(f"mean over block lengths, best head: {one.mean(0).max():.2f} for one layer, {two.mean(0).max():.2f} for two")

# %% [markdown]
# Is the little that one layer has induction? The right place is L - 1 back. Compare its neighbours, which mean nothing.

# %%
for label, pattern in [("one layer", single_pattern), ("two layers", pattern_1)]:
    best = int(induction_score(pattern).argmax())
    around = [float(pattern[:, best, queries, queries - back].mean()) for back in (L - 3, L - 1, L + 1)]
    print(f"{label}: {around[0]:.2f} at L - 3, {around[1]:.2f} at L - 1, {around[2]:.2f} at L + 1")

# %% [markdown]
# One layer attends to a distance, whatever stands there. Two layers attend to a place because of what stands there.
#
# ## 9 Watch it form
#
# Train the two-layer model here and now. The recipe measures both scores and both losses every 25 steps.

# %% tags=["nbval-ignore-output"]
from labs_src.models.recipes import induction as recipe

run = recipe.train(seed=seed)
print(f"{run.history[-1]['step']} steps in {run.history[-1]['seconds']:.0f} s of one core")

# %%
_, live_cache = run.model.run_with_cache(tokens)
live = max(float(induction_score(p.detach()).max()) for p in heads.patterns(live_cache))
record("live_induction_score", live, tolerance=0.1, must="> 0.8", why="trained on the spot: float sums differ, and training amplifies it")

# %% [markdown]
# **Predict.** Which rises first: the previous-token score or the induction score? Is the loss a slope or a cliff?

# %% tags=["plot", "nbval-ignore-output"]
show(phase_change.history_curves(run.history))

# %% [markdown]
# - The previous-token head pays off at once: the training text depends on the token before.
# - The induction head is worth nothing until the tags are there. Then it forms in a few dozen steps.
# - The first copy's loss does not fall: random syllables stay random.
#
# One run proves little. The model's card has the same recipe on five seeds:

# %%
card = models.describe("induction-2l")
columns = ["seed", "induction_score_best", "kcomp_diagonal_top1", "induction_without_previous_heads"]
print(pd.DataFrame(card["seeds"]["table"])[columns].round(2).to_string(index=False))

# %% [markdown]
# The shipped model left checkpoints behind. Move the slider: when does the diagonal stripe appear on the right?

# %% tags=["plot", "nbval-ignore-output"]
frames = []
for step, checkpoint in models.load("induction-2l").checkpoints():
    step_logits, step_cache = checkpoint.run_with_cache(tokens)
    _, eye = checkpoint.run_with_cache(short)
    first_layer, second_layer = heads.patterns(step_cache)
    shown_0, shown_1 = heads.patterns(eye)[:, 0]
    frame = {"step": step, "previous": shown_0[prev], "induction": shown_1[ind], "loss_second": second_half_loss(step_logits)}
    frame["previous_score"] = offset_score(first_layer, 1)[prev]
    frames.append(frame | {"induction_score": induction_score(second_layer)[ind]})
show(phase_change.checkpoint_slider(frames, (f"L0H{prev}", f"L1H{ind}"), active=len(frames) // 2))

# %% [markdown]
# ## What this does not show
#
# - **Toy text.** 127 syllables, blocks without repeats inside, a recipe chosen so that induction forms within a minute.
#   Large models meet ambiguous, approximate repeats.
# - **Attention only, no norm.** Everything is linear up to the softmax, so parts add up exactly. With norms and MLPs
#   the same sums need care.
# - **Shortformer positions.** They never enter the stream. With ordinary or rotary positions the previous-token head is
#   built differently.
# - **Several heads do each job.** Ablating one head understates it. We cut them together, and chose them by a threshold
#   on the same kind of text that we tested on.
# - **Few training runs.** One recipe, five seeds; heads and their split of labour differ between them.
# - **A diagonal is not a mechanism.** It says what would be copied *if* attended to; section 7 is what makes it a claim
#   about behaviour, and only on repeated random tokens.
#
# ## Sources
#
# - Elhage et al. 2021, [A Mathematical Framework for Transformer Circuits](https://transformer-circuits.pub/2021/framework/index.html):
#   QK and OV circuits, composition, eigenvalue copying scores.
# - Olsson et al. 2022, [In-context Learning and Induction Heads](https://arxiv.org/abs/2209.11895): the phase change.
# - Press et al. 2020, [Shortformer](https://arxiv.org/abs/2012.15832): positions in queries and keys only.
# - The notes that this course grew from: the OV argument of section 4, and the question that section 6 answers.
#
# ## Recap
#
# - Loss on random text falls only where the text repeats: the model looks things up.
# - A previous-token head writes "I follow X"; an induction head on X reads that tag as a key and copies what it finds.
# - OV is diagonal because attention already points at the right token. The full K circuit is diagonal because the tag
#   must match the query's token.
# - Parts that add up exactly are the best check there is: logits by source, scores by pair of sources.
# - Cutting one path, with a control, turns a picture into evidence.
