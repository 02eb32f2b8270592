"""install.py: one clear message for each thing that goes wrong, and nothing to do when all is done."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from labs_src.paths import ROOT

SCRIPT = ROOT / "install.py"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """The script as a module, for a copy of the repository's requirement files in a folder with a space."""
    root = tmp_path / "a folder"
    root.mkdir()
    spec = importlib.util.spec_from_file_location("install_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.INPUTS:
        shutil.copy(ROOT / name, root / name)
    monkeypatch.setattr(module, "ROOT", str(root))
    monkeypatch.setattr(module, "fingerprint", lambda root=str(root), real=module.fingerprint: real(root))
    return module


def test_old_pythons_can_read_it():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (2, 7, 18)])
def test_an_old_python_gets_one_message_and_exit_code_2(install, monkeypatch, capsys, version):
    monkeypatch.setattr(install, "sys", SimpleNamespace(version_info=version, stderr=sys.stderr))
    monkeypatch.setattr(install, "newer_python", lambda: None)
    assert install.main() == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"this is Python {version[0]}.{version[1]}" in message and "3.11 or newer" in message


def test_an_old_python_is_told_of_a_newer_one(install):
    assert "python3.12 install.py" in install.version_problem((3, 10), "python3.12")
    assert install.version_problem((3, 11)) is None and install.version_problem((4, 0)) is None


def test_newer_python_passes_over_names_that_do_not_run(install, tmp_path, monkeypatch):
    broken, works = tmp_path / "python3.11", tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\nexit 127\n")
    works.write_text("#!/bin/sh\nexit 0\n")
    for path in (broken, works):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.newer_python() == "python3.12"


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: failed to write\n  Caused by: No space left on device (os error 28)", "disk is full"),
        (
            "Failed to establish a new connection: [Errno 111]\nERROR: No matching distribution",
            "cannot be reached",
        ),
        ("error: Request failed\n cause: dns error: failed to lookup address", "cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "requirements.lock pins"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no build of a pinned package"),
        ("something else", "lines above"),
    ],
)
def test_failures_are_named(install, output, says):
    message = install.diagnose(output, free_gb=10.0)
    assert says in message and "\n" not in message


def test_a_full_disk_is_seen_even_when_nothing_says_so(install):
    assert "disk is full" in install.diagnose("", free_gb=0.01)


def test_a_failing_installer_leaves_its_mark_only_if_it_may_have_changed_something(install, tmp_path, capfd):
    venv = tmp_path / "venv"
    venv.mkdir()
    with pytest.raises(install.Problem, match="cannot be reached"):
        install.execute([sys.executable, "-c", "import sys; sys.exit('error sending request')"], str(venv))
    assert not (venv / ".installing").exists()
    with pytest.raises(install.Problem, match="lines above"):
        install.execute([sys.executable, "-c", "import sys; sys.exit('killed half-way')"], str(venv))
    assert (venv / ".installing").exists()
    assert "killed half-way" in capfd.readouterr().err


def test_a_python_without_venv_is_told_which_package_to_install(install, tmp_path, monkeypatch):
    says = "The virtual environment was not created successfully because ensurepip is not available."
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\necho "{says}"\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setattr(install.sys, "executable", str(fake))
    with pytest.raises(install.Problem, match="python3-venv"):
        install.make_venv(str(tmp_path / "venv"), None)


def test_a_half_made_environment_is_made_again(install, tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / ".installing").touch()
    called = []
    monkeypatch.setattr(install.subprocess, "call", lambda command, **_: called.append(command) or 0)
    install.make_venv(str(venv), "uv")
    assert not venv.exists() and called[-1][:2] == ["uv", "venv"]


def test_a_matching_stamp_means_nothing_to_do(install, monkeypatch):
    venv = os.path.join(install.ROOT, ".venv")
    os.makedirs(os.path.dirname(install.venv_python(venv)))
    os.symlink(sys.executable, install.venv_python(venv))
    monkeypatch.setattr(install, "make_venv", lambda *_: pytest.fail("the environment would be made again"))
    with open(os.path.join(venv, ".ok"), "w") as stamp:
        stamp.write(f"{install.fingerprint()} {install.ROOT}\n")
    os.utime(os.path.join(venv, ".ok"), (0, 0))
    assert install.main() == 0
    assert os.path.getmtime(os.path.join(venv, ".ok")) > 0, "make would call again and again"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-torch.txt", "pyproject.toml"])
def test_the_stamp_follows_every_requirement_file(install, name):
    before = install.fingerprint()
    with open(os.path.join(install.ROOT, name), "a") as file:
        file.write("# changed\n")
    assert install.fingerprint() != before


def test_the_stamp_follows_the_folder(install, tmp_path):
    other = tmp_path / "moved"
    shutil.copytree(install.ROOT, other)
    assert install.fingerprint(str(other)) != install.fingerprint()


def test_linux_is_told_about_the_large_build(install, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "platform", "linux")
    for name in ("PIP_FIND_LINKS", "UV_TORCH_BACKEND", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    install.announce_torch(str(tmp_path), "uv")
    assert "UV_TORCH_BACKEND=cpu" in capsys.readouterr().out
    install.announce_torch(str(tmp_path), None)
    assert "PIP_EXTRA_INDEX_URL" in capsys.readouterr().out
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    install.announce_torch(str(tmp_path), "uv")
    assert capsys.readouterr().out == ""


def test_without_the_requirement_files_it_says_so(tmp_path):
    shutil.copy(SCRIPT, tmp_path / "install.py")
    result = subprocess.run([sys.executable, "install.py"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "requirements-torch.txt is missing" in result.stderr


def test_two_terminals_do_not_install_at_once(install, capsys):
    pytest.importorskip("fcntl")
    first = install.wait_for_others()
    done = []
    second = threading.Thread(target=lambda: done.append(install.wait_for_others()))
    second.start()
    second.join(0.2)
    assert not done and "waiting for it" in capsys.readouterr().out
    first.close()
    second.join(10)
    assert done
    done[0].close()
