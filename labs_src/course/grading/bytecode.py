"""Compiled modules for sandboxes, where Python keeps none beside its libraries.

Starting a sandbox is importing torch, which takes more than twice as long without compiled modules. They are missing
where an installer does not compile and nobody may write into the environment. Then a folder of them is made once for a
class, by importing libraries only. Sandboxes and judges read it and never write to it, so no check is compiled into it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from labs_src import paths
from labs_src.course.cells import write_atomically

MODULES = ("torch", "numpy", "safetensors.torch", "pandas", "IPython.core.interactiveshell", "labs_src.lab")
MODULES += ("labs_src.checks.crossing", "labs_src.checks.contract", "labs_src.course.grading.inside.runner")


def folder(course: Path) -> Path | None:
    """Where compiled modules are for this class; None when Python has its own, or they cannot be made.

    Args:
        course: The class's folder.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    if (origin.parent / "__pycache__" / f"{origin.stem}.{sys.implementation.cache_tag}.pyc").exists():
        return None
    place = course / "grading" / "bytecode"
    marker, made_for = place / "made-for", f"{sys.version}\n{origin}\n{origin.stat().st_mtime}\n"
    if marker.exists() and marker.read_text(encoding="utf-8") == made_for:
        return place
    place.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(place), "PYTHONPATH": str(paths.ROOT)}
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    made = subprocess.run([sys.executable, "-c", code, *MODULES], env=env, capture_output=True, check=False)
    if made.returncode != 0:
        return None
    write_atomically(marker, made_for)
    return place


def reading(place: Path | None) -> dict[str, str]:
    """Environment of a process that reads compiled modules and writes none."""
    return {} if place is None else {"PYTHONPYCACHEPREFIX": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
