"""What the cards of mini-gemma and mini-gemma-it state, measured on text that training never showed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labs_src.language import chat, corpus, prompts
from labs_src.language.words import FACTS

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


def abilities(model: Model, n: int = 256) -> dict[str, float]:
    """Every number in the card of ``mini-gemma``.

    induction: repeated nonce names whose neighbours training text never shows together. held_facts: facts in words in
    which training text never states them, among all values of facts. capital_*: 48 countries, five sets of clutter each
    (``prompts.CLUTTERS``), among all capitals. capital_top1 is the same as capital_none over all words: after "the
    capital of France is" the grammar may also say "not". retrieval_*: who has what, of three people, with so many
    sentences in between. nonce_after_4: copying the first of five names, where training text has two or four.

    Args:
        model: anything that gives logits for ids.
        n: sequences of each split.
    """
    valid, held = (corpus.sequences(split, n, EVAL_SEED) for split in ("validation", "held"))
    found = text_loss(model, valid) | induction(model, held)
    capitals = prompts.fact_ids("capital")
    values = torch.cat([prompts.fact_ids(fact) for fact in FACTS])
    found["held_facts"] = prompts.held_facts(EVAL_SEED).accuracy(model, values)
    found["capital_top1"] = prompts.facts("capital").accuracy(model)
    for clutter in prompts.CLUTTERS:
        repeats = 1 if clutter == "none" else 5
        found[f"capital_{clutter}"] = prompts.facts("capital", clutter, repeats, EVAL_SEED).accuracy(model, capitals)
    found["currency_none"] = prompts.facts("currency").accuracy(model, prompts.fact_ids("currency"))
    for clutter in (0, 6, 12):
        found[f"retrieval_{clutter}"] = prompts.retrieval(n, clutter, EVAL_SEED).accuracy(model)
    found["other_name"] = prompts.names(n, EVAL_SEED).accuracy(model)
    found["nonce_after_4"] = prompts.nonce(n, 4, EVAL_SEED).accuracy(model)
    return found


@torch.no_grad()
def answers(model: Model, split: str = "held", n: int = 64) -> dict[str, float]:
    """Top-1 accuracy on the tokens of answers in conversations, over all and by kind of question."""
    ids, inside, kind = chat.sequences(split, n, EVAL_SEED)
    loss, hit = predictions(model, ids)
    found = {"answers": _share(hit, inside), "answer_loss": float(loss[inside].mean())}
    found |= {f"answers_{name}": _share(hit, inside & (kind == i)) for i, name in enumerate(chat.KINDS)}
    return found


@torch.no_grad()
def head_scores(model: torch.nn.Module, text: corpus.Corpus) -> dict[str, list[list[float]]]:
    """Attention of every head [layer][head]: to the token before; to the word that induction would copy; to ``<bos>``.

    Induction: in a repeated nonce name, from a word to the word that followed it the first time.

    Args:
        model: a Hugging Face model with eager attention.
        text: sequences with repeated nonce names.
    """
    patterns = torch.stack(model(text.ids, output_attentions=True).attentions)  # [layer, sequence, head, query, key]
    previous = patterns.diagonal(-1, -2, -1)[..., 1:].mean((1, -1))
    row, at = text.inside_repeat().nonzero(as_tuple=True)
    copied = patterns[:, row, :, at - 1, text.depends[row, at]].mean(0)  # the indexed axis comes first
    first = patterns[..., 2:, 0].mean((1, -1))
    return {"previous": previous.tolist(), "induction": copied.tolist(), "bos": first.tolist()}
