"""The Gemma tier without a network: a hub cache laid out here, and every way in which it fails."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from labs_src import models, paths
from labs_src.dictionaries import gemma_scope
from labs_src.models import files, hub, labels, scope

COMMIT = "c" * 40
NAME, REPOSITORY = "gemma-2-2b", "google/gemma-2-2b"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No cache, token, folder or setting of the person who runs the tests; nothing remembered in build/."""
    import huggingface_hub

    for variable in ("LABS_GEMMA", "LABS_GEMMA_SCOPE", "LABS_GEMMA_LABELS", "HF_TOKEN", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LABS_GEMMA_DTYPE", "float32")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(models, "OFFLINE_ASKED", False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_of_a_test")
    monkeypatch.setattr(hub, "DOWNLOAD_GB", dict.fromkeys(hub.DOWNLOAD_GB, 0.0))
    monkeypatch.setattr(hub, "free_memory_gb", lambda: 100.0)
    return tmp_path


def snapshot(root: Path, repository: str = REPOSITORY) -> Path:
    folder = root / "hub" / ("models--" + repository.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return folder / "snapshots" / COMMIT


def into_blobs(path: Path) -> Path:
    """As the hub's library keeps a large file: bytes under their checksum, a link where the file should be."""
    blob = path.parents[2] / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
    blob.parent.mkdir(exist_ok=True)
    path.rename(blob)
    path.symlink_to(blob)
    return blob


@pytest.fixture
def cached(alone):
    """A small Gemma-2 in a cache, its gains not zero, in two shards, as the hub's library would have left it."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from labs_src.models import planted

    torch.manual_seed(0)
    model = Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8, sliding_window=4, attn_implementation="eager",
        )
    ).eval()  # fmt: skip
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 0, 0.5)
    folder = snapshot(alone)
    model.save_pretrained(folder, max_shard_size="40KB")
    words = planted.text.Vocabulary(tuple(planted.text.SPECIAL) + tuple(f"w{i}" for i in range(60)), None, None)
    planted.text.tokenizer(words).save_pretrained(folder)
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    for shard in shards:
        into_blobs(shard)
    return model, folder


def fails(says: str, step: str) -> str:
    """Loading fails in one message that says why, what to do, and that the mini tier works."""
    with pytest.raises(hub.Unavailable) as caught:
        models.load(NAME)
    message = str(caught.value)
    assert re.search(says, message) and re.search(step, message), message
    assert message.endswith(hub.MINI) and "\n" not in message
    assert "hf_of_a_test" not in message
    return message


def test_loads_from_the_cache_and_equals_transformers(cached):
    model, folder = cached
    loaded = models.load(NAME)
    tokens = torch.randint(4, 64, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(tokens), model(tokens).logits, atol=1e-4, rtol=0)
    assert loaded.path == folder and loaded.card["revision"] == COMMIT
    assert loaded.card["n_params"] == sum(p.numel() for p in model.parameters())
    assert loaded.tokenizer("w1 w2")["input_ids"] == [2, 5, 6]
    assert list(loaded.dictionaries) == list(loaded.labels) == [f"blocks.{i}.hook_resid_post" for i in range(3)]


def test_a_local_folder_comes_before_the_cache(cached, monkeypatch, tmp_path):
    folder = tmp_path / "elsewhere" / NAME
    folder.mkdir(parents=True)
    for path in cached[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("LABS_GEMMA", str(folder.parent))
    monkeypatch.setenv("LABS_GEMMA_DTYPE", "bfloat16")
    loaded = models.load(NAME)
    assert loaded.path == folder and loaded.card["revision"] is None
    assert {p.dtype for p in loaded.model.original_model.parameters()} == {torch.bfloat16}
    monkeypatch.setenv("LABS_GEMMA", str(tmp_path / "nowhere"))
    fails("neither gemma-2-2b/config.json nor", "Point it at the folder")


def test_a_file_cut_short_is_named(cached):
    blob = sorted(cached[1].glob("*.safetensors"))[1].resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-100])
    fails(f"-00002-of-.* is cut short: {len(whole) - 100} bytes of {len(whole)}", "hf download google/gemma-2-2b")
    blob.write_bytes(whole[:5])
    fails("-00002-of-.* is cut short", "--force-download")


def test_a_missing_shard_and_a_broken_config_are_named(cached):
    shard = sorted(cached[1].glob("*.safetensors"))[1]
    target = shard.resolve()
    shard.unlink()
    message = fails("-00002-of-.* is missing", "Get it all with: .venv/bin/hf download google/gemma-2-2b")
    assert "--force-download" not in message  # what has arrived is kept
    shard.symlink_to(target)
    (cached[1] / "config.json").write_text('{"model_type": "gem')
    fails("config.json is cut short", "Get it again")


def test_changed_bytes_are_found_by_checksum_and_good_ones_summed_once(cached, monkeypatch):
    blob = sorted(cached[1].glob("*.safetensors"))[0].resolve()
    assert files.matches_its_blob(blob) is True
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: pytest.fail("summed again"))
    assert files.matches_its_blob(blob) is True
    monkeypatch.setattr(hashlib, "file_digest", digest)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    fails("does not have the checksum", "--force-download")


def test_too_little_memory_is_said_before_anything_is_read_or_fetched(cached, monkeypatch):
    monkeypatch.setattr(hub, "free_memory_gb", lambda: 1.0)
    fails(r"float32 needs 1\.5 GB of free memory; here are 1\.0", "LABS_GEMMA_DTYPE=bfloat16")
    for path in cached[1].glob("*.safetensors"):
        path.unlink()
    monkeypatch.setenv("LABS_GEMMA_DTYPE", "bfloat16")
    fails(r"bfloat16 needs 6\.7 GB of free memory", "a machine with at least 9 GB")


def test_too_little_disk(monkeypatch):
    monkeypatch.setattr(hub, "DOWNLOAD_GB", {NAME: 1e6})
    fails("a download of 1000000.0 GB; .* GB free", "HF_HUB_CACHE")


def test_no_token(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    fails("needs a Hugging Face token", "hf auth login")


def test_no_network():
    fails("there is no network connection", "LABS_GEMMA")


def test_offline_because_a_person_said_so(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(models, "OFFLINE_ASKED", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fails("HF_HUB_OFFLINE is set", "Unset it")


def test_a_wrong_setting(monkeypatch):
    monkeypatch.setenv("LABS_GEMMA_DTYPE", "float8")
    fails("LABS_GEMMA_DTYPE is 'float8'", "bfloat16 or float32")


class Hub(BaseHTTPRequestHandler):
    """Answers every request alike, as the hub does in one kind of trouble."""

    status, code = 200, ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.code:
            self.send_header("X-Error-Code", self.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def answering(monkeypatch):
    """A hub on this machine that gives one answer."""
    servers = []

    def start(status: int, code: str = "") -> None:
        handler = type("Answer", (Hub,), {"status": status, "code": code})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{servers[-1].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "says", "step"),
    [
        (403, "GatedRepo", "licence of google/gemma-2-2b has not been accepted", "accept it, and run this again"),
        (401, "GatedRepo", "does not accept the token", "settings/tokens"),
        (401, "", "does not accept the token", "settings/tokens"),
        (500, "", r"could not be downloaded \(status 500\)", "Try again later"),
    ],
)
def test_what_the_hub_answers(answering, status, code, says, step):
    answering(status, code)
    fails(says, step)


def test_offline_set_by_loading_a_shipped_model_does_not_forbid_a_download(answering, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    answering(403, "GatedRepo")
    fails("has not been accepted", "accept it")
    assert constants.HF_HUB_OFFLINE is True


def test_a_dictionary_of_true_shape_from_the_cache(alone):
    d_sae, d_in = 16_384, 2304
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(512, d_in, generator=g), dim=1).repeat(32, 1)
    made = gemma_scope.Dictionary(rows.T, torch.full((d_sae,), 0.1), torch.full((d_sae,), 2.0), rows, torch.ones(d_in))
    path = snapshot(alone, gemma_scope.REPOSITORY) / gemma_scope.canonical(12)
    gemma_scope.save(made, path)
    assert path.parts[-4:] == ("layer_12", "width_16k", "average_l0_82", "params.npz")
    read = scope.dictionaries()["blocks.12.hook_resid_post"]
    assert (read.d_in, read.d_sae, read.hook) == (d_in, d_sae, "blocks.12.hook_resid_post")
    x = 5 * torch.randn(3, d_in, generator=g)
    pre = x.numpy() @ rows.T[:, :700].numpy() + np.float32(0.1)  # the formula once more, in numpy
    expected = np.where(pre > 2.0, pre, 0.0)
    np.testing.assert_allclose(read.encode(x)[:, :700].numpy(), expected, atol=1e-4)
    assert 0 < (expected > 0).mean() < 0.9
    assert read.basis()[5].pow(2).mean().item() == pytest.approx(1, abs=1e-4)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(hub.Unavailable, match=r"cut short.*hf download google/gemma-scope-2b-pt-res layer_12/.* mini"):
        scope.dictionaries()["blocks.12.hook_resid_post"]


def test_a_dictionary_that_is_not_here_and_cannot_be_fetched(monkeypatch, tmp_path):
    with pytest.raises(hub.Unavailable, match=r"gemma-scope-2b-pt-res is not on this machine.*mini tier works"):
        scope.dictionaries()["blocks.3.hook_resid_post"]
    monkeypatch.setenv("LABS_GEMMA_SCOPE", str(tmp_path))
    with pytest.raises(hub.Unavailable, match=r"there is no layer_3/width_16k/average_l0_59/params.npz"):
        scope.dictionaries()["blocks.3.hook_resid_post"]


def test_dictionary_files_that_do_not_fit_are_refused(tmp_path):
    good = {"W_enc": np.ones((4, 6)), "b_enc": np.ones(6), "threshold": np.ones(6), "W_dec": np.ones((6, 4)),
            "b_dec": np.ones(4)}  # fmt: skip
    path = tmp_path / "params.npz"
    for change, says in (
        ({"threshold": None}, "has no array threshold"),
        ({"W_enc": np.ones((6, 4))}, r"W_enc is \(6, 4\), but W_dec is \(6, 4\), so it should be \(4, 6\)"),
        ({"b_dec": np.array([0, 1, np.nan, 0])}, "b_dec holds numbers that are not finite"),
    ):
        np.savez(path, **{k: v for k, v in (good | change).items() if v is not None})
        with pytest.raises(gemma_scope.DamagedDictionary, match=says):
            gemma_scope.load(path)
    np.savez(path, **{k.replace("W_", "w_"): v for k, v in good.items()})
    assert gemma_scope.load(tmp_path).d_sae == 6  # the folder will do, and so will small letters
    assert (
        gemma_scope.save(gemma_scope.load(path), tmp_path / "a").read_bytes()
        == gemma_scope.save(gemma_scope.load(path), tmp_path / "b").read_bytes()
    )
    with pytest.raises(gemma_scope.DamagedDictionary, match="is missing"):
        gemma_scope.load(tmp_path / "c.npz")


def test_canonical_paths_are_those_that_sae_lens_knows():
    import importlib.util

    folder = Path(importlib.util.find_spec("sae_lens").submodule_search_locations[0])
    text = (folder / "pretrained_saes.yaml").read_text(encoding="utf-8")
    block = re.search(r"(?ms)^gemma-scope-2b-pt-res-canonical:\n(.*?)^\S", text)[1]
    known = re.findall(r"path: (layer_(\d+)/width_16k/average_l0_\d+)$", block, re.M)
    assert len(known) == 26
    for path, layer in known:
        assert gemma_scope.canonical(int(layer)) == f"{path}/params.npz"
    with pytest.raises(ValueError, match="layers 0 to 25"):
        gemma_scope.canonical(26)


def test_label_tables(monkeypatch, tmp_path):
    rows = [{"index": "7", "description": "days"}, {"index": "2", "description": "NA", "f1": 0.5}]
    (tmp_path / "0-gemmascope-res-16k.json").write_text(json.dumps(rows))
    hook = "blocks.0.hook_resid_post"
    with pytest.raises(hub.Unavailable, match=r"LABS_GEMMA_LABELS, which is not set.*saeId=0-gemmascope-res-16k"):
        scope.label_tables()[hook]
    monkeypatch.setenv("LABS_GEMMA_LABELS", str(tmp_path))
    table = scope.label_tables()[hook]
    assert table["index"].tolist() == [2, 7] and table["description"].tolist() == ["NA", "days"]
    for name, text in (("a.csv", "index,description\n2,NA\n7,days\n"), ("a.jsonl", "\n".join(map(json.dumps, rows)))):
        (tmp_path / name).write_text(text)
        assert labels.read(tmp_path / name)["description"].tolist() == ["NA", "days"]
    (tmp_path / "0-gemmascope-res-16k.json").write_text(json.dumps(rows)[:-9])
    with pytest.raises(hub.Unavailable, match="cannot be read as a label table"):
        scope.label_tables()[hook]
    (tmp_path / "b.csv").write_text("latent,label\n1,x\n")
    with pytest.raises(labels.DamagedLabels, match="columns index and description"):
        labels.read(tmp_path / "b.csv")
