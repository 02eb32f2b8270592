"""Writing a trained model and its card into a folder."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

ORIGIN = "Trained by this project on its own synthetic text; no other data."
LICENCE = "MIT"


def machine_type() -> str:
    """What weights depend on besides the seed: processor, its vector instructions as torch sees them, torch."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{platform.system()} {platform.machine()}, {name}, {torch.backends.cpu.get_cpu_capability()}, " + (
        f"torch {torch.__version__.split('+')[0]}, one thread"
    )


def rounded(value: Any, digits: int = 5) -> Any:
    """Floats rounded, in nested lists and dictionaries, so that a card reads well."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v, digits) for v in value]
    return value


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write ``card.json``."""
    card = {"name": folder.name, "origin": ORIGIN, "licence": LICENCE, **card, "machine": machine_type()}
    (folder / "card.json").write_text(json.dumps(rounded(card), indent=1) + "\n", encoding="utf-8")
