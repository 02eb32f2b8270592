"""Decoder PWMCC of two dictionaries of Gemma Scope's size, in blocks, beside the plain way that holds everything.

The plain way: unit-norm copies of both decoders, the whole similarity matrix, its absolute value, two maxima. Each way
runs in a process of its own, so that its peak memory is its own; the ratio of CPU seconds is of one run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import line

CHILD = """
import resource, sys, time
import torch
from torch.nn.functional import normalize
torch.set_num_threads(1)
from labs_src.dictionaries import stability

def plain(A, B):
    S = (normalize(A, dim=1) @ normalize(B, dim=1).T).abs()
    return float((S.max(1).values.mean() + S.max(0).values.mean()) / 2)

way, d_sae, d_in = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
g = torch.Generator().manual_seed(0)
A, B = (torch.randn(d_sae, d_in, generator=g) for _ in range(2))
held, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
value = (plain if way == "plain" else stability.pwmcc)(A, B)
seconds, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, (peak - held) / 1024, value)
"""


def measured(way: str, d_sae: int, d_in: int) -> tuple[float, float, float]:
    """CPU seconds, MB beyond the two dictionaries, and the value."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, way, str(d_sae), str(d_in)], capture_output=True, text=True, check=True
    )
    seconds, megabytes, value = map(float, run.stdout.split())
    return seconds, megabytes, value


def main(argv: Sequence[str] | None = None) -> None:
    """Print two lines: CPU seconds, and memory beyond the dictionaries themselves.

    Raises:
        AssertionError: the two ways disagree.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--d-in", type=int, default=2304)
    arguments = parser.parse_args(argv)
    ours, obvious = (measured(way, arguments.width, arguments.d_in) for way in ("blocks", "plain"))
    assert abs(ours[2] - obvious[2]) < 1e-5, f"the two ways disagree: {ours[2]} and {obvious[2]}"
    what = f"PWMCC, {arguments.width} x {arguments.d_in}"
    print(line(f"{what} (CPU)", ours[0], obvious[0], note=f"value {ours[2]:.4f} both ways; whole matrix"))
    print(line(f"{what} (memory)", ours[1], obvious[1], unit="MB", note="beyond the two dictionaries"))


if __name__ == "__main__":
    main()
