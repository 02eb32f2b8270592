"""Every benchmark in this folder, as one table: `python -m benchmarks.run [name ...]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import header


def modules(names: Sequence[str] = ()) -> list:
    """The benchmarks called `names`, or all; a benchmark is a module of this folder with a `main`.

    Raises:
        SystemExit: No such benchmark.
    """
    exist = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name != "run")
    if unknown := set(names) - set(exist):
        raise SystemExit(f"There is no benchmark {', '.join(sorted(unknown))}. There are: {', '.join(exist)}.")
    found = [importlib.import_module(f"benchmarks.{name}") for name in exist if not names or name in names]
    return [module for module in found if hasattr(module, "main")]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Exit code 1 when a benchmark fails; the others run all the same."""
    failed = False
    chosen = modules(list(argv if argv is not None else sys.argv[1:]))
    print(header(), flush=True)
    for module in chosen:
        try:
            module.main([])
        except Exception as error:  # one broken measurement must not hide the rest
            failed = True
            print(f"{module.__name__}: {type(error).__name__}: {error}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
