"""Every head's tables, layer by layer, into a folder: killed at any moment, the same call goes on where it was.

A table is one small file, named by layer, head, kind and the content that it was made from (weights, directions and
what was asked for). It is written under another name first and renamed when it is whole. Other weights, or another
dictionary, give other names, so that a stale table is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from labs_src.circuits import bases, folding, head_tables
from labs_src.circuits.head_tables import Table
from labs_src.circuits.tables import Pairs

if TYPE_CHECKING:
    from labs_src.circuits.folding import Folded
    from labs_src.models import Loaded

FORMAT = 1
"""Part of every name; to be raised when tables are made differently."""


@dataclass(frozen=True)
class Layer:
    """What the tables of a layer are made from.

    Attributes:
        folded: its weights.
        rows: directions that enter it [F, d_model], root mean square 1.
        out: directions that leave it, columns of the next encoder as rows [G, d_model].
    """

    folded: Folded
    rows: Tensor
    out: Tensor


@dataclass
class Swept:
    """What a sweep did.

    Attributes:
        files: one per table, by (layer, head, kind).
        made, kept: how many were computed, and found from before.
        seconds: CPU seconds of each that was computed, projections and moments included.
    """

    files: dict[tuple[int, int, str], Path] = field(default_factory=dict)
    made: int = 0
    kept: int = 0
    seconds: list[float] = field(default_factory=list)

    def tables(self) -> Iterator[Table]:
        """Each table, read when asked for."""
        return (read(path) for path in self.files.values())


def of_model(loaded: Loaded) -> tuple[range, Callable[[int], Layer]]:
    """Layers of a model that has dictionaries around every layer, and what makes each of them ready."""

    def prepare(index: int) -> Layer:
        before = loaded.dictionaries[bases.entering(index, loaded.dictionaries)]
        after = loaded.dictionaries[bases.leaving(index)]
        return Layer(folding.fold(loaded.model, index), before.basis(), after.W_enc.T.contiguous())

    return range(folding.n_layers(loaded.model)), prepare


def sweep(
    layers: Sequence[int],
    prepare: Callable[[int], Layer],
    out: Path | str,
    *,
    heads: Sequence[int] | None = None,
    kinds: Sequence[str] = head_tables.KINDS,
    k: int = 100,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = True,
) -> Swept:
    """Make every table that is not there yet.

    Args:
        layers: which, in this order.
        prepare: called once for each layer.
        out: folder, made if need be.
        heads: which query heads; all if None.
        kinds: "qk", "ov" or both.
        k: entries of each end.
        device, dtype: where and in what the products are made; files are the same for a dtype.
        progress: a bar on the terminal.

    Raises:
        ValueError: no such kind.
    """
    if unknown := set(kinds) - set(head_tables.KINDS):
        raise ValueError(f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(head_tables.KINDS)}")
    out, done = Path(out), Swept()
    out.mkdir(parents=True, exist_ok=True)
    with _bar(progress) as step:
        for place, index in enumerate(layers):
            layer = prepare(index)
            chosen = range(layer.folded.n_heads) if heads is None else heads
            step.total(len(layers) * len(chosen) * len(kinds))
            shared = {kind: _digest(layer.rows, *([layer.out] if kind == "ov" else [])) for kind in kinds}
            for head in chosen:
                for kind in kinds:
                    step(f"layer {index} ({place + 1} of {len(layers)}), head {head}, {kind}")
                    name = _name(layer, head, kind, shared[kind], k, dtype)
                    path = out / name
                    done.files[index, head, kind] = path
                    if _whole(path):
                        done.kept += 1
                        continue
                    start = time.process_time()
                    _write(path, _table(layer, head, kind, k, device, dtype))
                    done.seconds.append(time.process_time() - start)
                    done.made += 1
    return done


def extrapolated(seconds_per_table: float, n_layers: int = 26, n_heads: int = 8, kinds: int = 2) -> float:
    """Seconds for a whole model, by default of Gemma-2-2B's shape."""
    return seconds_per_table * n_layers * n_heads * kinds


def read(path: Path | str) -> Table:
    """A table from its file.

    Raises:
        ValueError: the file is not one of these tables, or was cut short.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["table"])
            ends = [Pairs(*(file.get_tensor(f"{end}.{part}") for part in _PARTS)) for end in ("top", "bottom")]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"{path} is no whole table ({problem}); remove it and sweep again") from None
    return Table(
        about["kind"], about["layer"], about["head"], *ends, about["mean"], about["std"], tuple(about["shape"])
    )


_PARTS = ("value", "left", "right")


def _table(layer: Layer, head: int, kind: str, k: int, device: str, dtype: torch.dtype) -> Table:
    if kind == "qk":
        factors = head_tables.qk_factors(layer.folded, head, layer.rows)
    else:
        factors = head_tables.ov_factors(layer.folded, head, layer.rows, layer.out)
    left, right = (x.to(device, dtype) for x in factors)
    return head_tables.table(kind, layer.folded.layer, head, left, right, k)


def _write(path: Path, table: Table) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{end}.{part}": getattr(getattr(table, end), part).contiguous() for end in ("top", "bottom") for part in _PARTS
    }
    about = {name: getattr(table, name) for name in ("kind", "layer", "head", "mean", "std", "shape")}
    temporary = path.with_suffix(f".{os.getpid()}.part")
    save_file(tensors, temporary, metadata={"table": json.dumps(about)})
    temporary.replace(path)


def _whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        read(path)
    except ValueError:
        return False
    return True


def _name(layer: Layer, head: int, kind: str, shared: str, k: int, dtype: torch.dtype) -> str:
    f = layer.folded
    weights = (f.W_Q[head], f.W_K[f.kv(head)]) if kind == "qk" else (f.W_V[f.kv(head)], f.W_O[head])
    asked = json.dumps([FORMAT, kind, f.layer, head, k, str(dtype), f.scale, shared, _digest(*weights)])
    content = hashlib.sha256(asked.encode()).hexdigest()[:16]
    return f"L{f.layer:02d}H{head:02d}.{kind}.{content}.safetensors"


def _digest(*tensors: Tensor) -> str:
    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(str(tuple(tensor.shape)).encode())
        whole.update(tensor.detach().float().cpu().contiguous().numpy())
    return whole.hexdigest()


class _bar:
    """A rich progress bar on a terminal, nothing elsewhere."""

    def __init__(self, wanted: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not (wanted and console.is_terminal)
        )
        self._task = self._progress.add_task("tables", total=None)
        self._started = False

    def __enter__(self) -> _bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def total(self, n: int) -> None:
        self._progress.update(self._task, total=n)

    def __call__(self, what: str) -> None:
        """One begins; the one before it is done."""
        self._progress.update(self._task, description=what, advance=int(self._started))
        self._started = True
