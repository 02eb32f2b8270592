"""Shipped models by name: ``load("induction-2l")``.

Every byte read is checked against ``data/manifest.json`` first. torch and transformer_lens are imported only when a
model is loaded; nothing here touches a network, but for ``load("gemma-2-2b")`` where it is not on this machine yet
(``hub``).
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.models.manifest import DamagedFile, read_manifest, verified

OFFLINE_ASKED = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
"""Whether a person asked for no connections, before ``load`` of a shipped model sets the same variable."""

__all__ = ["DamagedFile", "Loaded", "describe", "load", "names"]


@dataclass(frozen=True)
class Loaded:
    """A shipped model.

    Attributes:
        name: as given to ``load``.
        model: an ``AttentionOnly``, a ``ModularAdder``, or a raw-weight ``TransformerBridge``; in eval mode, without
            gradients.
        tokenizer: Hugging Face tokenizer of the synthetic language (``<bos>`` in front of every text), or None.
        card: origin, recipe, architecture, measured properties and their tolerances, licence.
        path: the folder it was read from.
        dictionaries: sparse dictionaries by hook point, read when asked for; empty if none come with the model.
        labels: label tables by hook point, read when asked for.
    """

    name: str
    model: Any
    tokenizer: Any
    card: dict[str, Any]
    path: Path
    dictionaries: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)

    def checkpoints(self) -> Iterator[tuple[int, Any]]:
        """(step, model) along training, first to last, one model at a time; nothing if none were shipped."""
        for step in self.card.get("checkpoint_steps", []):
            yield step, _attention_only(self.path / "checkpoints.safetensors", self.card, step)


def names() -> list[str]:
    """The shipped models, by the manifest."""
    return sorted({n.split("/")[1] for n in read_manifest() if n.startswith("models/") and n.endswith("/card.json")})


def describe(name: str) -> dict[str, Any]:
    """The card of a model, without loading the model.

    Raises:
        ValueError: for an unknown name.
    """
    return json.loads(verified(_folder(name) / "card.json").read_text(encoding="utf-8"))


def load(name: str) -> Loaded:
    """Load a shipped model, or Gemma-2-2B.

    Raises:
        ValueError: for an unknown name; the message lists what exists and the nearest match.
        DamagedFile: if a file is missing or is not the shipped one.
        labs_src.models.hub.Unavailable: if Gemma-2-2B cannot be had; the message says what to do.
    """
    from labs_src.models import attached, hub

    if name in hub.REPOSITORIES:
        return hub.load(name)
    card, folder = describe(name), _folder(name)
    _be_quiet()
    if card["kind"] == "attention-only":
        model: Any = _attention_only(folder / "model.safetensors", card)
    elif card["kind"] == "modular-adder":
        model = _modular_adder(folder / "model.safetensors", card)
    else:
        model = _bridge(folder, card)
    return Loaded(
        name=name,
        model=model,
        tokenizer=_tokenizer(folder, card),
        card=card,
        path=folder,
        dictionaries=attached.dictionaries(folder, card),
        labels=attached.labels(folder, card),
    )


def _folder(name: str) -> Path:
    from labs_src.models.hub import REPOSITORIES

    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name), [*known, *REPOSITORIES], n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"there is no model {name!r}.{hint} Shipped models: {', '.join(known) or 'none'}. "
            f"To be downloaded: {', '.join(REPOSITORIES)}."
        )
    return paths.DATA / "models" / name


def _be_quiet() -> None:
    """Keep the libraries off the network, and off the screen."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _tokenizer(folder: Path, card: dict[str, Any]) -> Any:
    """That of the module which made the text, or the one in the model's folder; None where tokens are numbers."""
    if card["kind"] == "modular-adder":
        return None
    if "text" in card:
        return importlib.import_module(card["text"]).tokenizer()
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


def _attention_only(file: Path, card: dict[str, Any], step: int | None = None) -> Any:
    """The model in a safetensors file; with ``step``, one of the checkpoints (named ``step/weight``) in it."""
    from safetensors import safe_open

    from labs_src.models.attention_only import AttentionOnly, Config

    prefix = "" if step is None else f"{step:05d}/"
    with safe_open(verified(file), framework="pt") as f:
        kept = [key for key in f.keys() if key.startswith(prefix)]  # noqa: SIM118 (a file, not a dictionary)
        state = {key[len(prefix) :]: f.get_tensor(key).float() for key in kept}
    model = AttentionOnly(Config(**card["architecture"]))
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def _modular_adder(file: Path, card: dict[str, Any]) -> Any:
    from safetensors.torch import load_file

    from labs_src.models.modular import Config, ModularAdder

    model = ModularAdder(Config(**card["architecture"]))
    model.load_state_dict({key: w.float() for key, w in load_file(verified(file)).items()})
    return model.eval().requires_grad_(False)


def _bridge(folder: Path, card: dict[str, Any]) -> Any:
    """A raw-weight bridge around a Hugging Face checkpoint."""
    for file in card["files"]:
        verified(folder / file)
    from transformer_lens.model_bridge import TransformerBridge
    from transformers.utils import logging

    logging.disable_progress_bar()
    return TransformerBridge.boot_transformers(str(folder), device="cpu").eval().requires_grad_(False)
