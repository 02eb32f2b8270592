"""`labs doctor`: a line for everything, and the one thing to do about each "no"."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from labs_src import doctor, paths
from labs_src.course import doctor as printed
from labs_src.models import manifest


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A course with one lab, which loads one model."""
    sources = tmp_path / "source"
    sources.mkdir()
    (sources / "02_example.py").write_text('# %% [markdown]\n# # 02 Example\n\n# %%\nload("tiny")\n')
    folder = tmp_path / "data" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    monkeypatch.setattr(paths, "SOURCES", sources)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(doctor, "memory_gb", lambda: (8.0, 4.0))
    manifest.write_manifest()
    return tmp_path / "data"


def lab_lines() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks() if check.group == "lab"}


def test_all_is_well(data, capsys):
    lines = lab_lines()
    assert lines["02 Example (mini)"].value == "can run"
    assert printed.report() == 0
    assert "02 Example (mini)" in capsys.readouterr().out


def test_a_damaged_model_stops_the_lab_that_uses_it(data, capsys):
    (data / "models" / "tiny" / "card.json").write_text("{ }")
    line = lab_lines()["02 Example (mini)"]
    assert not line.ok and "card.json is damaged" in line.advice and "git checkout" in line.advice
    assert printed.report() == 1


def test_a_damaged_model_does_not_stop_other_labs(data):
    (data / "models" / "tiny" / "card.json").write_text("{ }")
    (paths.SOURCES / "03_other.py").write_text("# # 03 Other\n")
    assert lab_lines()["03 Other (mini)"].ok


def test_a_missing_manifest_is_said(data):
    (data / "manifest.json").unlink()
    assert "manifest.json is missing" in lab_lines()["02 Example (mini)"].advice


def test_little_memory(data, monkeypatch):
    monkeypatch.setattr(doctor, "memory_gb", lambda: (8.0, 0.3))
    line = lab_lines()["02 Example (mini)"]
    assert not line.ok and "close other programs" in line.advice


def test_a_missing_package(data, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", [*doctor.PACKAGES, "no-such-package"])
    line = lab_lines()["02 Example (mini)"]
    assert not line.ok and "install.py" in line.advice


def test_another_version_is_said_but_stops_nothing(data, monkeypatch):
    monkeypatch.setattr(doctor, "pins", lambda: {"torch": {"0.0.1"}})
    torch = next(check for check in doctor.checks() if check.name == "torch")
    assert not torch.ok and "pinned: 0.0.1" in torch.value
    assert lab_lines()["02 Example (mini)"].ok


def test_a_missing_kernel(data, monkeypatch):
    from jupyter_client import kernelspec

    def missing(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", missing)
    assert not doctor.kernel().ok
    assert not lab_lines()["02 Example (mini)"].ok


def test_a_kernel_that_starts_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python", "-m", "ipykernel_launcher"], "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    line = doctor.kernel()
    assert not line.ok and "/nowhere/python" in line.value and str(folder) in line.advice


@pytest.mark.parametrize(
    ("memory", "token", "says"), [(4.0, True, "memory"), (64.0, False, "token"), (64.0, True, "accept the licence")]
)
def test_gemma_names_the_one_thing_that_is_missing(tmp_path, monkeypatch, memory, token, says):
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "LABS_GEMMA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "memory_gb", lambda: (memory, memory))
    if token:
        (tmp_path / "token").write_text("x")
    problem = doctor.gemma_problem()
    assert says in problem and "mini tier works" in problem
    weights = tmp_path / "hub" / "models--google--gemma-2-2b" / "snapshots" / "1"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").touch()
    assert (doctor.gemma_problem() == "") == (memory > doctor.GEMMA_MEMORY_GB)


def test_it_imports_no_torch():
    code = "import sys; from labs_src.doctor import checks; checks(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT).returncode == 0


def test_the_table_of_lab_00(data):
    (data / "models" / "tiny" / "card.json").unlink()
    table = doctor.table()
    assert "<td>02 Example (mini)</td>" in table._repr_html_()
    assert "card.json is missing" in repr(table) and repr(table).count(" ok") > 5


def test_pins_are_read():
    assert shutil.which("python3")  # a machine on which the workbook runs has one
    assert doctor.pins()["torch"] == {"2.13.0"} and len(doctor.pins()["numpy"]) >= 1
