"""At what noise does each method start to fail? Weight tables and behaviour on planted models.

Noise is Gaussian on every matrix, its Frobenius norm over that of the matrix. A table fails when a head's recall or
precision falls below 1; behaviour fails when a planted attention circuit gives its key less than half of its attention.

    python benchmarks/planted_noise.py                 orthonormal and packed features, two seeds (two minutes)
    python benchmarks/planted_noise.py --seeds 3
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NOISE = {"orthonormal": (0.0, 0.2, 0.35, 0.5, 0.7, 1.0, 1.3, 1.6), "packed": (0.0, 0.2, 0.35, 0.5, 0.7, 0.9, 1.2)}
COLUMNS = "{:<13}{:>6}{:>11}{:>8}{:>11}{:>7}{:>8}{:>9}{:>9}{:>8}{:>9}{:>9}{:>9}{:>7}"


def measured(features: object, noise: float, seed: int) -> dict[str, float]:
    """Scores of one model."""
    from labs_src.circuits import planted_scores
    from labs_src.circuits.bases import unit_rms
    from labs_src.models import planted
    from labs_src.models.planted.ship import answer_key

    made = planted.build(planted.standard(features, seed), features, noise=noise, seed=seed)
    key, rows = answer_key(made), unit_rms(features.directions)
    # outputs are read as a dictionary's encoder reads them: unit directions
    qk = planted_scores.of_tables(made.model, key, "qk", rows)
    ov = planted_scores.of_tables(made.model, key, "ov", rows, features.directions)
    acts = planted_scores.of_behaviour(made)
    return {
        "attention": acts.attention, "acting": acts.acting, "induction": acts.induction, "signs": acts.signs,
        "qk recall": qk.recall, "qk precision": qk.precision, "qk margin": qk.margin,
        "ov recall": ov.recall, "ov precision": ov.precision, "ov margin": ov.margin,
        "confident": (qk.confident_recall + ov.confident_recall) / 2, "false": qk.confident_false + ov.confident_false,
    }  # fmt: skip


def first(rows: list[dict[str, float]], fails) -> str:
    """The lowest noise at which something fails."""
    return next((f"{row['noise']:g}" for row in rows if fails(row)), f"above {rows[-1]['noise']:g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and, for each set of features, where each method starts to fail."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="models of each noise, averaged")
    parser.add_argument("--features", choices=list(NOISE), action="append", help="by default both")
    arguments = parser.parse_args(argv)
    import torch

    from labs_src import models, paths
    from labs_src.models.planted.ship import read_truth

    torch.set_num_threads(1)
    names = ("attention", "acting", "induction", "signs", "qk recall", "qk precision", "qk margin",
             "ov recall", "ov precision", "ov margin", "confident", "false")  # fmt: skip
    short = ("attention", "acting", "induction", "signs", "QK rec", "QK prec", "margin", "OV rec", "OV prec", "margin",
             "z>8 rec", "false")  # fmt: skip
    start = time.process_time()
    print(COLUMNS.format("planted", "noise", *short))
    for kind in arguments.features or NOISE:
        models.describe(f"planted-{kind}")
        features, _ = read_truth(paths.DATA / "models" / f"planted-{kind}")
        rows = []
        for noise in NOISE[kind]:
            runs = [measured(features, noise, seed) for seed in range(arguments.seeds)]
            row = {name: mean(run[name] for run in runs) for name in names} | {"noise": noise}
            row |= {f"{name} margin": min(run[f"{name} margin"] for run in runs) for name in ("qk", "ov")}
            rows.append(row)
            print(COLUMNS.format(kind, f"{noise:g}", *(f"{row[name]:.3g}" for name in names)), flush=True)
        print(
            f"{kind}: fewer than 9 in 10 circuits act from noise {first(rows, lambda r: r['acting'] < 0.9)}, "
            f"fewer than half from {first(rows, lambda r: r['acting'] < 0.5)}; QK tables are wrong somewhere from "
            f"{first(rows, lambda r: min(r['qk recall'], r['qk precision']) < 1)}, OV tables from "
            f"{first(rows, lambda r: min(r['ov recall'], r['ov precision']) < 1)}"
        )
    print(f"({time.process_time() - start:.0f} CPU s; margin: weakest planted over strongest other entry, worst head)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
