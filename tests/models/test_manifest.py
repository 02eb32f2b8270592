"""A damaged, missing or pointer file is refused with one message that says what to do."""

from __future__ import annotations

import shutil

import pytest

from labs_src import models, paths
from labs_src.models import manifest
from labs_src.models.manifest import DamagedFile, verified


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A small data folder of its own, listed."""
    monkeypatch.setattr(paths, "DATA", tmp_path)
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "card.json").write_text("{}")
    (tmp_path / "golden.json").write_text("{}")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").write_text("not shipped")
    manifest.write_manifest()
    return tmp_path


def test_intact_file_is_returned(data):
    path = data / "models/tiny/card.json"
    assert verified(path) == path == verified("models/tiny/card.json")
    assert manifest.problems() == []
    assert list(manifest.read_manifest()) == ["models/tiny/card.json"]


def test_one_changed_byte(data):
    path = data / "models/tiny/card.json"
    path.write_text("[]")
    with pytest.raises(DamagedFile, match=r"card.json is damaged.*git checkout -- .*card.json"):
        verified(path)
    assert len(manifest.problems()) == 1


def test_missing(data):
    (data / "models/tiny/card.json").unlink()
    with pytest.raises(DamagedFile, match=r"card.json is missing. Restore it with: git checkout -- "):
        verified("models/tiny/card.json")


def test_pointer(data):
    path = data / "models/tiny/card.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n")
    with pytest.raises(DamagedFile, match=r"git-lfs pointer.*git lfs pull"):
        verified(path)


def test_unlisted(data):
    (data / "models/tiny/extra.bin").write_bytes(b"x")
    with pytest.raises(DamagedFile, match="not listed"):
        verified("models/tiny/extra.bin")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"files": 3}', "\xff"])
def test_bad_manifest(data, content):
    path = data / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DamagedFile, match=r"manifest.json .*git checkout -- .*manifest.json"):
        models.names()


def test_damaged_weights_stop_a_load(tmp_path, monkeypatch):
    shutil.copytree(paths.DATA / "models" / "induction-1l", tmp_path / "models" / "induction-1l")
    shutil.copy(paths.DATA / "manifest.json", tmp_path)
    monkeypatch.setattr(paths, "DATA", tmp_path)
    models.load("induction-1l")
    weights = tmp_path / "models" / "induction-1l" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"model\.safetensors is damaged"):
        models.load("induction-1l")


def test_everything_shipped_is_intact():
    assert manifest.problems() == []
