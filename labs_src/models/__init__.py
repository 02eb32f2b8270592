"""Shipped models by name: ``load("induction-2l")``.

Every byte read is checked against ``data/manifest.json`` first. torch and transformer_lens are imported only when a
model is loaded; nothing here touches a network.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.models.manifest import DamagedFile, read_manifest, verified

__all__ = ["DamagedFile", "Loaded", "describe", "load", "names"]


@dataclass(frozen=True)
class Loaded:
    """A shipped model.

    Attributes:
        name: as given to ``load``.
        model: an ``AttentionOnly``, or a raw-weight ``TransformerBridge``; in eval mode, without gradients.
        tokenizer: Hugging Face tokenizer of the synthetic language (``<bos>`` in front of every text).
        card: origin, recipe, architecture, measured properties and their tolerances, licence.
        path: the folder it was read from.
    """

    name: str
    model: Any
    tokenizer: Any
    card: dict[str, Any]
    path: Path

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
    """Load a shipped model.

    Raises:
        ValueError: for an unknown name; the message lists what exists and the nearest match.
        DamagedFile: if a file is missing or is not the shipped one.
    """
    card, folder = describe(name), _folder(name)
    _be_quiet()
    from labs_src.language import markov

    if card["kind"] == "attention-only":
        model: Any = _attention_only(folder / "model.safetensors", card)
    else:
        model = _bridge(folder, card)
    return Loaded(name=name, model=model, tokenizer=markov.tokenizer(), card=card, path=folder)


def _folder(name: str) -> Path:
    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no model {name!r}.{hint} Shipped models: {', '.join(known) or 'none'}.")
    return paths.DATA / "models" / name


def _be_quiet() -> None:
    """Keep the libraries off the network, and off the screen."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


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


def _bridge(folder: Path, card: dict[str, Any]) -> Any:
    """A raw-weight bridge around a Hugging Face checkpoint."""
    for file in card["files"]:
        verified(folder / file)
    from transformer_lens.model_bridge import TransformerBridge
    from transformers.utils import logging

    logging.disable_progress_bar()
    return TransformerBridge.boot_transformers(str(folder), device="cpu").eval().requires_grad_(False)
