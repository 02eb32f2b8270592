"""The dependency files agree with each other, and name no index, no build and no machine."""

from __future__ import annotations

import re
import tomllib

import pytest

from labs_src.course.lock import NOT_PINNED, without
from labs_src.paths import ROOT

FILES = ["requirements.in", "requirements-torch.txt", "requirements.lock", "pyproject.toml", "environment.yml"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(name: str) -> dict[str, str]:
    """Package -> version specifier, of a file with one requirement a line."""
    lines = [line.split("#")[0].strip() for line in read(name).splitlines()]
    return dict(re.fullmatch(r"([a-z0-9-]+)(.*)", line).groups() for line in lines if line)


def locked() -> dict[str, list[str]]:
    """Package -> its pinned versions (several where they depend on the Python)."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", read("requirements.lock")):
        found.setdefault(name, []).append(version)
    return found


def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))["project"]


def test_direct_dependencies_are_the_same_in_both_lists():
    direct = dict(re.fullmatch(r"([a-z0-9-]+)(.*)", item).groups() for item in project()["dependencies"])
    assert direct == {**requirements("requirements.in"), **requirements("requirements-torch.txt")}


def test_every_direct_dependency_is_locked_at_its_version():
    pins = locked()
    for name, version in requirements("requirements.in").items():
        assert name in pins, f"{name} is in requirements.in but not in requirements.lock: labs lock"
        assert not version or version.removeprefix("==") in pins[name], f"{name}: labs lock"


def test_the_editable_install_finds_its_build_backend_in_the_lock():
    needed = tomllib.loads(read("pyproject.toml"))["build-system"]["requires"]
    assert set(needed) <= set(locked())


def test_torch_is_pinned_by_itself_and_exactly():
    assert list(requirements("requirements-torch.txt")) == ["torch"]
    assert re.fullmatch(r"==\d+\.\d+\.\d+", requirements("requirements-torch.txt")["torch"])
    assert not [name for name in locked() if NOT_PINNED.match(name)]


def test_every_pin_has_hashes():
    for block in re.split(r"(?m)^(?=\S)", read("requirements.lock")):
        if block.strip():
            assert re.match(r"[a-z0-9-]+==\S+( ;[^\\]*)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+$", block), block[
                :80
            ]


def test_lock_is_as_it_would_be_filtered_again():
    assert without(read("requirements.lock")) == read("requirements.lock")


def test_without_drops_a_package_with_its_hashes():
    dropped = "nvidia-nccl==2 ; x \\\n    --hash=sha256:2\ntorch==2+cpu \\\n    --hash=sha256:3\n"
    text = "a==1 \\\n    --hash=sha256:1\n" + dropped + "z==1\n"
    assert without(text) == "a==1 \\\n    --hash=sha256:1\nz==1\n"
    assert without("torchvision==1\n") == "torchvision==1\n"


@pytest.mark.parametrize("name", FILES)
def test_no_index_build_or_machine_is_named(name):
    text = read(name)
    for word in ("://", "index-url", "find-links", "file:", "+cpu", "+cu", "nvidia", "/root", "/home"):
        assert word not in text, f"{name} names {word}"


def test_no_registry_is_named_where_people_read():
    for name in ("install.py", "Makefile", "README.md", "CONTRIBUTING.md", ".ci/run", "labs_src/course/lock.py"):
        assert not re.search(r"https?://[^/\s]*(pypi|anaconda|download\.pytorch)|pypi\.org", read(name)), name


def test_python_is_the_same_everywhere():
    from labs_src.course.lock import PYTHON

    assert project()["requires-python"] == f">={PYTHON}"
    assert f"OLDEST = ({PYTHON.replace('.', ', ')})" in read("install.py")
    assert f"python={PYTHON}" in read("environment.yml")
    assert f'target-version = "py{PYTHON.replace(".", "")}"' in read("pyproject.toml")
    assert f"Python {PYTHON} or newer" in read("README.md")


def test_conda_brings_python_and_pip_only():
    dependencies = re.findall(r"(?m)^  - (.+)$", read("environment.yml").partition("dependencies:")[2])
    assert [item.partition("=")[0] for item in dependencies] == ["python", "pip"]


def test_version_is_the_same_everywhere():
    import labs_src

    version = project()["version"]
    assert labs_src.__version__ == version
    assert f"version: {version}" in read("CITATION.cff")
