"""The Gemma tier: Gemma-2-2B and its dictionaries, from the hub's cache, a local folder, or a download.

Everything that can stand in the way ends in one ``Unavailable`` with the next step: no token, licence not accepted, no
network, not enough memory or disk, a file cut short. Where things are looked for, in this order:

    weights        LABS_GEMMA (a folder that holds ``gemma-2-2b/``, or is the model's own), the hub cache, a download
    dictionaries   LABS_GEMMA_SCOPE (a folder laid out like the repository), the hub cache, a download when asked for
    labels         LABS_GEMMA_LABELS (a folder with one table per dictionary, named like ``12-gemmascope-res-16k.json``)

LABS_GEMMA_DTYPE is ``bfloat16`` (the default) or ``float32``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs_src.models import files

if TYPE_CHECKING:
    from labs_src.models import Loaded

REPOSITORIES = {"gemma-2-2b": "google/gemma-2-2b", "gemma-2-2b-it": "google/gemma-2-2b-it"}
PARAMETERS = 2_614_341_888  # of both; before the files are here, nothing else says it
DOWNLOAD_GB = {"gemma-2-2b": 10.5, "gemma-2-2b-it": 5.2}
BYTES = {"bfloat16": 2, "float32": 4}
WORKING_GB = 1.5  # Python, torch, transformer-lens, the logits and one dictionary
MINI = "The mini tier works without it."
PATTERNS = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special*",
]


class Unavailable(RuntimeError):
    """The Gemma tier cannot be used as things stand; the message says why and what to do next."""

    def __init__(self, why: str, step: str) -> None:
        super().__init__(f"{why} {step} {MINI}")


def load(name: str) -> Loaded:
    """Gemma-2-2B, base or tuned, as the same object that every other model comes as.

    Raises:
        Unavailable: with the one thing to do next.
    """
    from labs_src.models import Loaded, scope

    dtype = _dtype()
    folder = _local(name) or _cached(REPOSITORIES[name])
    if folder is None:
        _enough_memory(name, PARAMETERS, dtype)  # before ten gigabytes are fetched for nothing
        folder = _download(name)
    weights = _whole(name, folder)
    n_params = files.parameters(weights)
    _enough_memory(name, n_params, dtype)
    model, tokenizer = _bridge(folder, dtype)
    layers = model.original_model.config.num_hidden_layers
    card = {
        "name": name,
        "kind": "gemma2",
        "origin": REPOSITORIES[name],
        "licence": "Gemma Terms of Use",
        "revision": folder.name if folder.parent.name == "snapshots" else None,
        "n_params": n_params,
        "dtype": dtype,
        "files": [p.name for p in weights],
        "measured": {},
        "tolerance": {},
    }
    return Loaded(
        name=name,
        model=model,
        tokenizer=tokenizer,
        card=card,
        path=folder,
        dictionaries=scope.dictionaries(layers),
        labels=scope.label_tables(layers),
    )


def _bridge(folder: Path, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    kind = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="eager", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=model, tokenizer=tokenizer, device="cpu", dtype=kind
    )
    return bridge.eval().requires_grad_(False), tokenizer


def _dtype() -> str:
    dtype = os.environ.get("LABS_GEMMA_DTYPE") or "bfloat16"
    if dtype not in BYTES:
        raise Unavailable(f"LABS_GEMMA_DTYPE is {dtype!r}.", f"Set it to {' or '.join(BYTES)}.")
    return dtype


def free_memory_gb() -> float:
    """Memory that is free now, within a container's limit."""
    from labs_src.doctor import memory_gb

    return memory_gb()[1]


def _enough_memory(name: str, n_params: int, dtype: str) -> None:
    need, free = n_params * BYTES[dtype] / 1e9 + WORKING_GB, free_memory_gb()
    if free < need:
        step = f"Close other programs, or use a machine with at least {need + 2:.0f} GB."
        if dtype == "float32":
            step = f"Set LABS_GEMMA_DTYPE=bfloat16, which needs half of it. {step}"
        raise Unavailable(f"{name} in {dtype} needs {need:.1f} GB of free memory; here are {free:.1f} GB.", step)


def cache() -> Path:
    """The hub's cache, as the hub's own library places it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _local(name: str) -> Path | None:
    given = os.environ.get("LABS_GEMMA")
    if not given:
        return None
    for folder in (Path(given).expanduser() / name, Path(given).expanduser()):
        if (folder / "config.json").is_file():
            return folder
    raise Unavailable(
        f"LABS_GEMMA is {given}, where there is neither {name}/config.json nor config.json.",
        "Point it at the folder of the checkpoint, or unset it.",
    )


def snapshot(repository: str) -> Path | None:
    """The cached snapshot of ``main``, whatever it holds."""
    folder = cache() / ("models--" + repository.replace("/", "--"))
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def _cached(repository: str) -> Path | None:
    """A snapshot with weights in it; one without (a config fetched by another program) counts as not there."""
    found = snapshot(repository)
    return found if found and any(found.glob("*.safetensors")) else None


def _whole(name: str, folder: Path) -> list[Path]:
    again = f"Get it again with: .venv/bin/hf download {REPOSITORIES[name]} --force-download."
    if _is_given(folder):
        again = "Copy it again, or unset LABS_GEMMA."
    try:
        weights = files.shards(folder)
    except files.Missing as problem:  # an interrupted download goes on where it stopped
        rest = again.replace(" again", " all").replace(" --force-download", "")
        raise Unavailable(f"{name} in {folder} is not whole: {problem}.", rest) from None
    except files.Incomplete as problem:
        raise Unavailable(f"{name} in {folder} is not whole: {problem}.", again) from None
    for path in weights:
        if files.matches_its_blob(path) is False:
            raise Unavailable(f"{name}: {path.name} does not have the checksum that it was published with.", again)
    return weights


def _is_given(folder: Path) -> bool:
    given = os.environ.get("LABS_GEMMA")
    return bool(given) and folder.is_relative_to(Path(given).expanduser())


def _download(name: str) -> Path:
    import shutil

    from labs_src.models import fetch

    where = cache()
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free / 1e9
    if free < DOWNLOAD_GB[name] + 1:
        raise Unavailable(
            f"{name} is a download of {DOWNLOAD_GB[name]} GB; {where} has {free:.1f} GB free.",
            "Free some space, or set HF_HUB_CACHE to a folder on another disk.",
        )
    print(f"Downloading {REPOSITORIES[name]}, {DOWNLOAD_GB[name]} GB, once, into {where}", flush=True)
    return fetch.snapshot(REPOSITORIES[name], PATTERNS)
