"""The dictionaries of mini-gemma and their label tables: ``data/dictionaries/mini-gemma``.

Trained with sae-lens as BatchTopK (Bussmann et al. 2024, https://arxiv.org/abs/2412.06410), shipped as JumpReLU with
one threshold, in the layout of Gemma Scope. What the change of activation costs is measured, and stands in the card.
One dictionary has a defect on purpose; only the card says which.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.dictionaries import gemma_scope, labelling
from labs_src.dictionaries.gemma_scope import Dictionary
from labs_src.language import corpus
from labs_src.models.recipes import dictionary_measure, store

MODEL = "mini-gemma"
HOOKS = ("blocks.0.hook_resid_pre", *(f"blocks.{layer}.hook_resid_post" for layer in range(6)))
STUDIED = "blocks.2.hook_resid_post"
"""Where there are five seeds, the controls and the misleading labels."""

POOR = "blocks.3.hook_resid_post/b"
"""In a second set, one for each hook point, ``/b``: the others of it are those of the first set under another key."""

WIDTH, K = 1024, 16
COARSE_WIDTH, COARSE_K = 128, 8
STEPS, BATCH, LEARNING_RATE = 1000, 512, 4e-3
SEQUENCES, TEXT_SEED = 1600, 11
HELD_OUT = {"split": "validation", "n": 200, "seed": 9}
UNTRAINED_SEED = 3
CONFOUNDS = ("maths", "dates")


@dataclass(frozen=True)
class Entry:
    """One dictionary: its key, and how it is trained."""

    key: str
    width: int = WIDTH
    k: int = K
    seed: int = 0

    @property
    def hook(self) -> str:
        return self.key.partition("/")[0]

    @property
    def file(self) -> str:
        return self.key.replace("/", ".") + ".npz"


def plan() -> list[Entry]:
    """Everything that is trained on mini-gemma."""
    coarse = [Entry(f"{hook}/width128", COARSE_WIDTH, COARSE_K) for hook in (STUDIED, HOOKS[4])]
    more = [Entry(f"{STUDIED}/seed{seed}", seed=seed) for seed in (1, 2, 3, 4)]
    return [*(Entry(hook) for hook in HOOKS), *coarse, *more]


def random_model() -> Any:
    """mini-gemma's architecture with the weights that training starts from: a raw-weight ``TransformerBridge``."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers.utils import logging

    from labs_src.models.recipes import gemma

    with tempfile.TemporaryDirectory() as folder:
        gemma.new_model(UNTRAINED_SEED).save_pretrained(folder)
        corpus.tokenizer().save_pretrained(folder)
        logging.disable_progress_bar()
        model = TransformerBridge.boot_transformers(folder, device="cpu")
    return model.eval().requires_grad_(False)


@torch.no_grad()
def activations(model: Any, ids: Tensor, hooks: tuple[str, ...]) -> dict[str, Float[Tensor, "sequence position d"]]:
    """What stands at the hook points, ``<bos>`` included."""
    parts: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    for part in ids.split(64):
        _, cache = model.run_with_cache(part, names_filter=list(hooks))
        for hook in hooks:
            parts[hook].append(cache[hook])
    return {hook: torch.cat(rows) for hook, rows in parts.items()}


def train(h: Float[Tensor, "row d"], entry: Entry, steps: int = STEPS) -> tuple[Dictionary, Any, float]:
    """Train on activations as they stand.

    Returns:
        the dictionary (for unscaled activations, rounded to what float16 holds), sae-lens's own SAE (for activations
        of root mean square 1) and the scale between the two.
    """
    from labs_src.dictionaries import bridge

    scale = float(h.pow(2).mean().sqrt())
    sae = bridge.train(
        h / scale, "batchtopk", entry.width, samples=BATCH * steps, batch=BATCH, learning_rate=LEARNING_RATE,
        seed=entry.seed, k=entry.k, apply_b_dec_to_input=False, decoder_init_norm=1.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        bridge.save(sae, folder)
        saved = bridge.load(folder)
    arrays = (saved.W_enc, saved.b_enc * scale, saved.threshold * scale, saved.W_dec, saved.b_dec * scale)
    return Dictionary(*(a.float().half().float() for a in arrays), hook=entry.hook), sae, scale


def spoilt(dictionary: Dictionary) -> Dictionary:
    """The defect: decoder bias in another order. Codes stay right, and so do differences between reconstructions."""
    order = torch.randperm(dictionary.d_in, generator=torch.Generator().manual_seed(2))
    return replace(dictionary, b_dec=dictionary.b_dec[order])


DEFECT = (
    "deliberate: the entries of b_dec were put in another order after training. Codes and decoder directions are as "
    "trained, and the explained variance of centred reconstructions is high; the reconstructions themselves are wrong."
)
TRAINING = (
    f"BatchTopK of sae-lens, Adam, learning rate {LEARNING_RATE:g} falling over the last fifth, batches of {BATCH}, "
    f"{STEPS} steps over {SEQUENCES} sequences of the split train, <bos> left out (never seen in training), "
    "activations scaled to root mean square 1 and the scale folded in afterwards. Stored as float16, read as float32."
)


def ship(folder: Path) -> None:
    """Train everything, label it, and write dictionaries, tables, index and card into a folder."""
    from labs_src import models

    started, model = time.process_time(), models.load(MODEL).model
    entries, cards, paths = plan(), {}, {"dictionaries": {}, "labels": {}}
    h = activations(model, corpus.token_ids("train", SEQUENCES, TEXT_SEED), HOOKS)
    h = {hook: rows[:, 1:].flatten(0, 1) for hook, rows in h.items()}
    held = activations(model, corpus.token_ids(**HELD_OUT), HOOKS)
    text = corpus.sequences(**labelling.TEXT)
    x = activations(model, text.ids, HOOKS)
    main: dict[str, Dictionary] = {}

    def add(entry: Entry, d: Dictionary, rows: Tensor, read: Tensor, card: dict[str, Any], labels: bool) -> None:
        gemma_scope.save(d, folder / entry.file, half=True)
        paths["dictionaries"][entry.key] = entry.file
        cards[entry.key] = {"width": entry.width, "seed": entry.seed} | quality(d, rows) | card
        if labels:
            table = labelling.label(d.encode(read), text)
            cards[entry.key]["live"] = len(table)
            cards[entry.key]["labelled_fraction"] = labelling.labelled_fraction(table)
            cards[entry.key]["labelled_fraction_selection"] = float((table["f1_selection"] > 0.7).mean())
            paths["labels"][entry.key] = _write(table, folder, entry.key)

    for entry in entries:
        d, sae, scale = train(h[entry.hook], entry)
        rows, card = held[entry.hook][:, 1:].flatten(0, 1), {"k": entry.k}
        card["before_conversion"] = _before_conversion(sae, rows / scale)
        if entry.key == entry.hook:
            main[entry.hook] = d
        add(entry, d, rows, x[entry.hook], card, labels="/seed" not in entry.key)

    for hook in HOOKS:
        paths["dictionaries"][f"{hook}/b"] = Entry(hook).file
    poor = Entry(POOR)
    rows = held[poor.hook][:, 1:].flatten(0, 1)
    add(poor, spoilt(main[poor.hook]), rows, x[poor.hook], {"defect": DEFECT}, labels=False)

    rows = held[STUDIED][:, 1:].flatten(0, 1)
    random = labelling.random_dictionary(h[STUDIED], WIDTH, cards[STUDIED]["l0"], hook=STUDIED)
    add(Entry(f"{STUDIED}/random"), random, rows, x[STUDIED], {"what": "random directions, not trained"}, True)
    untrained, entry = random_model(), Entry(f"{STUDIED}/random-model")
    one = (STUDIED,)
    plain = activations(untrained, corpus.token_ids("train", SEQUENCES, TEXT_SEED), one)[STUDIED][:, 1:].flatten(0, 1)
    d, sae, scale = train(plain, entry)
    rows = activations(untrained, corpus.token_ids(**HELD_OUT), one)[STUDIED][:, 1:].flatten(0, 1)
    card = {"what": "trained on the model before training", "before_conversion": _before_conversion(sae, rows / scale)}
    add(entry, d, rows, activations(untrained, text.ids, one)[STUDIED], card, True)

    misleading = {}
    for domain in CONFOUNDS:
        split = corpus.confounded(text, domain)
        table = labelling.label(main[STUDIED].encode(x[STUDIED]), text, within=split, pairs=False, sets=1)
        paths["labels"][f"{STUDIED}/{domain}"] = _write(table, folder, f"{STUDIED}/{domain}")
        misleading[f"{STUDIED}/{domain}"] = (
            f"made on labs_src.language.corpus.confounded(text, {domain!r}) only, from single facts"
        )
    layers = dictionary_measure.attention(model, main, corpus.token_ids("validation", 16, 21))
    measured = {f"{key} {name}": cards[key][name] for key in cards for name in ("explained_variance", "dead_fraction")}
    measured |= {f"{key} labelled_fraction": c["labelled_fraction"] for key, c in cards.items() if "live" in c}
    measured |= {f"rho layer {row['layer']}": row["correct"] for row in layers}
    (folder / "index.json").write_text(json.dumps(paths, indent=1) + "\n", encoding="utf-8")
    store.write_card(
        folder,
        {
            "kind": "dictionaries",
            "model": MODEL,
            "what": "sparse autoencoders on the residual stream of mini-gemma, and what their latents mean",
            "layout": "Gemma Scope's: npz with W_enc, b_enc, threshold, W_dec, b_dec; JumpReLU; unscaled activations",
            "training": TRAINING,
            "recipe": {"function": "labs_src.models.recipes.dictionaries.ship", "command": f"labs models {NAME}"},
            "measured_on": f"sequences {HELD_OUT}, <bos> left out; labels on {labelling.TEXT}, chosen on even "
            "sequences and scored on odd ones",
            "dictionaries": cards,
            "misleading_labels": misleading,
            "attention": layers,
            "measured": measured,
            "tolerance": dict.fromkeys(measured, TOLERANCE),
            "training_cpu_seconds": time.process_time() - started,
        },
    )


NAME = "mini-gemma-dictionaries"
TOLERANCE = 0.1


@torch.no_grad()
def quality(d: Dictionary, rows: Float[Tensor, "row d"]) -> dict[str, float]:
    """Explained variance about the mean of the data, the same when errors may have a mean of their own (``centred``),
    latents active per token, and the share that never fires."""
    z = d.encode(rows)
    error, spread = rows - d.decode(z), (rows - rows.mean(0)).pow(2).sum()
    return {
        "explained_variance": float(1 - error.pow(2).sum() / spread),
        "explained_variance_centred": float(1 - (error - error.mean(0)).pow(2).sum() / spread),
        "l0": float((z > 0).sum(-1).float().mean()),
        "dead_fraction": float((z > 0).any(0).logical_not().float().mean()),
    }


def _before_conversion(sae: Any, rows: Tensor) -> dict[str, float]:
    """The same of sae-lens's BatchTopK, which keeps the largest latents of a whole batch."""
    from labs_src.dictionaries import bridge

    found = bridge.quality(sae, rows)
    return {"explained_variance": found.explained_variance, "l0": found.l0, "dead_fraction": found.dead_fraction}


def _write(table: Any, folder: Path, key: str) -> str:
    name = f"labels.{key.replace('/', '.')}.csv"
    table.round(4).to_csv(folder / name, index=False, lineterminator="\n")
    return name
