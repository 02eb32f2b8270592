"""The dictionaries of lab 09: five seeds each, on modular addition, and the sweeps that are too long for a lab.

Three sets are shipped whole. Of the sweeps only numbers are, a row for each pair of seeds (``sweeps.csv``).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from labs_src.dictionaries import seeds, stability
from labs_src.dictionaries.recovery import explained_variance
from labs_src.dictionaries.sae import SAE
from labs_src.models.recipes import grokking, store

NAME = "grokking-113-dictionaries"
WIDTH, K = 1024, 32
PINNED = {"steps": 1000, "learning_rate": 3e-4}
"""Rate and about the length (900 steps) of the published layer-1 script, ``scripts/training/train_simple_sae.py``."""
ANOMALY = {"steps": 2500, "learning_rate": 3e-4, "normalise": False}
"""Length, rate and free decoder of the published layer-0 script, ``scripts/experiments/cross_layer_validation.py``."""
LONG = {"steps": 2000, "learning_rate": 1e-3, "snapshots": 40}
SWEPT = {"steps": 1000, "learning_rate": 1e-3}
L1 = 128 * 1e-3
"""1e-3 on the sum of activations beside the *mean* squared error over 128 dimensions."""

WIDTHS = (16, 32, 64, 128, 256, 512)
KS = (4, 8, 64)
LENGTHS = (50, 100, 200, 500, 1000, 2000)
PLUS_POSITION, FIRST = 2, 5000
"""Where the published layer-0 script reads, and how many rows it compares codes on."""


def k_for(width: int) -> int:
    """Active latents at a width: the published 32, a quarter of the latents where there are fewer than 128."""
    return min(K, width // 4)


def activations() -> dict[str, Float[Tensor, "row 128"]]:
    """What the dictionaries are trained on: grokked, after layer 1 at ``=``; leaky, after layer 0 at ``+``; and
    leaky, after layer 1 where the answer is read."""
    from labs_src import models

    ab = grokking.pairs()
    grokked, leaky = (models.load(name).model for name in ("grokking-113", "leaky-113"))
    return {
        "grokked": grokking.stream(grokked, grokking.tokens(ab), grokking.STUDIED, -1),
        "leaky": grokking.stream(leaky, grokking.leaky_tokens(ab), "blocks.0.hook_resid_post", PLUS_POSITION),
        "leaky answer": grokking.stream(leaky, grokking.leaky_tokens(ab), grokking.STUDIED, grokking.LEAKY_POSITION),
    }


def planted(n: int = 8192, d: int = 128, active: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Sums of ``active`` of d orthonormal features, sizes even on 0.5 to 1.5: rows (n, d), features (d, d)."""
    rng = np.random.default_rng(seed)
    features = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x = np.zeros((n, d))
    chosen = rng.random((n, d)).argsort(1)[:, :active]
    np.put_along_axis(x, chosen, rng.uniform(0.5, 1.5, (n, active)), 1)
    return torch.from_numpy(x @ features).float(), torch.from_numpy(features).float()


def quality(sae: SAE, h: Float[Tensor, "row d"]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each instance: explained variance about the mean, mean active latents, live latents (instance, d_sae)."""
    ev, l0, live = [], [], []
    for i in range(len(sae.W_dec)):
        own = seeds.one(sae, i)
        z = own.encode(h[:, None])
        ev.append(explained_variance(h, own.decode(z)[:, 0]))
        l0.append((z != 0).float().sum(-1).mean())
        live.append(stability.alive(z[:, 0]))
    return torch.stack(ev), torch.stack(l0), torch.stack(live)


def rows(sae: SAE, before: SAE, h: Float[Tensor, "row d"], codes_on: Tensor, **setting: Any) -> Iterator[dict]:
    """What is to be known of every pair of seeds; ``before`` is the same SAE untrained."""
    ev, _, live = quality(sae, h)
    z = seeds.encode(sae, codes_on)
    turned = stability.moved(before.W_dec, sae.W_dec).mean(1)
    for i, j in torch.combinations(torch.arange(len(seeds.SEEDS))).tolist():
        split = stability.alive_split(z[i], z[j])
        yield setting | {
            "seed_a": seeds.SEEDS[i],
            "seed_b": seeds.SEEDS[j],
            "decoder": stability.pwmcc(sae.W_dec[i], sae.W_dec[j]),
            "before": stability.pwmcc(before.W_dec[i], before.W_dec[j]),
            "live_decoder": stability.pwmcc(sae.W_dec[i][live[i]], sae.W_dec[j][live[j]]),
            "live_before": stability.pwmcc(before.W_dec[i][live[i]], before.W_dec[j][live[j]]),
            "activation": split.total,
            "alive": split.fraction,
            "explained_variance": float(ev[[i, j]].mean()),
            "moved": float(turned[[i, j]].mean()),
        }


@dataclass(frozen=True)
class Job:
    """One setting of one sweep: five SAEs are trained, and every pair of them is measured.

    Attributes:
        data: "grokked", "planted", "leaky" or "leaky answer" (see `activations` and `planted`).
        how: further arguments of ``seeds.train``.
    """

    sweep: str
    data: str
    width: int
    k: int
    how: dict[str, Any]


def jobs() -> list[Job]:
    """Everything that is trained, longest first."""
    relu = PINNED | {"activation": "relu", "coefficient": L1}
    everything = [
        Job("steps", "grokked", WIDTH, K, LONG),
        # 113 different rows, all equally often: one batch of each is the whole data
        Job("anomaly", "leaky", WIDTH, K, ANOMALY | {"batch": grokking.P}),
        Job("pinned", "grokked", WIDTH, K, PINNED),
        Job("second layer", "leaky answer", WIDTH, K, PINNED),
        Job("relu", "grokked", WIDTH, 0, relu),
    ]
    for width in reversed(WIDTHS):
        everything.append(Job("width", "grokked", width, k_for(width), SWEPT))
        everything.append(Job("planted", "planted", width, min(8, width // 4), SWEPT))
    everything += [Job("k", "grokked", 256, k, SWEPT) for k in KS]
    return [*everything, Job("free decoder", "grokked", 256, K, SWEPT | {"normalise": False})]


def work(job: Job) -> tuple[SAE, list[dict], float]:
    """The SAE, its rows for the table, and CPU seconds. One thread: weights depend on the number of threads."""
    torch.set_num_threads(1)
    started = time.process_time()
    h = planted()[0] if job.data == "planted" else activations()[job.data]
    codes_on, h = (h[:FIRST], h[:: grokking.P]) if job.data == "leaky" else (h[::6], h)
    sae, history = seeds.train(h, seeds.SEEDS, job.width, k=job.k, **job.how)
    found = []
    for steps in [s for s in LENGTHS if s in history.step] or [job.how["steps"]]:
        then = seeds.snapshot(sae, history, steps) if history.step else sae
        normalise = job.how.get("normalise", True)
        before = seeds.start(seeds.SEEDS, h.shape[1], job.width, sae.activation, job.k, normalise)
        setting = {"sweep": job.sweep, "width": job.width, "k": job.k, "steps": steps}
        found += rows(then, before, h, codes_on, **setting, learning_rate=job.how["learning_rate"])
    return sae, found, time.process_time() - started


def shared(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that belong to two sweeps: 1024 latents at the swept length, 256 latents at the published k."""
    wide = table[(table.sweep == "steps") & (table.steps == SWEPT["steps"])].assign(sweep="width")
    middle = table[(table.sweep == "width") & (table.width == 256)].assign(sweep="k")
    return pd.concat([table, wide, middle], ignore_index=True)


def ship(folder: Path) -> None:
    """Train everything and write three sets of dictionaries, the sweeps' numbers, index and card into a folder."""
    todo = jobs()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        done = dict(zip([(job.sweep, job.width, job.k) for job in todo], pool.map(work, todo), strict=True))
    topk, relu, leaky = (done[key][0] for key in (("pinned", WIDTH, K), ("relu", WIDTH, 0), ("anomaly", WIDTH, K)))
    table = shared(pd.DataFrame([row for _, found, _ in done.values() for row in found]))
    table.round(6).to_csv(folder / "sweeps.csv", index=False, lineterminator="\n")

    names = {"topk": topk, "relu": relu, "plus": leaky}
    for name, sae in names.items():
        seeds.save(sae, folder / f"{name}.safetensors", seeds.SEEDS if name == "plus" else ())
    index = {f"{grokking.STUDIED}/{name}": f"{name}.safetensors" for name in ("topk", "relu")}
    index["blocks.0.hook_resid_post/leaky"] = "plus.safetensors"  # of leaky-113
    (folder / "index.json").write_text(json.dumps({"dictionaries": index}, indent=1) + "\n", encoding="utf-8")
    means = table.groupby(["sweep", "width", "k", "steps"]).mean(numeric_only=True)
    measured = {
        f"{' '.join(map(str, key))} {name}": float(row[name])
        for key, row in means.iterrows()
        for name in ("decoder", "alive", "explained_variance")
    }
    store.write_card(
        folder,
        {
            "kind": "dictionaries",
            "model": "grokking-113",
            "what": "sparse autoencoders of five seeds on modular addition: TopK and ReLU on the grokked model, TopK "
            "on the leaky one",
            "layout": "labs_src.dictionaries.seeds.save: an instance for each seed, in the order of `seeds`",
            "seeds": list(seeds.SEEDS),
            "training": {
                "topk": PINNED,
                "relu": PINNED | {"coefficient": L1},
                "plus": ANOMALY,
                "sweeps": [SWEPT, LONG],
            },
            "recipe": {"function": "labs_src.models.recipes.seeds.ship", "command": f"labs models {NAME}"},
            "measured_on": "all pairs; codes of the anomaly on its first 5000, of the others on every sixth",
            "measured": measured,
            "tolerance": dict.fromkeys(measured, TOLERANCE),
            "training_cpu_seconds": sum(seconds for _, _, seconds in done.values()),
        },
    )


TOLERANCE = 0.05
