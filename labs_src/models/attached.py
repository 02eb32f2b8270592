"""What comes with a shipped model: dictionaries and label tables by hook point, read when asked for.

A model names its own in its card; those that were made later stand in ``data/dictionaries/<model>/index.json``. Both
say ``{"dictionaries": {hook: file}, "labels": {hook: file}}``, files relative to where that is written. A second
dictionary at a hook point has a name behind a slash: ``blocks.2.hook_resid_post/seed1``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.models.manifest import verified


def dictionaries(folder: Path, card: dict[str, Any]) -> Mapping[str, Any]:
    """Dictionaries by hook point, each checked against the manifest: ``gemma_scope.Dictionary``, or, from a
    safetensors file, an ``SAE`` with an instance for each seed."""

    def reader(hook: str, file: Path) -> Callable[[], Any]:
        def read() -> Any:
            from labs_src.dictionaries import gemma_scope, seeds

            if file.suffix == ".safetensors":
                return seeds.load(verified(file))
            return gemma_scope.load(verified(file), hook.partition("/")[0])

        return read

    return OnDemand({hook: reader(hook, file) for hook, file in _listed("dictionaries", folder, card)}, "dictionary")


def labels(folder: Path, card: dict[str, Any]) -> Mapping[str, Any]:
    """Label tables by hook point (data frames), each checked against the manifest."""

    def reader(file: Path) -> Callable[[], Any]:
        def read() -> Any:
            from labs_src.models import labels

            return labels.read(verified(file))

        return read

    return OnDemand({hook: reader(file) for hook, file in _listed("labels", folder, card)}, "label table")


def _listed(what: str, folder: Path, card: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    for hook, file in card.get(what, {}).items():
        yield hook, folder / file
    index = paths.DATA / "dictionaries" / folder.name / "index.json"
    if index.is_file():
        for hook, file in json.loads(verified(index).read_text(encoding="utf-8")).get(what, {}).items():
            yield hook, index.parent / file


class OnDemand(Mapping[str, Any]):
    """Things by hook point, read at each access and not kept: a real dictionary has 300 MB, hold on to what you use.

    Args:
        readers: what reads the thing of each hook point.
        what: what to call one in a message.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Any]] | None = None, what: str = "entry") -> None:
        self._readers, self._what = dict(readers or {}), what

    def __getitem__(self, hook: str) -> Any:
        if hook not in self._readers:
            known = ", ".join(self._readers) or "none with this model"
            raise KeyError(f"no {self._what} at {hook!r}; there are: {known}")
        return self._readers[hook]()

    def __contains__(self, hook: object) -> bool:
        return hook in self._readers  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __repr__(self) -> str:
        return f"{self._what} at: {', '.join(self._readers) or 'no hook point'}"
