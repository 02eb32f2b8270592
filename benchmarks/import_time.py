"""How long `import labs_src` takes, beside `import torch`, which most courses' first cell pays for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks import line
from labs_src.paths import ROOT

TARGET = 0.1


def seconds(module: str, runs: int = 5) -> float:
    """The fastest of `runs` imports, each in a new process, without the start of Python itself."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    times = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(runs)]
    return min(float(result.stdout) for result in times)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one row; exit code 1 when the import takes longer than it may."""
    ours, torch = seconds("labs_src"), seconds("torch", runs=2)
    print(line("import labs_src", ours, torch, note=f"import torch (limit {TARGET} s)"), flush=True)
    return int(ours > TARGET)


if __name__ == "__main__":
    sys.exit(main())
