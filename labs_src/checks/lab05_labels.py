"""Lab 05, second part: labels scored against what made the text."""

from __future__ import annotations

import torch

from labs_src.checks.compare import Mistake, difference, expect
from labs_src.checks.contract import Exercise, Part


def bools(rng, *shape: int, share: float = 0.3) -> torch.Tensor:
    return torch.from_numpy(rng.random(size=shape) < share)


def zero_for_nothing(judge):
    """A judge that says, where the learner returns NaN, where it comes from."""

    def judged(inputs, value) -> str | None:
        message = judge(inputs, value)
        return f"{message}: that is 0 / 0; return 0 there" if message and message.endswith("are NaN") else message

    return judged


def _counts(fires, truth) -> tuple[int, int, int]:
    pairs = list(zip(fires.tolist(), truth.tolist(), strict=True))
    return sum(f and t for f, t in pairs), sum(f for f, _ in pairs), sum(t for _, t in pairs)


def prf_by_counting(fires, truth) -> tuple:
    both, n, size = _counts(fires, truth)
    precision, recall = both / n if n else 0.0, both / size if size else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0


def _one_label(rng) -> dict:
    """A label that covers more tokens than fire, so that precision and recall differ."""
    while True:
        truth = bools(rng, 60, share=0.4)
        fires = (truth & bools(rng, 60, share=0.5)) | bools(rng, 60, share=0.12)
        truth[:3], fires[:3] = torch.tensor([True, True, False]), torch.tensor([True, False, True])
        if abs(int(truth.sum()) - int(fires.sum())) >= 4:
            return {"fires": fires, "truth": truth}


def _nothing(rng) -> dict:
    case = [int(rng.integers(2)), 1]
    fires, truth = bools(rng, 30), bools(rng, 30)
    truth[0] = fires[0] = True
    (fires if case[0] else truth)[:] = False
    return {"fires": fires, "truth": truth}


def _changed(change):
    return lambda f, t: change(*prf_by_counting(f, t), f, t)


def _accuracy(fires, truth) -> float:
    return float((fires == truth).float().mean())


_ACCURACY = (
    "precision: that is accuracy. Tokens that neither fire nor carry the label are nearly all; they must not count"
)
_PRF_MISTAKES = (
    Mistake("precision and recall are swapped: precision is a share of the firings, recall a share of the label's tokens", _changed(lambda p, r, f1, *_: (r, p, f1))),
    Mistake("f1: that is the ordinary mean; F1 is the harmonic one, 2 p r / (p + r)", _changed(lambda p, r, f1, *_: (p, r, (p + r) / 2))),
    Mistake("f1: that is the geometric mean; F1 is the harmonic one, 2 p r / (p + r)", _changed(lambda p, r, f1, *_: (p, r, (p * r) ** 0.5))),
    Mistake("f1: a factor 2 is missing", _changed(lambda p, r, f1, *_: (p, r, f1 / 2))),
    Mistake(_ACCURACY, _changed(lambda p, r, f1, f, t: (_accuracy(f, t), r, f1))),
    Mistake(_ACCURACY, _changed(lambda p, r, f1, f, t: (_accuracy(f, t), r, 2 * _accuracy(f, t) * r / (_accuracy(f, t) + r)))),
    Mistake("precision: divided by all tokens; precision divides by the firings", _changed(lambda p, r, f1, f, t: (float((f & t).float().mean()), r, f1))),
)  # fmt: skip


def _many(rng) -> dict:
    fires, truths = bools(rng, 50, 6), bools(rng, 50, 4, share=0.45)
    fires[:, 1] = truths[:, 2] & bools(rng, 50, share=0.8)
    fires[:, int(rng.choice([0, 2, 3, 4, 5]))] = False
    truths[:, int(rng.choice([0, 1, 3]))] = False  # a label that stands nowhere: 0 / 0 with the latent that never fires
    return {"fires": fires, "truths": truths}


def _table_by_loop(fires, truths) -> torch.Tensor:
    return torch.tensor([[prf_by_counting(f, t)[2] for t in truths.T] for f in fires.T])


def table(fires, truths, kind="f1") -> torch.Tensor:
    both = fires.float().T @ truths.float()
    n, size = fires.sum(0)[:, None].float(), truths.sum(0).float()
    match kind:
        case "precision":
            return both / n.clamp(min=1)
        case "recall":
            return both / size.clamp(min=1)
        case "jaccard":
            return both / (n + size - both).clamp(min=1)
        case "cosine":
            return both / (n * size).sqrt().clamp(min=1)
        case "half":
            return both / (n + size).clamp(min=1)
        case "counts":
            return both
        case "nan":
            p, r = both / n, both / size
            return 2 * p * r / (p + r)
    return 2 * both / (n + size).clamp(min=1)


_TABLE_MISTAKES = (
    Mistake("that is precision; F1 also asks for recall", lambda f, t: table(f, t, "precision")),
    Mistake("that is recall; F1 also asks for precision", lambda f, t: table(f, t, "recall")),
    Mistake("that is the Jaccard index; in F1 the overlap counts twice, above and below: 2 TP / (firings + size)", lambda f, t: table(f, t, "jaccard")),
    Mistake("that is the geometric mean of precision and recall; F1 is 2 TP / (firings + size)", lambda f, t: table(f, t, "cosine")),
    Mistake("a factor 2 is missing: F1 is 2 TP / (firings + size)", lambda f, t: table(f, t, "half")),
    Mistake("these are counts of tokens that fire and carry the label; divide", lambda f, t: table(f, t, "counts")),
    Mistake("where a latent never fires or has no hit you divide 0 by 0; the F1 there is 0. 2 TP / (firings + size) needs no special case", lambda f, t: table(f, t, "nan")),
)  # fmt: skip


def _two_halves(rng) -> dict:
    selection = torch.from_numpy(rng.uniform(0.1, 0.9, size=(3, 5, 4))).float()
    held_out = (selection - torch.from_numpy(rng.uniform(-0.2, 0.4, size=(3, 5, 4))).float()).clamp(min=0)
    selection[0, :2, 3], selection[2, 2:, 1] = 0.95, 0.97  # several latents choose apart from the first threshold
    selection[0, 2:, 1] = 0.05  # and with another label
    return {"f1_selection": selection, "f1_held_out": held_out}


def _choice_by_loop(f1_selection, f1_held_out) -> dict:
    rows = {"threshold": [], "label": [], "f1_selection": [], "f1_held_out": []}
    for latent in range(f1_selection.shape[1]):
        best = max(
            (float(f1_selection[s, latent, j]), s, j)
            for s in range(f1_selection.shape[0])
            for j in range(f1_selection.shape[2])
        )
        values = (best[1], best[2], best[0], float(f1_held_out[best[1], latent, best[2]]))
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return {name: torch.tensor(column) for name, column in rows.items()}


def _leak(sel, held) -> dict:
    """Chooses and scores on the held-out half."""
    return {
        **_choice_by_loop(held, sel),
        "f1_held_out": held.amax((0, 2)),
        "f1_selection": _choice_by_loop(held, sel)["f1_held_out"],
    }


def _leaked_choice(sel, held) -> dict:
    both = _choice_by_loop((sel + held) / 2, held)
    s, j, i = both["threshold"], both["label"], torch.arange(sel.shape[1])
    return {**both, "f1_selection": sel[s, i, j]}


_CHOICE_MISTAKES = (
    Mistake("the choice was made on the held-out half, and scored there too: the score is flattered. Choose on the selection half", _leak),
    Mistake("f1_held_out: that is the best that any label reaches on the held-out half, not the score of the one that was chosen", lambda s, h: {**_choice_by_loop(s, h), "f1_held_out": h.amax((0, 2))}),
    Mistake("f1_held_out: the label is kept, but its threshold is chosen again on the held-out half", lambda s, h: {**_choice_by_loop(s, h), "f1_held_out": h.amax(0)[torch.arange(h.shape[1]), _choice_by_loop(s, h)["label"]]}),
    Mistake("both halves took part in the choice; the held-out half may only score", _leaked_choice),
    Mistake("label: threshold and label are mixed up in unravelling the index (axes: threshold, latent, label)", lambda s, h: _swapped(s, h)),
)  # fmt: skip


def _judge_choice(inputs, value) -> str | None:
    """As usual; but an unnamed mistake is looked for in the choice alone, whatever was scored with it."""
    message = expect(_choice_by_loop, axes="latent", mistakes=_CHOICE_MISTAKES)(inputs, value)
    if message is None or message in {mistake.message for mistake in _CHOICE_MISTAKES}:
        return message
    sel, held = inputs.values()
    right, n = _choice_by_loop(sel, held), sel.shape[1]

    def chose(threshold, label) -> bool:
        given = (value.get("threshold"), value.get("label")) if isinstance(value, dict) else (None, None)
        return all(difference(got, wanted) is None for got, wanted in zip(given, (threshold, label), strict=True))

    flat = sel.reshape(n, -1).argmax(1)
    if chose(held[:, torch.arange(n), right["label"]].argmax(0), right["label"]):
        return "threshold: it was chosen on the held-out half, for the label of the selection half; that half may only score"
    if chose(sel[:, torch.arange(n), sel[0].argmax(1)].argmax(0), sel[0].argmax(1)):
        return "label: the best at the first threshold; choose label and threshold together, over all pairs of them"
    if chose(flat // sel.shape[2], flat % sel.shape[2]):
        return "reshaped with the latents not in front, so that rows mix latents: transpose(0, 1) first, then flatten"
    return message


def _swapped(sel, held) -> dict:
    """The flat index of (threshold, label) divided by the number of thresholds in place of labels."""
    flat = sel.transpose(0, 1).flatten(1).argmax(1)
    right = _choice_by_loop(sel, held)
    return {**right, "threshold": flat % sel.shape[2], "label": flat // sel.shape[2]}


EXERCISES = (
    Exercise(
        name="precision_recall_f1",
        lab="05",
        title="Scoring one label",
        parts=(
            Part(
                "precision, recall and F1",
                2,
                _one_label,
                expect(prf_by_counting, names=("precision", "recall", "f1"), mistakes=_PRF_MISTAKES),
            ),
            Part(
                "0 where nothing fires, or nothing carries the label",
                1,
                _nothing,
                zero_for_nothing(expect(prf_by_counting, names=("precision", "recall", "f1"))),
            ),
        ),
        hints=(
            "Count three things: tokens that fire, tokens that carry the label, tokens that do both.",
            "Precision divides the last by the first, recall by the second; max(count, 1) avoids 0 / 0.",
            "both = (fires & truth).sum(); F1 = 2 * both / (fires.sum() + truth.sum()), which is 2pr / (p + r).",
        ),
        read_again="4 A label, scored",
        difficulty=1,
        importance=5,
        minutes=6,
    ),
    Exercise(
        name="f1_table",
        lab="05",
        title="Every latent against every label",
        parts=(
            Part(
                "F1 of all pairs",
                3,
                _many,
                zero_for_nothing(expect(_table_by_loop, axes="latent label", mistakes=_TABLE_MISTAKES)),
            ),
        ),
        hints=(
            "F1 = 2 TP / (firings + tokens with the label). Only TP needs the pair.",
            "TP for all pairs is one matrix product of the two tables, as floats.",
            "both = fires.float().T @ truths.float(); 2 * both / (fires.sum(0)[:, None] + truths.sum(0)).clamp(min=1)",
        ),
        read_again="4 A label, scored",
        difficulty=3,
        importance=4,
        minutes=8,
    ),
    Exercise(
        name="choose_label",
        lab="05",
        title="Chosen here, scored there",
        parts=(
            Part(
                "threshold and label chosen on one half, scored on the other",
                3,
                _two_halves,
                _judge_choice,
            ),
        ),
        hints=(
            "One maximum over thresholds and labels together, for each latent, in the selection half only.",
            "Bring the latent to the front and flatten the other two axes: sel.transpose(0, 1).flatten(1).max(1). "
            "Then divmod the index by the number of labels.",
            "threshold, label = index // n_labels, index % n_labels; held_out[threshold, torch.arange(n_latents), label]",
        ),
        read_again="Chosen on one half, scored on the other",
        difficulty=3,
        importance=5,
        minutes=10,
    ),
)
