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
# # 01 The residual stream
#
# **Question.** What does it mean that every block reads from and writes to one stream?
#
# **After this you can** write a transformer's forward from nothing, read its stream at any depth, say what each head
# and MLP contributes to a logit, explain why blocks add, and tell a basis that matters from one that does not.
#
# 160 minutes · mini tier · from the notes: Transformer Block, Privileged basis. (The notes are what this course grew
# from. You do not need them: where the lab argues with them, it says what they claim.)

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import math

import torch
from torch.nn import functional as F

from labs_src import models
from labs_src.circuits import depth, stream
from labs_src.figures import attribution, basis, gradients, reading
from labs_src.lab import check, hint, record, say, show, solution, start
from labs_src.language import markov

start("01", tier=tier, seed=seed)

# %% [markdown]
# ## The model and its text
#
# A small GPT-2: four pre-norm blocks, trained on synthetic text. Half of that text is random syllables, said twice:
# the first copy cannot be predicted, the second can be copied.

# %%
mini = models.load("mini-prenorm")
model, W = mini.model, stream.weights(mini.model)
block_len = 20
tokens = markov.repeated_tokens(32, block_len, seed + 1)  # BOS, a block, the same block
print(*markov.decode(tokens[0, : block_len + 6]))
vocabulary, blind = len(markov.TOKENS), math.log(len(markov.TOKENS))
print(f"{vocabulary} tokens; a blind guess loses ln {vocabulary} = {blind:.2f} nats")

# %% [markdown]
# Names used below: **L0H1** is head 1 of block 0, **L0 MLP** that block's MLP, **L0 bias** its attention's output bias
# `b_O`. What one of them adds to the stream is its **write**. **Zero ablation** sets a write to zero and runs everything
# after it again.
#
# `W` holds the weights as plain tensors. A state of the stream is a row vector, so reading is `x @ W`.

# %%
{name: tuple(value.shape) for name, value in W["blocks"][0].items() if name != "eps"}

# %%
states = stream.states(model, tokens)  # before each block, and after the last
states.shape  # state, batch, position, d_model

# %% [markdown]
# ## Reading: what a norm does
#
# Every reader sees the stream through a norm: the direction matters, the length does not. **LayerNorm**:
#
# $$\mathrm{LN}(x) = \frac{x - \bar x}{\sqrt{\mathrm{var}(x) + \epsilon}} \odot w + b$$
#
# The variance divides by $d_\text{model}$. `eps` is inside the root.
#
# *`layer_norm` · 2 points · difficulty 1 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "layer_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def layer_norm(x, w, b, eps):
    """x: (..., d_model); w (gain), b (bias): (d_model,); eps: a number. Returns (..., d_model)."""
    ### BEGIN SOLUTION
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True)
    return centred / (variance + eps).sqrt() * w + b
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_layer_norm", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(layer_norm)

# %% [markdown]
# **RMSNorm** (Llama, Gemma) leaves out the mean and the bias: $x / \sqrt{\overline{x^2} + \epsilon} \odot w$.
#
# *`rms_norm` · 2 points · difficulty 1 of 5 · importance 3 of 5 · 4 minutes*


# %% nbgrader={"grade": false, "grade_id": "rms_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rms_norm(x, w, eps):
    """x: (..., d_model); w: (d_model,); eps: a number. Returns (..., d_model)."""
    ### BEGIN SOLUTION
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_rms_norm", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(rms_norm)

# %% [markdown]
# A stream ten times longer reads the same. A stream with its mean taken out reads the same too, and then the two norms
# are one. Keep that for later.

# %%
x, one, zero = states[2], torch.ones(64), torch.zeros(64)
same = layer_norm(x, one, zero, 1e-5)
centred = x - x.mean(-1, keepdim=True)
print("largest difference, ten times longer:", stream.size((layer_norm(10 * x, one, zero, 1e-5) - same).abs().max()))
print("RMSNorm of the centred stream:", stream.size((rms_norm(centred, one, 1e-5) - same).abs().max()))
print("RMSNorm of the stream itself:", stream.size((rms_norm(x, one, 1e-5) - same).abs().max()))

# %% [markdown]
# ## Attention: a sum over heads
#
# A head moves information between positions. The query says what is asked, the key who answers, the value what is
# sent. Scores are $q \cdot k / \sqrt{d_\text{head}}$; later keys get $-\infty$; a softmax over keys gives the
# **pattern**; $z$ mixes the values by it. (One of the three biases changes nothing. Which, and why?)
#
# *`attention_head` · 4 points · difficulty 2 of 5 · importance 5 of 5 · 12 minutes*


# %% nbgrader={"grade": false, "grade_id": "attention_head", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_head(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    """x, already normed: (batch, pos, d_model); W_*: (d_model, d_head); b_*: (d_head,).

    Returns pattern (batch, query, key) and z (batch, pos, d_head).
    """
    ### BEGIN SOLUTION
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
    return pattern, pattern @ v
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_attention_head", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(attention_head)

# %% [markdown]
# Your head on the model's weights, beside the library's pattern:

# %%
first = W["blocks"][0]
n = layer_norm(states[0], first["ln1_w"], first["ln1_b"], first["eps"])
weights = [[first[name][h] for name in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V")] for h in range(4)]
heads = [attention_head(n, *weights[h]) for h in range(4)]
_, cache = model.run_with_cache(tokens)
gap = (torch.stack([pattern for pattern, _ in heads], dim=1) - cache["blocks.0.attn.hook_pattern"]).abs().max()
print("largest difference:", stream.size(gap))

# %% [markdown]
# And the bias that changes nothing? Leave each out in turn:

# %%
for name, place in (("b_Q", 1), ("b_K", 3), ("b_V", 5)):
    without_it = [0 * w if i == place else w for i, w in enumerate(weights[0])]
    moved = (attention_head(n, *without_it)[1] - heads[0][1]).abs().max()
    print(f"z without {name} moves by:", stream.size(moved))

# %% [markdown]
# $b_K$ adds $q \cdot b_K$ to a query's score with every key alike. A softmax does not see what all scores share.
#
# Each head then writes `z_h @ W_O[h]` into the stream, and the writes add. No head sees another's.
#
# *`multi_head` · 2 points · difficulty 2 of 5 · importance 5 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "multi_head", "locked": false, "schema_version": 3, "solution": true, "task": false}
def multi_head(z, W_O, b_O):
    """z: (batch, pos, head, d_head); W_O: (head, d_head, d_model); b_O: (d_model,).

    Returns writes (head, batch, pos, d_model), without b_O, and their sum with b_O added once.
    """
    ### BEGIN SOLUTION
    writes = torch.stack([z[:, :, h] @ W_O[h] for h in range(len(W_O))])
    return writes, writes.sum(0) + b_O
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_multi_head", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(multi_head)

# %% [markdown]
# Textbooks say "concatenate the heads, then one $W_O$". The same thing: a product with stacked rows is a sum.

# %%
z = torch.stack([z for _, z in heads], dim=2)
writes, output = multi_head(z, first["W_O"], first["b_O"])
concatenated = z.flatten(2) @ first["W_O"].flatten(0, 1) + first["b_O"]
print("sum over heads against concatenation:", stream.size((output - concatenated).abs().max()))
print("against the library:", stream.size((output - cache["blocks.0.hook_attn_out"]).abs().max()))

# %% [markdown]
# ## A block adds
#
# The MLP works on each position alone. It is given:


# %%
def mlp(x, W_in, b_in, W_out, b_out):
    """x, already normed: (..., d_model). Returns what the MLP writes: (..., d_model)."""
    return F.gelu(x @ W_in + b_in) @ W_out + b_out


# %% [markdown]
# A **pre-norm** block is $x \leftarrow x + \mathrm{attention}(\mathrm{LN}_1(x))$, then
# $x \leftarrow x + \mathrm{mlp}(\mathrm{LN}_2(x))$. What is added to is the stream itself, never the normed copy.
# Use your functions. `block` has the names you saw above, and `block["eps"]`. Take the number of heads from the weights.
#
# *`transformer_block` · 4 points · difficulty 3 of 5 · importance 5 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "transformer_block", "locked": false, "schema_version": 3, "solution": true, "task": false}
def transformer_block(x, block):
    """x: (batch, pos, d_model); block: the weights of a block by name. Returns (batch, pos, d_model)."""
    ### BEGIN SOLUTION
    n = layer_norm(x, block["ln1_w"], block["ln1_b"], block["eps"])
    names = ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V")
    zs = [attention_head(n, *(block[name][h] for name in names))[1] for h in range(len(block["W_O"]))]
    x = x + multi_head(torch.stack(zs, dim=2), block["W_O"], block["b_O"])[1]
    n = layer_norm(x, block["ln2_w"], block["ln2_b"], block["eps"])
    return x + mlp(n, block["W_in"], block["b_in"], block["W_out"], block["b_out"])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_transformer_block", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(transformer_block)

# %% [markdown]
# The whole model: embedding plus position, the blocks, a last norm, the unembedding. `weights` has `W_E`, `W_pos`,
# `blocks` (a list), `ln_final_w`, `ln_final_b`, `eps`, `W_U`, `b_U`.
#
# *`forward` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def forward(tokens, weights):
    """tokens: (batch, pos) integers. Returns logits (batch, pos, d_vocab)."""
    ### BEGIN SOLUTION
    x = weights["W_E"][tokens] + weights["W_pos"][: tokens.shape[1]]
    for block in weights["blocks"]:
        x = transformer_block(x, block)
    n = layer_norm(x, weights["ln_final_w"], weights["ln_final_b"], weights["eps"])
    return n @ weights["W_U"] + weights["b_U"]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_forward", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(forward)

# %% [markdown]
# Is that the model? Your logits against the library's, over every token of every sequence. Both run in float64, where
# a difference is a mistake and not rounding.

# %%
model64 = models.load("mini-prenorm").model.double()
with stream.float64():
    gap = (forward(tokens, stream.double(W)) - model64(tokens)).abs().max()
record("forward_max_abs_diff", gap, tolerance=1e-4, why="float64 rounding; far below in practice", must="< 1e-4")
logits = model(tokens)
print("the same in float32:", stream.size((forward(tokens, W) - logits).abs().max(), 1e-3))

# %% [markdown]
# So nothing else goes on. Every block only adds, and the last state is a plain sum of what was written:

# %%
names, parts = stream.parts(model, tokens)  # component, batch, pos, d_model
print(len(names), "writers:", *names[:8], "...")
print("sum of all writes against the last state:", stream.size((parts.sum(0) - states[-1]).abs().max(), 1e-2))

# %% [markdown]
# **Predict.** Embeddings start small. Does every block make the stream longer? And is the stream at the end about as
# long as its writes' lengths added up (all point one way), or much shorter (they cancel)?

# %% tags=["nbval-ignore-output", "plot"]
length = states.norm(dim=-1).mean((1, 2))
written = dict(zip(names, parts.norm(dim=-1).mean((1, 2)).tolist()))
against = F.cosine_similarity(states[3] - states[2], states[2], dim=-1).mean()
show(reading.growth(names, parts, states))

# %% tags=["nbval-ignore-output"]
say(
    "Not every block: block 2 takes the length from {a:.0f} to {b:.0f}, for what it writes points against the stream (mean "
    "cosine {c:.2f}). Block 3 makes it {d:.1f} times longer, and most of that is one write: the L3 MLP's, {e:.0f} long. "
    "So the stream ends at {f:.0%} of the sum of the lengths: where one write is most of the sum, little can cancel it.",
    a=length[2], b=length[3], c=against, d=length[4] / length[3], e=written["L3 MLP"], f=length[4] / sum(written.values()),
)  # fmt: skip

# %% [markdown]
# ## Read the sum early: the logit lens
#
# If the answer is a sum, the partial sum is a draft of it. The **logit lens** reads every state as if it were the
# last: last norm, unembedding, log-softmax.
#
# *`logit_lens` · 2 points · difficulty 1 of 5 · importance 4 of 5 · 6 minutes*


# %% nbgrader={"grade": false, "grade_id": "logit_lens", "locked": false, "schema_version": 3, "solution": true, "task": false}
def logit_lens(states, w, b, eps, W_U, b_U):
    """states: (..., d_model); w, b, eps of the last norm. Returns log-probabilities (..., d_vocab)."""
    ### BEGIN SOLUTION
    return (layer_norm(states, w, b, eps) @ W_U + b_U).log_softmax(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_logit_lens", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(logit_lens)

# %%
last = W["ln_final_w"], W["ln_final_b"], W["eps"], W["W_U"], W["b_U"]
lens = logit_lens(states, *last)
gap = (lens[-1] - logits.log_softmax(-1)).abs().max()
print("the last state against the model's own output:", stream.size(gap, 1e-3))

# %% [markdown]
# **Predict.** Below is one sequence, read at five depths; the dashed line is where copying can begin. Where can the
# probability of the right next token be high, and from which depth on?

# %% tags=["nbval-ignore-output", "plot"]
first_choice_right = (lens.argmax(-1)[..., :-1] == tokens[:, 1:]).float()
show(reading.lens_of_sequence(lens[:, 0], tokens[0], markov.TOKENS, second_copy=block_len + 1))

# %% tags=["nbval-ignore-output"]
say(
    "Right of the line, and after the last block only. Over all {n} sequences the first choice is right for {a:.0%} of the "
    "second copy ({b:.0%} one block earlier) and for {c:.0%} of the first. The misses sit at the first place after the "
    "line ({d:.0%} right there, {e:.0%} later): one token said again is not yet enough for this model.",
    n=len(tokens), a=first_choice_right[-1, :, block_len + 1 :].mean(), b=first_choice_right[-2, :, block_len + 1 :].mean(),
    c=first_choice_right[-1, :, :block_len].mean(), d=first_choice_right[-1, :, block_len + 1].mean(),
    e=first_choice_right[-1, :, block_len + 2 :].mean(),
)  # fmt: skip

# %% [markdown]
# One sequence can mislead. **Predict** the average loss by depth, for the first copy, the second copy, and Markov text
# (each token depends on the two before it; its entropy is known exactly). Is every curve falling?

# %%
text = markov.markov_batch(32, 41, seed + 1)
losses = {}
for name, ids, where in (
    ("first copy", tokens, slice(0, block_len)),
    ("second copy", tokens, slice(block_len + 1, None)),
    ("Markov text", text, slice(3, None)),
):
    right = ids[None, :, 1:, None].expand(len(states), -1, -1, 1)
    read = logit_lens(stream.states(model, ids), *last)[:, :, :-1]
    losses[name] = -read.gather(-1, right)[..., where, 0].mean((1, 2))

# %% tags=["nbval-ignore-output", "plot"]
markov_text, first_copy, copy = losses["Markov text"], losses["first copy"], losses["second copy"]
entropy = float(markov.entropy_by_position(41)[3:].mean())
sure = lens[0].exp().max(-1).values.mean()  # probability of the lens's first choice at the embedding
show(reading.lens_loss(losses, entropy))

# %% tags=["nbval-ignore-output"]
say(
    "Not every curve falls: through block 2 the copies' losses rise ({a:.1f} → {b:.1f} and {c:.1f} → {d:.1f} nats). At the "
    "embedding all are far above a blind guess ({blind:.2f}): nobody trained that state to be read, and the lens is sure of "
    "wrong tokens there (its first choice gets {sure:.0%} on average). The first copy ends at {e:.2f}, no better than blind.",
    a=first_copy[2], b=first_copy[3], c=copy[2], d=copy[3], e=first_copy[-1], blind=blind, sure=sure,
)  # fmt: skip

# %% tags=["nbval-ignore-output"]
say(
    "Markov text is drafted early: {a:.1f} nats after block 0, {b:.2f} at the end ({gap:.2f} above the entropy: the model is "
    "good, not perfect). The copied token comes at once, {c:.1f} → {d:.1f} nats in the last block. It need not have been at "
    "*this* position before: a head can fetch it from another. Which one did?",
    a=markov_text[1], b=markov_text[-1], gap=markov_text[-1] - entropy, c=copy[-2], d=copy[-1],
)  # fmt: skip

# %% [markdown]
# ## Split the sum by writer: direct logit attribution
#
# The other way to cut the sum: by who wrote it. A logit is linear in the stream but for one number, the last norm's
# scale. **Freeze** that number at its value for the whole stream, and each writer has an exact share:
# centre its write, divide by the frozen scale, gain, $W_U$. What no writer owns, `b @ W_U + b_U`, gets a row of its own.
#
# *`direct_logit_attribution` · 4 points · difficulty 3 of 5 · importance 5 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "direct_logit_attribution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def direct_logit_attribution(parts, w, b, eps, W_U, b_U):
    """parts: (component, pos, d_model), whose sum is the last state; w, b, eps of the last norm.

    Returns (component + 1, pos, d_vocab): each writer's share of each logit, and last the biases' row.
    """
    ### BEGIN SOLUTION
    scale = (parts.sum(0).var(-1, keepdim=True, correction=0) + eps).sqrt()
    centred = parts - parts.mean(-1, keepdim=True)
    shares = centred / scale * w @ W_U
    biases = (b @ W_U + b_U).expand(1, *shares.shape[1:])
    return torch.cat([shares, biases])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_direct_logit_attribution", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check(direct_logit_attribution)

# %%
shares = direct_logit_attribution(parts.flatten(1, 2), *last).unflatten(1, tokens.shape)
record(
    "dla_max_abs_error",
    (shares.sum(0) - logits).abs().max(),
    tolerance=1e-4,
    why="float32 rounding of a sum of many shares",
    must="< 1e-4",
)

# %% [markdown]
# Adding a constant to all logits changes no probability. So look at the right token's logit minus the mean logit, in
# the second copy, where the model has something to say.


# %%
def margin(logits):
    """(..., batch, pos, d_vocab) -> the right next token's logit minus the mean, averaged over the second copy."""
    right = tokens[:, 1:, None].expand(*logits.shape[:-2], -1, 1)
    above = logits[..., :-1, :].gather(-1, right)[..., 0] - logits[..., :-1, :].mean(-1)
    return above[..., block_len + 1 :].mean((-2, -1))


# %% [markdown]
# **Predict.** Which writers carry the right token of the second copy: embedding, early heads, late heads, MLPs? Does
# the longest write carry most?

# %% tags=["nbval-ignore-output", "plot"]
direct = margin(shares)
share = dict(zip(names, direct.tolist()))
show(attribution.shares([*names, "norm and output biases"], direct))

# %% tags=["nbval-ignore-output"]
say(
    "Late heads: those of block 3 carry {a:.1f} of {all:.1f} logits, everything before block 3 together only {b:.2f}. The longest "
    "write, the L3 MLP's, carries {c:.2f}: it is long in directions that do not tell the right token from the mean.",
    a=sum(share[f"L3H{h}"] for h in range(4)), all=direct.sum(), c=share["L3 MLP"],
    b=abs(sum(value for name, value in share.items() if not name.startswith("L3"))),
)  # fmt: skip

# %% [markdown]
# A share is what a writer says directly to the unembedding. Others also read what it wrote. **Predict**: remove each
# writer in turn by zero ablation. Whose effect is far from its share? Do the effects sum to the logits, as shares do?

# %% tags=["nbval-ignore-output", "plot"]
before = margin(forward(tokens, W))
effect = torch.stack([before - margin(forward(tokens, stream.without(W, name))) for name in names])
lost = dict(zip(names, effect.tolist()))
show(attribution.direct_against_ablation(names, direct[:-1], effect, total=float(before)))

# %% [markdown]
# A head of block 3 is read by two more, the L3 MLP and the last norm. Recompute the norm alone; the rest of the effect
# comes through the MLP:


# %%
def lost_by_norm(name):
    """Logits lost when the last norm, and nothing else, sees that a writer is gone."""
    kept = parts.clone()
    kept[names.index(name)] = 0
    return float(before - margin(direct_logit_attribution(kept.flatten(1, 2), *last).unflatten(1, tokens.shape).sum(0)))


for name in ("L3H1", "L3H3"):
    print(f"{name}: share {share[name]:.1f}, lost by the norm {lost_by_norm(name):.1f}, lost in all {lost[name]:.1f}")

# %% tags=["nbval-ignore-output"]
say(
    "The effects sum to {sum:.0f} logits, of {all:.1f}: whatever stops the copying costs all of it, so several writers are "
    "charged with the same logits. L0H0 costs {a:.1f} with a share of {b:.2f}: it writes for other readers. L3H1 has "
    "{c:.1f} and costs {d:.1f}: the L3 MLP reads it too. L3H3 has {e:.1f} and costs {f:.1f}: without its write the norm "
    "divides by less, and all other shares grow. A share says who wrote a logit; an ablation, what the model needed.",
    sum=effect.sum(), all=before, a=lost["L0H0"], b=abs(share["L0H0"]), c=share["L3H1"], d=lost["L3H1"], e=share["L3H3"],
    f=lost["L3H3"],
)  # fmt: skip

# %% [markdown]
# ## Why add: the Jacobian I + J_F
#
# Let $y = x + F(x)$. Then $\partial y / \partial x = I + J_F$: a gradient comes through even where $J_F$ is small. Take
# $F(x) = \mathrm{ReLU}(x W_\text{in} + b_\text{in})\, W_\text{out}$ and write the Jacobian down. Row $i$, column $j$ is
# $\partial y_i / \partial x_j$. (Careful: states are rows here, and `skip` can be False.)
#
# *`block_jacobian` · 3 points · difficulty 3 of 5 · importance 4 of 5 · 12 minutes*


# %% nbgrader={"grade": false, "grade_id": "block_jacobian", "locked": false, "schema_version": 3, "solution": true, "task": false}
def block_jacobian(x, W_in, b_in, W_out, skip):
    """x: (d_model,); W_in: (d_model, d_mlp); b_in: (d_mlp,); W_out: (d_mlp, d_model); skip: True or False.

    Returns the Jacobian of (x if skip) + ReLU(x W_in + b_in) W_out: (output, input).
    """
    ### BEGIN SOLUTION
    on = (x @ W_in + b_in > 0).to(x.dtype)
    M = (W_in * on) @ W_out
    if skip:
        M = M + torch.eye(len(x))
    return M.T
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_block_jacobian", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(block_jacobian)

# %% [markdown]
# "Do nothing" is easy with a skip: write zero. Without one the same block wipes the stream, and its gradient.

# %%
x, W_in, b_in = torch.randn(4), torch.randn(4, 6), torch.randn(6)
silent = torch.zeros(6, 4)
for skip in (True, False):
    y = (x if skip else 0) + F.relu(x @ W_in + b_in) @ silent
    print(f"skip {skip}: y = x is {torch.equal(y, x)}, Jacobian\n{block_jacobian(x, W_in, b_in, silent, skip)}")

# %% [markdown]
# The same by autograd, on a trained block of the model, with its norms and heads: how the last position's output
# moves with its input. $J_F$ is that Jacobian minus $I$.

# %%
x = states[2][:1]


def last_output(v):
    return transformer_block(torch.cat([x[:, :-1], v[None, None]], dim=1), W["blocks"][2])[0, -1]


J = torch.autograd.functional.jacobian(last_output, x[0, -1])
J_F = J - torch.eye(64)
spectra = {"with I": torch.linalg.svdvals(J), "without": torch.linalg.svdvals(J_F)}
print("length of J_F times (1, ..., 1):", stream.size((J_F @ torch.ones(64)).norm()), "(the norms take the mean out)")

# %% [markdown]
# **Predict.** A singular value says how much of a gradient in one direction comes through. How many of the 64 are near
# zero (below 0.1), with and without the $I$?

# %% tags=["nbval-ignore-output", "plot"]
show(gradients.singular_values(spectra))

# %% tags=["nbval-ignore-output"]
say(
    "{a} without the $I$, {b} with it. What $F$ does not touch, the $I$ passes on unchanged. (Here $F$ was trained beside a "
    "skip; a block trained without one would be another $F$.)",
    a=int((spectra["without"] < 0.1).sum()), b=int((spectra["with I"] < 0.1).sum()),
)  # fmt: skip

# %% [markdown]
# Now depth. Random stacks of 1 to 32 MLP blocks. We take the gradient of a read-out (the output's entries summed with
# random weights) with respect to the *first* block's weights. Four kinds: with and without the skip, with and without
# the norm before each block.
#
# **Predict** all four curves. The notes claim that without a skip gradients die with depth. Does the norm change that?

# %% tags=["nbval-ignore-output", "plot"]
depths, seeds = [1, 2, 4, 8, 16, 32], 8
ratios = {
    (skip, norm): depth.gradient_ratios(depths, skip, norm, seeds) for norm in (True, False) for skip in (True, False)
}
show(gradients.against_depth(depths, ratios))

# %%
why = "mean over 8 random stacks; float32 rounding grows through 32 blocks"
record("grad_ratio_skip_32", ratios[True, True][-1], tolerance=0.05, why=why)
record("grad_ratio_noskip_32", ratios[False, True][-1], tolerance=0.2, why=why)

# %% tags=["nbval-ignore-output"]
say(
    "Gradients die only without skip *and* norm ({dead:.0e}): $F$ shrinks them, and nothing rescales. A norm divides by the "
    "shrunken scale, and so multiplies the gradient back. Then it does not die without a skip; it grows ({a:.1f} at 16 "
    "blocks, {b:.1f} at 32). A skip without norms explodes ({wild:.0f}). Skip and norm together end at {c:.2f}. So the "
    "notes' claim needs a condition: no norms.",
    dead=ratios[False, False][-1], a=ratios[False, True][-2], b=ratios[False, True][-1], c=ratios[True, True][-1],
    wild=ratios[True, False][-1],
)  # fmt: skip

# %% [markdown]
# A length says nothing about directions. The **participation ratio** of singular values $s_i$,
# $(\sum s_i^2)^2 / \sum s_i^4$, says how evenly they share: 64 when all are alike, 1 when one has everything.
# **Predict** it for $\partial\,$output$/\partial\,$input of the pre-norm stacks, with and without the skip.

# %% tags=["nbval-ignore-output", "plot"]
runs = {skip: [[depth.spectrum(d, skip, s) for s in range(seeds)] for d in depths] for skip in (True, False)}
even = {skip: [sum(map(depth.participation_ratio, stacks)) / seeds for stacks in runs[skip]] for skip in runs}
alive = {skip: sum(int((s > s[0] / 10).sum()) for s in runs[skip][-1]) / seeds for skip in runs}
show(gradients.evenness_against_depth(depths, even, 64, seeds))

# %% tags=["nbval-ignore-output"]
say(
    "Both fall, from {a:.0f} and {b:.0f} of 64 after one block to {c:.1f} and {d:.1f} after 32: the skip slows the "
    "narrowing and does not stop it. A low ratio is not a loss of the rest: after 32 blocks {e:.0f} of 64 singular values "
    "are above a tenth of the largest with the skip, {f:.0f} without.",
    a=even[True][0], b=even[False][0], c=even[True][-1], d=even[False][-1], e=alive[True], f=alive[False],
)  # fmt: skip

# %% [markdown]
# ## The basis of the stream is free
#
# Readers and writers are matrices. Turn every state by a rotation, $x \to xR$, and turn the matrices to match: no
# reader need notice. But a norm stands before each reader. Does it come out the same, turned?

# %%
R = stream.rotation(64, seed)
x, Q = states[2], R.float()
turned = layer_norm(x @ Q, first["ln1_w"], first["ln1_b"], 1e-5) @ Q.T
kept = layer_norm(x, first["ln1_w"], first["ln1_b"], 1e-5)
print("LayerNorm is off by:", stream.size((turned - kept).abs().max()))
print("RMSNorm without gain:", stream.size((rms_norm(x @ Q, one, 1e-5) @ Q.T - rms_norm(x, one, 1e-5)).abs().max()))

# %% [markdown]
# Gain, bias and mean belong to coordinates; the length does not. But all three are linear, so they can move into
# the reader. **Fold** them: find $W', b'$ with
#
# $$\mathrm{LN}(x)\,W + b = \frac{x}{\sqrt{\mathrm{var}(x) + \epsilon}}\,W' + b' \quad\text{for every } x.$$
#
# Subtracting the mean is itself a matrix, $I - \mathbf{1}\mathbf{1}^\top / d_\text{model}$.
#
# *`fold_layer_norm` · 3 points · difficulty 4 of 5 · importance 4 of 5 · 15 minutes*


# %% nbgrader={"grade": false, "grade_id": "fold_layer_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fold_layer_norm(gain, bias, W, b):
    """gain, bias: (d_model,); W: (..., d_model, n); b: (..., n), with a head dimension in front or without.

    Returns W' and b', of the same shapes.
    """
    ### BEGIN SOLUTION
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True), b + bias @ W
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_fold_layer_norm", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(fold_layer_norm)

# %% [markdown]
# One coordinate-bound thing is left, the variance: it is the mean square of the *centred* stream. No reader sees the
# direction $(1, \dots, 1)$ now, so writers need not write along it. Centre what they write, and the variance is a
# mean square: a squared length, the same in every basis. `stream.folded` does both, everywhere.

# %%
with stream.float64():
    folded = stream.folded(stream.double(W), fold_layer_norm)
plain = stream.folded_forward(tokens, folded)
print("folded model against the library:", stream.size((plain - logits).abs().max(), 1e-3))

# %% [markdown]
# Now turn a block. The stream is $xR$ instead of $x$. What must each writer become, to write in the new basis, and each
# reader, to read what it read before? The writers are `W_O`, `b_O`, `W_out`, `b_out`; the readers `W_Q`, `W_K`, `W_V`,
# `W_in`. Everything else stays.
#
# *`rotate_stream` · 3 points · difficulty 2 of 5 · importance 4 of 5 · 10 minutes*


# %% nbgrader={"grade": false, "grade_id": "rotate_stream", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rotate_stream(block, R):
    """block: a folded block's weights by name; R: (d_model, d_model), a rotation. Returns a new dict."""
    ### BEGIN SOLUTION
    writers = {name: block[name] @ R for name in ("W_O", "b_O", "W_out", "b_out")}
    readers = {name: R.T @ block[name] for name in ("W_Q", "W_K", "W_V", "W_in")}
    return block | writers | readers
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_rotate_stream", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check(rotate_stream)

# %%
with stream.float64():
    blocks = [rotate_stream(block, R) for block in folded["blocks"]]
outside = {"W_E": folded["W_E"] @ R, "W_pos": folded["W_pos"] @ R, "W_U": R.T @ folded["W_U"]}
rotated = folded | outside | {"blocks": blocks}
in_new_basis = stream.folded_forward(tokens, rotated)
record(
    "stream_rotation_max_abs_diff",
    (in_new_basis - plain).abs().max(),
    tolerance=1e-4,
    why="float64 rounding; far below in practice",
    must="< 1e-4",
)

# %% [markdown]
# Every reader and writer of the stream changed, every logit stayed. So "dimension 47 of the stream encodes plurals" names a direction by a
# coordinate that training was free to choose. What is left of dimension 47 in the new basis?

# %%
old, new = x.flatten(0, 1), (x @ Q).flatten(0, 1)
both = torch.stack([old[:, 47], new[:, 47]])
print(f"correlation of dimension 47 with itself after the turn: {torch.corrcoef(both)[0, 1]:.2f}")
print("lengths differ by:", stream.size((old.norm(dim=1) - new.norm(dim=1)).abs().max()))

# %% [markdown]
# The notes claim $W \to WR$ for writers and $W \to WR^{-1}$ for readers. These belong to different conventions. With
# row vectors a reader has $d_\text{model}$ rows and becomes $R^{-1}W$. With column vectors readers become $WR^{-1}$,
# but then writers become $RW$. Mixed, the shapes do not even fit:

# %%
try:
    folded["blocks"][0]["W_in"] @ torch.linalg.inv(R)
except RuntimeError as error:
    print(error)

# %% [markdown]
# ## Where the basis matters: neurons
#
# Inside the MLP stands GELU, one number at a time. Turn the *neurons* instead, $W_\text{in} \to W_\text{in}R$,
# $W_\text{out} \to R^{-1}W_\text{out}$. Two controls: a permutation of the neurons, and the same turn in a model
# whose GELU is replaced by a straight line.
#
# **Predict** the order of magnitude of the largest change of a logit: stream rotated, neurons permuted, neurons
# rotated without GELU, neurons rotated.

# %%
turn, shuffle = stream.rotation(256, seed), torch.eye(256, dtype=torch.float64)[torch.randperm(256)]
linear = [
    stream.folded_forward(tokens, weights, activation=lambda hidden: hidden)
    for weights in (folded, stream.neurons_changed(folded, turn))
]
changes = {
    "stream rotated": in_new_basis - plain,
    "neurons permuted": stream.folded_forward(tokens, stream.neurons_changed(folded, shuffle)) - plain,
    "neurons rotated, no GELU": linear[1] - linear[0],
    "neurons rotated": stream.folded_forward(tokens, stream.neurons_changed(folded, turn)) - plain,
}

# %%
changes = {name: float(change.abs().max()) for name, change in changes.items()}
record(
    "neuron_rotation_max_abs_diff",
    changes["neurons rotated"],
    tolerance=0.5,
    why="a maximum over all logits of one random rotation; another processor's rounding moves it little",
    must="> 0.1",
)

# %% tags=["nbval-ignore-output", "plot"]
show(basis.logit_changes(changes))

# %% tags=["nbval-ignore-output"]
say(
    "Three are float64 rounding (at most {a:.0e}); the fourth is {neuron_rotation_max_abs_diff:.0f} logits. It takes both, "
    "a turn and a GELU: without GELU the turn cancels, and GELU does not mind the neurons' order.",
    a=max(value for name, value in changes.items() if name != "neurons rotated"),
)  # fmt: skip

# %% [markdown]
# A basis is **privileged** when the computation treats its axes apart from other directions. Neurons are, up to their
# order. Two dimensions show why. Let $x' = (x + y)/\sqrt2$, $y' = (x - y)/\sqrt2$. The $\sqrt2$ keeps lengths, and makes
# the same formula lead back. What does ReLU, which acts on $x$ and $y$, do to $x'$ and $y'$?
#
# *`relu_in_rotated_basis` · 2 points · difficulty 2 of 5 · importance 3 of 5 · 8 minutes*


# %% nbgrader={"grade": false, "grade_id": "relu_in_rotated_basis", "locked": false, "schema_version": 3, "solution": true, "task": false}
def relu_in_rotated_basis(x_new, y_new):
    """x_new, y_new: coordinates x', y' of points, (point,). Returns x', y' of the points after ReLU of x and y."""
    ### BEGIN SOLUTION
    x, y = (x_new + y_new) / 2**0.5, (x_new - y_new) / 2**0.5
    x, y = x.relu(), y.relu()
    return (x + y) / 2**0.5, (x - y) / 2**0.5
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_relu_in_rotated_basis", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(relu_in_rotated_basis)

# %% [markdown]
# In numbers, beside what the notes claim:
# $\frac12\left[\max(x'+y',0) + \max(x'-y',0),\ \max(x'+y',0) - \max(x'-y',0)\right]$. It is right: the $\frac12$ is
# a $1/\sqrt2$ from each change of basis. The first two points have the same $x'$.

# %%
x_new, y_new = torch.tensor([1.0, 1.0, -1.0]), torch.tensor([0.0, 3.0, 3.0])
ours = torch.stack(relu_in_rotated_basis(x_new, y_new))
a, b = (x_new + y_new).clamp(min=0), (x_new - y_new).clamp(min=0)
theirs = torch.stack([a + b, a - b]) / 2
print("x', y' before", torch.stack([x_new, y_new]), "after", ours, "the notes' formula", theirs, sep="\n")

# %% [markdown]
# **Predict.** Hold one coordinate of the input still and move the other. Does the *first* coordinate of the output
# move, in the standard basis, and in the turned one?

# %% tags=["nbval-ignore-output", "plot"]
show(basis.interference(relu_in_rotated_basis))
far = relu_in_rotated_basis(torch.ones(2), torch.tensor([3.0, 30.0]))[0]

# %% tags=["nbval-ignore-output"]
say(
    "In its own basis ReLU never mixes. In the turned one it does, and without bound: at $x' = 1$ the first output is {a:.1f} "
    "for $y' = 3$ and {b:.1f} for $y' = 30$. Where $|y'| < |x'|$ it does not: there ReLU passes both, or neither.",
    a=far[0], b=far[1],
)  # fmt: skip

# %% [markdown]
# ### In your own words
#
# Somebody reports: "stream dimension 47 encodes plurals, and so does MLP neuron 47." Which of the two can be a
# statement about the model rather than about coordinates? What would you measure to support either? Five sentences.
#
# *3 points, read by your instructor · 10 minutes*

# %% [markdown] nbgrader={"grade": true, "grade_id": "written_dimension_47", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# The stream's dimension 47 is one coordinate of a basis that can be turned without changing a logit, so the claim is
# about coordinates. It can be rescued as a claim about a direction: a probe's direction, found again in another basis.
# The neuron sits behind a GELU, so its axis is part of the computation and the claim can be true or false. I would
# compare its activation on plurals with that on matched singulars, ablate it, and compare with random directions of
# the same size. I would ask the same of many neurons first, because one of several hundred will fit by chance.

# %% [markdown]
# ## What this does not show
#
# - The model is small and its text synthetic. The algebra is exact at any size; the *numbers* (which writers matter,
#   from which depth on the lens can read) are this model's.
# - The lens uses the last norm's gain on earlier states. A state can hold the answer in a direction that only later
#   blocks turn towards the unembedding: a poor reading does not show that the information is missing.
# - Direct attribution freezes the scale and leaves out every path through later readers. Zero ablation puts the
#   model on inputs it never saw. Neither alone is "what the head does".
# - That no basis *must* matter does not mean that none *does*: Adam works coordinate by coordinate, low precision
#   rounds coordinates, and real streams do have outlier dimensions.
# - The depth experiments have random weights and no training. Long gradients are not the same as useful ones, and an
#   uneven Jacobian is not a lost one: nothing here shows that a stack with skips learns better.
#
# ## Sources
#
# - The notes that this course grew from: Transformer Block, Privileged basis.
# - He et al. 2016, [Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027).
# - Ba et al. 2016, [Layer normalization](https://arxiv.org/abs/1607.06450); Zhang and Sennrich 2019,
#   [Root mean square layer normalization](https://arxiv.org/abs/1910.07467).
# - Xiong et al. 2020, [On layer normalization in the transformer architecture](https://arxiv.org/abs/2002.04745) (pre-norm).
# - Balduzzi et al. 2017, [The shattered gradients problem](https://arxiv.org/abs/1702.08591).
# - Dong et al. 2021, [Attention is not all you need](https://arxiv.org/abs/2103.03404) (rank collapse without skips).
# - Belrose et al. 2023, [Eliciting latent predictions with the tuned lens](https://arxiv.org/abs/2303.08112).
# - Elhage et al. 2021, [A mathematical framework for transformer circuits](https://transformer-circuits.pub/2021/framework/index.html);
#   Elhage et al. 2023, [Privileged bases in the transformer residual stream](https://transformer-circuits.pub/2023/privileged-basis/index.html).
#
# ## Recap
#
# - One stream; heads and MLPs read it through a norm and add to it. A head's write is `z_h @ W_O[h]`.
# - A sum can be cut by depth (logit lens) or by writer (direct logit attribution); both are exact, both are partial.
# - A share says who wrote a logit, an ablation what the model needed. They need not agree.
# - The skip makes the Jacobian $I + J_F$: doing nothing is easy. In random stacks gradients keep their length with skip
#   *and* norm; with depth the Jacobian grows uneven, more slowly with the skip.
# - Fold the norms and the stream has no axes of its own; neurons have.
