"""Reading a dictionary: what makes its latents fire, what they promote, and what they do when they are changed.

Codes z are [sequence, position, latent]; position 0 is ``<bos>`` and is left out of every statistic, since the
dictionaries never saw it. A place is a pair (sequence, position). A direct effect is a latent's own path to the
logits, through the final norm and the unembedding alone (seed 002, "SAE dashboard interp").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@torch.no_grad()
def activations(
    model: Any, hook: str, ids: Int[Tensor, "sequence position"], chunk: int = 64
) -> Float[Tensor, "sequence position d_in"]:
    """What stands at a hook point, unscaled, ``<bos>`` included.

    Args:
        model: a TransformerBridge, or anything with ``run_with_cache``.
        hook: such as ``blocks.2.hook_resid_post``.
        chunk: sequences at a time.
    """
    return torch.cat([model.run_with_cache(part, names_filter=hook)[1][hook] for part in ids.split(chunk)])


def spoken(values: Float[Tensor, "sequence position ..."]) -> Float[Tensor, "token ..."]:
    """One row for each token but ``<bos>``, sequence by sequence."""
    return values[:, 1:].flatten(0, 1)


def explained_variance(x: Tensor, x_hat: Tensor) -> float:
    """1 - |x - x_hat|^2 / |x - mean of x|^2, without ``<bos>``; both [sequence, position, d_in]."""
    rows, error = spoken(x), spoken(x - x_hat)
    return 1 - float(error.pow(2).sum() / (rows - rows.mean(0)).pow(2).sum())


def top_places(z: Float[Tensor, "sequence position"], k: int) -> Int[Tensor, "k 2"]:
    """The k sequences in which one latent fires most, each by its highest place; fewer if it fires in fewer."""
    highest, position = z[:, 1:].max(1)
    order = highest.argsort(descending=True, stable=True)[:k]
    order = order[highest[order] > 0]
    return torch.stack([order, position[order] + 1], dim=1)


def quantile_places(z: Float[Tensor, "sequence position"], quantiles: list[float]) -> Int[Tensor, "quantile 2"]:
    """Places whose activation has these quantiles among the places where the latent fires at all.

    Raises:
        ValueError: the latent fires nowhere.
    """
    values = z.clone()
    values[:, 0] = 0
    flat = values.flatten()
    on = flat.nonzero().squeeze(1)
    if not len(on):
        raise ValueError("this latent never fires in this text; choose another, or read more text")
    on = on[flat[on].argsort(stable=True)]
    chosen = on[[round(q * (len(on) - 1)) for q in quantiles]]
    return torch.stack([chosen // z.shape[1], chosen % z.shape[1]], dim=1)


@dataclass(frozen=True)
class Context:
    """Words around a place, what the latent does at each, and which of them is the place."""

    words: list[str]
    activations: list[float]
    at: int


def contexts(
    z: Float[Tensor, "sequence position"], words: list[list[str]], places: Tensor, before: int = 7, after: int = 3
) -> Iterator[Context]:
    """The text around each place; cut at the ends of the sequence."""
    for sequence, position in places.tolist():
        start, end = max(1, position - before), min(z.shape[1], position + after + 1)
        yield Context(words[sequence][start:end], z[sequence, start:end].tolist(), position - start)


def direct_effects(dictionary: Any, model: Any) -> Float[Tensor, "latent token"]:
    """What a unit of each latent adds to each logit on its own path: W_dec, the final norm's gain, the unembedding.

    Leaves out what the layers in between make of it, the norm's division by the rms (one factor for a token), and the
    softcap (which keeps the order). For Gemma, whose norms multiply by 1 + weight.
    """
    return (dictionary.W_dec * final_gain(model)) @ unembedding(model)


def final_gain(model: Any) -> Float[Tensor, " d_in"]:
    """What Gemma's final norm multiplies with: 1 + its weight."""
    return 1 + model.original_model.model.norm.weight.detach().float()


def unembedding(model: Any) -> Float[Tensor, "d_in token"]:
    """W_U, in float32."""
    return model.original_model.lm_head.weight.detach().float().T


@torch.no_grad()
def logits_with(
    model: Any, hook: str, ids: Int[Tensor, "batch position"], x: Float[Tensor, "batch position d_in"]
) -> Float[Tensor, "batch position token"]:
    """The model's logits when x stands at the hook point."""
    return model.run_with_hooks(ids, fwd_hooks=[(hook, lambda value, hook: x.to(value.dtype))])


def gradients(
    model: Any,
    hook: str,
    ids: Int[Tensor, "batch position"],
    positions: Int[Tensor, " batch"],
    tokens: Int[Tensor, " batch"],
) -> Float[Tensor, "batch position d_in"]:
    """The gradient of one logit per text (of ``tokens`` at ``positions``) by what stands at the hook point."""
    kept: list[Tensor] = []

    def keep(value: Tensor, hook: Any) -> Tensor:
        kept.append(value.detach().clone().requires_grad_(True))
        return kept[0]

    with torch.enable_grad():
        logits = model.run_with_hooks(ids, fwd_hooks=[(hook, keep)])
        chosen = logits[torch.arange(len(ids)), positions, tokens].sum()
        return torch.autograd.grad(chosen, kept[0])[0]


def with_latent(
    x: Float[Tensor, "... d_in"],
    z: Float[Tensor, "... latent"],
    W_dec: Float[Tensor, "latent d_in"],
    latent: int,
    value: float,
) -> Float[Tensor, "... d_in"]:
    """x with one latent set to a value; what the dictionary does not explain stays as it was."""
    return x + (value - z[..., latent, None]) * W_dec[latent]


@torch.no_grad()
def removed(
    model: Any,
    dictionary: Any,
    ids: Int[Tensor, "sequence position"],
    x: Float[Tensor, "sequence position d_in"],
    latent: int,
    places: Int[Tensor, "place 2"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A latent taken out at each place, alone: the logits there before and after, and the last stream before and after.

    Returns:
        logits [place, token] twice, and what stands after the last layer [place, d_in] twice.
    """
    sequence, position = places.T
    rows, old = torch.arange(len(places)), x[sequence]
    new = old.clone()
    z = dictionary.encode(old[rows, position])[:, latent]
    new[rows, position] -= z[:, None] * dictionary.W_dec[latent]
    kept: list[Tensor] = []
    logits = []
    for v in (old, new):
        hooks = [
            (dictionary.hook, lambda value, hook, v=v: v.to(value.dtype)),
            (
                f"blocks.{model.cfg.n_layers - 1}.hook_resid_post",
                lambda value, hook: kept.append(value[rows, position]),
            ),
        ]
        logits.append(model.run_with_hooks(ids[sequence], fwd_hooks=hooks)[rows, position])
    return (*logits, *kept)


def without_norm_and_cap(model: Any, logits: Tensor, x: Float[Tensor, "place d_in"]) -> Tensor:
    """Logits of a Gemma as they were before the softcap, times the rms that its final norm divided x (there) by."""
    config = model.original_model.config
    cap = config.final_logit_softcapping
    rms = (x.double().pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()
    return (cap * torch.atanh(logits.double() / cap) * rms).float()


def correlation(a: Float[Tensor, "... n"], b: Float[Tensor, "... n"]) -> Float[Tensor, "..."]:
    """Pearson's, along the last axis."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-12)


def truth_table(text: Any, kinds: tuple[str, ...], least: int = 15) -> tuple[Tensor, list[str]]:
    """Every label of these kinds that at least so many tokens carry: [token, label] bool, and their names."""
    from labs_src.dictionaries import labelling

    columns, names = [], []
    for family in labelling.singles(text):
        if family.name not in kinds:
            continue
        codes = spoken(family.codes)
        for value in torch.bincount(codes[codes >= 0]).ge(least).nonzero().squeeze(1).tolist():
            columns.append(codes == value)
            names.append(family.label(value))
    return torch.stack(columns, dim=1), names


def where_labels_hold(text: Any, descriptions: list[str]) -> Tensor:
    """[token, label] bool: a column for each description, as ``labelling.where`` reads it."""
    from labs_src.dictionaries import labelling

    families = labelling.singles(text)
    known = {d: spoken(labelling.where(text, d, families)) for d in set(descriptions)}
    return torch.stack([known[d] for d in descriptions], dim=1)


def word_list_f1(
    ids: Int[Tensor, " token"], fires: Bool[Tensor, "token latent"], choose: Bool[Tensor, " token"]
) -> Float[Tensor, " latent"]:
    """How well a mere list of words predicts each latent: the best list on the tokens ``choose``, scored on the others.

    The best list takes words in the order of how often the latent fires at them, and stops where F1 is highest.
    """
    hits = torch.zeros(int(ids.max()) + 1, fires.shape[1]).index_add_(0, ids[choose], fires[choose].float())
    size = torch.bincount(ids[choose], minlength=len(hits))[:, None].expand_as(hits)
    order = (hits / size.clamp(min=1)).argsort(dim=0, descending=True, stable=True)
    f1 = 2 * hits.gather(0, order).cumsum(0) / (size.gather(0, order).cumsum(0) + hits.sum(0)).clamp(min=1)
    listed = order.argsort(0) <= f1.argmax(0)  # [word, latent]
    fired, predicted = fires[~choose], listed[ids[~choose]]
    return 2 * (predicted & fired).sum(0) / (predicted.sum(0) + fired.sum(0)).clamp(min=1)
