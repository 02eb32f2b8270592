"""A model of Gemma-2-2B's true shape with random weights in bfloat16, loaded as the real one is: time and peak memory.

Writes 5.2 GB of weights and one dictionary of 0.3 GB into a temporary folder laid out like the hub's cache, loads
``gemma-2-2b`` from it in a process of its own, and removes the folder. Needs no network.

    python benchmarks/gemma_shape.py                 two minutes, 7 GB of memory, 6 GB of disk
    python benchmarks/gemma_shape.py --layers 2      the same with fewer layers
    python benchmarks/gemma_shape.py --published     weights in float32, as published (13 GB of disk)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labs_src.models import hub

LAYERS, D, HEADS, KV, D_HEAD, MLP, VOCAB = 26, 2304, 8, 4, 256, 9216, 256_000
WIDTH = 16_384
TOKENS = 128
NEED_GB, DISK_GB = 7.5, 6.5


def write(home: Path, layers: int, dtype: str) -> None:
    """The checkpoint, its tokenizer and one dictionary, as the hub's library would have left them in ``home``."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import Gemma2Config, PreTrainedTokenizerFast

    from labs_src.dictionaries import gemma_scope

    folder = _snapshot(home, hub.REPOSITORIES["gemma-2-2b"])
    config = Gemma2Config(
        vocab_size=VOCAB, hidden_size=D, intermediate_size=MLP, num_hidden_layers=layers, num_attention_heads=HEADS,
        num_key_value_heads=KV, head_dim=D_HEAD, query_pre_attn_scalar=D_HEAD, dtype=dtype,
        architectures=["Gemma2ForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "a": 4}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    names = {f"{n}_token": f"<{n}>" for n in ("bos", "eos", "pad", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=getattr(torch, dtype)).normal_(0, 0.02, generator=g)

    index = {}
    for i in range(-1, layers):
        tensors = {"model.embed_tokens.weight": normal(VOCAB, D), "model.norm.weight": normal(D)} if i < 0 else {}
        for name, shape in _block().items() if i >= 0 else ():
            tensors[f"model.layers.{i}.{name}.weight"] = normal(*shape)
        shard = f"model-{i + 2:05d}-of-{layers + 1:05d}.safetensors"
        from safetensors.torch import save_file

        save_file(tensors, folder / shard, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    decoder = torch.nn.functional.normalize(torch.randn(WIDTH, D, generator=g), dim=1)
    gemma_scope.save(
        gemma_scope.Dictionary(decoder.T, torch.zeros(WIDTH), torch.full((WIDTH,), 2.0), decoder, torch.zeros(D)),
        _snapshot(home, gemma_scope.REPOSITORY) / gemma_scope.canonical(0),
    )


def _block() -> dict[str, tuple[int, ...]]:
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    return {
        "self_attn.q_proj": (HEADS * D_HEAD, D),
        "self_attn.k_proj": (KV * D_HEAD, D),
        "self_attn.v_proj": (KV * D_HEAD, D),
        "self_attn.o_proj": (D, HEADS * D_HEAD),
        "mlp.gate_proj": (MLP, D),
        "mlp.up_proj": (MLP, D),
        "mlp.down_proj": (D, MLP),
        **dict.fromkeys(norms, (D,)),
    }


def _snapshot(home: Path, repository: str) -> Path:
    folder = home / ("models--" + repository.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


def measure() -> dict[str, float]:
    """Load and use the model in this process: seconds, and peaks of memory in GB during each step.

    "own" memory leaves out pages of files that are mapped: the system drops those when it needs room.
    """
    import psutil
    import torch

    torch.set_num_threads(1)
    found: dict[str, float] = {}

    peak, running, process = {"resident": 0, "own": 0}, threading.Event(), psutil.Process()

    def watch() -> None:
        while not running.wait(0.02):
            now = process.memory_info()
            peak["resident"] = max(peak["resident"], now.rss)
            peak["own"] = max(peak["own"], now.rss - getattr(now, "shared", 0))

    threading.Thread(target=watch, daemon=True).start()

    def step(name: str, start: float) -> None:
        found[f"{name} s"] = time.perf_counter() - start
        found[f"{name} cpu s"] = time.process_time() - cpu
        for kind in peak:
            found[f"{name} {kind}"], peak[kind] = peak[kind] / 1e9, 0

    start, cpu = time.perf_counter(), time.process_time()
    import transformer_lens.model_bridge  # noqa: F401 (its import is not the model's time)

    from labs_src import models

    step("import", start)
    start, cpu = time.perf_counter(), time.process_time()
    loaded = models.load("gemma-2-2b")
    step("load", start)
    tokens = torch.randint(4, VOCAB, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    start, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        _, cache = loaded.model.run_with_cache(tokens, names_filter="blocks.0.hook_resid_post")
    step("forward", start)
    start, cpu = time.perf_counter(), time.process_time()
    dictionary = loaded.dictionaries["blocks.0.hook_resid_post"]
    dictionary.encode(cache["blocks.0.hook_resid_post"])
    step("dictionary", start)
    running.set()
    found["parameters"] = loaded.card["n_params"]
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table; 0 when it ran, or when this machine is too small to run it (said)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=LAYERS, help=f"layers of the model; the real one has {LAYERS}")
    parser.add_argument("--published", action="store_true", help="write float32, as the published weights are")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # what the process of its own runs
    arguments = parser.parse_args(argv)
    if arguments.measure:
        print(json.dumps(measure()))
        return 0
    if not 1 <= arguments.layers <= LAYERS:
        parser.error(f"--layers lies between 1 and {LAYERS}")
    share = 0.3 + 0.7 * arguments.layers / LAYERS
    free, disk = hub.free_memory_gb(), shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    dtype, room = ("float32", 2 * DISK_GB) if arguments.published else ("bfloat16", DISK_GB)
    if free < NEED_GB * share or disk < room * share:
        print(f"gemma shape: not run, it needs {NEED_GB * share:.1f} GB of free memory (here {free:.1f}) and "
              f"{room * share:.1f} GB of disk (here {disk:.1f})")  # fmt: skip
        return 0
    with tempfile.TemporaryDirectory() as home:
        start = time.perf_counter()
        write(Path(home), arguments.layers, dtype)
        seconds = time.perf_counter() - start
        shape = f"{arguments.layers} layers, {dtype} on disk"
        print(f"gemma shape, {shape}, one thread; written in {seconds:.0f} s", flush=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LABS_GEMMA", "HF_"))}
        environment |= {"HF_HUB_CACHE": home, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, __file__, "--measure"], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        print(done.stderr[-2000:])
        return 1
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{found['parameters'] / 1e9:.2f} billion parameters")
    print(f"{'step':<28}{'wall':>10}{'cpu':>10}{'peak':>12}{'with mapped files':>20}")
    names = {
        "import": "import",
        "load": "load",
        "forward": f"forward, {TOKENS} tokens",
        "dictionary": "dictionary, encode",
    }
    for key, name in names.items():
        wall, cpu, own, resident = (found[f"{key} {what}"] for what in ("s", "cpu s", "own", "resident"))
        print(f"{name:<28}{wall:>9.1f}s{cpu:>9.1f}s{own:>9.2f} GB{resident:>17.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
