"""A head's feature table at Gemma-2-2B's shape: 16384 x 16384 pairs, head_dim 256, the 64 largest and 64 smallest.

Three ways, each in a process of its own so that its peak memory is its own: the plain matrix product (which is not an
answer yet), the whole table and then topk, and `labs_src.circuits.tables.strongest`. Then two heads' tables with their
projections, from which the cost of a sweep over 26 layers x 8 heads is extrapolated.

    python benchmarks/attention_tables.py                      float32 and bfloat16, on the CPU (two minutes, 6 GB)
    python benchmarks/attention_tables.py --device cuda        the same on a GPU
    python benchmarks/attention_tables.py --features 4096      a smaller dictionary
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import COLUMNS, line

FEATURES, D_HEAD, D_MODEL, K = 16_384, 256, 2304, 64
WAYS = ("matmul", "topk", "ours")
TABLES = ("normal", "heavy", "constant")
TIME, MEMORY = 1.2, 0.2
"""Targets: at most this many times the product's time, at most this share of the whole table's memory."""
NEED_GB = 6.5


def factors(table: str, features: int, dtype: str, device: str) -> tuple:
    """Two matrices [features, D_HEAD]: Gaussian, with rows of very different length, or all equal."""
    import torch

    g = torch.Generator().manual_seed(0)
    left, right = (torch.randn(features, D_HEAD, generator=g) for _ in range(2))
    if table == "heavy":
        left, right = (x / torch.rand(features, 1, generator=g).clamp(min=1e-3) for x in (left, right))
    elif table == "constant":
        left, right = torch.ones_like(left), torch.ones_like(right)
    return tuple(x.to(device, getattr(torch, dtype)) for x in (left, right))


def measure(way: str, table: str, features: int, dtype: str, device: str, repeats: int) -> dict:
    """Run one way in this process: seconds of each repeat, peak memory in GB, and the answer."""
    import resource

    import torch

    from labs_src.circuits import tables

    torch.set_num_threads(1)
    left, right = factors(table, features, dtype, device)

    def peak() -> float:
        if device == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def product() -> None:
        left @ right.T

    def whole() -> tuple:
        flat = (left @ right.T).flatten()
        return flat.topk(K), flat.topk(K, largest=False)

    ways: dict[str, Callable] = {"matmul": product, "topk": whole, "ours": lambda: tables.strongest(left, right, K)}
    torch.mm(left[:64], right.T)  # first calls load code
    seconds, found = [], None
    for _ in range(repeats):
        found = None
        start = clock()
        found = ways[way]()
        seconds.append(clock() - start)
    ends = []
    if way == "topk":
        ends = [end.values.float().tolist() for end in found]
    elif way == "ours":
        ends = [end.value.float().tolist() for end in found]
    return {"seconds": seconds, "peak": peak(), "ends": ends}


def apart(way: str, *rest: object) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps([way, *rest])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(table: str, features: int, dtype: str, device: str, repeats: int) -> bool:
    """Print one table's lines; whether the targets were met and both answers are the same."""
    found = {way: apart(way, table, features, dtype, device, repeats) for way in WAYS}
    seconds = {way: min(found[way]["seconds"]) for way in WAYS}
    memory = {way: found[way]["peak"] for way in WAYS}
    scale = max(abs(v) for end in found["topk"]["ends"] for v in end)
    off = max(
        abs(a - b)
        for mine, theirs in zip(found["ours"]["ends"], found["topk"]["ends"], strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )
    equal = off <= (1e-5 if dtype == "float32" else 1e-2) * scale
    name = f"feature table, {table} {dtype} ({device})"
    print(line(name, seconds["ours"], seconds["matmul"], note="against the plain matrix product"), flush=True)
    note = f"against the whole table and topk; values {'agree' if equal else 'DIFFER'}"
    print(line(name, seconds["ours"], seconds["topk"], note=note))
    print(line(f"{name}, peak", memory["ours"], memory["topk"], "GB", note="against the whole table and topk"))
    return equal and seconds["ours"] <= TIME * seconds["matmul"] and memory["ours"] <= MEMORY * memory["topk"]


def sweep_cost(features: int, heads: int) -> None:
    """Tables of the first heads of one layer of random weights, projections included, and what a whole model costs."""
    import tempfile

    import torch

    from labs_src.circuits import sweep
    from labs_src.circuits.bases import unit_rms
    from labs_src.circuits.folding import Folded

    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=g) * 0.02

    readers = normal(8, D_MODEL, D_HEAD), normal(4, D_MODEL, D_HEAD), normal(4, D_MODEL, D_HEAD)
    folded = Folded(
        0, *readers, normal(8, D_HEAD, D_MODEL),
        scale=D_HEAD**-0.5, softcap=50.0, theta=1e4, window=None,
    )  # fmt: skip
    layer = sweep.Layer(folded, unit_rms(normal(features, D_MODEL)), normal(features, D_MODEL))
    with tempfile.TemporaryDirectory() as folder:
        done = sweep.sweep([0], lambda _: layer, folder, heads=range(heads))
    each = sum(done.seconds) / len(done.seconds)
    hours = sweep.extrapolated(each) / 3600
    note = f"{len(done.seconds)} tables measured; 26 layers x 8 heads x 2 take {hours:.2f} CPU hours (extrapolated)"
    print(COLUMNS.format("one table with its projections (CPU)", f"{each:.3g} s", "-", "-", note), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the lines; 0 when the targets were met, or when this machine is too small to try (said)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=FEATURES)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), action="append", help="by default both")
    parser.add_argument("--table", choices=TABLES, action="append", help="by default all, in float32")
    parser.add_argument("--repeats", type=int, default=2, help="of each way; the fastest counts")
    parser.add_argument("--heads", type=int, default=2, help="heads of the sweep's cost; 0 leaves it out")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # what a process of its own runs
    arguments = parser.parse_args(argv)
    if arguments.measure:
        print(json.dumps(measure(*json.loads(arguments.measure))))
        return 0
    import psutil

    need, free = NEED_GB * (arguments.features / FEATURES) ** 2 + 0.5, psutil.virtual_memory().available / 1e9
    if arguments.device == "cpu" and free < need:
        print(f"feature table: not run, the whole table needs {need:.1f} GB of free memory (here {free:.1f})")
        return 0
    if arguments.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            print("feature table: not run on a GPU, there is none here")
            return 0
    good = True
    for dtype in arguments.dtype or ("float32", "bfloat16"):
        for table in arguments.table or (TABLES if dtype == "float32" else TABLES[:1]):
            good &= compare(table, arguments.features, dtype, arguments.device, arguments.repeats)
    print(f"wanted: {TIME} of the product's time, {MEMORY} of the whole table's memory: {'yes' if good else 'NO'}")
    if arguments.heads and arguments.device == "cpu":
        sweep_cost(arguments.features, arguments.heads)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
