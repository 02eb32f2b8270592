"""Gemma Scope's dictionaries and their label tables, for the Gemma tier: by hook point, read or fetched when asked for.

See ``hub`` for the folders in which they are looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs_src.models import files, labels
from labs_src.models.attached import OnDemand
from labs_src.models.hub import Unavailable, snapshot

if TYPE_CHECKING:
    from labs_src.dictionaries.gemma_scope import Dictionary


def dictionaries(n_layers: int = 26) -> Mapping[str, Dictionary]:
    """Gemma Scope's canonical residual dictionaries of width 16k by hook point; read, or fetched, when asked for."""
    from labs_src.dictionaries import gemma_scope

    def reader(layer: int) -> Callable[[], Dictionary]:
        def read() -> Dictionary:
            path = _dictionary_file(gemma_scope.canonical(layer))
            if files.matches_its_blob(path) is False:
                raise Unavailable(f"{path} does not have the checksum that it was published with.", _again(path))
            try:
                return gemma_scope.load(path, f"blocks.{layer}.hook_resid_post")
            except gemma_scope.DamagedDictionary as problem:
                raise Unavailable(str(problem), _again(path)) from None

        return read

    hooks = {f"blocks.{layer}.hook_resid_post": reader(layer) for layer in range(min(n_layers, 26))}
    return OnDemand(hooks, "dictionary")


def _again(path: Path) -> str:
    from labs_src.dictionaries import gemma_scope

    inside = "/".join(path.parts[-4:])
    return f"Get it again with: .venv/bin/hf download {gemma_scope.REPOSITORY} {inside} --force-download."


def _dictionary_file(inside: str) -> Path:
    from labs_src.dictionaries import gemma_scope
    from labs_src.models import fetch

    given = os.environ.get("LABS_GEMMA_SCOPE")
    if given:
        path = Path(given).expanduser() / inside
        if not path.is_file():
            raise Unavailable(
                f"LABS_GEMMA_SCOPE is {given}, where there is no {inside}.",
                f"Put the file there, or unset it: {gemma_scope.REPOSITORY} is free to download, 0.3 GB a layer.",
            )
        return path
    cached = snapshot(gemma_scope.REPOSITORY)
    if cached and (cached / inside).is_file():
        return cached / inside
    return fetch.file(gemma_scope.REPOSITORY, inside)


def label_tables(n_layers: int = 26) -> Mapping[str, Any]:
    """Label tables by hook point, as data frames, from the folder LABS_GEMMA_LABELS; read when asked for."""
    names = {f"blocks.{i}.hook_resid_post": f"{i}-gemmascope-res-16k" for i in range(min(n_layers, 26))}
    return OnDemand({hook: lambda name=name: _label_table(name) for hook, name in names.items()}, "label table")


def _label_table(name: str) -> Any:
    given = os.environ.get("LABS_GEMMA_LABELS")
    path = labels.find(Path(given).expanduser(), name) if given else None
    if path is None:
        raise Unavailable(
            f"There is no label table {name} in {given or 'LABS_GEMMA_LABELS, which is not set'}.",
            f"Save {labels.EXPORT}?modelId=gemma-2-2b&saeId={name} as {name}.json in a folder, "
            "and set LABS_GEMMA_LABELS to it.",
        )
    try:
        return labels.read(path)
    except labels.DamagedLabels as problem:
        raise Unavailable(str(problem), "Save it once more from where it came.") from None
