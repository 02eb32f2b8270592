"""Where things lie. Every path is made from the folder that holds the package, or from the environment."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: the folder above ``labs_src``."""

DATA = Path(os.environ.get("LABS_DATA") or ROOT / "data").resolve()
"""Shipped models and their checksums. ``LABS_DATA`` points elsewhere (used by tests)."""

NOTEBOOKS = ROOT / "notebooks"
"""Executed labs, ``NN_topic.ipynb``."""

SOURCES = NOTEBOOKS / "source"
"""What is edited: ``NN_topic.py``."""

WORK = Path(os.environ.get("LABS_WORK") or ROOT / "work").resolve()
"""A learner's own copies and progress. ``LABS_WORK`` points elsewhere."""

BUILD = ROOT / "build"
"""Everything that can be made again: reports, retrained models."""
