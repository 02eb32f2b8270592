"""The small pre-norm transformer of lab 01: a real Hugging Face GPT-2 checkpoint trained on the same text.

Four layers, LayerNorm, GELU MLPs, biases, learned positions added to the stream, untied embeddings. It is loaded as
a raw-weight ``TransformerBridge``, whose logits equal Hugging Face's to float32 rounding.

Where the weights are on the bridge ``b`` (row-vector convention, ``x @ W``; l = layer):

    b.W_E [vocab, d_model]                  b.pos_embed.W_pos [ctx, d_model]   (there is no ``b.W_pos``)
    b.blocks[l].ln1.w, .b [d_model]         b.blocks[l].ln2.w, .b; b.ln_final.w, .b;  eps: b.cfg.eps
    b.W_Q, W_K, W_V [layer, head, d_model, d_head]      b.b_Q, b_K, b_V [layer, head, d_head]
    b.W_O [layer, head, d_head, d_model]                b.b_O [layer, d_model]
    b.W_in [layer, d_model, d_mlp], b.b_in              b.W_out [layer, d_mlp, d_model], b.b_out
    b.W_U [d_model, vocab], b.b_U [vocab] (zero: GPT-2 has no output bias)

The same by layer: ``b.blocks[l].attn.W_Q`` [head, d_model, d_head], ``.b_Q``, ``.W_O``, ``.b_O``, and
``b.blocks[l].mlp.W_in``.

What it learnt, in short: a layer-0 head attends to the previous token, and the heads of the last layer copy. They do
not look at the token after the first occurrence, as lab 02's do, but one further on: where that layer-0 head has
read the token wanted.

Traps:
    * These are raw weights: nothing is folded or centred. Do not call ``enable_compatibility_mode`` first.
    * LayerNorm divides by the standard deviation with eps inside the root; ``ln1.hook_scale`` is that divisor and
      ``ln1.hook_normalized`` is the vector before w and b.
    * The activation is the exact GELU (``torch.nn.functional.gelu``), not GPT-2's tanh approximation.
    * A masked entry of ``hook_attn_scores`` is float32's lowest number, not minus infinity.
    * ``attn.hook_result`` is only there after ``b.set_use_attn_result(True)``; the heads then sum to
      ``hook_attn_out`` minus ``b_O``.
    * Scores are divided by sqrt(d_head); ``b.cfg.attn_scale`` says -1 and means the default.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from labs_src.language import markov
from labs_src.models.recipes import measure, store

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

SEED = 0
STEPS = 3000
BATCH = 32
TEXT_SHARE_BEFORE, TEXT_SHARE_AFTER, SWITCH_STEP = 0.75, 0.5, 200
MIN_BLOCK = 4
"""Shorter blocks than in lab 02: copying pays sooner, which is what gets induction started here."""
LEARNING_RATE = 6e-3
WARM_UP = 100
N_CTX = 64
INIT_STD = 0.125
"""1/sqrt(d_model). Hugging Face's 0.02 and its shrunk output projections learn the text but no induction."""


@dataclass
class PrenormRun:
    """A trained model; ``history`` has step, seconds (CPU), markov, loss_first and loss_second (nats)."""

    model: GPT2LMHeadModel
    history: list[dict[str, float]] = field(default_factory=list)


def new_model(seed: int = SEED) -> GPT2LMHeadModel:
    """An untrained model, with larger initial weights than Hugging Face gives."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=markov.VOCAB, n_positions=N_CTX, n_embd=64, n_layer=4, n_head=4, n_inner=256,
            activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            initializer_range=INIT_STD, tie_word_embeddings=False,
            bos_token_id=markov.BOS, eos_token_id=markov.BOS, use_cache=False,
        )
    )  # fmt: skip
    g = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if name.endswith("c_proj.weight"):
            weight.data.normal_(0, 0.8 * INIT_STD, generator=g)
        elif name.endswith(("wte.weight", "wpe.weight")):
            weight.data.normal_(0, 2 * INIT_STD, generator=g)
    return model


@torch.no_grad()
def properties(model: GPT2LMHeadModel, batch: int = 256) -> dict[str, float]:
    """Held-out Markov loss beside the exact entropy of those positions, and both halves of repeated tokens."""
    text = markov.markov_batch(batch, N_CTX, measure.EVAL_SEED)
    repeated = measure.eval_tokens()
    first, second = measure.half_losses(model(repeated).logits, repeated)
    # the first three targets do not tell yet which kind of sequence this is
    loss = measure.per_token_loss(model(text).logits, text)[:, 3:]
    return {
        "markov_loss": float(loss.mean()),
        "markov_entropy": float(markov.entropy_by_position(N_CTX)[3:].mean()),
        "loss_first": first,
        "loss_second": second,
    }


def train(
    seed: int = SEED, steps: int = STEPS, on_step: Callable[[dict], None] | None = None, every: int = 100
) -> PrenormRun:
    """Train on Markov text at first, then on half text, half repeated blocks. Deterministic for a seed on one thread.

    Args:
        seed: fixes the initial weights and the text.
        steps: optimiser steps.
        on_step: called with each history entry.
        every: steps between evaluations.
    """
    model = new_model(seed).train()
    g = torch.Generator().manual_seed(seed + 1000)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    run, started = PrenormRun(model), time.process_time()
    for step in range(steps):
        n_text = round(BATCH * (TEXT_SHARE_BEFORE if step < SWITCH_STEP else TEXT_SHARE_AFTER))
        text = markov.markov_batch(n_text, N_CTX, g)
        tokens = torch.cat([text, markov.repeated_batch(BATCH - n_text, N_CTX, g, min_block=MIN_BLOCK)])
        cosine = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * step / steps))))
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * cosine
        loss = measure.per_token_loss(model(tokens).logits, tokens).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            entry = {"step": step + 1, "seconds": time.process_time() - started, **properties(model, batch=32)}
            run.history.append(entry)
            if on_step is not None:
                on_step(entry)
    model.eval()
    return run


def ship(folder: Path) -> None:
    """Train and write the Hugging Face checkpoint, its tokenizer and its card."""
    run = train()
    run.model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    markov.tokenizer().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    measured = properties(run.model)
    config = run.model.config
    store.write_card(
        folder,
        {
            "kind": "gpt2",
            "what": "four-layer pre-norm transformer (LayerNorm, GELU MLP, biases, learned positions, untied)",
            "recipe": {
                "function": "labs_src.models.recipes.prenorm.train",
                "arguments": {"seed": SEED, "steps": STEPS},
                "command": f"labs models {folder.name}",
            },
            "architecture": {
                "n_layers": config.n_layer, "d_model": config.n_embd, "n_heads": config.n_head,
                "d_head": config.n_embd // config.n_head, "d_mlp": config.n_inner, "n_ctx": config.n_positions,
                "d_vocab": config.vocab_size, "act_fn": config.activation_function,
                "layer_norm_epsilon": config.layer_norm_epsilon,
            },
            "n_params": sum(p.numel() for p in run.model.parameters()),
            "text": "labs_src.language.markov",
            "files": sorted(p.name for p in folder.iterdir() if p.name != "card.json"),
            "checkpoint_steps": [],
            "measured_on": f"256 Markov sequences of {N_CTX} tokens (targets 4 on), and repeated blocks, "
            f"seed {measure.EVAL_SEED}",
            "measured": measured,
            "tolerance": {"markov_loss": 0.05, "markov_entropy": 1e-4, "loss_first": 0.3, "loss_second": 0.1},
            "history": run.history,
            "training_cpu_seconds": run.history[-1]["seconds"],
        },
    )  # fmt: skip
