"""From a training run of ``induction.train`` to the shipped folders of lab 02: weights, checkpoints, card."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from labs_src.models.recipes import induction, measure, store

SEED = 2
STEPS = 600
CHECKPOINTS = (0, 50, 100, 125, 150, 175, 200, 225, 250, 275, 300, 325, 350, 400, 500, 600)
"""Steps shipped with the two-layer model: dense around the phase change."""

SEEDS = (0, 1, 2, 3, 4)
"""Seeds whose outcome the card states beside the shipped one."""

TARGETS: dict[str, tuple[str, float]] = {
    "induction_score_best": (">", 0.8),
    "previous_token_score_best": (">", 0.8),
    "loss_first": (">", 4.0),
    "loss_second": ("<", 0.3),
    "ov_diagonal_top1": (">", 0.95),
    "kcomp_diagonal_top1": (">", 0.95),
    "induction_without_previous_heads": ("<", 0.1),
    "induction_drop_without_other_heads": ("<", 0.1),
}
"""What lab 02 needs of the two-layer model."""

CONTROL_TARGETS: dict[str, tuple[str, float]] = {"induction_score_best": ("<", 0.1), "loss_second": (">", 4.0)}
"""What lab 02 needs of the one-layer control. It attends about a fixed distance back, so that its score depends on the
block length (see ``induction_by_block_length`` in the card)."""

TOLERANCE = {
    "induction_score_best": 0.12,
    "previous_token_score_best": 0.12,
    "loss_first": 0.5,
    "loss_second": 0.15,
    "ov_diagonal_top1": 0.05,
    "kcomp_diagonal_top1": 0.05,
    "kcomp_diagonal_top1_by_key": 0.05,
    "kcomp_diagonal_top1_all_previous": 0.05,
    "induction_without_previous_heads": 0.1,
    "induction_drop_without_other_heads": 0.1,
}
"""How far a retrained model may be on another machine type: about the spread between seeds that succeed."""


def _write(folder: Path, run: induction.TrainingRun, n_layers: int, steps: tuple[int, ...], extra: dict) -> None:
    model = run.model
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    files = ["model.safetensors"]
    if steps:
        kept = {
            f"{step:05d}/{name}": value.half().contiguous()
            for step, state in run.checkpoints
            if step in steps
            for name, value in state.items()
        }
        save_file(kept, folder / "checkpoints.safetensors")
        files.append("checkpoints.safetensors")
    for file in files:
        (folder / file).chmod(0o644)
    measured = measure.properties(model)
    store.write_card(
        folder,
        {
            "kind": "attention-only",
            "what": f"{n_layers}-layer attention-only transformer, shortformer positions, no norm, no biases",
            "recipe": {
                "function": "labs_src.models.recipes.induction.train",
                "arguments": {"seed": SEED, "steps": STEPS, "n_layers": n_layers},
                "command": f"labs models {folder.name}",
            },
            "architecture": model.config_dict(),
            "n_params": sum(p.numel() for p in model.parameters()),
            "text": "labs_src.language.markov",
            "files": files,
            "checkpoint_steps": list(steps),
            "checkpoint_dtype": "float16",
            "measured_on": f"{measure.EVAL_BLOCK}-token blocks of distinct tokens, 64 sequences, "
            f"seed {measure.EVAL_SEED}",
            "measured": measured,
            "induction_by_block_length": measure.induction_by_block(model),
            "heads": {
                "previous": run.history[-1]["previous_heads"],
                "induction": run.history[-1]["induction_heads"],
            },
            "tolerance": {k: TOLERANCE[k] for k in measured},
            "history": [{k: v for k, v in e.items() if not k.endswith("_heads")} for e in run.history],
            "training_cpu_seconds": run.history[-1]["seconds"],
            **extra,
        },
    )


def seeds_table(runs: dict[int, induction.TrainingRun], targets: dict[str, tuple[str, float]]) -> dict:
    """Every target for every seed, and how many seeds reach it."""
    rows = {seed: measure.properties(run.model) for seed, run in runs.items()}

    def reached(key: str, value: float) -> bool:
        side, bound = targets[key]
        return value > bound if side == ">" else value < bound

    return {
        "table": [{"seed": seed, **{key: row[key] for key in targets}} for seed, row in rows.items()],
        "reached": {
            f"{key} {side} {bound}": f"{sum(reached(key, row[key]) for row in rows.values())} of {len(rows)}"
            for key, (side, bound) in targets.items()
        },
    }


def induction_2l(folder: Path) -> None:
    """The two-layer model of lab 02, with checkpoints along its training and the outcome of other seeds."""
    runs = {seed: induction.train(seed=seed, steps=STEPS, n_layers=2) for seed in SEEDS}
    _write(folder, runs[SEED], 2, CHECKPOINTS, {"seeds": seeds_table(runs, TARGETS)})


def induction_1l(folder: Path) -> None:
    """The one-layer control: same recipe, same seed, one layer; and the outcome of other seeds."""
    runs = {seed: induction.train(seed=seed, steps=STEPS, n_layers=1) for seed in SEEDS}
    _write(folder, runs[SEED], 1, (), {"seeds": seeds_table(runs, CONTROL_TARGETS)})
