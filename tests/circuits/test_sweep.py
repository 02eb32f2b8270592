"""A sweep resumes, never takes a stale or cut file for a whole one, and gives the tables that a head gives alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from labs_src.circuits import head_tables, sweep
from labs_src.circuits.folding import Folded
from labs_src.paths import ROOT


def layer(index: int, seed: int = 0) -> sweep.Layer:
    g = torch.Generator().manual_seed(100 * seed + index)
    folded = Folded(
        layer=index,
        W_Q=torch.randn(4, 12, 6, generator=g),
        W_K=torch.randn(2, 12, 6, generator=g),
        W_V=torch.randn(2, 12, 6, generator=g),
        W_O=torch.randn(4, 6, 12, generator=g),
        scale=0.3,
        softcap=50.0,
        theta=1e4,
        window=None,
    )
    return sweep.Layer(folded, torch.randn(30, 12, generator=g), torch.randn(25, 12, generator=g))


def test_tables_are_those_of_each_head(tmp_path):
    done = sweep.sweep([0, 2], layer, tmp_path, k=7, progress=False)
    assert (done.made, done.kept, len(done.files), len(done.seconds)) == (16, 0, 16, 16)
    one = layer(2)
    for kind, alone in (
        ("qk", head_tables.qk(one.folded, 3, one.rows, 7)),
        ("ov", head_tables.ov(one.folded, 3, one.rows, one.out, 7)),
    ):
        found = sweep.read(done.files[2, 3, kind])
        assert (found.kind, found.layer, found.head, found.shape) == (kind, 2, 3, alone.shape)
        assert (found.mean, found.std) == (alone.mean, alone.std)
        for end in ("top", "bottom"):
            for part in ("value", "left", "right"):
                assert torch.equal(getattr(getattr(found, end), part), getattr(getattr(alone, end), part))
    assert len(list(done.tables())) == 16


def test_a_second_sweep_computes_nothing_and_a_cut_file_is_made_again(tmp_path):
    first = sweep.sweep([0], layer, tmp_path, progress=False)
    assert sweep.sweep([0], layer, tmp_path, progress=False).kept == 8
    cut = first.files[0, 1, "ov"]
    cut.write_bytes(cut.read_bytes()[:100])
    with pytest.raises(ValueError, match="no whole table"):
        sweep.read(cut)
    again = sweep.sweep([0], layer, tmp_path, progress=False)
    assert (again.made, again.kept) == (1, 7)


def test_other_content_has_other_names(tmp_path):
    same = sweep.sweep([0], layer, tmp_path, progress=False).files
    for other in (
        sweep.sweep([0], lambda i: layer(i, seed=1), tmp_path, progress=False),
        sweep.sweep([0], layer, tmp_path, k=3, progress=False),
        sweep.sweep([0], layer, tmp_path, dtype=torch.bfloat16, progress=False),
    ):
        assert other.kept == 0
        assert not set(other.files.values()) & set(same.values())

    def other_output(index):
        one = layer(index)
        return replace(one, out=one.out + 1)

    assert sweep.sweep([0], other_output, tmp_path, progress=False).kept == 4  # the query-key tables do not use it


def test_killed_in_the_middle_it_goes_on(tmp_path):
    script = (
        "import sys, time; sys.path.insert(0, 'tests/circuits')\n"
        "import test_sweep as t; from labs_src.circuits import sweep\n"
        "write = sweep._write\n"
        "sweep._write = lambda *a: (write(*a), time.sleep(0.05))\n"
        f"sweep.sweep(range(50), t.layer, {str(tmp_path)!r}, progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("*.safetensors"))) < 5 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(tmp_path.glob("*.safetensors")))
    assert 5 <= there < 50
    done = sweep.sweep(range(7), layer, tmp_path, progress=False)
    assert done.kept == min(there, 56) and done.kept + done.made == 56


def test_a_bad_kind_gets_one_message(tmp_path):
    with pytest.raises(ValueError, match="there are qk, ov"):
        sweep.sweep([0], layer, tmp_path, kinds=["kq"])


def test_the_cost_of_a_whole_model():
    assert sweep.extrapolated(2.5) == 2.5 * 26 * 8 * 2
