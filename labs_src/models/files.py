"""Files that did not come with this project: are they whole? Answered before anything large is read."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from labs_src import paths

RECORD = "verified.json"


class Incomplete(ValueError):
    """A file of a checkpoint is missing, cut short or changed; the message says which."""


class Missing(Incomplete):
    """A file of a checkpoint is not there."""


def tensors(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Name to (dtype, shape) of a safetensors file, from its header.

    Raises:
        Incomplete: the file is cut short, or is no safetensors file.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, 100_000_000):
                raise ValueError
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        found = {name: (str(entry["dtype"]), list(entry["shape"])) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise Incomplete(f"{path.name} is cut short or is no safetensors file") from None
    if size != end:
        raise Incomplete(
            f"{path.name} is cut short: {size} bytes of {end}" if size < end else f"{path.name} is too long"
        )
    return found


def shards(folder: Path) -> list[Path]:
    """The weight files of a checkpoint, each complete.

    Raises:
        Incomplete: one is missing or cut short, or the checkpoint has no weights at all.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, UnicodeDecodeError):
            raise Incomplete(f"{index.name} is cut short") from None
    else:
        names = [single.name]
    for name in [*names, "config.json", "tokenizer.json"]:
        if not (folder / name).is_file():
            raise Missing(f"{name} is missing")
    for name in ("config.json", "tokenizer.json"):
        try:
            json.loads((folder / name).read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError):
            raise Incomplete(f"{name} is cut short") from None
    found = [folder / name for name in names]
    for path in found:
        tensors(path)
    return found


def parameters(weights: list[Path]) -> int:
    """Number of parameters in safetensors files, from their headers."""
    total = 0
    for path in weights:
        for _, shape in tensors(path).values():
            count = 1
            for n in shape:
                count *= n
            total += count
    return total


def matches_its_blob(path: Path) -> bool | None:
    """Whether a file of a hub cache has the bytes that were published: the cache names large files by their sha256.

    A file that passed is remembered by size and time of change, so that ten gigabytes are summed once.

    Returns:
        None where no checksum is known (a local folder, or a small file, which the cache names otherwise).
    """
    blob = path.resolve()
    if not re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return None
    stat, record = blob.stat(), paths.BUILD / RECORD
    key, stamp = str(blob), [stat.st_size, stat.st_mtime_ns]
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if isinstance(known, dict) and known.get(key) == stamp:
        return True
    with blob.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == blob.name
    if same:
        record.parent.mkdir(parents=True, exist_ok=True)
        known = known if isinstance(known, dict) else {}
        record.write_text(json.dumps(known | {key: stamp}, indent=1) + "\n", encoding="utf-8")
    return same
