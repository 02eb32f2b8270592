"""The shipped planted models: weights, tokenizer, exact directions, a dictionary, labels, and the answer key."""

from __future__ import annotations

import csv
import time
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from labs_src.dictionaries import gemma_scope
from labs_src.models.planted import Planted, build, directions, probe, text
from labs_src.models.planted.circuits import ov_entries, qk_entries, standard
from labs_src.models.planted.weights import strength_at

SEED = 0
HOOKS = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
"""One dictionary fits all: planted directions are the same at every depth."""

TOLERANCE = {
    "attend_mean": 0.02,
    "attend_min": 0.05,
    "attend_control_max": 0.05,
    "attend_with_rivals_mean": 0.05,
    "written_mean": 0.05,
    "written_min": 0.1,
    "like_to_like_log_ratio_min": 1.0,
    "repulsion_log_ratio_max": 1.0,
    "previous_token_score": 0.01,
    "induction_score": 0.02,
    "induction_without_previous": 0.03,
    "next_class_accuracy": 0.03,
    "largest_feature_cosine": 0.005,
}
"""How far a model that was built on another machine type may be; only packing and rounding depend on it."""


def orthonormal(folder: Path) -> None:
    """126 features at right angles, noise at 0.2: every circuit acts."""
    _write(folder, directions.orthonormal(seed=SEED), 0.2)


def packed(folder: Path) -> None:
    """504 features in the same 128 dimensions, no noise: superposition alone."""
    _write(folder, directions.packed(seed=SEED), 0.0)


def dictionary(planted: Planted) -> gemma_scope.Dictionary:
    """The planted directions as a JumpReLU dictionary of the unscaled residual stream.

    A latent's value is what the stream holds of its feature. Its threshold lies between what a token holds (0.9 and
    more, in units of sqrt(d_model)) and what others leave along it.
    """
    f, root = planted.features.directions, planted.features.mean.numel() ** 0.5
    n = len(f)
    return gemma_scope.Dictionary(
        W_enc=f.T.contiguous(),
        b_enc=torch.zeros(n),
        threshold=torch.full((n,), 0.5 * root),
        W_dec=f.contiguous(),
        b_dec=text.MEAN * root * planted.features.mean,
    )


def label_rows(planted: Planted) -> list[dict[str, Any]]:
    """index, description: what each latent stands for, with a few of the tokens that hold it."""
    rows = []
    for i, name in enumerate(planted.features.names):
        if name.startswith("prev"):
            what = f"the token before has id class {name.removeprefix('prev')}"
        elif name == "bos":
            what = "beginning of the sequence"
        else:
            tokens = [planted.words.words[t] for t in planted.words.with_feature(i)[:6]]
            kind = f"id class {name.removeprefix('id')}" if name.startswith("id") else f"content {name}"
            what = f"{kind}: {', '.join(tokens)}"
        rows.append({"index": i, "description": what})
    return rows


def measured(planted: Planted) -> dict[str, float]:
    """What the circuits do when the model runs."""
    model, circuits, features, words = planted.model, planted.circuits, planted.features, planted.words
    found = probe.acts(model, circuits, features, words)
    rivals = probe.acts(model, circuits, features, words, any_filler=True)
    attend = [a for a in found if a.circuit.kind == "attend"]
    written = [a.written * a.circuit.sign for a in attend]
    repeated = probe.repeated(words, features.n_ids)
    return {
        "attend_mean": mean(a.attention for a in attend),
        "attend_min": min(a.attention for a in attend),
        "attend_control_max": max(a.control for a in attend),
        "attend_with_rivals_mean": mean(a.attention for a in rivals if a.circuit.kind == "attend"),
        "written_mean": mean(written),
        "written_min": min(written),
        "like_to_like_log_ratio_min": min(a.log_ratio for a in found if a.circuit.kind == "like-to-like"),
        "repulsion_log_ratio_max": max(a.log_ratio for a in found if a.circuit.kind == "repulsion"),
        "previous_token_score": probe.previous_score(model, 0, 0, repeated),
        "induction_score": probe.induction_score(model, 1, 0, repeated),
        "induction_without_previous": probe.induction_score(model, 1, 0, repeated, [(0, 0)]),
        "next_class_accuracy": probe.next_class_accuracy(model, repeated, features, words),
        "largest_feature_cosine": features.largest_cosine(),
    }


def answer_key(planted: Planted) -> dict[str, Any]:
    """Every planted circuit, and every planted cell of the query-key and output-value tables, with feature indices."""
    qk = []
    for entry in qk_entries(planted.circuits, planted.features):
        row = {k: v for k, v in asdict(entry).items() if v is not None}
        if entry.distance is not None:
            circuit = next(c for c in planted.circuits if c.distance and (c.query, c.key) == (entry.query, entry.key))
            row |= {"strength": strength_at(0, circuit, planted.shape), "strength_at_distance": entry.strength}
        qk.append(row)
    return {
        "circuits": [c.describe(planted.features) for c in planted.circuits],
        "qk": qk,
        "ov": [asdict(entry) for entry in ov_entries(planted.circuits, planted.features)],
        "about": "strength: affinity before the softcap of directions of root mean square 1, at no distance (qk); what "
        "is added at full attention, in units of what a token holds of a feature, before norms take some (ov). "
        "Features are indices into params.npz. Heads that are not named hold nothing but their part of the carrier.",
    }


def _write(folder: Path, features: directions.Features, noise: float) -> None:
    from transformers.utils import logging

    from labs_src.models.recipes import store

    start = time.process_time()
    planted = build(standard(features, SEED), features, noise=noise, seed=SEED)
    logging.disable_progress_bar()
    planted.model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    text.tokenizer(planted.words).save_pretrained(folder)
    text.save(features, planted.words, folder / "truth.safetensors")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # written for the owner alone
    gemma_scope.save(dictionary(planted), folder)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["index", "description"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(label_rows(planted))
    seconds = time.process_time() - start
    store.write_card(
        folder,
        {
            "origin": "Written, not trained, by this project.",
            "kind": "gemma2",
            "what": f"Gemma-2 architecture with planted circuits: {len(features)} features in "
            f"{features.mean.numel()} dimensions, noise {noise}",
            "recipe": {
                "function": "labs_src.models.planted.build",
                "arguments": {"circuits": "standard", "seed": SEED, "noise": noise},
                "command": f"labs models {folder.name}",
            },
            "architecture": {
                "n_layers": planted.shape.n_layers,
                "d_model": features.mean.numel(),
                **asdict(planted.shape),
            },
            "n_params": sum(p.numel() for p in planted.model.parameters()),
            "files": sorted(p.name for p in folder.iterdir() if p.name != "card.json"),
            "features": list(features.names),
            "dictionaries": dict.fromkeys(HOOKS, gemma_scope.FILE),
            "labels": dict.fromkeys(HOOKS, "labels.csv"),
            "norm_gains": "1 + gamma before attention and before the MLP are exp(0.5 normal), and the weights that "
            "read them are divided by it; after them they are spread likewise and 0 on the carrier's coordinate 0.",
            "noise": "Gaussian, added to every matrix with norm gains folded in, its Frobenius norm over the matrix's",
            "measured_on": "prompts of 32 tokens, 8 per circuit (labs_src.models.planted.probe), seed 0",
            "measured": measured(planted),
            "tolerance": TOLERANCE,
            "answer_key": answer_key(planted),
            "training_cpu_seconds": seconds,
        },
    )


def read_truth(path: Path) -> tuple[directions.Features, text.Vocabulary]:
    """Features and vocabulary of a shipped planted model, from its folder, each file checked against the manifest."""
    import json

    from safetensors.torch import load_file

    from labs_src.models.manifest import verified

    data = load_file(verified(path / "truth.safetensors"))
    names = json.loads(verified(path / "card.json").read_text(encoding="utf-8"))["features"]
    ids = json.loads(verified(path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    n_ids = sum(name.startswith("id") for name in names)
    features = directions.Features(tuple(names), data["directions"], data["mean"], n_ids)
    words = sorted(ids, key=ids.get)
    return features, text.Vocabulary(tuple(words), data["token_features"].long(), data["token_coefficients"])
