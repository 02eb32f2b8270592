"""What single heads of a Gemma-2 do for an answer: each is taken away, and prompts are compared with themselves.

Two ways to take a head away (`ABLATIONS`). "zero": its output becomes 0, which the layers above may never have seen.
"mean": its output becomes its average over the prompts, so that only what depends on the prompt is lost. They ask
different questions, and can differ in sign. `circuits.ablation` has the same for attention-only models, and paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from labs_src.language.prompts import Prompts

ABLATIONS = ("zero", "mean")
CHUNK = 240


@dataclass(frozen=True)
class Effects:
    """Answers with each head taken away, and with none.

    Attributes:
        heads: (layer, head), in the order of the rows below.
        how: "zero" or "mean".
        right_before, log_prob_before: of the intact model [prompt]. Whether the answer is the likeliest of the
            candidates, and its log probability among them (nats).
        right, log_prob: the same without each head [head, prompt].
    """

    heads: tuple[tuple[int, int], ...]
    how: str
    right_before: Bool[Tensor, " prompt"]
    log_prob_before: Float[Tensor, " prompt"]
    right: Bool[Tensor, "head prompt"]
    log_prob: Float[Tensor, "head prompt"]


def all_heads(model: Any) -> tuple[tuple[int, int], ...]:
    """Every (layer, head)."""
    config = model.original_model.config
    return tuple((layer, h) for layer in range(config.num_hidden_layers) for h in range(config.num_attention_heads))


def positional_mean(z: Float[Tensor, "prompt pos *rest"], last: Int[Tensor, " prompt"]) -> Float[Tensor, "1 pos *rest"]:
    """Average over the prompts at each position, over those that reach so far (index `last` is their last token)."""
    here = (torch.arange(z.shape[1]) <= last[:, None]).reshape(*z.shape[:2], *[1] * (z.dim() - 2)).to(z.dtype)
    return (z * here).sum(0, keepdim=True) / here.sum(0, keepdim=True).clamp(min=1)


@torch.no_grad()
def effects(
    model: Any,
    prompts: Prompts,
    among: Int[Tensor, " candidate"],
    how: str | Callable[[Tensor, Tensor, int], Tensor] = "zero",
    heads: Sequence[tuple[int, int]] | None = None,
) -> Effects:
    """Take away each head in turn, at all positions.

    Args:
        model: a raw-weight bridge of a Gemma-2.
        prompts: padded on the right, such as ``language.prompts.facts("capital", "before_is", repeats=6)``.
        among: ids of the possible answers; the prompts' answers are among them.
        how: one of ``ABLATIONS``; or a function of every head's output before W_O [prompt, pos, head, d_head], the
            prompts' last indices and a head, which returns the outputs with that head changed.
        heads: (layer, head); all of them if None.

    Raises:
        ValueError: `how` is another word, or an answer is not among the candidates.
    """
    if not callable(how) and how not in ABLATIONS:
        raise ValueError(f"how must be one of {', '.join(ABLATIONS)}, got {how!r}")
    column = (prompts.answer[:, None] == among).int()
    if not column.any(1).all():
        raise ValueError("some answers are not among the candidates: pass the ids of every possible answer as `among`")
    column = column.argmax(1)
    heads = tuple(heads) if heads is not None else all_heads(model)
    outputs = _outputs(model, prompts, sorted({layer for layer, _ in heads}))
    take = how if callable(how) else {"zero": zero_ablated, "mean": mean_ablated}[how]
    rows = [_score(_logits(model, prompts, among), column)]
    for layer, head in heads:
        new = take(outputs[layer], prompts.last, head)
        rows.append(_score(_logits(model, prompts, among, (layer, head, new[:, :, head])), column))
    right, log_prob = (torch.stack(part) for part in zip(*rows, strict=True))
    name = how if isinstance(how, str) else getattr(how, "__name__", "changed")
    return Effects(heads, name, right[0], log_prob[0], right[1:], log_prob[1:])


def zero_ablated(z: Float[Tensor, "prompt pos head d_head"], last: Tensor, head: int) -> Tensor:
    """The outputs with one head's set to 0."""
    out = z.clone()
    out[:, :, head] = 0.0
    return out


def mean_ablated(z: Float[Tensor, "prompt pos head d_head"], last: Int[Tensor, " prompt"], head: int) -> Tensor:
    """The outputs with one head's replaced by its average over prompts, at each position."""
    out = z.clone()
    out[:, :, head] = positional_mean(z[:, :, head], last)
    return out


def _outputs(model: Any, prompts: Prompts, layers: Sequence[int]) -> dict[int, Float[Tensor, "prompt pos head d_head"]]:
    """By layer, every head's output before W_O."""
    names = {layer: f"blocks.{layer}.attn.hook_z" for layer in layers}
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for part in prompts.ids.split(CHUNK):
        _, cache = model.run_with_cache(part, names_filter=list(names.values()))
        for layer, name in names.items():
            found[layer].append(by_head(cache[name], model))
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def by_head(z: Tensor, model: Any) -> Float[Tensor, "batch pos head d_head"]:
    """`hook_z`, with heads on an axis of their own."""
    return z if z.dim() == 4 else z.unflatten(-1, (model.original_model.config.num_attention_heads, -1))


def _logits(
    model: Any, prompts: Prompts, among: Tensor, change: tuple[int, int, Tensor] | None = None
) -> Float[Tensor, "prompt candidate"]:
    """Logits of the candidates at each prompt's last token; with a head's output replaced, if one is named."""
    found = []
    for at in range(0, len(prompts), CHUNK):
        hooks = [] if change is None else [_replacing(model, change, slice(at, at + CHUNK))]
        logits = model.run_with_hooks(prompts.ids[at : at + CHUNK], fwd_hooks=hooks)
        last = prompts.last[at : at + CHUNK]
        found.append(logits[torch.arange(len(last)), last][:, among].float())
    return torch.cat(found)


def _replacing(model: Any, change: tuple[int, int, Tensor], part: slice) -> tuple[str, Callable]:
    layer, head, new = change

    def replace(z: Tensor, hook: Any) -> Tensor:
        out = by_head(z, model).clone()
        out[:, :, head] = new[part].to(out.dtype)
        return out.reshape(z.shape)

    return f"blocks.{layer}.attn.hook_z", replace


def _score(logits: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    log_prob = logits.log_softmax(-1).gather(1, column[:, None])[:, 0]
    return logits.argmax(1) == column, log_prob


@dataclass(frozen=True)
class Interval:
    """A mean change with its bootstrap interval."""

    change: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_interval(
    before: Tensor,
    after: Tensor,
    groups: Int[Tensor, " prompt"] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean change over prompts, with a percentile bootstrap interval (Efron 1979).

    Each prompt is compared with itself, then prompts are drawn with replacement. Prompts that share something, such as
    the country asked for, are not independent: give their group numbers, and whole groups are drawn instead.

    Args:
        before, after: a value per prompt, bool or float.
        groups: a number per prompt; None if every prompt stands for itself.
        draws: bootstrap samples.
        level: of the interval.
        seed: of the draws.

    Raises:
        ValueError: `before` and `after` are not two vectors of one length.
    """
    if before.dim() != 1 or before.shape != after.shape or not len(before):
        raise ValueError(f"one value per prompt is needed before and after; got {before.shape} and {after.shape}")
    change = (after.double() - before.double()).numpy()
    labels = np.arange(len(change)) if groups is None else np.unique(groups.numpy(), return_inverse=True)[1]
    sums, sizes = np.bincount(labels, change), np.bincount(labels)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(change.mean()), float(low), float(high))
