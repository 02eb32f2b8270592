"""Running: every way to fail is told apart, and a killed run continues."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import nbformat
import psutil
import pytest
from course_commands import command, environment

from labs_src.course import pool
from labs_src.course.catalogue import select
from labs_src.course.errors import DiskFull, Problem
from labs_src.course.execute import run as execute
from labs_src.course.folders import Folders
from labs_src.course.report import Result, explain
from labs_src.course.report import entry as report_entry
from labs_src.course.run import check_tier
from labs_src.course.run import run as run_labs


def add_lab(course: Folders, slug: str, code: str) -> None:
    """A lab whose notebook is the second one with other last code, which its source does not have."""
    notebook = json.loads((course.notebooks / "01_waiting.ipynb").read_text())
    notebook["cells"][-1]["source"] = code
    (course.notebooks / f"{slug}.ipynb").write_text(json.dumps(notebook))
    (course.sources / f"{slug}.py").write_text((course.sources / "01_waiting.py").read_text())


def test_passed_failed_drifted_and_timed_out(course: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    add_lab(course, "02_raises", "def broken():\n    1 / 0\nbroken()")
    add_lab(course, "03_hangs", "import time; time.sleep(60)")
    table = json.loads(course.golden.read_text())
    table["mini"]["01"]["halved"]["expected"] = 0.3
    course.golden.write_text(json.dumps(table))
    assert run_labs(folders=course, cell_timeout=4, timeout=60, jobs=2) is False
    report = json.loads((course.build / "report" / "report.json").read_text())
    labs = {lab["id"]: lab for lab in report["labs"]}
    assert {name: lab["status"] for name, lab in labs.items()} == {
        "00": "passed", "01": "drifted", "02": "failed", "03": "failed"
    }  # fmt: skip
    assert set(report) == {"tier", "seconds", "labs"}
    assert {"id", "title", "status", "seconds", "peak_mb", "notebook", "records"} <= set(labs["00"])
    doubled = labs["00"]["records"]["doubled"]
    assert (doubled["value"], doubled["expected"], doubled["tolerance"], doubled["ok"]) == (42.0, 42.0, 0.5, True)
    assert labs["00"]["peak_mb"] > 20
    assert labs["02"]["error"] == {"message": "ZeroDivisionError: division by zero", "cell": "def broken():"}
    assert labs["03"]["error"]["message"] == "a cell took longer than 4 s"
    assert labs["03"]["error"]["cell"] == "import time; time.sleep(60)"
    printed = capsys.readouterr().out
    assert "Note: 02_raises.ipynb is not what 02_raises.py gives now." in printed
    assert "01 halved: 0.25 is outside 0.3 ± 0.01" in printed
    assert f"Report: {course.build}/report/index.html" in printed
    index = (course.build / "report" / "index.html").read_text()
    assert "the grammar's own entropy" in (course.build / "report" / "text.html").read_text()
    for words in ("00_doubling.html", "ZeroDivisionError", "✗ drifted", "exact in floats"):
        assert words in index
    results = [folder.name[:2] for folder in (course.build / "cache").iterdir() if not folder.name.startswith(".")]
    assert sorted(results) == ["00", "01"]  # what failed is not kept: the next run tries it again


def test_a_missed_floor_is_a_failure(course: Folders) -> None:
    lab = select(["01"], course)[0]
    text = lab.notebook.read_text().replace('"must": null', '"must": "> 0.8"')
    result = Result(lab, nbformat.reads(text, as_version=4), text, None, 1.0, None)
    entry = report_entry(result, json.loads(course.golden.read_text())["mini"]["01"])
    assert entry["status"] == "failed"
    assert explain(entry["records"]["halved"]) == "0.25 misses its floor: it must be > 0.8"


def test_killed_half_way_it_continues(course: Folders, labs, tmp_path: Path) -> None:
    counter, wait = tmp_path / "counter", tmp_path / "wait"
    wait.touch()
    variables = {"LABS_TEST_COUNTER": str(counter), "LABS_TEST_WAIT": str(wait)}
    process = subprocess.Popen(
        command("run", "--jobs", "2"),
        env=environment(course, **variables),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    cache = course.build / "cache"
    deadline = time.time() + 60
    while not list(cache.glob("00_*/result.json")) and time.time() < deadline:
        time.sleep(0.1)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2  # the worker of the waiting lab, and its kernel
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == [], "a kernel was left behind"
    wait.unlink()
    result = labs("run", **variables)
    assert result.returncode == 0, result.stderr
    assert "00 Doubling: finished by an earlier run" in result.stdout
    assert "01 Waiting: done in" in result.stdout
    assert counter.read_text() == "x"  # executed once in all
    assert [folder.name for folder in cache.iterdir() if folder.name.startswith(".part")] == []


def test_ended_politely_it_leaves_no_kernel(course: Folders, tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    env = environment(course, LABS_TEST_WAIT=str(wait))
    process = subprocess.Popen(
        command("run", "--only", "01"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline, started = time.time() + 60, []
    while len(started) < 2 and time.time() < deadline:
        time.sleep(0.1)
        started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.startswith("labs: stopped. What was finished is kept")
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def test_unknown_lab_and_tier(labs) -> None:
    result = labs("run", "--only", "77")
    assert result.returncode == 2
    assert result.stderr == "labs: There is no lab '77'. There are: 00 (Doubling), 01 (Waiting).\n"
    with pytest.raises(Problem, match=r"no tier 'huge'. There are: mini, gemma"):
        check_tier("huge")


def test_gemma_tier_runs_where_the_model_can_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("labs_src.doctor.memory_gb", lambda: (64.0, 48.0))
    for variable in ("LABS_GEMMA", "HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(Problem, match=r"gemma tier is not available: needs a Hugging Face token.*--tier mini"):
        check_tier("gemma")
    monkeypatch.setenv("LABS_GEMMA", str(tmp_path))
    check_tier("gemma")
    monkeypatch.setattr("labs_src.doctor.memory_gb", lambda: (4.0, 2.0))
    with pytest.raises(Problem, match=r"free memory, here are 2\.0.*--tier mini"):
        check_tier("gemma")


def test_damaged_data(course: Folders, labs) -> None:
    (course.data / "weights.bin").write_bytes(b"changed")
    manifest = {"algorithm": "sha256", "files": {"weights.bin": "0" * 64}}
    (course.data / "manifest.json").write_text(json.dumps(manifest))
    result = labs("run", LABS_DATA=str(course.data))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "weights.bin is damaged" in result.stderr
    assert "git checkout" in result.stderr


def test_missing_kernel(course: Folders, labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    broken = {
        "argv": [str(tmp_path / "gone/python"), "-m", "ipykernel_launcher"],
        "display_name": "x",
        "language": "python",
    }
    spec.write_text(json.dumps(broken))
    result = labs("run", JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert result.returncode == 2
    assert result.stderr.startswith("labs: The Jupyter kernel python3 cannot start: its interpreter")
    assert result.stderr.count("\n") == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Problem, match=r"python3 is missing: ipykernel is not installed.*install.py"):
        pool.check_kernel()


def test_a_kernel_called_python_needs_no_python_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # as on Debian, whose Python is called python3
    pool.check_kernel()


def test_full_disk_before_and_during(course: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings.filterwarnings("ignore", "the file is not specified with any extension")  # papermill, of /dev/full
    job = pool.Job("00", course.notebooks / "00_doubling.ipynb", tmp_path, {}, 60, 60)
    request = {
        "notebook": str(job.notebook),
        "output": "/dev/full",
        "parameters": {},
        "cwd": str(tmp_path),
        "cell_timeout": 60,
    }
    if Path("/dev/full").exists():
        assert execute(request) == {"kind": "disk", "message": "no space left on device", "cell": None}
    for kind, message in (("disk", ""), ("raised", "OSError: [Errno 28] No space left on device: 'x.npy'")):
        with pytest.raises(DiskFull, match=r"disk is full: lab 00 could not write.*repeat"):
            pool.raise_if_broken(job, {"error": {"kind": kind, "message": message, "cell": None}})
    pool.raise_if_broken(job, {"error": {"kind": "raised", "message": "ValueError: no", "cell": None}})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: os.terminal_size((0, 0)) and type("U", (), {"free": 5e6})())
    with pytest.raises(DiskFull, match=r"5 MB free.*200 MB are needed"):
        pool.check_space(course.build / "not" / "yet")


def test_full_disk_while_reporting(course: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    from labs_src.course import cells

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cells.os, "replace", full)
    with pytest.raises(DiskFull, match=r"could not be written"):
        cells.write_atomically(course.build / "report.json", "{}")
    assert list(course.build.glob(".report*")) == []  # nothing half-written
