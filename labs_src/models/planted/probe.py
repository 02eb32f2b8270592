"""Does a planted circuit act? Answered by running the model on prompts, never by reading weights.

Each prompt is ``<bos>``, fillers that hold nothing the head reads, a token with the key feature, and last a token with
the query feature. Its control is the same prompt with a filler instead of the key token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labs_src.models.planted.circuits import Circuit
from labs_src.models.planted.directions import Features
from labs_src.models.planted.text import BOS, SPECIAL, Vocabulary

JOINING = ("attend", "like-to-like", "repulsion")
"""Kinds of circuit that join two features."""


@dataclass(frozen=True)
class Seen:
    """What a run showed.

    Attributes:
        pattern: attention [layer, batch, head, query, key].
        stream: residual stream before each layer, and after the last [layer + 1, batch, pos, d_model], in units of
            sqrt(d_model), in which a token holds about 1 of a feature.
    """

    pattern: Float[Tensor, "layer batch head query key"]
    stream: Float[Tensor, "layer_1 batch pos d_model"]


@dataclass(frozen=True)
class Act:
    """What one circuit did, means over prompts.

    Attributes:
        circuit: which.
        attention: from query to key token, in the circuit's head.
        control: the same cell with a filler in place of the key token.
        log_ratio: mean of log(attention / control).
        elsewhere: largest change of that cell in the layer's other heads.
        written: change of the written feature at the query, at the head's layer; nan if the circuit writes nothing.
        side_effect: largest change of any other feature there.
    """

    circuit: Circuit
    attention: float
    control: float
    log_ratio: float
    elsewhere: float
    written: float
    side_effect: float


def hugging_face(model: Any) -> Any:
    """The Hugging Face model inside a bridge, or the model itself."""
    return getattr(model, "original_model", model)


@torch.no_grad()
def observe(model: Any, tokens: Int[Tensor, "batch pos"], without: Sequence[tuple[int, int]] = ()) -> Seen:
    """Run the model.

    Args:
        model: a bridge or a ``Gemma2ForCausalLM``.
        tokens: prompts of one length.
        without: (layer, head) pairs whose output is set to zero.
    """
    model, last, handles = hugging_face(model), [], []
    size = model.config.head_dim

    def blank(head: int):
        def hook(module: Any, args: tuple) -> tuple:
            z = args[0].clone()
            z[..., head * size : (head + 1) * size] = 0
            return (z, *args[1:])

        return hook

    for layer, head in without:
        handles.append(model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(blank(head)))
    handles.append(model.model.norm.register_forward_pre_hook(lambda module, args: last.append(args[0])))
    try:
        out = model(tokens, output_attentions=True, output_hidden_states=True, logits_to_keep=1)  # nobody reads logits
    finally:
        for handle in handles:
            handle.remove()
    stream = torch.stack([*out.hidden_states[:-1], last[0]])  # the library's last one is already normed
    return Seen(torch.stack(out.attentions), stream / model.config.hidden_size**0.5)


def used_by(circuits: Sequence[Circuit], layer: int, head: int) -> set[int]:
    """Features that a head's circuits read as query or key."""
    mine = [c for c in circuits if (c.layer, c.head) == (layer, head)]
    return {f for c in mine for f in (c.query, c.key) if f is not None}


def prompts(
    circuit: Circuit,
    circuits: Sequence[Circuit],
    words: Vocabulary,
    rng: np.random.Generator,
    n: int = 8,
    length: int = 32,
    distance: int | None = None,
    query: int | None = None,
    key: int | None = None,
    any_filler: bool = False,
) -> tuple[Int[Tensor, "n pos"], Int[Tensor, "n pos"], np.ndarray]:
    """Prompts for a circuit, their controls, and where the key token stands [n]; the query token stands last.

    Args:
        distance: from key to query; by default the circuit's own, else random.
        query, key: other features than the circuit's (for a tetrad's other cells).
        any_filler: fillers may hold what the head reads: rivals for the attention.
    """
    query, key = circuit.query if query is None else query, circuit.key if key is None else key
    used, distance = used_by(circuits, circuit.layer, circuit.head), distance or circuit.distance
    fillers = list(range(len(SPECIAL), len(words.words))) if any_filler else words.without(used)
    reach = length - 2  # not BOS

    def holding(feature: int) -> list[int]:
        # nothing else that the head reads, where such a token exists
        clean = [t for t in words.with_feature(feature) if not (used - {feature}) & set(words.features[t].tolist())]
        return clean or words.with_feature(feature)

    tokens = rng.choice(fillers, (n, length))
    tokens[:, 0], tokens[:, -1] = BOS, rng.choice(holding(query), n)
    at = length - 1 - (np.full(n, distance) if distance else rng.integers(1, reach + 1, n))
    control = tokens.copy()
    tokens[np.arange(n), at] = rng.choice(holding(key), n)
    return torch.tensor(tokens), torch.tensor(control), at


def acts(
    model: Any,
    circuits: Sequence[Circuit],
    features: Features,
    words: Vocabulary,
    seed: int = 0,
    n: int = 8,
    length: int = 32,
    any_filler: bool = False,
) -> list[Act]:
    """What every circuit that joins two features does (not heads as a whole, not tetrads), in one run of the model."""
    rng = np.random.default_rng(seed)
    wanted = [c for c in circuits if c.kind in JOINING]
    made = [prompts(c, circuits, words, rng, n, length, any_filler=any_filler) for c in wanted]
    seen = observe(model, torch.cat([p for with_, control, _ in made for p in (with_, control)]))
    rows, found = torch.arange(n), []
    for i, (c, (_, _, at)) in enumerate(zip(wanted, made)):
        one, two = slice(2 * i * n, (2 * i + 1) * n), slice((2 * i + 1) * n, (2 * i + 2) * n)
        cell = seen.pattern[c.layer][:, :, -1]  # [batch, head, key]
        yes, no = cell[one][rows, :, at], cell[two][rows, :, at]  # [n, head]
        update = (seen.stream[c.layer + 1] - seen.stream[c.layer])[:, -1]
        change = ((update[one] - update[two]) @ features.directions.T).mean(0)
        others = [h for h in range(yes.shape[1]) if h != c.head]
        written = float(change[c.writes]) if c.writes is not None else float("nan")
        if c.writes is not None:
            change[c.writes] = 0
        found.append(
            Act(
                circuit=c,
                attention=float(yes[:, c.head].mean()),
                control=float(no[:, c.head].mean()),
                log_ratio=float((yes[:, c.head].log() - no[:, c.head].log()).mean()),
                elsewhere=float((yes - no)[:, others].mean(0).abs().max()),
                written=written,
                side_effect=float(change.abs().max()),
            )
        )
    return found


def by_distance(
    model: Any,
    circuit: Circuit,
    circuits: Sequence[Circuit],
    words: Vocabulary,
    distances: Sequence[int],
    seed: int = 0,
) -> list[float]:
    """Attention from query to key token at each distance, mean over prompts."""
    length = max(distances) + 2
    found = []
    for d in distances:
        tokens, _, at = prompts(circuit, circuits, words, np.random.default_rng(seed), length=length, distance=d)
        pattern = observe(model, tokens).pattern[circuit.layer]
        found.append(float(pattern[torch.arange(len(tokens)), circuit.head, -1, at].mean()))
    return found


def tetrad(
    model: Any, circuit: Circuit, circuits: Sequence[Circuit], words: Vocabulary, seed: int = 0
) -> list[list[float]]:
    """Mean log(attention / control) of the four cells [query a, b][key a, b]."""
    pair, table = (circuit.query, circuit.key), []
    for query in pair:
        table.append([])
        for key in pair:
            yes, no, at = prompts(circuit, circuits, words, np.random.default_rng(seed), query=query, key=key)
            pattern = observe(model, torch.cat([yes, no])).pattern[circuit.layer][:, circuit.head, -1]
            cells = pattern[torch.arange(2 * len(yes)), np.r_[at, at]].log()
            table[-1].append(float((cells[: len(yes)] - cells[len(yes) :]).mean()))
    return table


def repeated(words: Vocabulary, n_ids: int, n: int = 16, block: int = 16, seed: int = 0) -> Int[Tensor, "n pos"]:
    """``<bos>``, a block of tokens with different id classes, and the block again.

    Raises:
        ValueError: if there are fewer id classes than tokens in a block.
    """
    if block > n_ids:
        raise ValueError(f"a block of {block} tokens needs as many id classes; there are {n_ids}")
    rng = np.random.default_rng(seed)
    by_class = [words.with_feature(i) for i in range(n_ids)]
    blocks = [[rng.choice(by_class[i]) for i in rng.permutation(n_ids)[:block]] for _ in range(n)]
    return torch.tensor(np.array([[BOS, *b, *b] for b in blocks]))


def previous_score(model: Any, layer: int, head: int, tokens: Tensor) -> float:
    """Mean attention to the token before, over all queries but the first."""
    return float(observe(model, tokens).pattern[layer][:, head].diagonal(-1, 1, 2).mean())


def induction_score(
    model: Any, layer: int, head: int, tokens: Tensor, without: Sequence[tuple[int, int]] = ()
) -> float:
    """Mean attention in the second copy to what followed the token in the first. ``tokens`` as from ``repeated``."""
    block = (tokens.shape[1] - 1) // 2
    stripe = observe(model, tokens, without).pattern[layer][:, head].diagonal(-(block - 1), 1, 2)
    return float(stripe[:, 2:].mean())  # queries block + 1 on, the second copy


def next_class_accuracy(
    model: Any, tokens: Tensor, features: Features, words: Vocabulary, without: Sequence[tuple[int, int]] = ()
) -> float:
    """Share of second-copy positions whose residual's largest id class, the token's own left out, is the next's."""
    block = (tokens.shape[1] - 1) // 2
    stream = observe(model, tokens, without).stream[-1]
    ids = words.features[tokens][..., 2]
    scores = stream @ features.directions[: features.n_ids].T
    scores = scores.scatter(2, ids.clamp(min=0)[..., None], -torch.inf)
    return float((scores.argmax(-1)[:, block + 1 : -1] == ids[:, block + 2 :]).float().mean())
