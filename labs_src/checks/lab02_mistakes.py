"""What people get wrong in lab 02: the value that it gives, and what to say about it."""

from __future__ import annotations

import torch
from torch.nn.functional import one_hot

from labs_src.checks.compare import Mistake

PER_TOKEN_LOSS = (
    Mistake(
        "logits at position t are compared with the token at t; they are about the token at t+1",
        lambda logits, tokens: -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, :-1, None])[..., 0],
    ),
    Mistake(
        "the shape is right, but each token is compared with the logits at its own position; use those one earlier",
        lambda logits, tokens: -logits[:, 1:].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0],
    ),
    Mistake(
        "there is no token to predict after the last position, and every token is compared with its own logits; shift by one",
        lambda logits, tokens: -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0],
    ),
    Mistake(
        "the shift goes the wrong way: each logit is compared with the token before it",
        lambda logits, tokens: -logits[:, 1:].log_softmax(-1).gather(-1, tokens[:, :-1, None])[..., 0],
    ),
    Mistake(
        "log-probabilities are missing: the logits were not normalised (log_softmax over the vocabulary)",
        lambda logits, tokens: -logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0],
    ),
    Mistake(
        "normalised over positions; probabilities sum to 1 over the vocabulary, the last axis",
        lambda logits, tokens: -logits[:, :-1].log_softmax(1).gather(-1, tokens[:, 1:, None])[..., 0],
    ),
    Mistake(
        "that is the probability; the loss is minus its logarithm",
        lambda logits, tokens: logits[:, :-1].softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0],
    ),
    Mistake(
        "averaged over everything; keep one number for each text and position",
        lambda logits, tokens: -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None]).mean(),
    ),
)


def _diagonal(pattern, offset):
    return pattern.diagonal(-offset, -2, -1)


OFFSET_SCORE = (
    Mistake(
        "that is attention to later tokens, which is always 0; keys further back lie below the diagonal",
        lambda pattern, offset: pattern.diagonal(offset, -2, -1).mean((0, 2)),
    ),
    Mistake(
        "divided by the number of all queries; the first ones have no key so far back and do not count",
        lambda pattern, offset: _diagonal(pattern, offset).sum(-1).mean(0) / pattern.shape[-1],
    ),
    Mistake(
        "one number for each text and head; take the mean over the batch too",
        lambda pattern, offset: _diagonal(pattern, offset).mean(-1),
    ),
    Mistake(
        "the heads are averaged together; keep one number for each head",
        lambda pattern, offset: _diagonal(pattern, offset).mean(),
    ),
    Mistake(
        "averaged over heads instead of over the batch; the axes are (batch, head, query, key)",
        lambda pattern, offset: _diagonal(pattern, offset).mean((1, 2)),
    ),
    Mistake(
        "counted how often that key is the most attended one; the score is the mean attention",
        lambda pattern, offset: (
            (_diagonal(pattern, offset) == pattern.max(-1).values[..., offset:]).float().mean((0, 2))
        ),
    ),
    Mistake(
        "the key is always `offset` itself; it should move along with the query",
        lambda pattern, offset: pattern[..., offset].mean((0, 2)),
    ),
)


def _second_copy(pattern, back, queries=None):
    length = pattern.shape[-1] // 2
    rows = range(length + 1, 2 * length + 1) if queries is None else queries(length)
    return torch.stack([pattern[:, :, q, q - back(length)] for q in rows], -1)


INDUCTION = (
    Mistake(
        "that is attention to the earlier occurrence of the same token; the key should be one place after it",
        lambda pattern: _second_copy(pattern, lambda n: n).mean((0, 2)),
    ),
    Mistake(
        "that key is two places after the earlier occurrence (offset L - 2); it should be one place after it",
        lambda pattern: _second_copy(pattern, lambda n: n - 2).mean((0, 2)),
    ),
    Mistake(
        "that is attention to the token before the earlier occurrence (offset L + 1); it should be the one after it",
        lambda pattern: _second_copy(pattern, lambda n: n + 1).mean((0, 2)),
    ),
    Mistake(
        "averaged over every query with a key so far back; two of them are still in the first copy",
        lambda pattern: pattern.diagonal(1 - pattern.shape[-1] // 2, -2, -1).mean((0, 2)),
    ),
    Mistake(
        "the first query of the second copy is missing (queries are L+1 .. 2L)",
        lambda pattern: _second_copy(pattern, lambda n: n - 1, lambda n: range(n + 2, 2 * n + 1)).mean((0, 2)),
    ),
    Mistake(
        "the last query is missing (queries are L+1 .. 2L)",
        lambda pattern: _second_copy(pattern, lambda n: n - 1, lambda n: range(n + 1, 2 * n)).mean((0, 2)),
    ),
    Mistake(
        "query L, the end of the first copy, is included (queries are L+1 .. 2L)",
        lambda pattern: _second_copy(pattern, lambda n: n - 1, lambda n: range(n, 2 * n + 1)).mean((0, 2)),
    ),
    Mistake(
        "divided by the number of all queries; only the L queries of the second copy count",
        lambda pattern: _second_copy(pattern, lambda n: n - 1).sum((0, 2)) / pattern.shape[0] / pattern.shape[-1],
    ),
    Mistake(
        "one number for each text and head; take the mean over the batch too",
        lambda pattern: _second_copy(pattern, lambda n: n - 1).mean(-1),
    ),
    Mistake(
        "queries and keys are swapped: rows are queries",
        lambda pattern: pattern.diagonal(pattern.shape[-1] // 2 - 1, -2, -1)[..., -(pattern.shape[-1] // 2) :].mean(
            (0, 2)
        ),
    ),
)

FULL_OV = (
    Mistake(
        "that is the notes' column convention, W_U W_O W_V W_E; here a row is a source token",
        lambda W_E, W_V, W_O, W_U: (W_E @ W_V @ W_O @ W_U).T,
    ),
    Mistake(
        "the embedding was used a second time in place of the unembedding",
        lambda W_E, W_V, W_O, W_U: W_E @ W_V @ W_O @ W_E.T,
    ),
    Mistake(
        "the head is missing: that is W_E @ W_U, what a token predicts without it", lambda W_E, W_V, W_O, W_U: W_E @ W_U
    ),
    Mistake(
        "W_O is missing or transposed into W_V: values go through W_V, then W_O",
        lambda W_E, W_V, W_O, W_U: W_E @ W_V @ W_V.T @ W_U,
    ),
)


def _fraction(found) -> float:
    return float(found.double().mean())


def share_on_diagonal(best: torch.Tensor) -> float:
    """How often `best[i]` is i."""
    return _fraction(best == torch.arange(len(best)))


DIAGONAL_WITHOUT_TIES = (
    Mistake(
        "each column was asked for its best row; each row should be asked for its best column",
        lambda circuit: share_on_diagonal(circuit.argmax(0)),
    ),
    Mistake(
        "entries are compared by absolute value; a large negative logit is no prediction",
        lambda circuit: share_on_diagonal(circuit.abs().argmax(1)),
    ),
    Mistake(
        "a row of negative entries can prefer its diagonal too: take it out with minus infinity, not with 0",
        lambda circuit: _fraction(circuit.diagonal() > circuit.clone().fill_diagonal_(0.0).max(1).values),
    ),
    Mistake(
        "that is how often a diagonal entry is positive; it should be the largest of its row",
        lambda circuit: _fraction(circuit.diagonal() > 0),
    ),
    Mistake(
        "that is the share of probability on the diagonal; count the rows that it wins",
        lambda circuit: float(circuit.softmax(1).diagonal().mean()),
    ),
)
"""Mistakes that show in any circuit; the inputs are chosen so that they do."""

DIAGONAL = (
    Mistake(
        "tied rows are counted: there the diagonal is as large as another entry, which is no preference",
        lambda circuit: _fraction(circuit.diagonal() >= circuit.max(1).values),
    ),
    Mistake(
        "a tied row counts when argmax happens to pick the diagonal; it should never count",
        lambda circuit: share_on_diagonal(circuit.argmax(1)),
    ),
    *DIAGONAL_WITHOUT_TIES,
)


def _eigenvalues(left, right):
    return torch.linalg.eigvals(right.double() @ left.double())


COPYING = (
    Mistake(
        "real parts are divided by the sizes of real parts; use the size of the complex number, .abs()",
        lambda left, right: float(_eigenvalues(left, right).real.sum() / _eigenvalues(left, right).real.abs().sum()),
    ),
    Mistake(
        "singular values are never negative and say nothing about direction; use eigenvalues",
        lambda left, right: float(
            torch.trace(right.double() @ left.double()) / torch.linalg.svdvals(left.double() @ right.double()).sum()
        ),
    ),
    Mistake(
        "that is the fraction of positive eigenvalues; weigh each by its size",
        lambda left, right: _fraction(_eigenvalues(left, right).real > 0),
    ),
    Mistake(
        "that is the sum of the eigenvalues; divide by the sum of their sizes",
        lambda left, right: float((left * right.T).sum()),
    ),
    Mistake(
        "singular values are not eigenvalues: use torch.linalg.eigvals",
        lambda left, right: float(torch.trace(right @ left) / torch.linalg.svdvals(right @ left).sum()),
    ),
    Mistake(
        "singular values are not eigenvalues: use torch.linalg.eigvals",
        lambda left, right: float(torch.linalg.svdvals(left @ right).sum()),
    ),
    Mistake(
        "singular values are not eigenvalues: use torch.linalg.eigvals",
        lambda left, right: float(torch.linalg.svdvals(right @ left).sum()),
    ),
    Mistake("the sizes in the sum hide the sign: the real parts belong on top", lambda left, right: 1.0),
)


def _one_hot(tokens, n):
    return one_hot(tokens, n).float()


def _overwritten(tokens, n):
    """One-hot with only the last place of each token, as indexing by token leaves it."""
    X = torch.zeros(len(tokens), n)
    last = {int(token): position for position, token in enumerate(tokens)}
    for token, position in last.items():
        X[position, token] = 1.0
    return X


OV_LOGITS = (
    Mistake(
        "the pattern is transposed: row `query` of it says how much each key gives, so it stands on the left as it is",
        lambda OV, tokens, pattern: pattern.T @ _one_hot(tokens, len(OV)) @ OV,
    ),
    Mistake(
        "attention is missing: that is X @ OV, as if every token attended to itself",
        lambda OV, tokens, pattern: _one_hot(tokens, len(OV)) @ OV,
    ),
    Mistake(
        "only the last position is there; keep all of them, a row for each",
        lambda OV, tokens, pattern: (pattern @ _one_hot(tokens, len(OV)) @ OV)[-1],
    ),
    Mistake(
        "a token that comes twice keeps only one of its places; X has a row for each position",
        lambda OV, tokens, pattern: pattern @ _overwritten(tokens, len(OV)) @ OV,
    ),
    Mistake(
        "the result has a column for each position; it should have a row for each",
        lambda OV, tokens, pattern: (pattern @ _one_hot(tokens, len(OV)) @ OV).T,
    ),
)


def _scores(q, k):
    return q @ k.transpose(-1, -2)


def _future(scores, diagonal=1):
    return torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal)


def _masked(scores, diagonal=1):
    return scores.masked_fill(_future(scores, diagonal), -torch.inf)


def _masked_after(scores):
    return scores.softmax(-1).masked_fill(_future(scores), 0.0)


PATTERN = (
    Mistake("the scale is missing: divide the scores by sqrt(d_head)", lambda q, k: _masked(_scores(q, k)).softmax(-1)),
    Mistake(
        "divided by d_head; it should be its square root", lambda q, k: _masked(_scores(q, k) / q.shape[-1]).softmax(-1)
    ),
    Mistake(
        "divided by the root of the number of positions; it should be the root of d_head",
        lambda q, k: _masked(_scores(q, k) / q.shape[-2] ** 0.5).softmax(-1),
    ),
    Mistake(
        "the mask is missing: queries attend to the future",
        lambda q, k: (_scores(q, k) / q.shape[-1] ** 0.5).softmax(-1),
    ),
    Mistake(
        "the mask is off by one: each query also sees the next token",
        lambda q, k: _masked(_scores(q, k) / q.shape[-1] ** 0.5, 2).softmax(-1),
    ),
    Mistake(
        "the mask is off by one: a query may attend to itself, and the first one has nothing else",
        lambda q, k: _masked(_scores(q, k) / q.shape[-1] ** 0.5, 0).softmax(-1),
    ),
    Mistake(
        "softmax runs over queries; each row (query) should sum to 1",
        lambda q, k: _masked(_scores(q, k) / q.shape[-1] ** 0.5).softmax(-2),
    ),
    Mistake(
        "masked after the softmax, so rows no longer sum to 1; mask the scores",
        lambda q, k: _masked_after(_scores(q, k) / q.shape[-1] ** 0.5),
    ),
    Mistake(
        "future scores are set to 0; after the softmax that is not nothing, it takes minus infinity",
        lambda q, k: (_scores(q, k) / q.shape[-1] ** 0.5).tril().softmax(-1),
    ),
    Mistake(
        "queries and keys are swapped",
        lambda q, k: _masked(_scores(k, q) / q.shape[-1] ** 0.5).softmax(-1),
    ),
    Mistake(
        "those are the scores; the pattern is their softmax", lambda q, k: _masked(_scores(q, k) / q.shape[-1] ** 0.5)
    ),
)


def _from_positions(mistake: Mistake) -> Mistake:
    return Mistake(mistake.message, lambda W_pos, W_Q, W_K: mistake.value(W_pos @ W_Q, W_pos @ W_K))


def _positional(W_pos, W_QK, width):
    return _masked(W_pos @ W_QK @ W_pos.T / width**0.5).softmax(-1)


POSITIONAL = (
    Mistake(
        "divided by the root of d_model; it should be the root of d_head",
        lambda W_pos, W_Q, W_K: _positional(W_pos, W_Q @ W_K.T, len(W_Q)),
    ),
    Mistake(
        "W_Q and W_K are not used: that is positions against positions",
        lambda W_pos, W_Q, W_K: _positional(W_pos, torch.eye(len(W_Q)), W_Q.shape[1]),
    ),
    Mistake("W_Q is used for keys too", lambda W_pos, W_Q, W_K: _positional(W_pos, W_Q @ W_Q.T, W_Q.shape[1])),
    *map(_from_positions, PATTERN),
)

K_COMPOSITION = (
    Mistake(
        "W_OV is missing: those keys are made from the tokens themselves, not from what the earlier head wrote",
        lambda W_E, W_Q, W_K, W_OV: W_E @ W_Q @ (W_E @ W_K).T,
    ),
    Mistake(
        "W_OV is transposed: the earlier head writes x @ W_OV",
        lambda W_E, W_Q, W_K, W_OV: W_E @ W_Q @ (W_E @ W_OV.T @ W_K).T,
    ),
    Mistake(
        "W_OV acts on the query; that is Q-composition. The earlier head tags the key",
        lambda W_E, W_Q, W_K, W_OV: W_E @ W_OV @ W_Q @ (W_E @ W_K).T,
    ),
    Mistake(
        "queries and keys both go through W_OV; only keys do",
        lambda W_E, W_Q, W_K, W_OV: W_E @ W_OV @ W_Q @ (W_E @ W_OV @ W_K).T,
    ),
    Mistake("W_Q and W_K are swapped", lambda W_E, W_Q, W_K, W_OV: W_E @ W_K @ (W_E @ W_OV @ W_Q).T),
    Mistake(
        "rows should be query tokens; the result is transposed",
        lambda W_E, W_Q, W_K, W_OV: W_E @ W_OV @ W_K @ (W_E @ W_Q).T,
    ),
)


def _maybe(fn):
    """A product that exists only for square matrices: elsewhere the mistake cannot be made."""

    def value(W_A, W_B):
        return fn(W_A, W_B) if W_B.shape[1] == W_A.shape[0] else float("nan")

    return value


COMPOSITION = (
    Mistake(
        "the product is taken in the wrong order: the earlier matrix stands on the left, W_A @ W_B",
        _maybe(lambda W_A, W_B: (W_B @ W_A).norm() / W_A.norm() / W_B.norm()),
    ),
    Mistake(
        "the norm of the product alone grows with the matrices; divide by both norms",
        lambda W_A, W_B: (W_A @ W_B).norm(),
    ),
    Mistake("divided by the norm of W_A only", lambda W_A, W_B: (W_A @ W_B).norm() / W_A.norm()),
    Mistake("divided by the norm of W_B only", lambda W_A, W_B: (W_A @ W_B).norm() / W_B.norm()),
    Mistake(
        "multiplied by the norm of W_B (a / b * c): put both norms in one pair of brackets. A score is never above 1",
        lambda W_A, W_B: (W_A @ W_B).norm() / W_A.norm() * W_B.norm(),
    ),
    Mistake(
        "multiplied by the norm of W_A (a / b * c): put both norms in one pair of brackets. A score is never above 1",
        lambda W_A, W_B: (W_A @ W_B).norm() / W_B.norm() * W_A.norm(),
    ),
    Mistake(
        "those are squared norms; take roots",
        lambda W_A, W_B: (W_A @ W_B).pow(2).sum() / W_A.pow(2).sum() / W_B.pow(2).sum(),
    ),
    Mistake(
        "that is the spectral norm (largest singular value); the score uses the Frobenius norm",
        lambda W_A, W_B: (
            torch.linalg.matrix_norm(W_A @ W_B, 2) / torch.linalg.matrix_norm(W_A, 2) / torch.linalg.matrix_norm(W_B, 2)
        ),
    ),
    Mistake(
        "divided by the sum of the norms; it should be their product",
        lambda W_A, W_B: (W_A @ W_B).norm() / (W_A.norm() + W_B.norm()),
    ),
)


def _by_source(q, k, W_Q, W_K):
    return torch.einsum("aqe,bke->abqk", q @ W_Q, k @ W_K) / W_Q.shape[1] ** 0.5


BY_SOURCE = (
    Mistake(
        "the scale is missing: divide by sqrt(d_head)",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K) * W_Q.shape[1] ** 0.5,
    ),
    Mistake(
        "divided by sqrt(d_model); it should be sqrt(d_head)",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K) * (W_Q.shape[1] / W_Q.shape[0]) ** 0.5,
    ),
    Mistake("W_Q and W_K are swapped", lambda q, k, W_Q, W_K: _by_source(q, k, W_K, W_Q)),
    Mistake(
        "the sources are summed: that is the whole score; keep a matrix for each pair of sources",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K).sum((0, 1)),
    ),
    Mistake(
        "the two position axes are the wrong way round: (..., query, key)",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K).transpose(-1, -2),
    ),
    Mistake(
        "the two source axes are the wrong way round: (q_source, k_source, ...)",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K).transpose(0, 1),
    ),
    Mistake(
        "softmax mixes the sources, so that parts no longer add up; keep scores",
        lambda q, k, W_Q, W_K: _by_source(q, k, W_Q, W_K).softmax(-1),
    ),
)


def _replaced(result, heads, value):
    new = result.clone()
    new[:, :, heads] = value.expand_as(result)[:, :, heads]
    return new


MEAN_ABLATE = (
    Mistake(
        "averaged over positions instead of over texts; the mean keeps what every text has at that position",
        lambda result, heads: _replaced(result, heads, result.mean(1, keepdim=True)),
    ),
    Mistake(
        "averaged over texts and positions; keep one mean for each position",
        lambda result, heads: _replaced(result, heads, result.mean((0, 1), keepdim=True)),
    ),
    Mistake(
        "averaged over heads: each head should be replaced by its own mean",
        lambda result, heads: _replaced(result, heads, result.mean(2, keepdim=True)),
    ),
    Mistake(
        "the chosen heads share one mean; each has its own",
        lambda result, heads: _replaced(result, heads, result[:, :, heads].mean((0, 2), keepdim=True)),
    ),
    Mistake(
        "averaged over d_model; the mean is a vector, over texts",
        lambda result, heads: _replaced(result, heads, result.mean(3, keepdim=True)),
    ),
    Mistake("that is zero ablation", lambda result, heads: _replaced(result, heads, torch.zeros_like(result))),
    Mistake(
        "every head was replaced; only those in `chosen` should be",
        lambda result, heads: result.mean(0, keepdim=True).expand_as(result),
    ),
    Mistake(
        "the wrong heads were replaced: those in `chosen` are to go, the others stay",
        lambda result, heads: _replaced(
            result, [h for h in range(result.shape[2]) if h not in heads], result.mean(0, keepdim=True)
        ),
    ),
    Mistake("nothing changed: assign into the copy and return it", lambda result, heads: result),
)


def _soft(q, k):
    return _masked(_scores(q, k) / q.shape[-1] ** 0.5).softmax(-1)


def _written(written, heads):
    return written[:, :, heads].sum(2)


PATH = (
    Mistake(
        "added instead of subtracted: what the heads wrote counts twice now",
        lambda q, k, written, heads, W_K: _soft(q, k + _written(written, heads) @ W_K),
    ),
    Mistake(
        "that is the intact pattern: nothing was taken away, or the same from every key, which a softmax does not see",
        lambda q, k, written, heads, W_K: _soft(q, k),
    ),
    Mistake(
        "only those heads were kept in the keys: k was replaced by what they wrote. Take that out of k instead",
        lambda q, k, written, heads, W_K: _soft(q, _written(written, heads) @ W_K),
    ),
    Mistake(
        "every head was taken out; only those in `chosen` should be",
        lambda q, k, written, heads, W_K: _soft(q, k - written.sum(2) @ W_K),
    ),
    Mistake(
        "the other heads were taken out; those in `chosen` are to go",
        lambda q, k, written, heads, W_K: _soft(q, k - (written.sum(2) - _written(written, heads)) @ W_K),
    ),
    Mistake(
        "the path into queries was cut as well; queries should keep what the heads wrote",
        lambda q, k, written, heads, W_K: _soft(q - _written(written, heads) @ W_K, k - _written(written, heads) @ W_K),
    ),
    Mistake(
        "taken out of the queries; the path goes into the keys",
        lambda q, k, written, heads, W_K: _soft(q - _written(written, heads) @ W_K, k),
    ),
    Mistake(
        "the heads' writes were averaged; they add up",
        lambda q, k, written, heads, W_K: _soft(q, k - written[:, :, heads].mean(2) @ W_K),
    ),
    Mistake(
        "the scale is missing: divide the scores by sqrt(d_head)",
        lambda q, k, written, heads, W_K: _masked(_scores(q, k - _written(written, heads) @ W_K)).softmax(-1),
    ),
    Mistake(
        "the mask is missing: queries attend to the future",
        lambda q, k, written, heads, W_K: (_scores(q, k - _written(written, heads) @ W_K) / q.shape[-1] ** 0.5).softmax(
            -1
        ),
    ),
    Mistake(
        "those are the scores; return the pattern",
        lambda q, k, written, heads, W_K: _masked(_scores(q, k - _written(written, heads) @ W_K) / q.shape[-1] ** 0.5),
    ),
)
