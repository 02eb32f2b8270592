"""What a lab uses on each tier, so that no notebook asks which tier it is on.

``of("mini")`` and ``of("gemma")`` give the same object: names of models, text to run them on, a basis for every layer,
and which floors a record has to reach (those of the shipped models; the real one has none here).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labs_src import models

if TYPE_CHECKING:
    from torch import Tensor

    from labs_src.circuits.bases import Basis
    from labs_src.language.questions import Questions


@dataclass(frozen=True)
class Tier:
    """A tier.

    Attributes:
        name: "mini" or "gemma".
        model: name for ``models.load``.
        tuned: the same model after tuning on conversations.
        studied: the layer whose heads are looked at one by one; on the Gemma tier that of the published tables.
        heads: the heads of that layer.
        width: features of a layer's dictionary.
        poor: the layer whose dictionary, in the set ``second_set``, does not fit what enters the layer.
        second_set: suffix of that set of dictionaries, for ``bases``.
        rounding: relative difference of activations that the model's number format explains.
    """

    name: str
    model: str
    tuned: str
    studied: int
    heads: tuple[int, ...]
    width: int
    poor: int
    second_set: str
    rounding: float

    def load(self) -> models.Loaded:
        """The model."""
        return models.load(self.model)

    def load_tuned(self) -> models.Loaded:
        """The tuned one."""
        return models.load(self.tuned)

    def as_trained(self, loaded: models.Loaded) -> Any:
        """The model with the norm gains that training gave it: a copy with mini-gemma's spread taken back, which
        computes the same function; Gemma itself as it is."""
        if self.name != "mini":
            return loaded.model
        from labs_src.models.recipes import gemma

        model = self.load().model
        gemma.spread_gains(model.original_model, undo=True)
        return model

    def text(self, loaded: models.Loaded, n: int = 8) -> Tensor:
        """Token ids [n, position] that the model was not trained on (mini), or plain English (gemma)."""
        if self.name == "mini":
            from labs_src.language import corpus

            return corpus.token_ids("validation", n, 21)
        from labs_src.language import english

        return english.token_ids(loaded.tokenizer, n)

    def bases(self, loaded: models.Loaded, suffix: str = "") -> Mapping[int, Basis]:
        """By layer, the dictionary of what enters it; read when asked for.

        Args:
            loaded: from ``load``.
            suffix: of another set of dictionaries at the same hook points, such as "/b".
        """
        return _Bases(loaded, suffix)

    def questions(self, loaded: models.Loaded, seed: int = 0) -> Questions:
        """Capitals under clutter: ten prompts for each country (mini), or one (gemma)."""
        from labs_src.language import questions

        return questions.mini(10, seed) if self.name == "mini" else questions.plain_english(loaded.tokenizer, 1, seed)

    def ablated(self, loaded: models.Loaded) -> list[tuple[int, int]]:
        """(layer, head) of the heads that are taken away one by one: all (mini), or those of the errata's layer 23."""
        config = loaded.model.original_model.config
        layers = range(config.num_hidden_layers) if self.name == "mini" else [23]
        return [(layer, head) for layer in layers for head in range(config.num_attention_heads)]

    def must(self, bound: str) -> str | None:
        """A record's floor: shipped models have to reach it; what the real model gives is not known beforehand."""
        return bound if self.name == "mini" else None


TIERS = {
    "mini": Tier(
        "mini",
        "mini-gemma",
        "mini-gemma-it",
        studied=3,
        heads=(0, 1),
        width=1024,
        poor=4,
        second_set="/b",
        rounding=1e-3,
    ),
    "gemma": Tier(
        "gemma", "gemma-2-2b", "gemma-2-2b-it", 13, heads=(0, 7), width=16384, poor=13, second_set="", rounding=3e-2
    ),
}


def of(name: str) -> Tier:
    """A tier by name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in TIERS:
        raise ValueError(f"There is no tier {name!r}: use {' or '.join(map(repr, TIERS))}.")
    return TIERS[name]


class _Bases(Mapping[int, Any]):
    """Bases by layer. Only the last one asked for is kept: a real dictionary has 300 MB."""

    def __init__(self, loaded: models.Loaded, suffix: str) -> None:
        self._loaded, self._suffix, self._last = loaded, suffix, (-1, None)

    def __getitem__(self, layer: int) -> Basis:
        from labs_src.circuits import bases

        if layer not in range(len(self)):
            raise KeyError(f"{self._loaded.name} has layers 0 to {len(self) - 1}, not {layer!r}")
        if self._last[0] != layer:
            known = self._loaded.dictionaries
            hook = bases.entering(layer, known) + self._suffix
            self._last = layer, bases.from_dictionary(known[hook])
        return self._last[1]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return self._loaded.model.original_model.config.num_hidden_layers
