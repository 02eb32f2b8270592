"""What the cards of mini-gemma and mini-gemma-it state, measured on text that training never showed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labs_src.language import corpus

EVAL_SEED = 4321

Model = Callable[[Tensor], object]


@torch.no_grad()
def predictions(model: Model, ids: Tensor, chunk: int = 32) -> tuple[Float[Tensor, "n pos"], Bool[Tensor, "n pos"]]:
    """Loss of every token given those before it, in nats, and whether it was the most likely one. Entry 0 is 0, False.

    Args:
        model: a Hugging Face model, or a bridge: anything that gives logits (or ``.logits``) for ids.
        ids: token ids [n, pos].
        chunk: sequences at a time.
    """
    loss, hit = torch.zeros(ids.shape), torch.zeros(ids.shape, dtype=torch.bool)
    for at in range(0, len(ids), chunk):
        out = model(ids[at : at + chunk])
        logits = getattr(out, "logits", out)[:, :-1].float()
        wanted = ids[at : at + chunk, 1:]
        loss[at : at + chunk, 1:] = -logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
        hit[at : at + chunk, 1:] = logits.argmax(-1) == wanted
    return loss, hit


def _share(hit: Tensor, where: Tensor) -> float:
    return float(hit[where].float().mean()) if where.any() else float("nan")


def by_reason(model: Model, text: corpus.Corpus) -> dict[str, float]:
    """Top-1 accuracy over the whole vocabulary at tokens that the text before them determines, by reason."""
    _, hit = predictions(model, text.ids)
    known = text.logp == 0
    reasons = [name for name in corpus.WHY_NAMES[1:] if (text.is_why(name) & known).any()]
    return {name: _share(hit, text.is_why(name) & known) for name in reasons}


def text_loss(model: Model, text: corpus.Corpus) -> dict[str, float]:
    """Mean loss per token beside the mean surprisal of the same tokens' derivations: an estimate of the entropy."""
    loss, _ = predictions(model, text.ids)
    mean, truth = float(loss[:, 1:].double().mean()), float(-text.logp[:, 1:].double().mean())
    return {"loss": mean, "entropy": truth, "loss_above_entropy": mean - truth}


def induction(model: Model, text: corpus.Corpus) -> dict[str, float]:
    """Second and third words of repeated nonce names: accuracy and loss."""
    loss, hit = predictions(model, text.ids)
    where = text.inside_repeat()
    return {"induction": _share(hit, where), "induction_loss": float(loss[where].mean())}


def progress(model: Model) -> dict[str, float]:
    """A quick look during training, on 32 validation and 32 held sequences."""
    valid = corpus.sequences("validation", 32, EVAL_SEED)
    held = corpus.sequences("held", 32, EVAL_SEED)
    found = text_loss(model, valid) | {"induction": induction(model, held)["induction"]}
    reasons = by_reason(model, held)
    for name in ("capital", "currency", "sum", "retrieve", "other_name", "close"):
        found[name] = reasons.get(name, float("nan"))
    return found
