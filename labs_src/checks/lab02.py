"""Lab 02: induction heads and OV diagonals. Oracles and mistakes are in `lab02_oracles`."""

from __future__ import annotations

import torch

from labs_src.checks import lab02_mistakes as wrong
from labs_src.checks import lab02_oracles as right
from labs_src.checks.compare import expect, normal
from labs_src.checks.contract import Exercise, Part

HEADING_LOSS = "1 A number that should not be possible"
HEADING_HEADS = "2 Which heads?"
HEADING_OV = "3 What is copied: the OV circuit"
HEADING_WHY = "4 Why it is diagonal"
HEADING_QK = "5 Where to look: the QK circuit"
HEADING_K = "6 Two heads, one circuit"
HEADING_ABLATION = "7 Does it matter?"


def _integers(rng, low: int, high: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(low, high, size=shape)).long()


def _pattern(rng, *leading: int, tokens: int) -> torch.Tensor:
    """Causal attention with uneven weights: no row is uniform, no head like another."""
    scores = normal(rng, *leading, tokens, tokens, scale=2.0)
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


# ── 1 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _logits_and_tokens(rng) -> dict:
    return {"logits": normal(rng, 3, 7, 11, scale=3.0), "tokens": _integers(rng, 0, 11, 3, 7)}


PER_TOKEN_LOSS = Exercise(
    name="per_token_loss",
    lab="02",
    title="The loss of each token",
    parts=(
        Part(
            "the loss of every next token",
            2,
            _logits_and_tokens,
            expect(right.per_token_loss, axes="batch pos-1", mistakes=wrong.PER_TOKEN_LOSS),
        ),
    ),
    hints=(
        "The logits at position t are about the token at position t+1. How many positions have a token to predict?",
        "Turn logits[:, :-1] into log-probabilities over the vocabulary, then pick the entry of the token that came.",
        "log_probs.gather(-1, tokens[:, 1:, None])[..., 0], with a minus sign.",
    ),
    read_again=HEADING_LOSS,
    difficulty=1,
    importance=4,
    minutes=5,
)


# ── 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _at_offset(low: int, high: int):
    def inputs(rng) -> dict:
        return {"pattern": _pattern(rng, 3, 4, tokens=9), "offset": int(rng.integers(low, high))}

    return inputs


OFFSET_SCORE = Exercise(
    name="offset_score",
    lab="02",
    title="How much a head looks a fixed distance back",
    parts=tuple(
        Part(name, 1, _at_offset(low, high), expect(right.offset_score, axes="head", mistakes=wrong.OFFSET_SCORE))
        for name, low, high in [("one token back", 1, 2), ("offset 0, the token itself", 0, 1), ("further back", 2, 7)]
    ),
    hints=(
        "Queries are rows and keys are columns. Where in the matrix is everything that lies one to the left of the diagonal?",
        "tensor.diagonal(k, dim1, dim2) takes a diagonal out of every matrix; which sign has k below the main one?",
        "pattern.diagonal(-offset, -2, -1) has shape (batch, head, n); take the mean over the first and the last axis.",
    ),
    read_again=HEADING_HEADS,
    difficulty=2,
    importance=4,
    minutes=6,
)


def _two_copies(rng) -> dict:
    return {"pattern": _pattern(rng, 2, 3, tokens=1 + 2 * int(rng.integers(4, 8)))}


def _ideal_heads(rng) -> dict:
    """Heads that put everything on one place: the right one, one before it, one after it, the same token."""
    length = int(rng.integers(4, 8))
    n = 1 + 2 * length
    pattern = torch.zeros(2, 4, n, n)
    for head, back in enumerate((length - 1, length, length - 2, 0)):
        for query in range(n):
            pattern[:, head, query, max(query - back, 0)] = 1.0
    return {"pattern": pattern}


INDUCTION_SCORE = Exercise(
    name="induction_score",
    lab="02",
    title="The induction score",
    parts=(
        Part("random patterns", 2, _two_copies, expect(right.induction_score, axes="head", mistakes=wrong.INDUCTION)),
        Part(
            "a perfect head has 1, its neighbours by one token have 0",
            1,
            _ideal_heads,
            expect(right.induction_score, axes="head", mistakes=wrong.INDUCTION),
        ),
    ),
    hints=(
        "Write down a block of three: positions 0 BOS, 1 2 3, 4 5 6. The token at 5 was at 2. Which position do you want?",
        "From query q the key is q - L + 1, so one diagonal holds everything. But not every entry of it belongs to the second copy.",
        "L = pattern.shape[-1] // 2; pattern.diagonal(-(L - 1), -2, -1)[..., -L:] has the L queries of the second copy.",
    ),
    read_again=HEADING_HEADS,
    difficulty=3,
    importance=5,
    minutes=10,
)


# ── 3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _ov_weights(rng) -> dict:
    return {
        "W_E": normal(rng, 11, 7),
        "W_V": normal(rng, 7, 3),
        "W_O": normal(rng, 3, 7),
        "W_U": normal(rng, 7, 13),
    }


FULL_OV_CIRCUIT = Exercise(
    name="full_ov_circuit",
    lab="02",
    title="The full OV circuit",
    parts=(
        Part(
            "a row for each source token, a column for each predicted token",
            2,
            _ov_weights,
            expect(right.full_ov_circuit, axes="source predicted", mistakes=wrong.FULL_OV),
        ),
    ),
    hints=(
        "Follow one token: it is embedded, turned into a value, written back to the stream, and read by the unembedding.",
        "With row vectors each step multiplies on the right: x @ W.",
        "Four factors in the order in which they act: W_E, W_V, W_O, W_U.",
    ),
    read_again=HEADING_OV,
    difficulty=1,
    importance=5,
    minutes=4,
)


def _partly_diagonal(rng) -> dict:
    """No ties; one row wins with a negative diagonal; every listed mistake gives a number of its own."""
    while True:
        circuit = normal(rng, 12, 12)
        wins = rng.choice(12, size=int(rng.integers(4, 8)), replace=False)
        circuit[wins, wins] += 2.0
        circuit[wins[0], wins[0]] = circuit[wins[0]].max() + 1.0
        circuit[wins[0]] -= 8.0
        answers = [fn(circuit) for fn in (right.diagonal_top1, *(m.value for m in wrong.DIAGONAL_WITHOUT_TIES))]
        if len({round(answer, 3) for answer in answers}) == len(answers):
            return {"circuit": circuit}


def _with_ties(rng) -> dict:
    """Rows without any preference (all zero, as for a token that a head ignores) beside clear ones.

    The first and the last row are among them, so that argmax picks the diagonal whichever tied entry it prefers.
    """
    circuit = normal(rng, 7, 7)
    circuit.diagonal().add_(6.0)
    circuit[[0, 6, int(rng.integers(1, 6))]] = 0.0
    return {"circuit": circuit}


DIAGONAL_TOP1 = Exercise(
    name="diagonal_top1",
    lab="02",
    title="How often the diagonal wins",
    parts=(
        Part(
            "rows in which the diagonal is largest",
            1,
            _partly_diagonal,
            expect(right.diagonal_top1, mistakes=wrong.DIAGONAL),
        ),
        Part(
            "a row whose best entries tie does not count",
            1,
            _with_ties,
            expect(right.diagonal_top1, mistakes=wrong.DIAGONAL),
        ),
    ),
    hints=(
        "A source token is a row. Ask each row which predicted token it favours.",
        "argmax picks one of several equal entries, so an all-zero row can win by luck. Compare the diagonal with the rest instead.",
        "Put -inf on the diagonal of a copy, take .max(dim=1).values, and see how often the diagonal is strictly above it.",
    ),
    read_again=HEADING_OV,
    difficulty=2,
    importance=4,
    minutes=6,
)


def _factors(rng) -> dict:
    """A product of rank 3 that copies partly: some eigenvalues are positive, some are not."""
    left = normal(rng, 17, 3)
    signs = torch.tensor([1.0, 1.0, -1.0]) * torch.from_numpy(rng.uniform(0.5, 2.0, 3)).float()
    inner = _skewed(rng, torch.diag(signs))
    return {"left": left, "right": inner @ torch.linalg.pinv(left) + 0.05 * normal(rng, 3, 17)}


def _skewed(rng, inner: torch.Tensor) -> torch.Tensor:
    """The same eigenvalues on axes that are not orthogonal: only then do singular values differ from their sizes."""
    skew = torch.eye(3) + torch.triu(torch.ones(3, 3), 1) * float(rng.uniform(0.6, 1.0))
    return skew @ inner @ torch.linalg.inv(skew)


def _rotating_factors(rng) -> dict:
    """Two complex eigenvalues, so that the size of an eigenvalue is not its real part."""
    left = normal(rng, 17, 3)
    angle, size = rng.uniform(0.5, 1.2), rng.uniform(1.0, 2.0)
    c, s = size * float(torch.cos(torch.tensor(angle))), size * float(torch.sin(torch.tensor(angle)))
    inner = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return {"left": left, "right": _skewed(rng, inner) @ torch.linalg.pinv(left)}


COPYING_SCORE = Exercise(
    name="copying_score",
    lab="02",
    title="Copying, by eigenvalues of a factored matrix",
    parts=(
        Part(
            "real eigenvalues of both signs",
            1,
            _factors,
            expect(right.copying_score, mistakes=wrong.COPYING, rtol=1e-3),
        ),
        Part(
            "complex eigenvalues", 1, _rotating_factors, expect(right.copying_score, mistakes=wrong.COPYING, rtol=1e-3)
        ),
    ),
    hints=(
        "left @ right and right @ left have the same eigenvalues, apart from zeros. One of the two is small.",
        "torch.linalg.eigvals(right @ left) is complex: its real parts sum to the trace, its sizes are .abs().",
        "Divide eigenvalues.real.sum() by eigenvalues.abs().sum().",
    ),
    read_again=HEADING_OV,
    difficulty=2,
    importance=3,
    minutes=6,
)


# ── 4 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _distinct_text(rng) -> dict:
    """The last token of the vocabulary never comes, so a one-hot without the vocabulary's size is too narrow."""
    tokens = torch.from_numpy(rng.permutation(11)[:6]).long()
    return {"OV": normal(rng, 12, 9), "tokens": tokens, "pattern": _pattern(rng, tokens=6)}


def _repeating_text(rng) -> dict:
    tokens = _integers(rng, 0, 3, 8)
    return {"OV": normal(rng, 4, 5), "tokens": tokens, "pattern": _pattern(rng, tokens=8)}


OV_LOGITS = Exercise(
    name="ov_logit_contribution",
    lab="02",
    title="Logits from A, X and OV",
    parts=(
        Part(
            "distinct tokens",
            2,
            _distinct_text,
            expect(right.ov_logits, axes="pos predicted", mistakes=wrong.OV_LOGITS),
        ),
        Part(
            "a token that comes twice collects attention twice",
            1,
            _repeating_text,
            expect(right.ov_logits, axes="pos predicted", mistakes=wrong.OV_LOGITS),
        ),
    ),
    hints=(
        "Three matrices: (query, key) times (key, vocab) times (vocab, vocab_out). The second says which token is where.",
        "X is one-hot, a row for each position and a column for each token of the vocabulary, also for those not in the text.",
        "X = torch.nn.functional.one_hot(tokens, len(OV)).float(); then pattern @ X @ OV.",
    ),
    read_again=HEADING_WHY,
    difficulty=3,
    importance=5,
    minutes=10,
)


# ── 5 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _queries_and_keys(rng) -> dict:
    return {"q": normal(rng, 3, 7, 5, scale=1.5), "k": normal(rng, 3, 7, 5, scale=1.5)}


def _batch_of_heads(rng) -> dict:
    return {"q": normal(rng, 2, 3, 6, 4, scale=1.5), "k": normal(rng, 2, 3, 6, 4, scale=1.5)}


ATTENTION_PATTERN = Exercise(
    name="attention_pattern",
    lab="02",
    title="From queries and keys to a pattern",
    parts=(
        Part(
            "several heads: scaled, masked, normalised",
            2,
            _queries_and_keys,
            expect(right.attention_pattern, axes="head query key", mistakes=wrong.PATTERN),
        ),
        Part(
            "any leading axes (batch and head)",
            1,
            _batch_of_heads,
            expect(right.attention_pattern, axes="batch head query key", mistakes=wrong.PATTERN),
        ),
    ),
    hints=(
        "Three steps: dot products divided by the root of d_head, the future set to minus infinity, softmax over keys.",
        "k.transpose(-1, -2) keeps the leading axes. A query may attend to itself, so the main diagonal stays.",
        "torch.ones(n, n, dtype=torch.bool).triu(1) is True in the future; scores.masked_fill(future, -torch.inf).softmax(-1).",
    ),
    read_again=HEADING_QK,
    difficulty=2,
    importance=4,
    minutes=8,
)


def _position_weights(rng) -> dict:
    return {"W_pos": normal(rng, 9, 6), "W_Q": normal(rng, 6, 4), "W_K": normal(rng, 6, 4)}


POSITIONAL_PATTERN = Exercise(
    name="positional_pattern",
    lab="02",
    title="What position alone attends to",
    parts=(
        Part(
            "the pattern if every token embedding were zero",
            2,
            _position_weights,
            expect(right.positional_pattern, axes="query key", mistakes=wrong.POSITIONAL),
        ),
    ),
    hints=(
        "Give the head nothing but position embeddings to make queries and keys from.",
        "Row t of W_pos @ W_Q is the query of position t.",
        "Your attention_pattern does the rest: it takes q and k.",
    ),
    read_again=HEADING_QK,
    difficulty=2,
    importance=3,
    minutes=5,
)


# ── 6 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _composition_weights(rng) -> dict:
    return {"W_E": normal(rng, 9, 6), "W_Q": normal(rng, 6, 4), "W_K": normal(rng, 6, 4), "W_OV": normal(rng, 6, 6)}


K_COMPOSITION = Exercise(
    name="k_composition_circuit",
    lab="02",
    title="The full K-composition circuit",
    parts=(
        Part(
            "a row for each query token, a column for each token before the key",
            3,
            _composition_weights,
            expect(right.k_composition, axes="query_token previous_token", mistakes=wrong.K_COMPOSITION),
        ),
    ),
    hints=(
        "The query is made from a token's embedding. The key is made from what the earlier head wrote for another token.",
        "Rows of W_E @ W_Q are queries. What stands in place of W_E on the key's side?",
        "Keys are (W_E @ W_OV) @ W_K; the circuit is queries @ keys.T.",
    ),
    read_again=HEADING_K,
    difficulty=3,
    importance=5,
    minutes=8,
)


def _chain(rng) -> dict:
    return {"W_A": normal(rng, 7, 5, scale=0.3), "W_B": normal(rng, 5, 9, scale=4.0)}


def _square_chain(rng) -> dict:
    return {"W_A": normal(rng, 6, 2) @ normal(rng, 2, 6), "W_B": normal(rng, 6, 3) @ normal(rng, 3, 6)}


COMPOSITION_SCORE = Exercise(
    name="composition_score",
    lab="02",
    title="The composition score",
    parts=tuple(
        Part(name, 1, inputs, expect(right.composition_score, mistakes=wrong.COMPOSITION))
        for name, inputs in [("matrices of any scale", _chain), ("square matrices of low rank", _square_chain)]
    ),
    hints=(
        "How large is the product, for matrices of this size? The score must not change when a matrix is doubled.",
        "The Frobenius norm is the root of the sum of squared entries: tensor.norm().",
        "(W_A @ W_B).norm() / (W_A.norm() * W_B.norm())",
    ),
    read_again=HEADING_K,
    difficulty=1,
    importance=3,
    minutes=4,
)


def _sources(rng) -> dict:
    return {
        "q_sources": normal(rng, 2, 5, 6),
        "k_sources": normal(rng, 3, 5, 6),
        "W_Q": normal(rng, 6, 4),
        "W_K": normal(rng, 6, 4),
    }


SCORES_BY_SOURCE = Exercise(
    name="scores_by_source",
    lab="02",
    title="An attention score, split by source",
    parts=(
        Part(
            "a matrix of scores for each pair of sources",
            3,
            _sources,
            expect(right.scores_by_source, axes="q_source k_source query key", mistakes=wrong.BY_SOURCE),
        ),
    ),
    hints=(
        "Queries and keys are linear in the stream, so each source has a query and a key of its own.",
        "q = q_sources @ W_Q has shape (q_source, pos, d_head). Every query meets every key: four axes stay, one is summed.",
        'torch.einsum("aqe,bke->abqk", q, k), then the usual scale.',
    ),
    read_again=HEADING_K,
    difficulty=3,
    importance=4,
    minutes=8,
)


# ── 7 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _results(count: int):
    def inputs(rng) -> dict:
        heads = sorted(int(h) for h in rng.permutation(4)[:count])
        offset = normal(rng, 1, 5, 4, 6, scale=2.0)  # a mean that depends on position and head
        return {"result": normal(rng, 3, 5, 4, 6) + offset, "chosen": heads}

    return inputs


MEAN_ABLATE = Exercise(
    name="mean_ablate",
    lab="02",
    title="Mean ablation",
    parts=tuple(
        Part(name, 1, _results(n), expect(right.mean_ablate, axes="batch pos head d_model", mistakes=wrong.MEAN_ABLATE))
        for name, n in [("one head", 1), ("two heads, each with its own mean", 2)]
    ),
    hints=(
        "The mean removes what differs between texts. Over which axis do texts differ?",
        "result[:, :, chosen].mean(dim=0, keepdim=True) keeps position and head.",
        "Clone first, then assign into the clone: new[:, :, chosen] = that mean (it broadcasts over the batch).",
    ),
    read_again=HEADING_ABLATION,
    difficulty=2,
    importance=4,
    minutes=6,
)


def _path(count: int):
    def inputs(rng) -> dict:
        return {
            "q": normal(rng, 2, 6, 5, scale=1.5),
            "k": normal(rng, 2, 6, 5, scale=1.5),
            "written": normal(rng, 2, 6, 4, 7),
            "chosen": sorted(int(h) for h in rng.permutation(4)[:count]),
            "W_K": normal(rng, 7, 5, scale=0.5),
        }

    return inputs


PATH_ABLATED = Exercise(
    name="path_ablated_pattern",
    lab="02",
    title="Path ablation: keys without some heads",
    parts=(
        Part(
            "one head taken out of the keys",
            2,
            _path(1),
            expect(right.path_ablated, axes="batch query key", mistakes=wrong.PATH),
        ),
        Part("several heads", 1, _path(2), expect(right.path_ablated, axes="batch query key", mistakes=wrong.PATH)),
        Part(
            "no head: nothing changes",
            1,
            _path(0),
            expect(right.path_ablated, axes="batch query key", mistakes=wrong.PATH),
        ),
    ),
    hints=(
        "A key is linear in the stream. What did these heads add to it?",
        "Sum what the chosen heads wrote, pass it through W_K, and subtract that from k. Queries stay as they are.",
        "k - written[:, :, chosen].sum(2) @ W_K, then attention_pattern.",
    ),
    read_again=HEADING_ABLATION,
    difficulty=4,
    importance=5,
    minutes=10,
)


EXERCISES = (
    PER_TOKEN_LOSS,
    OFFSET_SCORE,
    INDUCTION_SCORE,
    FULL_OV_CIRCUIT,
    DIAGONAL_TOP1,
    COPYING_SCORE,
    OV_LOGITS,
    ATTENTION_PATTERN,
    POSITIONAL_PATTERN,
    K_COMPOSITION,
    COMPOSITION_SCORE,
    SCORES_BY_SOURCE,
    MEAN_ABLATE,
    PATH_ABLATED,
)
