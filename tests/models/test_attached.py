"""Dictionaries and labels that were made after a model are found beside it, and checked like everything shipped."""

from __future__ import annotations

import json

import pytest
import torch

from labs_src import paths
from labs_src.dictionaries import gemma_scope
from labs_src.models import attached
from labs_src.models.manifest import DamagedFile, write_manifest

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A model's folder without anything, and an index with two dictionaries at one hook point."""
    monkeypatch.setattr(paths, "DATA", tmp_path)
    made = gemma_scope.Dictionary(torch.ones(3, 5), torch.zeros(5), torch.ones(5), torch.ones(5, 3), torch.zeros(3))
    beside = tmp_path / "dictionaries" / "some-model"
    gemma_scope.save(made, beside / "first.npz")
    gemma_scope.save(made, beside / "second.npz")
    (beside / "labels.csv").write_text("index,description,f1\n4,days,0.75\n")
    index = {"dictionaries": {HOOK: "first.npz", f"{HOOK}/seed1": "second.npz"}, "labels": {HOOK: "labels.csv"}}
    (beside / "index.json").write_text(json.dumps(index))
    write_manifest(tmp_path)
    return tmp_path / "models" / "some-model"


def test_an_index_beside_the_model_is_read(folder):
    found = attached.dictionaries(folder, {})
    assert list(found) == [HOOK, f"{HOOK}/seed1"] and HOOK in found and len(found) == 2
    assert found[f"{HOOK}/seed1"].hook == HOOK and found[HOOK].d_sae == 5
    table = attached.labels(folder, {})[HOOK]
    assert table.to_dict("records") == [{"index": 4, "description": "days", "f1": 0.75}]
    with pytest.raises(KeyError, match=r"no label table at 'nowhere'; there are: blocks\.1"):
        attached.labels(folder, {})["nowhere"]
    assert list(attached.dictionaries(folder.parent / "other-model", {})) == []


def test_a_changed_dictionary_is_refused(folder):
    path = paths.DATA / "dictionaries" / "some-model" / "first.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=r"first\.npz is damaged"):
        attached.dictionaries(folder, {})[HOOK]
