"""A map over layers and neurons: many searches, one file each, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from labs_src.patchscopes import intervening, natural, search

if TYPE_CHECKING:
    import pandas as pd

    from labs_src.patchscopes.setting import Setting

Cell = dict[str, Any]
"""What one search depends on, in plain values: it names the file."""


def chart(
    cells: Sequence[Cell],
    work: Callable[[Cell], list[dict[str, Any]]],
    folder: Path | str | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """The rows of all cells, in order.

    Args:
        cells: what to compute; equal cells share a file.
        work: cell -> rows (plain values).
        folder: where finished cells are kept; None keeps nothing. A file that cannot be read is made again.
        quiet: no progress bar.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for cell in tqdm(cells, desc="cells", disable=quiet):
        rows += _kept(Path(folder), cell, work) if folder is not None else work(cell)
    return pd.DataFrame(rows)


def _kept(folder: Path, cell: Cell, work: Callable[[Cell], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    name = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:20]
    path = folder / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or left half-written by something else
    rows = work(cell)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps({"cell": cell, "rows": rows}, allow_nan=False), encoding="utf-8")
    os.replace(unfinished, path)  # all or nothing
    return rows


def searcher(loaded: Any, setting: Setting, text_ids: torch.Tensor) -> Callable[[Cell], list[dict[str, Any]]]:
    """The work of the map: from the mean, by the post's recipe and by the warm start, each neuron of a cell.

    Cells are {"inject": layer, "layer": target layer, "neurons": [...], "steps": n}, and whatever else should tell one
    run from another (the model's name, say).

    Args:
        text_ids: natural text [sequence, position], for means and natural maxima; ``<bos>`` is left out.

    Returns:
        A function to rows: inject, layer, neuron, natural_max, plain, warm (values over the natural maximum), gate, up
        (where the plain recipe ended), false_optimum (both negative there).
    """
    means: dict[int, torch.Tensor] = {}
    maxima: dict[int, torch.Tensor] = {}

    def work(cell: Cell) -> list[dict[str, Any]]:
        inject, layer, neurons = cell["inject"], cell["layer"], cell["neurons"]
        site = setting.site(loaded, inject)
        if inject not in means:
            means[inject] = _mean(loaded.model, site.hook, text_ids)
        if layer not in maxima:
            post = intervening.neuron_activations(loaded.model, text_ids, layer)
            maxima[layer] = post[:, 1:].amax((0, 1)).clamp(min=1e-6)
        targets, top = [(layer, n) for n in neurons], maxima[layer][neurons]
        n = len(neurons)

        def half_and_half(response: search.Response) -> torch.Tensor:
            """Both objectives in one batch, which costs little more than one of them."""
            return torch.cat([search.plain_objective(response)[:n], search.warm_objective(response)[n:]])

        begin = means[inject].repeat(2 * n, 1)
        found = search.ascend(site, begin, targets * 2, steps=cell["steps"], objective=half_and_half)
        gate, up = found.gate[:n], found.up[:n]
        columns = {"neuron": torch.tensor(neurons), "natural_max": top, "plain": found.value[:n] / top,
                   "warm": found.value[n:] / top, "gate": gate, "up": up,
                   "false_optimum": (gate < 0) & (up < 0)}  # fmt: skip
        listed = {name: column.tolist() for name, column in columns.items()}
        return [{"inject": inject, "layer": layer} | dict(zip(listed, row)) for row in zip(*listed.values())]

    return work


@torch.no_grad()
def _mean(model: Any, hook: str, ids: torch.Tensor) -> torch.Tensor:
    ends = torch.full((len(ids),), ids.shape[1] - 1)
    return natural.mean_vector(model, hook, ids, ends)
