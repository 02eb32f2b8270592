"""Retraining what is shipped: ``build`` runs each recipe and compares the result with ``data/models``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from labs_src import paths


@dataclass(frozen=True)
class Comparison:
    """A retrained model beside the shipped one.

    Attributes:
        name: model.
        ok: identical weights, or every property within the card's tolerance.
        verdict: one sentence.
        rows: (property, shipped, retrained, tolerance, within) per property.
        seconds: CPU seconds of the training.
        path: folder of the retrained model.
    """

    name: str
    ok: bool
    verdict: str
    rows: list[tuple[str, float | None, float, float | None, bool]]
    seconds: float
    path: Path


def recipes() -> dict[str, Callable[[Path], None]]:
    """What writes each shipped model into a folder."""
    from labs_src.models.planted import ship as planted
    from labs_src.models.recipes import dictionaries, gemma_ship, grokking, prenorm, seeds, ship

    return {
        "induction-2l": ship.induction_2l,
        "induction-1l": ship.induction_1l,
        "mini-prenorm": prenorm.ship,
        "mini-gemma": gemma_ship.base,
        "mini-gemma-it": gemma_ship.tuned,  # tunes the shipped mini-gemma
        dictionaries.NAME: dictionaries.ship,  # trained on the shipped mini-gemma
        "planted-orthonormal": planted.orthonormal,
        "planted-packed": planted.packed,
        "grokking-113": grokking.ship_grokked,
        "leaky-113": grokking.ship_leaky,
        seeds.NAME: seeds.ship,  # trained on the shipped grokking-113 and leaky-113
    }


def shipped_folder(name: str) -> Path:
    """Where what a recipe makes is shipped: ``mini-gemma-dictionaries`` in ``data/dictionaries/mini-gemma``."""
    model = name.removesuffix("-dictionaries")
    return paths.DATA / ("models" if model == name else "dictionaries") / model


def compare_with_shipped(name: str, built: Path) -> Comparison:
    """Compare a retrained model with the shipped one, by weights, then by measured properties."""
    from labs_src.models.manifest import read_manifest, sha256, verified

    new = json.loads((built / "card.json").read_text(encoding="utf-8"))
    rows, shipped, old = [], shipped_folder(name), {"measured": {}, "tolerance": {}}
    card = shipped / "card.json"
    if card.relative_to(paths.DATA).as_posix() in read_manifest():
        old = json.loads(verified(card).read_text(encoding="utf-8"))
    for key, value in new["measured"].items():
        before, tolerance = old["measured"].get(key), old["tolerance"].get(key)
        within = before is not None and tolerance is not None and abs(value - before) <= tolerance
        rows.append((key, before, value, tolerance, within))
    weights = sorted(p.name for p in built.glob("*.safetensors")) or sorted(p.name for p in built.glob("*.npz"))
    same = all((shipped / w).is_file() and sha256(shipped / w) == sha256(built / w) for w in weights)
    if not old["measured"]:
        ok, verdict = False, "new: nothing is shipped under this name yet"
    elif same:
        ok, verdict = True, "identical weights"
    elif old.get("machine") == new["machine"]:
        ok, verdict = False, "weights differ although the machine type is the same: the recipe or its text changed"
    else:
        ok = all(row[-1] for row in rows)
        verdict = "another machine type; properties " + ("within tolerance" if ok else "out of tolerance")
    return Comparison(name, ok, verdict, rows, new["training_cpu_seconds"], built)


def build(
    wanted: Iterable[str] | None = None,
    compare: bool = True,
    ship: bool = False,
    out: Path | None = None,
    show: Callable[[str], None] = print,
) -> list[Comparison]:
    """Retrain models from their recipes into ``build/models/``.

    Args:
        wanted: model names; all of them if None.
        compare: print a table per model, shipped against retrained.
        ship: replace what is in ``data/models`` by the retrained models and rewrite the manifest.
        out: where to build; ``build/models`` if None.
        show: receives the printed lines.

    Returns:
        one ``Comparison`` per model; a caller exits non-zero unless all are ok.

    Raises:
        ValueError: for a name without a recipe.
    """
    import torch
    from transformers.utils import logging

    from labs_src.models.manifest import write_manifest

    logging.disable_progress_bar()  # of files of a few megabytes
    known = recipes()
    wanted = list(known) if wanted is None else list(wanted)
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no recipe for {name!r}; recipes: {', '.join(known)}")
    if ship and not (paths.DATA / "manifest.json").is_file():
        write_manifest()
    threads, results = torch.get_num_threads(), []
    torch.set_num_threads(1)  # weights depend on the number of threads
    try:
        for name in wanted:
            folder = (out or paths.BUILD / "models") / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            show(f"{name}: training{expected_time(name)}")
            known[name](folder)
            results.append(compare_with_shipped(name, folder))
            if compare:
                show(table(results[-1]))
            if ship:
                target = shipped_folder(name)
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(folder, target)
                write_manifest()
                results[-1] = replace(results[-1], ok=True)  # what is shipped now is what was retrained
                show(f"{name}: shipped")
    finally:
        torch.set_num_threads(threads)
    return results


def expected_time(name: str) -> str:
    """How long the shipped one took, for a person who waits; empty if nothing is shipped or it took no time."""
    card = shipped_folder(name) / "card.json"
    if not card.is_file():
        return ""
    seconds = json.loads(card.read_text(encoding="utf-8")).get("training_cpu_seconds", 0)
    return f", about {seconds / 60:.0f} min on one core" if seconds > 90 else ""


def table(result: Comparison) -> str:
    """A comparison as plain text."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    lines = [f"{result.name}: {result.verdict} ({result.seconds:.0f} CPU s)"]
    lines.append(f"  {'property':36} {'shipped':>9} {'retrained':>9} {'tolerance':>9}")
    for key, before, value, tolerance, within in result.rows:
        mark = "" if within else "  <- outside"
        lines.append(f"  {key:36} {number(before):>9} {number(value):>9} {number(tolerance):>9}{mark}")
    return "\n".join(lines)
