"""What this machine has and which labs it can run, as data: `checks()`.

Nothing heavy is imported: versions come from the packages' metadata, models from the manifest. `labs doctor` prints
the list; lab 00 shows it.
"""

from __future__ import annotations

import html
import importlib.metadata
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from labs_src import paths
from labs_src.models.manifest import DamagedFile, read_manifest, verified

PACKAGES = (
    "torch",
    "transformers",
    "transformer-lens",
    "sae-lens",
    "numpy",
    "plotly",
    "jupyterlab",
    "ipykernel",
    "jupytext",
    "nbgrader",
    "papermill",
    "pytest",
)
MEMORY_GB = 2.0  # the largest kernel of a mini lab (05) peaks at 1.4 GB; the report has every lab's
DISK_GB = 0.2  # executed notebooks and the report
GEMMA = "google/gemma-2-2b"
GEMMA_MEMORY_GB = 6.7  # what labs_src.models.hub asks for: bfloat16 weights, and room to work
INSTALL = "run: python3 install.py"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        group: "package", "machine", "model", "kernel" or "lab".
        name: What was looked at; for a lab its number, title and tier.
        value: What was found, in a few words.
        ok: Whether it is as the labs need it.
        advice: The one thing to do where it is not.
        required: Whether a lab of the mini tier needs it.
    """

    group: str
    name: str
    value: str
    ok: bool
    advice: str = ""
    required: bool = True


def checks() -> list[Check]:
    """Everything that `labs doctor` reports, labs last. Takes well under a second and opens no connection."""
    found = [*packages(), *machine(), *models(), kernel()]
    return [*found, *labs(found)]


class Table(list[Check]):
    """Checks that a notebook shows as a table, and a terminal as lines."""

    def _repr_html_(self) -> str:
        cells = ([c.name, c.value, _status(c)] for c in self)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in cells)
        return f"<table><thead><tr><th>what</th><th>found</th><th>status</th></tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join(f"{c.name:24} {c.value:24} {_status(c)}" for c in self)


def _status(check: Check) -> str:
    return "ok" if check.ok else check.advice


def table() -> Table:
    """`checks()` for a notebook: each line says "ok" or the one thing to do."""
    return Table(checks())


def packages() -> list[Check]:
    """Python, and the packages that the labs are made of, against their pins."""
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    found = [Check("package", "python", version, ok, "" if ok else "install Python 3.11 or newer")]
    wanted = pins()
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(Check("package", name, "missing", False, INSTALL))
            continue
        expected = wanted.get(name, set())
        if expected and version.partition("+")[0] not in expected:  # a CPU build calls itself 2.13.0+cpu
            # Another version may well do: said, but no reason to call a lab unable to run.
            text = f"{version} (pinned: {' or '.join(sorted(expected))})"
            found.append(Check("package", name, text, False, INSTALL, required=False))
        else:
            found.append(Check("package", name, version, True))
    return found


def pins() -> dict[str, set[str]]:
    """Pinned versions by package; more than one where the pin depends on the Python."""
    wanted: dict[str, set[str]] = {}
    for file in ("requirements-torch.txt", "requirements.lock"):
        path = paths.ROOT / file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for name, version in re.findall(r"(?m)^([a-z0-9._-]+)==([^\s;]+)", text):
            wanted.setdefault(name, set()).add(version)
    return wanted


def machine() -> list[Check]:
    """Threads, memory and disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS")
    threads = f"{cores} cores" + (f", OMP_NUM_THREADS={limit}" if limit else "")
    found = [Check("machine", "threads", threads, True, required=False)]
    total, free = memory_gb()
    ok = free >= MEMORY_GB
    advice = "" if ok else f"close other programs: a lab needs about {MEMORY_GB:.0f} GB"
    found.append(Check("machine", "memory", f"{total:.1f} GB, {free:.1f} GB free", ok, advice))
    space = shutil.disk_usage(paths.ROOT).free / 1e9
    ok = space >= DISK_GB
    found.append(Check("machine", "disk", f"{space:.1f} GB free", ok, "" if ok else "free some space on this disk"))
    return found


def memory_gb() -> tuple[float, float]:
    """Total and available memory in GB, within a container's limit where there is one."""
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        total, free = min(total, limit), min(free, limit - used)
    except (OSError, ValueError):
        pass  # no such limit
    return total / 1e9, free / 1e9


def models() -> list[Check]:
    """Every shipped model, its files compared with their checksums."""
    try:
        listed = sorted(name for name in read_manifest() if name.startswith("models/"))
    except DamagedFile as error:
        return [Check("model", "manifest", "damaged", False, str(error))]
    folders: dict[str, list[str]] = {}
    for name in listed:
        folders.setdefault(name.split("/")[1], []).append(name)
    found = []
    for model, files in folders.items():
        problem = next((text for text in map(_problem, files) if text), "")
        size = sum((paths.DATA / name).stat().st_size for name in files) / 1e6 if not problem else 0
        found.append(Check("model", model, "damaged" if problem else f"ok, {size:.1f} MB", not problem, problem))
    return found


def _problem(name: str) -> str:
    try:
        verified(paths.DATA / name)
    except DamagedFile as error:
        return str(error)
    return ""


def kernel() -> Check:
    """Whether Jupyter finds the kernel `python3`, and whether it is this environment's."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Check("kernel", "python3", "jupyter_client is missing", False, INSTALL)
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except (NoSuchKernel, json.JSONDecodeError, KeyError, OSError):
        return Check("kernel", "python3", "missing", False, INSTALL)
    command = spec.argv[0] if spec.argv else ""
    here = command in ("python", "python3") or Path(command).absolute() == Path(sys.executable).absolute()
    if not here and not shutil.which(command):
        advice = f"remove the folder {spec.resource_dir}, then {INSTALL}"
        return Check("kernel", "python3", f"starts {command or 'nothing'}, which does not exist", False, advice)
    return Check("kernel", "python3", "ok" if here else f"another Python: {command}", True)


def labs(found: list[Check]) -> list[Check]:
    """For every lab and tier, "can run" or the one thing to do.

    A lab needs what every lab needs, and the models that its source names.

    Args:
        found: What the other functions of this module returned.
    """
    lacking = [check for check in found if not check.ok and check.required and check.group != "model"]
    damaged = {check.name: check for check in found if check.group == "model" and not check.ok}
    lines = []
    for source in sorted(paths.SOURCES.glob("[0-9][0-9]_*.py")):
        text = source.read_text(encoding="utf-8")
        title = re.search(r"(?m)^# # (.+)$", text)
        name = title.group(1).strip() if title else source.stem.replace("_", " ")
        used = [
            check
            for model, check in damaged.items()
            if f'"{model}"' in text or (model == "manifest" and "load(" in text)
        ]
        problem = next(iter([*lacking, *used]), None)
        if problem:
            lines.append(Check("lab", f"{name} (mini)", "cannot run", False, problem.advice))
        else:
            lines.append(Check("lab", f"{name} (mini)", "can run", True))
        lines.append(_on_gemma(name, "gemma" in text.lower().replace('"mini-gemma"', ""), lines[-1]))
    return lines


def _on_gemma(name: str, uses_gemma: bool, mini: Check) -> Check:
    """The line of a lab for the gemma tier; a lab without a large model is the same on both tiers."""
    name = f"{name} (gemma)"
    if not mini.ok or not uses_gemma:
        return Check("lab", name, mini.value + ("" if uses_gemma else ", same as mini"), mini.ok, mini.advice, False)
    advice = gemma_problem()
    return Check("lab", name, "cannot run" if advice else "can run", not advice, advice, required=False)


def gemma_problem() -> str:
    """What stands between this machine and Gemma-2-2B: memory, token or licence; empty when nothing does."""
    free = memory_gb()[1]
    also = " The mini tier works."
    if free < GEMMA_MEMORY_GB:
        return f"needs {GEMMA_MEMORY_GB} GB of free memory, here are {free:.1f}." + also
    if os.environ.get("LABS_GEMMA"):
        return ""  # a folder of the user's own; loading it says what it lacks
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    if any((cache / ("models--" + GEMMA.replace("/", "--"))).glob("snapshots/*/*.safetensors")):
        return ""  # downloaded once, so the licence was accepted
    token = Path(os.environ.get("HF_TOKEN_PATH") or home / "token")
    if not os.environ.get("HF_TOKEN") and not token.is_file():
        return "needs a Hugging Face token: run `.venv/bin/hf auth login`." + also
    return f"needs the weights: accept the licence on the model page of {GEMMA}, then download it once." + also
