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
# # 00 Start here
#
# **Question.** Does everything work, and how does a lab work?
#
# **After this you can** run a cell, solve an exercise, ask for a hint, and read what a check says.
#
# 10 minutes · mini tier · not graded

# %% [markdown]
# Run a cell with <kbd>Shift</kbd>+<kbd>Enter</kbd>. Start with the next two: every lab begins like this.

# %% tags=["parameters"]
tier = "mini"
seed = 0

# %%
import torch

from labs_src.doctor import table
from labs_src.lab import check, hint, solution, start

start("00", tier=tier, seed=seed)

# %% [markdown]
# ## Is everything here?
#
# A line that does not say "ok" says what to do about it. `make doctor` prints the same in a terminal.

# %% tags=["nbval-ignore-output"]
table()

# %% [markdown]
# ## An exercise
#
# An exercise is a function that you write. The text says what it takes and what it returns; the cell below it has the
# signature, with the shape of every tensor. This first one is solved: run it, then run its check.
#
# The **cosine** of two vectors is their dot product divided by both lengths. It is 1 when they point the same way, 0
# when they are orthogonal, and does not change when a vector gets longer.
#
# *`cosine_similarity` · 1 point · difficulty 1 of 5 · importance 2 of 5 · 1 minute*


# %%
def cosine_similarity(a, b):
    """a, b: (d_model,). Returns a number from -1 to 1."""
    return a @ b / (a.norm() * b.norm())


# %%
check(cosine_similarity)

# %% [markdown]
# A check calls your function with its own inputs, several times, and compares with an answer found in another way. When
# something is wrong it says what. Break the function above (drop one of the lengths), run both cells again, and read.

# %% [markdown]
# ## Your turn
#
# A dictionary of features is a matrix with a direction in each row. To compare directions, give each row length 1. A row
# of zeros has no direction: it stays zero.
#
# *`unit_directions` · 2 points · difficulty 1 of 5 · importance 2 of 5 · 3 minutes*


# %% nbgrader={"grade": false, "grade_id": "unit_directions", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unit_directions(W):
    """W: (d_sae, d_model). Returns the same rows, each with length 1; rows of zeros stay zero."""
    ### BEGIN SOLUTION
    length = W.norm(dim=1, keepdim=True)
    return W / length.clamp(min=1e-12)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_unit_directions", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check(unit_directions)

# %% [markdown]
# ## When you are stuck
#
# Each exercise has three hints, each giving more away than the one before. Once you have tried, `solution` shows one way
# to write it. `labs progress` in a terminal shows what you have solved and how many hints it took.

# %%
hint("cosine_similarity")

# %%
solution("unit_directions")

# %% [markdown]
# ## What this means
#
# With unit rows, one matrix product gives every cosine at once. That is how later labs compare two dictionaries.

# %%
W = torch.tensor([[3.0, 0.0], [0.0, 0.5], [2.0, 2.0]])
D = unit_directions(W)
D @ D.T

# %% [markdown]
# Rows 0 and 1 are orthogonal; row 2 lies halfway between them, so its cosine with each is one over the square root of
# two.
#
# ## Where to go
#
# The course grew out of a reader's study notes on papers and courses. Labs take claims and questions from **the notes**, test
# them, and say where they hold.
#
# | lab | question |
# | --- | --- |
# | [01 The residual stream](01_residual_stream.ipynb) | What does it mean that every block reads from and writes to one stream? |
# | [02 Induction heads and OV diagonals](02_induction_heads.ipynb) | How do two heads copy a pattern, and why is the OV circuit diagonal? |
# | [03 Superposition](03_superposition.ipynb) | When does a network store more features than it has dimensions? |
# | [04 Sparse autoencoders](04_sparse_autoencoders.ipynb) | Can the features be taken out again? |
# | [05 Reading a dictionary](05_reading_a_dictionary.ipynb) | What does a latent mean, and who says so? |
# | [06 Attention-feature tables](06_attention_feature_tables.ipynb) | What do the weights alone say about which features a head connects? |
# | [07 Errata: three bugs and a fourth](07_errata.ipynb) | How does a wrong convention become a wrong finding, and which test would have caught it? |
# | [08 Patchscopes](08_patchscopes.ipynb) | Can a neuron be asked what it wants? |
# | [09 Are the features stable?](09_sae_stability.ipynb) | Would another seed have found the same features? |
#
# Your notebooks are in `work/`; the course never overwrites them. To start one over, move your copy away and run
# `make lab` again. Your instructor collects these same files.
#
# **Recap.** Write the function, run its check, read the message. `hint`, then `solution`.
