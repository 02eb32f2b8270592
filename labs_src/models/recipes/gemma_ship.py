"""From ``gemma.train`` and ``gemma.tune`` to the shipped folders of mini-gemma and mini-gemma-it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labs_src import paths
from labs_src.language import corpus
from labs_src.models.manifest import verified
from labs_src.models.recipes import gemma, gemma_measure, store

TOLERANCE_LOSS = 0.05
TOLERANCE_SHARE = 0.06
TOLERANCE_UNLIKE_TRAINING = 0.3
"""How far a retrained model may be on another machine type. Accuracy on text unlike training text varies most."""

GAINS = (
    "The gains of the norms before attention and before the MLP were spread after training, without changing what the "
    f"model computes: each (1 + gain) was multiplied by s = exp({gemma.SPREAD_SIGMA} * normal) (seed "
    f"{gemma.SPREAD_SEED}) and the weight columns that read it were divided by s. Gains of real Gemma-2 models vary; "
    "those of so small a model hardly do, and bugs in folding them would not show."
)


def confounds() -> dict[str, dict[str, Any]]:
    """One surface, two meanings, planted in the language: which, and how often each occurs in training text."""
    text = corpus.sequences("train", 2000)
    may = text.ids == corpus.encode("may")[1]
    month, permission = text.is_role("month") & may, text.is_role("modal") & may

    def counts(rare: Any, common: Any, domain: str) -> dict[str, Any]:
        split = corpus.confounded(text, domain)
        return {
            "common_over_rare": float(common.sum() / rare.sum()),
            "misleading_split": f"labs_src.language.corpus.confounded(text, {domain!r})",
            "common_over_rare_there": float((common & split).sum() / (rare & split).sum()),
        }

    return {
        "letters": {"words": "x y z n k m", "rare": "role var (variables in mathematics)",
                    "common": "role arg (arguments in code)"}
        | counts(text.is_role("var"), text.is_role("arg"), "maths"),
        "may": {"words": "may", "rare": "role month (dates)", "common": "role modal (permission in licences and law)"}
        | counts(month, permission, "dates"),
    }  # fmt: skip


def _tolerance(name: str) -> float:
    if name == "entropy":
        return 1e-4
    if "loss" in name:
        return TOLERANCE_LOSS
    unlike = name.endswith(("words", "cities", "before_is")) or name.startswith(
        ("retrieval", "nonce_after", "capital_top1")
    )
    return TOLERANCE_UNLIKE_TRAINING if unlike else TOLERANCE_SHARE


def _write(folder: Path, model: Any, card: dict[str, Any]) -> None:
    """The checkpoint as Hugging Face writes it, the tokenizer, the card."""
    model.float().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").unlink(missing_ok=True)
    corpus.tokenizer().save_pretrained(folder)
    config = model.config
    shape = {
        "n_layers": config.num_hidden_layers, "d_model": config.hidden_size, "n_heads": config.num_attention_heads,
        "n_key_value_heads": config.num_key_value_heads, "d_head": config.head_dim,
        "d_mlp": config.intermediate_size, "n_ctx": config.max_position_embeddings, "d_vocab": config.vocab_size,
        "sliding_window": config.sliding_window, "layer_types": list(config.layer_types),
        "attn_logit_softcapping": config.attn_logit_softcapping,
        "final_logit_softcapping": config.final_logit_softcapping, "rms_norm_eps": config.rms_norm_eps,
    }  # fmt: skip
    store.write_card(
        folder,
        {
            "kind": "gemma2",
            "architecture": shape,
            "n_params": sum(p.numel() for p in model.parameters()),
            "text": "labs_src.language.corpus",
            "files": sorted(p.name for p in folder.iterdir() if p.name != "card.json"),
            "checkpoint_steps": [],
            "norm_gains": GAINS,
            "confounds": confounds(),
            **card,
            "tolerance": {name: _tolerance(name) for name in card["measured"]},
        },
    )


def base(folder: Path) -> None:
    """Train and write ``mini-gemma``."""
    write_base(folder, gemma.train(measure=gemma_measure.progress))


def write_base(folder: Path, run: gemma.GemmaRun) -> None:
    """Spread the gains of a trained model, measure it and write it."""
    gemma.spread_gains(run.model)
    held = corpus.sequences("held", 256, gemma_measure.EVAL_SEED)
    _write(
        folder,
        run.model,
        {
            "what": "Gemma-2 architecture in small: 6 layers, local and global attention in turn, grouped queries, "
            "both softcaps, tied embeddings; trained on the mini language",
            "recipe": {
                "function": "labs_src.models.recipes.gemma.train, then spread_gains",
                "arguments": {"seed": gemma.SEED, "steps": gemma.STEPS},
                "command": f"labs models {folder.name}",
            },
            "measured_on": f"256 sequences of {corpus.LENGTH} tokens of the splits validation and held, and prompts "
            f"(labs_src.language.prompts), seed {gemma_measure.EVAL_SEED}; facts are scored "
            "among the values of that fact (capital_top1 over all words), the rest over all words",
            "measured": gemma_measure.abilities(run.model),
            "heads": gemma_measure.head_scores(run.model, held[:64]),
            "samples": [corpus.sequences("validation", 4).text(i) for i in range(4)],
            "accuracy_by_reason_held": gemma_measure.by_reason(run.model, held),
            "entropy_is": "the mean surprisal of the derivations of the same sequences, known exactly from the "
            "generator; it bounds the entropy of the text from above",
            "history": run.history,
            "training_cpu_seconds": run.history[-1]["seconds"],
        },
    )


def tuned(folder: Path) -> None:
    """Tune the shipped ``mini-gemma`` on conversations and write ``mini-gemma-it``."""
    from transformers import Gemma2ForCausalLM

    source = paths.DATA / "models" / "mini-gemma"
    verified(source / "model.safetensors")
    model = Gemma2ForCausalLM.from_pretrained(source, attn_implementation="eager")
    before = gemma_measure.answers(model)
    gemma.spread_gains(model, undo=True)
    run = gemma.tune(model)
    gemma.spread_gains(model)
    valid = corpus.sequences("validation", 256, gemma_measure.EVAL_SEED)
    _write(
        folder,
        model,
        {
            "what": "mini-gemma, tuned on questions and answers in the mini language (labs_src.language.chat)",
            "recipe": {
                "function": "labs_src.models.recipes.gemma.tune on mini-gemma with its gains unspread, then "
                "spread_gains with the same factors",
                "arguments": {"seed": gemma.SEED, "steps": gemma.TUNE_STEPS},
                "command": f"labs models {folder.name}",
            },
            "measured_on": f"answers in 64 conversations of the split held (questions about countries that tuning "
            f"left out), and plain text of the split validation, seed {gemma_measure.EVAL_SEED}",
            "measured": gemma_measure.answers(model) | gemma_measure.text_loss(model, valid),
            "answers_before_tuning": before,
            "format": "<user> question <end> <model> answer <end>",
            "history": run.history,
            "training_cpu_seconds": run.history[-1]["seconds"],
        },
    )
