"""Lab 02's answers."""

import math

import torch
from answers import Answers

F = torch.nn.functional

# ── per_token_loss ─────────────────────────────────────────────────────────────────────────────────────────────────
loss = Answers("per_token_loss")


@loss.wrong(says="own position")
def gathers_its_own_position_and_cuts_after(logits, tokens):
    log_probs = logits.log_softmax(-1)
    return -log_probs.gather(-1, tokens[..., None])[..., 0][:, 1:]


@loss.wrong(says="about the token at t+1")
def loss_of_the_same_position(logits, tokens):
    return -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, :-1].unsqueeze(-1)).squeeze(-1)


@loss.wrong(says="shift by one")
def loss_without_a_shift(logits, tokens):
    return F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")


@loss.wrong(says="shift goes the wrong way")
def loss_shifted_the_other_way(logits, tokens):
    return -logits[:, 1:].log_softmax(-1).gather(-1, tokens[:, :-1, None])[..., 0]


@loss.wrong(says="log-probabilities are missing")
def loss_from_raw_logits(logits, tokens):
    return -logits[:, :-1].gather(-1, tokens[:, 1:, None]).squeeze(-1)


@loss.wrong(says="normalised over positions")
def loss_normalised_over_positions(logits, tokens):
    return -logits[:, :-1].log_softmax(dim=1).gather(-1, tokens[:, 1:, None]).squeeze(-1)


@loss.wrong(says="sign is the wrong way round")
def loss_without_the_minus(logits, tokens):
    return logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).squeeze(-1)


@loss.wrong(says="averaged over everything")
def loss_averaged(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@loss.wrong(says="entries are wrong")
def loss_in_bits(logits, tokens):
    right = loss_by_logsumexp(logits, tokens)
    return right.clamp(max=4.0)


@loss.wrong(says="sign is the wrong way round")
def loss_twice_normalised(logits, tokens):
    twice = logits[:, :-1].log_softmax(-1).log_softmax(-1)
    return twice.gather(-1, tokens[:, 1:, None]).squeeze(-1)


@loss.right
def loss_by_cross_entropy(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")


@loss.right
def loss_by_logsumexp(logits, tokens):
    batch, pos = torch.meshgrid(torch.arange(tokens.shape[0]), torch.arange(tokens.shape[1] - 1), indexing="ij")
    return logits[:, :-1].logsumexp(-1) - logits[batch, pos, tokens[:, 1:]]


# ── offset_score ───────────────────────────────────────────────────────────────────────────────────────────────────
offset = Answers("offset_score")


@offset.wrong(says="attention to later tokens")
def offset_above_the_diagonal(pattern, offset):
    return pattern.diagonal(offset, -2, -1).mean((0, 2))


@offset.wrong(says="divided by the number of all queries")
def offset_over_all_queries(pattern, offset):
    return pattern.diagonal(-offset, -2, -1).sum((0, 2)) / (pattern.shape[0] * pattern.shape[2])


@offset.wrong(says="mean over the batch too")
def offset_per_text(pattern, offset):
    return pattern.diagonal(-offset, -2, -1).mean(-1)


@offset.wrong(says="over heads instead of over the batch")
def offset_over_heads(pattern, offset):
    return pattern.diagonal(-offset, -2, -1).mean((1, 2))


@offset.wrong(says="how often that key")
def offset_by_argmax(pattern, offset):
    n = pattern.shape[-1]
    best = pattern.argmax(-1)[..., offset:]
    return (best == torch.arange(n - offset)).float().mean((0, 2))


@offset.wrong(says="move along with the query")
def offset_as_a_column(pattern, offset):
    return pattern[..., offset].mean((0, 2))


@offset.wrong(says="NaN")
def offset_by_slices_that_break_at_zero(pattern, offset):
    return pattern[:, :, offset:, :-offset].diagonal(0, -2, -1).mean((0, 2))


@offset.wrong(says="entries are wrong")
def offset_of_the_first_text_only(pattern, offset):
    return pattern[0].diagonal(-offset, -2, -1).mean(-1)


@offset.wrong(says="entries are wrong")
def offset_always_one(pattern, offset):
    return pattern.diagonal(-1, -2, -1).mean((0, 2))


@offset.right
def offset_by_loop(pattern, offset):
    n = pattern.shape[-1]
    return torch.stack([pattern[:, :, q, q - offset] for q in range(offset, n)]).mean((0, 1))


@offset.right
def offset_by_mask(pattern, offset):
    q, k = torch.meshgrid(torch.arange(pattern.shape[-1]), torch.arange(pattern.shape[-1]), indexing="ij")
    mask = (q - k == offset).float()
    return (pattern * mask).sum((0, 2, 3)) / (mask.sum() * len(pattern))


# ── induction_score ────────────────────────────────────────────────────────────────────────────────────────────────
ind = Answers("induction_score")


def _diagonal(pattern, back):
    return pattern.diagonal(-back, -2, -1)


@ind.wrong(says="one place after it")
def induction_at_the_same_token(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n)[..., -n:].mean((0, 2))


@ind.wrong(says="two places after")
def induction_two_after(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n - 2)[..., -n:].mean((0, 2))


@ind.wrong(says="before the earlier occurrence")
def induction_one_before(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n + 1)[..., -n:].mean((0, 2))


@ind.wrong(says="still in the first copy")
def induction_over_the_whole_diagonal(pattern):
    return _diagonal(pattern, pattern.shape[-1] // 2 - 1).mean((0, 2))


@ind.wrong(says="first query of the second copy is missing")
def induction_without_the_first_query(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n - 1)[..., -n + 1 :].mean((0, 2))


@ind.wrong(says="last query is missing")
def induction_without_the_last_query(pattern):
    n = pattern.shape[-1] // 2
    return torch.stack([pattern[:, :, q, q - n + 1] for q in range(n + 1, 2 * n)]).mean((0, 1))


@ind.wrong(says="is included")
def induction_that_forgets_bos(pattern):
    n = pattern.shape[-1] // 2
    return torch.stack([pattern[:, :, q, q - n + 1] for q in range(n, 2 * n + 1)]).mean((0, 1))


@ind.wrong(says="divided by the number of all queries")
def induction_over_all_queries(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n - 1)[..., -n:].sum((0, 2)) / (pattern.shape[0] * pattern.shape[2])


@ind.wrong(says="mean over the batch too")
def induction_per_text(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n - 1)[..., -n:].mean(-1)


@ind.wrong(says="rows are queries")
def induction_above_the_diagonal(pattern):
    n = pattern.shape[-1] // 2
    return pattern.diagonal(n - 1, -2, -1)[..., -n:].mean((0, 2))


@ind.wrong(says="entries are wrong")
def induction_of_the_best_text(pattern):
    n = pattern.shape[-1] // 2
    return _diagonal(pattern, n - 1)[..., -n:].mean(-1).max(0).values


@ind.right
def induction_by_loop(pattern):
    length = (pattern.shape[-1] - 1) // 2
    columns = [pattern[:, :, q, q - length + 1] for q in range(length + 1, 2 * length + 1)]
    return torch.stack(columns, -1).mean(-1).mean(0)


@ind.right
def induction_by_index(pattern):
    n = pattern.shape[-1] // 2
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[..., q, q - (n - 1)].mean((0, -1))


# ── full_ov_circuit ────────────────────────────────────────────────────────────────────────────────────────────────
ov = Answers("full_ov_circuit")


@ov.wrong(says="column convention")
def ov_for_columns(W_E, W_V, W_O, W_U):
    return W_U.T @ W_O.T @ W_V.T @ W_E.T


@ov.wrong(says="in place of the unembedding")
def ov_with_a_tied_unembedding(W_E, W_V, W_O, W_U):
    return W_E @ W_V @ W_O @ W_E.T


@ov.wrong(says="head is missing")
def ov_without_the_head(W_E, W_V, W_O, W_U):
    return W_E @ W_U


@ov.wrong(says="W_O is missing")
def ov_with_values_twice(W_E, W_V, W_O, W_U):
    return W_E @ (W_V @ W_V.T) @ W_U


@ov.wrong(says="RuntimeError")
def ov_in_the_seeds_letters(W_E, W_V, W_O, W_U):
    return W_U @ W_O @ W_V @ W_E


@ov.wrong(says="entries are wrong")
def ov_as_probabilities(W_E, W_V, W_O, W_U):
    return (W_E @ W_V @ W_O @ W_U).softmax(-1)


@ov.right
def ov_by_einsum(W_E, W_V, W_O, W_U):
    return torch.einsum("sd,de,ef,fp->sp", W_E, W_V, W_O, W_U)


@ov.right
def ov_from_two_factors(W_E, W_V, W_O, W_U):
    left, right = W_E @ W_V, W_O @ W_U
    return torch.stack([row @ right for row in left])


# ── diagonal_top1 ──────────────────────────────────────────────────────────────────────────────────────────────────
diagonal = Answers("diagonal_top1")


@diagonal.wrong(says="each column was asked")
def diagonal_of_columns(circuit):
    return (circuit.argmax(dim=0) == torch.arange(len(circuit))).float().mean()


@diagonal.wrong(says="should never count")
def diagonal_by_argmax(circuit):
    return (circuit.argmax(dim=1) == torch.arange(len(circuit))).float().mean()


@diagonal.wrong(says="tied rows are counted")
def diagonal_with_ties(circuit):
    return (circuit.diagonal() == circuit.max(dim=1).values).float().mean()


@diagonal.wrong(says="absolute value")
def diagonal_by_size(circuit):
    return (circuit.abs().argmax(dim=1) == torch.arange(len(circuit))).float().mean()


@diagonal.wrong(says="how often a diagonal entry is positive")
def diagonal_positive(circuit):
    return (circuit.diagonal() > 0).float().mean()


@diagonal.wrong(says="share of probability")
def diagonal_by_probability(circuit):
    return circuit.softmax(dim=1).diagonal().mean()


@diagonal.wrong(says="not with 0")
def diagonal_taken_out_with_zero(circuit):
    others = circuit * (1 - torch.eye(len(circuit)))
    return (circuit.diagonal() > others.max(dim=1).values).float().mean()


@diagonal.wrong(says="got 1")
def diagonal_constant(circuit):
    return 1.0


@diagonal.wrong(says="got")
def diagonal_as_a_count(circuit):
    return int((circuit.diagonal() >= circuit.max(dim=1).values).sum())


@diagonal.right
def diagonal_by_second_best(circuit):
    best = circuit.topk(2, dim=1).values
    return ((circuit.diagonal() == best[:, 0]) & (best[:, 0] > best[:, 1])).double().mean()


@diagonal.right
def diagonal_by_counting(circuit):
    n = len(circuit)
    return sum(int((circuit[i] >= circuit[i, i]).sum() == 1) for i in range(n)) / n


# ── copying_score ──────────────────────────────────────────────────────────────────────────────────────────────────
copying = Answers("copying_score")


@copying.wrong(says="real parts are divided by the sizes of real parts")
def copying_by_real_parts(left, right):
    values = torch.linalg.eigvals(right @ left).real
    return values.sum() / values.abs().sum()


@copying.wrong(says="singular values")
def copying_by_singular_values(left, right):
    return torch.trace(left @ right) / torch.linalg.svdvals(left @ right).sum()


@copying.wrong(says="singular values are not eigenvalues")
def copying_by_singular_values_of_the_small_matrix(left, right):
    return torch.linalg.eigvals(right @ left).real.sum() / torch.linalg.svdvals(right @ left).sum()


@copying.wrong(says="singular values are not eigenvalues")
def copying_by_the_sum_of_singular_values(left, right):
    return torch.linalg.svdvals(left @ right).sum()


@copying.wrong(says="singular values are not eigenvalues")
def copying_by_the_sum_of_the_small_matrix(left, right):
    return torch.linalg.svdvals(right @ left).sum()


@copying.wrong(says="fraction of positive")
def copying_by_counting(left, right):
    return (torch.linalg.eigvals(right @ left).real > 0).float().mean()


@copying.wrong(says="divide by the sum of their sizes")
def copying_by_the_trace(left, right):
    return torch.trace(left @ right)


@copying.wrong(says="complex")
def copying_that_stays_complex(left, right):
    values = torch.linalg.eigvals(right @ left)
    return values.sum() / values.abs().sum().to(values.dtype)


@copying.wrong(says="hide the sign")
def copying_of_sizes(left, right):
    values = torch.linalg.eigvals(right @ left).abs()
    return values.sum() / values.sum()


@copying.wrong(says="got")
def copying_by_symmetric_eigenvalues(left, right):
    values = torch.linalg.eigvalsh(left @ right)
    return values.sum() / values.abs().sum()


@copying.right
def copying_from_the_large_matrix(left, right):
    values = torch.linalg.eigvals((left @ right).double())
    return float(values.real.sum() / values.abs().sum())


@copying.right
def copying_with_numpy(left, right):
    import numpy as np

    values = np.linalg.eigvals(right.double().numpy() @ left.double().numpy())
    return values.sum().real / np.abs(values).sum()


# ── ov_logit_contribution ──────────────────────────────────────────────────────────────────────────────────────────
logits = Answers("ov_logit_contribution")


def _one_hot(OV, tokens):
    return F.one_hot(tokens, OV.shape[0]).float()


@logits.wrong(says="pattern is transposed")
def logits_with_the_pattern_transposed(OV, tokens, pattern):
    return pattern.T @ _one_hot(OV, tokens) @ OV


@logits.wrong(says="attention is missing")
def logits_without_attention(OV, tokens, pattern):
    return OV[tokens]


@logits.wrong(says="only the last position")
def logits_of_the_last_position(OV, tokens, pattern):
    return pattern[-1] @ OV[tokens]


@logits.wrong(says="keeps only one of its places")
def logits_with_overwritten_tokens(OV, tokens, pattern):
    X = torch.zeros(len(tokens), OV.shape[0])
    last = {token: position for position, token in enumerate(tokens.tolist())}
    X[list(last.values()), list(last.keys())] = 1.0
    return pattern @ X @ OV


@logits.wrong(says="column for each position")
def logits_as_columns(OV, tokens, pattern):
    return OV.T @ _one_hot(OV, tokens).T @ pattern.T


@logits.wrong(says="raises")
def logits_with_the_one_hot_transposed(OV, tokens, pattern):
    return pattern @ _one_hot(OV, tokens).T @ OV


@logits.wrong(says="it")
def logits_with_ov_for_columns(OV, tokens, pattern):
    return pattern @ F.one_hot(tokens, OV.shape[1]).float() @ OV.T


@logits.wrong(says="raises")
def logits_without_the_size_of_the_vocabulary(OV, tokens, pattern):
    return pattern @ F.one_hot(tokens).float() @ OV


@logits.right
def logits_by_rows(OV, tokens, pattern):
    return pattern @ OV[tokens]


@logits.right
def logits_by_scatter(OV, tokens, pattern):
    AX = torch.zeros(len(tokens), OV.shape[0]).index_add_(1, tokens, pattern)
    return torch.einsum("qv,vc->qc", AX, OV)


# ── attention_pattern ──────────────────────────────────────────────────────────────────────────────────────────────
att = Answers("attention_pattern")


def _future(n, diagonal=1):
    return torch.ones(n, n).triu(diagonal).bool()


def _scaled(q, k):
    return q @ k.mT / math.sqrt(q.shape[-1])


@att.wrong(says="scale is missing")
def pattern_unscaled(q, k):
    return (q @ k.mT).masked_fill(_future(q.shape[-2]), -torch.inf).softmax(-1)


@att.wrong(says="its square root")
def pattern_scaled_too_much(q, k):
    return (q @ k.mT / q.shape[-1]).masked_fill(_future(q.shape[-2]), -torch.inf).softmax(-1)


@att.wrong(says="number of positions")
def pattern_scaled_by_positions(q, k):
    return (q @ k.mT / q.shape[-2] ** 0.5).masked_fill(_future(q.shape[-2]), -torch.inf).softmax(-1)


@att.wrong(says="mask is missing")
def pattern_without_a_mask(q, k):
    return _scaled(q, k).softmax(-1)


@att.wrong(says="also sees the next token")
def pattern_that_sees_one_ahead(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2], 2), -torch.inf).softmax(-1)


@att.wrong(says="may attend to itself")
def pattern_that_hides_itself(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2], 0), -torch.inf).softmax(-1)


@att.wrong(says="softmax runs over queries")
def pattern_over_queries(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2]), -torch.inf).softmax(-2)


@att.wrong(says="masked after the softmax")
def pattern_masked_late(q, k):
    return _scaled(q, k).softmax(-1).tril()


@att.wrong(says="takes minus infinity")
def pattern_masked_with_zeros(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2]), 0.0).softmax(-1)


@att.wrong(says="queries and keys are swapped")
def pattern_swapped(q, k):
    return _scaled(k, q).masked_fill(_future(q.shape[-2]), -torch.inf).softmax(-1)


@att.wrong(says="the pattern is their softmax")
def pattern_scores_only(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2]), -torch.inf)


@att.wrong(says="entries are wrong")
def pattern_that_masks_the_past(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2]).T, -torch.inf).softmax(-1)


@att.wrong(says="raises")
def pattern_for_two_axes_only(q, k):
    return (q @ k.permute(0, 2, 1) / q.shape[-1] ** 0.5).masked_fill(_future(q.shape[1]), -torch.inf).softmax(-1)


@att.right
def pattern_by_library(q, k):
    eye = torch.eye(q.shape[-2]).expand(*q.shape[:-1], q.shape[-2])
    return F.scaled_dot_product_attention(q, k, eye, is_causal=True)


@att.right
def pattern_by_weights(q, k):
    scores = torch.einsum("...qe,...ke->...qk", q, k) / q.shape[-1] ** 0.5
    weights = (scores - scores.amax(-1, keepdim=True)).exp().tril()
    return weights / weights.sum(-1, keepdim=True)


@att.right
def pattern_with_a_large_negative_mask(q, k):
    return _scaled(q, k).masked_fill(_future(q.shape[-2]), -1e9).softmax(-1)


# ── positional_pattern ─────────────────────────────────────────────────────────────────────────────────────────────
pos = Answers("positional_pattern")


@pos.wrong(says="scale is missing")
def position_unscaled(W_pos, W_Q, W_K):
    scores = W_pos @ W_Q @ W_K.T @ W_pos.T
    return scores.masked_fill(_future(len(W_pos)), -torch.inf).softmax(-1)


@pos.wrong(says="root of d_head")
def position_scaled_by_d_model(W_pos, W_Q, W_K):
    scores = W_pos @ W_Q @ W_K.T @ W_pos.T / W_pos.shape[1] ** 0.5
    return scores.masked_fill(_future(len(W_pos)), -torch.inf).softmax(-1)


@pos.wrong(says="swapped")
def position_swapped(W_pos, W_Q, W_K):
    return pattern_by_weights(W_pos @ W_K, W_pos @ W_Q)


@pos.wrong(says="mask is missing")
def position_unmasked(W_pos, W_Q, W_K):
    return _scaled(W_pos @ W_Q, W_pos @ W_K).softmax(-1)


@pos.wrong(says="not used")
def position_without_the_head(W_pos, W_Q, W_K):
    scores = W_pos @ W_pos.T / W_Q.shape[1] ** 0.5
    return scores.masked_fill(_future(len(W_pos)), -torch.inf).softmax(-1)


@pos.wrong(says="for keys too")
def position_with_one_matrix(W_pos, W_Q, W_K):
    return pattern_by_weights(W_pos @ W_Q, W_pos @ W_Q)


@pos.wrong(says="entries are wrong")
def position_that_assumes_the_answer(W_pos, W_Q, W_K):
    return torch.eye(len(W_pos)).roll(-1, 1).tril()


@pos.right
def position_by_einsum(W_pos, W_Q, W_K):
    scores = torch.einsum("qd,de,fe,kf->qk", W_pos, W_Q, W_K, W_pos) / W_Q.shape[1] ** 0.5
    return scores.masked_fill(_future(len(W_pos)), -torch.inf).softmax(-1)


@pos.right
def position_by_rows(W_pos, W_Q, W_K):
    rows = []
    for t in range(len(W_pos)):
        row = (W_pos[: t + 1] @ W_K) @ (W_pos[t] @ W_Q) / math.sqrt(W_K.shape[1])
        rows.append(F.pad(row.softmax(0), (0, len(W_pos) - t - 1)))
    return torch.stack(rows)


# ── k_composition_circuit ──────────────────────────────────────────────────────────────────────────────────────────
kcomp = Answers("k_composition_circuit")


@kcomp.wrong(says="W_OV is missing")
def kcomp_without_the_earlier_head(W_E, W_Q, W_K, W_OV):
    return W_E @ W_Q @ W_K.T @ W_E.T


@kcomp.wrong(says="W_OV is transposed")
def kcomp_with_ov_transposed(W_E, W_Q, W_K, W_OV):
    return W_E @ W_Q @ W_K.T @ W_OV @ W_E.T


@kcomp.wrong(says="Q-composition")
def kcomp_on_the_query(W_E, W_Q, W_K, W_OV):
    return W_E @ W_OV @ W_Q @ W_K.T @ W_E.T


@kcomp.wrong(says="both go through")
def kcomp_on_both_sides(W_E, W_Q, W_K, W_OV):
    tagged = W_E @ W_OV
    return tagged @ W_Q @ W_K.T @ tagged.T


@kcomp.wrong(says="swapped")
def kcomp_swapped(W_E, W_Q, W_K, W_OV):
    return W_E @ W_K @ W_Q.T @ W_OV.T @ W_E.T


@kcomp.wrong(says="transposed")
def kcomp_with_keys_as_rows(W_E, W_Q, W_K, W_OV):
    return W_E @ W_OV @ W_K @ W_Q.T @ W_E.T


@kcomp.wrong(says="times what it should be")
def kcomp_scaled(W_E, W_Q, W_K, W_OV):
    return W_E @ W_Q @ W_K.T @ W_OV.T @ W_E.T / W_Q.shape[1] ** 0.5


@kcomp.right
def kcomp_in_one_line(W_E, W_Q, W_K, W_OV):
    return W_E @ (W_Q @ W_K.T) @ W_OV.T @ W_E.T


@kcomp.right
def kcomp_by_einsum(W_E, W_Q, W_K, W_OV):
    keys = torch.einsum("sd,df,fe->se", W_E, W_OV, W_K)
    return torch.einsum("qd,de,se->qs", W_E, W_Q, keys)


# ── composition_score ──────────────────────────────────────────────────────────────────────────────────────────────
comp = Answers("composition_score")


@comp.wrong(says="divide by both norms")
def composition_not_normalised(W_A, W_B):
    return (W_A @ W_B).norm()


@comp.wrong(says="W_A only")
def composition_half_normalised(W_A, W_B):
    return (W_A @ W_B).norm() / W_A.norm()


@comp.wrong(says="spectral norm")
def composition_by_spectral_norm(W_A, W_B):
    return torch.linalg.norm(W_A @ W_B, 2) / torch.linalg.norm(W_A, 2) / torch.linalg.norm(W_B, 2)


@comp.wrong(says="never above 1")
def composition_with_a_missing_bracket(W_A, W_B):
    return (W_A @ W_B).norm() / W_A.norm() * W_B.norm()


@comp.wrong(says="never above 1")
def composition_with_a_missing_bracket_the_other_way(W_A, W_B):
    return torch.linalg.norm(W_A @ W_B) / torch.linalg.norm(W_B) * torch.linalg.norm(W_A)


@comp.wrong(says="squared norms")
def composition_squared(W_A, W_B):
    return ((W_A @ W_B) ** 2).sum() / ((W_A**2).sum() * (W_B**2).sum())


@comp.wrong(says="should be their product")
def composition_over_a_sum(W_A, W_B):
    return (W_A @ W_B).norm() / (W_A.norm() + W_B.norm())


@comp.wrong(says="wrong order")
def composition_in_the_wrong_order(W_A, W_B):
    if W_B.shape[1] != W_A.shape[0]:
        return (W_A @ W_B).norm() / W_A.norm() / W_B.norm()
    return (W_B @ W_A).norm() / W_A.norm() / W_B.norm()


@comp.wrong(says="got")
def composition_as_a_cosine(W_A, W_B):
    return (W_A @ W_B).trace() / W_A.norm() / W_B.norm() if W_A.shape == W_B.shape else 0.0


@comp.right
def composition_by_traces(W_A, W_B):
    inner = (W_A.T @ W_A) * (W_B @ W_B.T)
    return (inner.sum() / W_A.pow(2).sum() / W_B.pow(2).sum()).sqrt()


@comp.right
def composition_of_unit_matrices(W_A, W_B):
    return float(torch.linalg.norm((W_A / torch.linalg.norm(W_A)) @ (W_B / torch.linalg.norm(W_B))))


# ── scores_by_source ───────────────────────────────────────────────────────────────────────────────────────────────
split = Answers("scores_by_source")


def _products(q_sources, k_sources, W_Q, W_K):
    return torch.einsum("aqd,de,fe,bkf->abqk", q_sources, W_Q, W_K, k_sources)


@split.wrong(says="scale is missing")
def split_unscaled(q_sources, k_sources, W_Q, W_K):
    return _products(q_sources, k_sources, W_Q, W_K)


@split.wrong(says="sqrt(d_model)")
def split_scaled_by_d_model(q_sources, k_sources, W_Q, W_K):
    return _products(q_sources, k_sources, W_Q, W_K) / q_sources.shape[-1] ** 0.5


@split.wrong(says="swapped")
def split_swapped(q_sources, k_sources, W_Q, W_K):
    return _products(q_sources, k_sources, W_K, W_Q) / W_Q.shape[1] ** 0.5


@split.wrong(says="sources are summed")
def split_summed(q_sources, k_sources, W_Q, W_K):
    return q_sources.sum(0) @ W_Q @ W_K.T @ k_sources.sum(0).T / W_Q.shape[1] ** 0.5


@split.wrong(says="position axes")
def split_with_keys_first(q_sources, k_sources, W_Q, W_K):
    return _products(q_sources, k_sources, W_Q, W_K).transpose(2, 3) / W_Q.shape[1] ** 0.5


@split.wrong(says="source axes")
def split_with_key_sources_first(q_sources, k_sources, W_Q, W_K):
    return _products(q_sources, k_sources, W_Q, W_K).transpose(0, 1) / W_Q.shape[1] ** 0.5


@split.wrong(says="keep scores")
def split_softmaxed(q_sources, k_sources, W_Q, W_K):
    return (_products(q_sources, k_sources, W_Q, W_K) / W_Q.shape[1] ** 0.5).softmax(-1)


@split.wrong(says="raises")
def split_of_matching_sources_only(q_sources, k_sources, W_Q, W_K):
    return torch.einsum("aqe,ake->aqk", q_sources @ W_Q, k_sources @ W_K) / W_Q.shape[1] ** 0.5


@split.right
def split_by_broadcasting(q_sources, k_sources, W_Q, W_K):
    q, k = q_sources @ W_Q, k_sources @ W_K
    return (q[:, None, :, None, :] * k[None, :, None, :, :]).sum(-1) / math.sqrt(W_K.shape[1])


@split.right
def split_by_matmul(q_sources, k_sources, W_Q, W_K):
    q, k = (q_sources @ W_Q)[:, None], (k_sources @ W_K)[None]
    return q @ k.mT / math.sqrt(q.shape[-1])


# ── mean_ablate ────────────────────────────────────────────────────────────────────────────────────────────────────
mean = Answers("mean_ablate")


def _put(result, heads, value):
    new = result.clone()
    new[:, :, heads] = value
    return new


@mean.wrong(says="positions instead of over texts")
def mean_over_positions(result, heads):
    return _put(result, heads, result[:, :, heads].mean(1, keepdim=True))


@mean.wrong(says="texts and positions")
def mean_over_texts_and_positions(result, heads):
    return _put(result, heads, result[:, :, heads].mean((0, 1), keepdim=True))


@mean.wrong(says="by its own mean")
def mean_over_heads(result, heads):
    return _put(result, heads, result.mean(2, keepdim=True))


@mean.wrong(says="share one mean")
def mean_shared(result, heads):
    return _put(result, heads, result[:, :, heads].mean((0, 2), keepdim=True))


@mean.wrong(says="zero ablation")
def mean_is_zero(result, heads):
    return _put(result, heads, 0.0)


@mean.wrong(says="every head was replaced")
def mean_of_every_head(result, heads):
    return result.mean(0, keepdim=True).expand_as(result).clone()


@mean.wrong(says="wrong heads")
def mean_of_the_others(result, heads):
    others = [h for h in range(result.shape[2]) if h not in heads]
    return _put(result, others, result[:, :, others].mean(0, keepdim=True))


@mean.wrong(says="in place")
def mean_in_place(result, heads):
    result[:, :, heads] = result[:, :, heads].mean(0, keepdim=True)
    return result


@mean.wrong(says="nothing changed")
def mean_that_changes_nothing(result, heads):
    new = result.clone()
    new[:, :, heads].copy_(result[:, :, heads].mean(0, keepdim=True))
    return new


@mean.wrong(says="entries are wrong")
def mean_of_positions_picked_as_heads(result, heads):
    new = result.clone()
    new[:, heads] = result[:, heads].mean(0, keepdim=True)
    return new


@mean.wrong(says="shape")
def mean_without_the_batch(result, heads):
    return result.mean(0)


@mean.right
def mean_by_mask(result, heads):
    mask = torch.zeros(result.shape[2], dtype=torch.bool)
    mask[heads] = True
    return torch.where(mask[:, None], result.mean(0, keepdim=True), result)


@mean.right
def mean_by_loop(result, heads):
    new = [result[:, :, h] for h in range(result.shape[2])]
    for h in heads:
        new[h] = result[:, :, h].mean(0).expand(len(result), -1, -1)
    return torch.stack(new, 2)


# ── path_ablated_pattern ───────────────────────────────────────────────────────────────────────────────────────────
path = Answers("path_ablated_pattern")


def _soft(q, k):
    return pattern_by_weights(q, k)


@path.wrong(says="added instead of subtracted")
def path_added(q, k, written, heads, W_K):
    return _soft(q, k + written[:, :, heads].sum(2) @ W_K)


@path.wrong(says="that is the intact pattern")
def path_intact(q, k, written, heads, W_K):
    return _soft(q, k)


@path.wrong(says="only those heads were kept")
def path_kept(q, k, written, heads, W_K):
    k = written[:, :, heads].sum(2) @ W_K
    return _soft(q, k)


@path.wrong(says="every head was taken out")
def path_of_all_heads(q, k, written, heads, W_K):
    return _soft(q, k - written.sum(2) @ W_K)


@path.wrong(says="the other heads were taken out")
def path_of_the_others(q, k, written, heads, W_K):
    others = [h for h in range(written.shape[2]) if h not in heads]
    return _soft(q, k - written[:, :, others].sum(2) @ W_K)


@path.wrong(says="into queries was cut as well")
def path_into_both(q, k, written, heads, W_K):
    part = written[:, :, heads].sum(2) @ W_K
    return _soft(q - part, k - part)


@path.wrong(says="taken out of the queries")
def path_into_queries(q, k, written, heads, W_K):
    return _soft(q - written[:, :, heads].sum(2) @ W_K, k)


@path.wrong(says="they add up")
def path_averaged(q, k, written, heads, W_K):
    return _soft(q, k - written[:, :, heads].mean(2) @ W_K)


@path.wrong(says="scale is missing")
def path_unscaled(q, k, written, heads, W_K):
    k = k - written[:, :, heads].sum(2) @ W_K
    return (q @ k.mT).masked_fill(_future(q.shape[1]), -torch.inf).softmax(-1)


@path.wrong(says="mask is missing")
def path_unmasked(q, k, written, heads, W_K):
    k = k - written[:, :, heads].sum(2) @ W_K
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)


@path.wrong(says="return the pattern")
def path_scores(q, k, written, heads, W_K):
    k = k - written[:, :, heads].sum(2) @ W_K
    return (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(_future(q.shape[1]), -torch.inf)


@path.wrong(says="which a softmax does not see")
def path_of_the_last_position(q, k, written, heads, W_K):
    return _soft(q, k - written[:, -1:, heads].sum(2) @ W_K)


@path.wrong(says="in place")
def path_in_place(q, k, written, heads, W_K):
    k -= written[:, :, heads].sum(2) @ W_K
    return _soft(q, k)


@path.wrong(says="entries are wrong")
def path_with_mean_ablated_keys(q, k, written, heads, W_K):
    return _soft(q, k.mean(1, keepdim=True).expand_as(k))


@path.right
def path_head_by_head(q, k, written, heads, W_K):
    keys = k.clone()
    for h in heads:
        keys -= written[:, :, h] @ W_K
    return _soft(q, keys)


@path.right
def path_in_score_space(q, k, written, heads, W_K):
    scale = q.shape[-1] ** 0.5
    removed = torch.einsum("bqe,de,bkhd->bqk", q, W_K, written[:, :, heads])
    scores = (q @ k.mT - removed) / scale
    return scores.masked_fill(_future(q.shape[1]), -torch.inf).softmax(-1)
