"""Cases go out, answers come in: drawing the inputs of an exercise, and reading what was sent back for them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from labs_src.checks import contract, probes
from labs_src.checks.crossing import pack, unpack

MESSAGE = 400
"""Characters of a message; a student's function can return a megabyte of text, or raise it."""


@dataclass
class Case:
    """One part with one seed: what goes in."""

    part: int
    inputs: dict[str, Any]
    packed: bytes
    asked: dict[str, Any]


def draw(exercise: contract.Exercise, entropy: bytes, seeds: int) -> list[Case]:
    """Inputs for every part of an exercise; those of one exercise say nothing about those of another.

    Args:
        exercise: Whose parts.
        entropy: 32 bytes, the submission's own.
        seeds: Cases for each part.
    """
    own = hashlib.sha256(entropy + exercise.name.encode()).digest()
    words = np.frombuffer(own, dtype=np.uint32).tolist()
    found = []
    for part, criterion in enumerate(exercise.parts):
        for seed in range(seeds):
            rng = np.random.default_rng([*words, part, seed])
            inputs = criterion.inputs(rng)
            asked = {"probe": probes.to_json(criterion.probe), "shake": int(rng.integers(1 << 31))}
            found.append(Case(part, inputs, pack(sent(inputs)), asked))
    return found


def sent(inputs: Any) -> Any:
    """What of a part's inputs leaves for the sandbox: keys that begin with an underscore are the judge's alone."""
    if isinstance(inputs, dict):
        return {key: sent(value) for key, value in inputs.items() if not str(key).startswith("_")}
    return type(inputs)(map(sent, inputs)) if type(inputs) in (list, tuple) else inputs


def answered(header: dict[str, Any], payload: bytes) -> contract.Outcome:
    """An answer as the contract knows it, whatever was really sent."""
    error = header.get("error")
    if isinstance(error, str):
        return contract.Outcome(error=without_numbers(clean(error)), unwritten=header.get("unwritten") is True)
    if not payload:
        return contract.Outcome()
    try:
        value = unpack(payload)["value"]
    except Exception:
        return contract.Outcome(error="what it returns cannot be read")
    changed = header.get("changed")
    names = [name for name in changed if isinstance(name, str)][:10] if isinstance(changed, list) else []
    return contract.Outcome(value=value, changed=tuple(name[:40] for name in names))


def clean(text: str) -> str:
    """One line of printable characters, not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * MESSAGE]).split())
    return line if len(line) <= MESSAGE else line[: MESSAGE - 1] + "…"


def without_numbers(text: str) -> str:
    """A student's own error message without fractions: it may quote the inputs, and feedback must not."""
    return re.sub(r"-?\d+\.\d*(e[-+]?\d*)?", "…", text)
