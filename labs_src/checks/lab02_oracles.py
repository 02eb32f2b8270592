"""The right answers of lab 02, slowly: explicit loops in double precision with numpy, one index at a time."""

from __future__ import annotations

import math

import numpy as np
import torch


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def per_token_loss(logits, tokens) -> torch.Tensor:
    """-log p of the token that came, by the definition of a probability."""
    values, came = _array(logits), tokens.tolist()
    loss = np.zeros((len(came), len(came[0]) - 1))
    for b, t in np.ndindex(*loss.shape):
        weights = [math.exp(x) for x in values[b, t]]
        loss[b, t] = -math.log(weights[came[b][t + 1]] / sum(weights))
    return torch.from_numpy(loss)


def offset_score(pattern, offset) -> torch.Tensor:
    """Visit every query that has a key so far back."""
    pattern = _array(pattern)
    batch, heads, n, _ = pattern.shape
    score = []
    for head in range(heads):
        found = [float(pattern[b, head, q, q - offset]) for b in range(batch) for q in range(n) if q - offset >= 0]
        score.append(sum(found) / len(found))
    return torch.tensor(score)


def induction_score(pattern) -> torch.Tensor:
    """Name the tokens of BOS + block + block, and look for the place after the earlier one of the same name."""
    pattern = _array(pattern)
    batch, heads, n, _ = pattern.shape
    length = (n - 1) // 2
    name = ["BOS", *range(length), *range(length)]
    score = []
    for head in range(heads):
        found = []
        for q in range(length + 1, n):
            earlier = next(s for s in range(q) if name[s] == name[q])
            found += [float(pattern[b, head, q, earlier + 1]) for b in range(batch)]
        score.append(sum(found) / len(found))
    return torch.tensor(score)


def full_ov_circuit(W_E, W_V, W_O, W_U) -> torch.Tensor:
    """One source token at a time, one predicted token at a time."""
    E, V, O, U = map(_array, (W_E, W_V, W_O, W_U))  # noqa: E741
    circuit = np.zeros((E.shape[0], U.shape[1]))
    for source in range(E.shape[0]):
        written = np.zeros(O.shape[1])
        for e in range(V.shape[1]):
            written += np.dot(E[source], V[:, e]) * O[e]
        for predicted in range(U.shape[1]):
            circuit[source, predicted] = np.dot(written, U[:, predicted])
    return torch.from_numpy(circuit)


def diagonal_top1(circuit) -> float:
    """Count rows whose diagonal entry beats every other entry."""
    rows = circuit.tolist()
    wins = sum(all(row[i] > other for j, other in enumerate(row) if j != i) for i, row in enumerate(rows))
    return wins / len(rows)


def copying_score(left, right) -> float:
    """From the eigenvalues of the large matrix; the zeros among them change neither sum."""
    eigenvalues = np.linalg.eigvals(_array(left) @ _array(right))
    return float(eigenvalues.real.sum() / np.abs(eigenvalues).sum())


def ov_logits(OV, tokens, pattern) -> torch.Tensor:
    """Position by position: each key adds its token's row of OV, weighted by attention."""
    circuit, attention, n = _array(OV), _array(pattern), len(tokens)
    logits = np.zeros((n, circuit.shape[1]))
    for query in range(n):
        for key in range(n):
            logits[query] += attention[query, key] * circuit[int(tokens[key])]
    return torch.from_numpy(logits)


def attention_pattern(q, k) -> torch.Tensor:
    """Query by query, over the keys that it may see."""
    Q, K = _array(q), _array(k)
    *leading, n, width = Q.shape
    pattern = np.zeros((*leading, n, n))
    for index in np.ndindex(*leading):
        for query in range(n):
            scores = [float(np.dot(Q[index][query], K[index][key])) / math.sqrt(width) for key in range(query + 1)]
            weights = np.exp(np.array(scores) - max(scores))
            pattern[index][query, : query + 1] = weights / weights.sum()
    return torch.from_numpy(pattern)


def positional_pattern(W_pos, W_Q, W_K) -> torch.Tensor:
    """The bilinear form of every pair of positions."""
    P, M = _array(W_pos), _array(W_Q) @ _array(W_K).T
    n = len(P)
    pattern = np.zeros((n, n))
    for query in range(n):
        weights = np.array([math.exp(P[query] @ M @ P[key] / math.sqrt(W_Q.shape[1])) for key in range(query + 1)])
        pattern[query, : query + 1] = weights / weights.sum()
    return torch.from_numpy(pattern)


def k_composition(W_E, W_Q, W_K, W_OV) -> torch.Tensor:
    """For each pair of tokens, make the query and the key as the model would, and multiply."""
    E, Q, K, OV = map(_array, (W_E, W_Q, W_K, W_OV))
    circuit = np.zeros((len(E), len(E)))
    for a, query_token in enumerate(E):
        for b, previous_token in enumerate(E):
            tag = np.einsum("d,df->f", previous_token, OV)
            circuit[a, b] = np.einsum("d,de,f,fe->", query_token, Q, tag, K)
    return torch.from_numpy(circuit)


def composition_score(W_A, W_B) -> float:
    """Frobenius norms from singular values."""
    A, B = _array(W_A), _array(W_B)

    def norm(M: np.ndarray) -> float:
        return math.sqrt((np.linalg.svd(M, compute_uv=False) ** 2).sum())

    return norm(A @ B) / norm(A) / norm(B)


def scores_by_source(q_sources, k_sources, W_Q, W_K) -> torch.Tensor:
    """Every pair of sources and positions on its own."""
    Q, K = _array(q_sources), _array(k_sources)
    M = _array(W_Q) @ _array(W_K).T / math.sqrt(W_Q.shape[1])
    scores = np.zeros((len(Q), len(K), Q.shape[1], Q.shape[1]))
    for i, j, query, key in np.ndindex(*scores.shape):
        scores[i, j, query, key] = Q[i, query] @ M @ K[j, key]
    return torch.from_numpy(scores)


def mean_ablate(result, heads) -> torch.Tensor:
    """Entry by entry: the average over texts at the same position, for the chosen heads."""
    values = _array(result)
    new = values.copy()
    for text, position, head in np.ndindex(*values.shape[:3]):
        if head in heads:
            new[text, position, head] = sum(values[other, position, head] for other in range(len(values))) / len(values)
    return torch.from_numpy(new)


def path_ablated(q, k, written, heads, W_K) -> torch.Tensor:
    """Key by key, head by head."""
    keys, wrote, K = _array(k).copy(), _array(written), _array(W_K)
    for text, position in np.ndindex(*keys.shape[:2]):
        for head in heads:
            keys[text, position] -= wrote[text, position, head] @ K
    return attention_pattern(q, torch.from_numpy(keys))
