"""Do lab 07's statements hold for models of other training seeds? Trains some and writes the lab's table.

The shipped mini-gemma (seed 0, full length) beside models of the same recipe from other seeds, trained for ``STEPS``
steps instead of 2900, each with its own spread of the norm gains and its own dictionaries (``DICTIONARY_STEPS`` steps).
Six CPU minutes a model.

    python benchmarks/errata_seeds.py                    print the stored table
    python benchmarks/errata_seeds.py --train            train seeds 1 and 2 and write data/training_seeds/errata.csv
    python benchmarks/errata_seeds.py --models FOLDER    take them from FOLDER/1, FOLDER/2 ... instead
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SEEDS, STEPS, DICTIONARY_STEPS = (0, 1, 2), 1000, 500
TEXTS = 8


def variants(width: int) -> dict[str, Any]:
    """Every way of predicting that the lab's statements are about."""
    from labs_src.circuits import prediction
    from labs_src.circuits.prediction import RIGHT, THREE_BUGS

    left_out = {f"without {name}": RIGHT.but(**change) for name, change in prediction.left_out(width).items()}
    bugs = {f"only {name}": RIGHT.but(**change) for name, change in prediction.BUGS.items()}
    return {
        "mended": RIGHT,
        **bugs,
        "all three bugs": THREE_BUGS,
        **left_out,
        "errata's method": prediction.errata_method(width),
    }


def measure(model: Any, as_trained: Any, bases_: Mapping[int, Any], poor: Mapping[int, Any]) -> dict[str, list[float]]:
    """rho of every layer for every variant, and for bases and defects that the lab speaks of.

    Args:
        model: with its gains spread.
        as_trained: the same function with the gains of training.
        bases_: by layer, its dictionary.
        poor: the same with one dictionary spoilt.
    """
    from labs_src.circuits import bases, prediction
    from labs_src.circuits.prediction import RIGHT
    from labs_src.language import corpus

    ids = corpus.token_ids("validation", TEXTS, 21)
    seen, layers = prediction.look(model, ids), list(bases_)
    width, d_model = len(bases_[0]), seen[0].x.shape[-1]
    made = {
        "tokens": dict.fromkeys(layers, bases.from_tokens(model)),
        "random directions": {layer: bases.random_basis(width, d_model, layer) for layer in layers},
    }
    rows = prediction.by_layer(model, seen, bases_, variants(width))
    for name, basis in made.items():
        ways = {name: RIGHT, f"{name}, errata's method": prediction.errata_method(len(basis[0]))}
        rows += prediction.by_layer(model, seen, basis, ways)
    rows += prediction.by_layer(model, seen, poor, {"one dictionary spoilt": RIGHT})
    gains = {f"only {name}, gains as trained": RIGHT.but(**prediction.BUGS[name]) for name in ("gamma", "activation")}
    rows += prediction.by_layer(as_trained, prediction.look(as_trained, ids), bases_, gains)
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["variant"], []).append(row["rho"])
    return found


def dictionaries(model: Any, steps: int) -> dict[int, Any]:
    """A dictionary for what enters each layer, by the recipe of the shipped ones but shorter."""
    from labs_src.circuits import bases
    from labs_src.language import corpus
    from labs_src.models.recipes import dictionaries as recipe

    hooks = tuple(bases.entering(layer) for layer in range(6))
    h = recipe.activations(model, corpus.token_ids("train", 800, recipe.TEXT_SEED), hooks)
    return {
        layer: recipe.train(h[hook][:, 1:].flatten(0, 1), recipe.Entry(hook), steps)[0]
        for layer, hook in enumerate(hooks)
    }


def bridge(hf: Any) -> Any:
    """A raw-weight bridge of a model of transformers."""
    from transformer_lens.model_bridge import TransformerBridge

    from labs_src.language import corpus

    with tempfile.TemporaryDirectory() as folder:
        hf.save_pretrained(folder)
        corpus.tokenizer().save_pretrained(folder)
        return TransformerBridge.boot_transformers(folder, device="cpu").eval().requires_grad_(False)


def of_seed(seed: int, folder: Path | None) -> dict[str, list[float]]:
    """Train (or read), make dictionaries, measure. The dictionary of layer 4 is spoilt as the shipped poor one is."""
    from transformers import Gemma2ForCausalLM

    from labs_src.circuits import bases
    from labs_src.models.recipes import dictionaries as recipe
    from labs_src.models.recipes import gemma

    if folder is None:
        hf = gemma.train(seed, STEPS).model
        gemma.spread_gains(hf, seed=gemma.SPREAD_SEED + seed)
    else:
        hf = Gemma2ForCausalLM.from_pretrained(folder / str(seed), attn_implementation="eager").eval()
    model = bridge(hf)
    gemma.spread_gains(hf, seed=gemma.SPREAD_SEED + seed, undo=True)
    made = dictionaries(model, DICTIONARY_STEPS)
    good = {layer: bases.from_dictionary(d) for layer, d in made.items()}
    return measure(model, bridge(hf), good, good | {4: bases.from_dictionary(recipe.spoilt(made[4]))})


def shipped() -> dict[str, list[float]]:
    """The same of the shipped model."""
    from labs_src.models import tiers

    tier = tiers.of("mini")
    loaded = tier.load()
    good, second = tier.bases(loaded), tier.bases(loaded, tier.second_set)
    return measure(loaded.model, tier.as_trained(loaded), dict(good.items()), dict(second.items()))


def _shipped_first(names: Any) -> Any:
    return names.str.startswith("shipped")


def main(argv: Sequence[str] = ()) -> None:
    """Print the stored table; with ``--train`` or ``--models``, make it first."""
    import pandas as pd
    import torch

    from labs_src import paths
    from labs_src.circuits import published

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="train the models of the seeds (0 is the shipped one)")
    parser.add_argument("--models", type=Path, help="folder with one checkpoint per seed, gains spread")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    path, found = paths.DATA / published.SEEDS, {}
    if args.train or args.models:
        if 0 in args.seeds:
            found["shipped, seed 0"] = shipped()
        for seed in [seed for seed in args.seeds if seed]:
            started = time.process_time()
            found[f"seed {seed}, {STEPS} steps"] = of_seed(seed, args.models)
            print(f"seed {seed}: {time.process_time() - started:.0f} CPU s", flush=True)
        rows = [
            {"model": model, "variant": variant, "layer": layer, "rho": round(value, 4)}
            for model, ways in found.items()
            for variant, values in ways.items()
            for layer, value in enumerate(values)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = pd.read_csv(path) if path.exists() else pd.DataFrame()
        if len(kept):
            rows = kept[~kept.model.isin(found)].to_dict("records") + rows
        pd.DataFrame(rows).sort_values("model", kind="stable", ascending=False, key=_shipped_first).to_csv(
            path, index=False, lineterminator="\n"
        )
    mean = pd.read_csv(path).groupby(["variant", "model"], sort=False).rho.mean().unstack()
    print(f"lab 07 on other training seeds: mean rho\n{mean.round(3).to_string()}")


if __name__ == "__main__":
    main(sys.argv[1:])
