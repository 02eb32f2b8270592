"""What `labs table` and `labs sweep` do: a head's labelled table on the screen and in files, and every head's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labs_src.circuits import findings, labelled, sweep

if TYPE_CHECKING:
    import pandas as pd

    from labs_src.circuits.head_tables import Table


def show(
    model: str,
    layer: int,
    head: int,
    kind: str,
    *,
    k: int = 20,
    end: str = "size",
    distance: int = 0,
    cross: bool = False,
    files: Sequence[Path] = (),
) -> None:
    """Print a table, and write it to each file by the ending of its name.

    Raises:
        ValueError: for anything that is not there; the message says what is.
    """
    from labs_src import models

    table, rows = labelled.of_model(models.load(model), kind, layer, head, k, end=end, distance=distance, cross=cross)
    caption = f"{model}, layer {layer}, head {head}, {kind.upper()}"
    if distance:
        caption += f", key {distance} back"
    _print(table, rows, caption)
    for path in files:
        print(f"written: {labelled.export(rows, path, caption)}")


def _print(table: Table, rows: pd.DataFrame, caption: str) -> None:
    from rich import print as put
    from rich.markup import escape
    from rich.table import Table as Drawn

    drawn = Drawn(title=caption, title_justify="left")
    for column in rows:
        number = rows[column].dtype.kind in "iuf"
        drawn.add_column(column.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows.itertuples(index=False):
        drawn.add_row(*(f"{v:.3g}" if isinstance(v, float) else escape(str(v)) for v in row))
    put(drawn)
    sure = len(findings.confident(table))
    null = (
        "heads with random weights had none"
        if table.kind == "qk"
        else "but encoder columns differ in length: with random weights 8.6 was seen"
    )
    put(
        f"Entries before the softcap; mean {table.mean:.3g}, standard deviation {table.std:.3g} over "
        f"{table.shape[0]} x {table.shape[1]} pairs. Of the {len(table.by_size())} strongest of both signs, {sure} lie "
        f"more than {findings.CONFIDENT:g} standard deviations away ({null})."
    )


def run_sweep(model: str, out: Path, k: int = 100, layers: Sequence[int] = ()) -> None:
    """Both tables of every head into a folder, and a line that says what was done.

    Raises:
        ValueError: layers that the model does not have.
    """
    from labs_src import models

    there, prepare = sweep.of_model(models.load(model))
    if unknown := set(layers) - set(there):
        raise ValueError(f"{model} has layers 0 to {there[-1]}, not {', '.join(map(str, sorted(unknown)))}")
    done = sweep.sweep(list(layers) or there, prepare, out, k=k)
    print(f"{len(done.files)} tables in {out}: {done.made} made, {done.kept} from before.")
