"""Do the causal statements of lab 07 hold for other training seeds? Heads taken away, writes, programs, tuning.

Beside the shipped mini-gemma (seed 0) stand models of `benchmarks.errata_seeds`' recipe, each with a tuned model and
dictionaries of its own (the constants below).

    python -m benchmarks.errata_seeds_causal                     the stored table
    python -m benchmarks.errata_seeds_causal --train 0 1 2     train what is missing, measure, store

Seven CPU minutes a seed. What is trained lies in build/errata_seeds, so that a run that was cut short goes on where it
was.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import torch

from labs_src import models, paths
from labs_src.circuits import (
    archetypes,
    association,
    bases,
    compare,
    features,
    folding,
    head_effects,
    prediction,
    programs,
    writing,
)
from labs_src.dictionaries import gemma_scope
from labs_src.language import corpus, questions

STEPS, TUNE_STEPS, DICTIONARY_STEPS, SEQUENCES = 1000, 120, 600, 800
WORK = paths.ROOT / "build" / "errata_seeds"
RESULT = paths.DATA / "training_seeds" / "errata_causal.csv"
TEXTS = 8


def trained(seed: int) -> Path:
    """A folder with model, tuned model and dictionaries of a seed, trained where they are missing."""
    from transformers import Gemma2ForCausalLM

    from labs_src.models.recipes import dictionaries, gemma

    folder, started, spread = WORK / f"seed{seed}", time.process_time(), gemma.SPREAD_SEED + seed

    def save(model: Any, name: str) -> None:
        gemma.spread_gains(model, seed=spread)
        model.float().save_pretrained(folder / name)

    if not (folder / "base" / "model.safetensors").is_file():
        save(gemma.train(seed, STEPS, every=250, on_step=lambda entry: print(seed, entry, flush=True)).model, "base")
    if not (folder / "tuned" / "model.safetensors").is_file():
        model = Gemma2ForCausalLM.from_pretrained(folder / "base", attn_implementation="eager")
        gemma.spread_gains(model, seed=spread, undo=True)
        gemma.tune(model, seed, TUNE_STEPS)
        save(model, "tuned")
    entries = dictionaries.plan()[: len(dictionaries.HOOKS)]
    missing = [entry for entry in entries if not (folder / entry.file).is_file()]
    if missing:
        ids = corpus.token_ids("train", SEQUENCES, dictionaries.TEXT_SEED)
        h = dictionaries.activations(bridge(folder / "base"), ids, tuple(entry.hook for entry in missing))
        for entry in missing:
            d, _, _ = dictionaries.train(h[entry.hook][:, 1:].flatten(0, 1), entry, DICTIONARY_STEPS)
            gemma_scope.save(d, folder / entry.file, half=True)
    print(f"seed {seed}: {time.process_time() - started:.0f} CPU seconds of training", flush=True)
    return folder


def bridge(folder: Path) -> Any:
    """A raw-weight bridge of a checkpoint, with the mini language's tokenizer."""
    from transformer_lens.model_bridge import TransformerBridge

    corpus.tokenizer().save_pretrained(folder)
    return TransformerBridge.boot_transformers(str(folder), device="cpu").eval().requires_grad_(False)


def loaded(seed: int) -> tuple[Any, Any, dict[str, gemma_scope.Dictionary]]:
    """Model, tuned model and dictionaries by hook point; those that are shipped for seed 0."""
    from labs_src.models.recipes import dictionaries

    if seed == 0:
        base, tuned = models.load("mini-gemma"), models.load("mini-gemma-it")
        return base.model, tuned.model, {hook: base.dictionaries[hook] for hook in dictionaries.HOOKS}
    folder = trained(seed)
    read = {hook: gemma_scope.load(folder / f"{hook}.npz", hook) for hook in dictionaries.HOOKS}
    return bridge(folder / "base"), bridge(folder / "tuned"), read


def quality(model: Any, read: Mapping[str, Any]) -> torch.Tensor:
    """rho of every head, everything right [layer * head]."""
    seen = prediction.look(model, corpus.token_ids("validation", TEXTS, 21))
    own = {layer: bases.from_dictionary(read[bases.entering(layer)]) for layer in seen}
    rows = prediction.by_layer(model, seen, own, {"mended": prediction.RIGHT})
    return torch.tensor([rho for row in rows for rho in row["heads"]])


def effects(model: Any) -> tuple[dict[tuple[str, str], list[head_effects.Interval]], head_effects.Effects]:
    """Intervals by (ablation, "right" or "log"), a head each; and the answers themselves, on lab 07's questions."""
    asked, found = questions.mini(10), {}
    for how in head_effects.ABLATIONS:
        e = head_effects.effects(model, asked.prompts, asked.among, how)
        for name, before, after in (("right", e.right_before, e.right), ("log", e.log_prob_before, e.log_prob)):
            found[how, name] = [head_effects.paired_interval(before, row, asked.country) for row in after]
    return found, e


def causal(model: Any, tuned: Any, read: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Heads taken away, and what goes with their effects."""
    found, e = effects(model)
    yield "accuracy, every head in place", float(e.right_before.float().mean())
    pairs = {name: list(zip(found["zero", name], found["mean", name], strict=True)) for name in ("right", "log")}
    yield "heads that help when gone, clear both ways", sum(min(a.low, b.low) > 0 for a, b in pairs["right"])
    yield "heads that hurt when gone, clear both ways", sum(max(a.high, b.high) < 0 for a, b in pairs["right"])
    opposed = sum(a.clear and b.clear and a.change * b.change < 0 for a, b in pairs["log"])
    yield "heads with opposite signs, clear both ways", opposed
    signed = torch.tensor([a.change for a in found["zero", "log"]])
    layer, rho = torch.tensor([layer for layer, _ in e.heads]), quality(model, read)
    yield "rho against effect", association.rank_correlation(rho, signed)
    yield "rho against size of effect", association.rank_correlation(rho, signed.abs())
    yield "the same, within layers", association.rank_correlation(rho, signed.abs(), layer)
    change = compare.models(model, tuned).flatten()
    yield "change by tuning against effect", association.rank_correlation(change, signed)


def written(model: Any, read: Mapping[str, Any], every: int = 8) -> Iterator[tuple[str, float]]:
    """What W2F predicts: before the threshold, of codes, and of codes when it is known which latents fire."""
    found: dict[str, list[float]] = {}
    for layer, seen in writing.look(model, corpus.token_ids("validation", 3, 21)).items():
        folded, d = folding.fold(model, layer), read[bases.leaving(layer)]
        basis, on = bases.from_dictionary(read[bases.entering(layer)]), d.encode(seen.leaving)[:, 1::every] > 0
        write = [
            writing.predicted_change(seen, folded, h, basis, d.W_enc.T)[:, 1::every] for h in range(folded.n_heads)
        ]
        for h, p in enumerate(write):
            actual = writing.actual_change(seen, folded, h, d.encode)[:, 1::every]
            before = writing.actual_change(seen, folded, h, lambda x, d=d: x @ d.W_enc)[:, 1::every]
            fire, other = writing.agreement(p * on, actual), writing.agreement(write[h - 1] * on, actual)
            for name, value in (
                ("writes before the threshold, Spearman", writing.agreement(p, before).spearman),
                ("writes in codes, Jaccard", writing.agreement(p, actual).jaccard),
                ("writes, latents that fire, Spearman", fire.spearman),
                ("another head's, latents that fire, Spearman", other.spearman),
                ("writes, latents that fire, Jaccard", fire.jaccard),
                ("another head's, latents that fire, Jaccard", other.jaccard),
            ):
                found.setdefault(name, []).append(value)
    yield from ((name, sum(values) / len(values)) for name, values in found.items())


def named(model: Any, read: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names that survive a change of scale, and programs that were filled in."""
    kept, found = [], []
    for layer in range(folding.n_layers(model)):
        folded, rows = folding.fold(model, layer), bases.from_dictionary(read[bases.entering(layer)])
        for head in range(folded.n_heads):
            B, W2F = features.affinity(folded, head, rows), features.writes(folded, head, rows)
            kept.append(archetypes.routing(B) == archetypes.routing(3 * B))
            found += programs.programs(B, W2F)
    yield "routing names kept at three times the scale", sum(kept) / len(kept)
    yield "programs filled in", programs.fallback_fraction(found)
    yield "cross-copies that were found", programs.histogram(found)["cross-copy"]


def measured(seed: int) -> pd.DataFrame:
    """Columns model, statement, value."""
    model, tuned, read = loaded(seed)
    said = [*causal(model, tuned, read), *written(model, read), *named(model, read)]
    name = "shipped, seed 0" if seed == 0 else f"seed {seed}, {STEPS} steps"
    return pd.DataFrame([(name, *row) for row in said], columns=["model", "statement", "value"])


def main(argv: Sequence[str] | None = None) -> None:
    """Print what is stored, a column for each model; with `--train`, train and measure first.

    Raises:
        SystemExit: nothing is stored yet.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, nargs="+", metavar="SEED", help="0 is the shipped model, not trained")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    if arguments.train:
        table = pd.concat([measured(seed) for seed in arguments.train])
        RESULT.parent.mkdir(exist_ok=True)
        table.round(5).to_csv(RESULT, index=False, lineterminator="\n")
    if not RESULT.is_file():
        raise SystemExit("Nothing is measured yet: python -m benchmarks.errata_seeds_causal --train 0 1 2")
    table = pd.read_csv(RESULT)
    wide = table.pivot(index="statement", columns="model", values="value").reindex(table.statement.unique())
    print(wide[table.model.unique()].round(3).to_string())


if __name__ == "__main__":
    main()
