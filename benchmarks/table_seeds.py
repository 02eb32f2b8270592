"""Do lab 06's statements about a trained model hold for models of other training seeds? Writes the lab's table.

Models and dictionaries are those of ``errata_seeds``: the recipe of mini-gemma from other seeds, trained shorter, each
with dictionaries of its own. Not part of ``benchmarks.run``.

    python benchmarks/table_seeds.py                    train seeds 1 and 2 and write data/training_seeds/tables.csv
    python benchmarks/table_seeds.py --models FOLDER    take them from FOLDER/1, FOLDER/2 ... instead
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.errata_seeds import DICTIONARY_STEPS, SEEDS, STEPS, bridge, dictionaries

TEXTS, DISTANCES, LISTED, DRAWS = 16, range(24), 50, 4


def measure(model: Any, as_trained: Any, made: Mapping[int, Any]) -> dict[str, float]:
    """Every number that the lab states in general. Tables: QK of every layer, OV where the next layer has a dictionary.

    Args:
        model: with its gains spread.
        as_trained: the same function with the gains of training.
        made: by layer, the dictionary of what enters it.
    """
    import pandas as pd
    import torch

    from labs_src.circuits import association, baselines, features, findings, folding, head_tables, rope, tables
    from labs_src.circuits.bases import unit_rms
    from labs_src.language import corpus

    def spearman(a: Any, b: Any) -> float:
        return float(pd.Series(a).corr(pd.Series(b), method="spearman"))

    g = torch.Generator().manual_seed(0)
    names = {layer: f"blocks.{layer}.attn.hook_pattern" for layer in made}
    _, cache = model.run_with_cache(corpus.token_ids("validation", TEXTS, 21), names_filter=list(names.values()))
    distances = torch.tensor(DISTANCES).float()
    random = {"Gaussian": baselines.gaussian_heads, "rotated": baselines.rotated_heads}
    heads, recurring, z = [], [], {"model": [], **{name: [] for name in random}}
    for layer, dictionary in made.items():
        W, f, pattern = folding.fold(model, layer), dictionary.basis(), cache[names[layer]].float()
        others = [(name, make(W, g)) for name, make in random.items() for _ in range(DRAWS)]
        b = (dictionary.b_dec / folding.rms(dictionary.b_dec))[None]
        reach = W.allowed(pattern.shape[-1]).sum(1)[8:].log()
        for head in range(W.n_heads):
            factors = head_tables.qk_factors(W, head, f)
            q, k = features.queries(W, head, b)[0], features.keys(W, head, b)[0]
            score = torch.stack([q @ rope.key_at(k, d, W.theta) * W.scale for d in DISTANCES])
            seen = torch.stack([pattern[:, head].diagonal(-d, 1, 2).mean() for d in DISTANCES])
            entropy = torch.special.entr(pattern[:, head, 8:]).sum(-1) / reach
            heads.append({"layer": layer, "profile": spearman(score, seen),
                          "beyond": association.beyond(score, seen, distances),
                          "range": float(score.max() - score.min()), "deviation": tables.moments(*factors)[1],
                          "entropy": float(entropy.mean())})  # fmt: skip
            for name, w in (("model", W), *others):
                found = [head_tables.qk(w, head, f, LISTED)]
                if layer + 1 in made:
                    found.append(head_tables.ov(w, head, f, unit_rms(made[layer + 1].W_enc.T), LISTED))
                z[name] += [(float(t.z(t.by_size()).abs().max()), len(findings.confident(t))) for t in found]
        W = folding.fold(as_trained, layer)
        lists = [head_tables.qk(W, head, f, LISTED).by_size(LISTED) for head in range(W.n_heads)]
        count = sum(torch.bincount(torch.cat([p.left, p.right]).unique(), minlength=len(f)) for p in lists)
        gain = folding.factor(as_trained.original_model.model.layers[layer].input_layernorm, "1+gamma")
        lengths = [x.norm(dim=1) for h in range(W.n_heads) for x in (f @ W.W_Q[h], f @ W.W_K[W.kv(h)])]
        recurring.append(
            (
                spearman(count, (f * gain).norm(dim=1)),
                spearman(count, torch.stack([v / v.mean() for v in lengths]).amax(0)),
            )
        )
    table = pd.DataFrame(heads)
    layers = torch.tensor(table.layer)

    def within(column: str) -> float:
        return association.rank_correlation(torch.tensor(table[column]), torch.tensor(table.entropy), layers)

    largest = {name: max(value for value, _ in z[name]) for name in random}
    return {
        "bias profile and attention": float(table.profile.median()),
        "bias profile and attention, beyond distance": float(table.beyond.median()),
        "gain and recurring": sum(a for a, _ in recurring) / len(recurring),
        "length and recurring": sum(b for _, b in recurring) / len(recurring),
        "table size and entropy": spearman(table.deviation, table.entropy),
        "table size and entropy, within layers": within("deviation"),
        "bias range and entropy": spearman(table.range, table.entropy),
        "bias range and entropy, within layers": within("range"),
        "tables with a confident entry": sum(n > 0 for _, n in z["model"]) / len(z["model"]),
        **{
            f"tables with a confident entry, {name} heads": sum(n > 0 for _, n in z[name]) / len(z[name])
            for name in random
        },
        **{f"largest z, {name} heads": value for name, value in largest.items()},
        "tables beyond every rotated one": sum(value > largest["rotated"] for value, _ in z["model"]) / len(z["model"]),
    }


def of_seed(seed: int, folder: Path | None) -> dict[str, float]:
    """Train (or read), make dictionaries, measure."""
    from transformers import Gemma2ForCausalLM

    from labs_src.models.recipes import gemma

    if folder is None:
        hf = gemma.train(seed, STEPS).model
        gemma.spread_gains(hf, seed=gemma.SPREAD_SEED + seed)
    else:
        hf = Gemma2ForCausalLM.from_pretrained(folder / str(seed), attn_implementation="eager").eval()
    model = bridge(hf)
    gemma.spread_gains(hf, seed=gemma.SPREAD_SEED + seed, undo=True)
    return measure(model, bridge(hf), dictionaries(model, DICTIONARY_STEPS))


def shipped() -> dict[str, float]:
    """The same of the shipped model."""
    from labs_src.circuits import bases
    from labs_src.models import tiers

    tier = tiers.of("mini")
    loaded = tier.load()
    made = {layer: loaded.dictionaries[bases.entering(layer)] for layer in range(6)}
    return measure(loaded.model, tier.as_trained(loaded), made)


def main(argv: Sequence[str] = ()) -> None:
    """Measure, print, write."""
    import pandas as pd
    import torch

    from labs_src import paths
    from labs_src.circuits import published_tables

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder with one checkpoint per seed, gains spread")
    parser.add_argument("--seeds", type=int, nargs="*", default=[s for s in SEEDS if s])
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    found = {"shipped, seed 0": shipped()}
    path = paths.DATA / published_tables.SEEDS
    path.parent.mkdir(parents=True, exist_ok=True)
    for seed in [None, *args.seeds]:
        started = time.process_time()
        if seed is not None:
            found[f"seed {seed}, {STEPS} steps"] = of_seed(seed, args.models)
            print(f"seed {seed}: {time.process_time() - started:.0f} CPU s", file=sys.stderr)
        rows = [
            {"statement": s, "model": m, "value": round(v, 4)} for m, column in found.items() for s, v in column.items()
        ]
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
        print(pd.DataFrame(found).round(3).to_string(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
