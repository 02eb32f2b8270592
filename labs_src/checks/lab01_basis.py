"""Lab 01: which bases are free (a stream behind folded norms) and which are not (ReLU)."""

from __future__ import annotations

import math

import torch

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab01_block import block_weights
from labs_src.checks.lab01_norms import layer_norm
from labs_src.checks.probes import Only

POS, D_MODEL, D_MLP, D_OUT, HEADS = 4, 6, 11, 9, 3


# folding a norm into a reader


def _fold_inputs(rng, shape: tuple[int, ...] = ()) -> dict:
    return {
        "gain": 1.0 + normal(rng, D_MODEL, scale=0.5),
        "bias": normal(rng, D_MODEL),
        "W": normal(rng, *shape, D_MODEL, D_OUT),
        "b": normal(rng, *shape, D_OUT),
    }


def _fold_inputs_heads(rng) -> dict:
    return _fold_inputs(rng, (HEADS,))


def _folded(gain, bias, W, b) -> tuple[torch.Tensor, torch.Tensor]:
    """Row by row: what the norm and the reader do to each unit vector, apart from the division."""
    n, W = len(gain), W.double()
    rows = []
    for i in range(n):
        unit = torch.zeros(n, dtype=torch.float64)
        unit[i] = 1.0
        rows.append(torch.einsum("d,...do->...o", (unit - 1.0 / n) * gain.double(), W))
    return torch.stack(rows, dim=-2), torch.einsum("d,...do->...o", bias.double(), W) + b.double()


def _fold_wrong(
    gain, bias, W, b, *, centre=-2, gained=True, early=False, bias_gain=False, bias_through="W", old=True, moved=True
):
    scaled = gain[:, None] * W if gained else W
    if centre is not None:
        scaled = scaled - scaled.mean(centre, keepdim=True)
    if early:
        scaled = gain[:, None] * (W - W.mean(-2, keepdim=True))
    moved_bias = (bias * gain if bias_gain else bias) @ (W if bias_through == "W" else scaled) if moved else 0.0
    return scaled, moved_bias + (b if old else 0.0)


_FOLD_MISTAKES = tuple(
    Mistake(text, lambda *a, k=k: _fold_wrong(*a, **k))
    for text, k in (
        ("the mean is not folded: subtract from every column of gain * W its mean over d_model", {"centre": None}),
        ("the gain is not folded: row i of W is multiplied by gain[i]", {"gained": False}),
        (
            "the norm subtracts the mean before it multiplies by the gain; fold the gain first, then centre",
            {"early": True},
        ),
        ("rows were centred; the mean runs over d_model, down each column", {"centre": -1}),
        ("mean(0) runs over heads where W has a head dimension in front; d_model is dimension -2", {"centre": 0}),
        ("the bias goes through the old W, not through W': the norm adds it after the mean and the gain", {"bias_through": "W'"}),
        ("the norm's bias is not folded: b' = b + bias @ W", {"moved": False}),
        ("the reader's own b is lost: b' = b + bias @ W", {"old": False}),
        ("the bias comes after the gain, so the gain does not multiply it", {"bias_gain": True}),
        ("neither mean nor bias is folded", {"centre": None, "moved": False}),
    )
)  # fmt: skip
_FOLD = {"mistakes": _FOLD_MISTAKES, "names": ("W'", "b'"), "axes": {"W'": "... d_model n", "b'": "... n"}}


def _fold_use_inputs(rng) -> dict:
    return _fold_inputs(rng) | {"x": 0.8 * normal(rng, POS, D_MODEL) + 1.2, "eps": float(rng.uniform(0.1, 0.4))}


def _reads_the_same(inputs, value) -> str | None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return "return two things: W', b'"
    x, eps = inputs["x"].double(), inputs["eps"]
    new_W, new_b = (torch.as_tensor(item).double() for item in value)
    if new_W.shape != inputs["W"].shape or new_b.shape != inputs["b"].shape:
        return f"the shapes are {tuple(new_W.shape)} and {tuple(new_b.shape)}; they stay as they were"
    before = layer_norm(inputs["x"], inputs["gain"], inputs["bias"], eps) @ inputs["W"].double() + inputs["b"].double()
    after = x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() @ new_W + new_b
    message = expect(lambda *_: before, axes="pos n")(inputs, after)
    return message and f"x / scale @ W' + b' is not layer_norm(x) @ W + b: {message}"


# rotating a block


def _rotation(rng, size: int) -> torch.Tensor:
    Q, T = torch.linalg.qr(normal(rng, size, size).double())
    return (Q * T.diagonal().sign()).float()


def _rotate_inputs(rng) -> dict:
    block = block_weights(rng)
    block = {name: value for name, value in block.items() if not name.startswith("ln")}
    return {"block": block, "R": _rotation(rng, block["b_O"].shape[0])}


_READS, _WRITES = ("W_Q", "W_K", "W_V", "W_in"), ("W_O", "W_out", "b_O", "b_out")


def _rotated(block, R, names, read="solve", write="right", biases=True) -> dict:
    """Readers by solving R W' = W (no transpose, no inverse); writers by a product in float64. Other modes are mistakes."""
    R, out = R.double(), {}
    for name in names:
        value = block[name].double() if isinstance(block[name], torch.Tensor) else block[name]
        if name in _READS:
            ways = {"solve": lambda v: torch.linalg.solve(R, v), "R": lambda v: R @ v, "none": lambda v: v}
            out[name] = ways[read](value)
        elif name in _WRITES and (biases or value.dim() > 1):
            ways = {"right": lambda v: torch.einsum("...d,de->...e", v, R), "none": lambda v: v,
                    "back": lambda v: torch.einsum("...d,ed->...e", v, R)}  # fmt: skip
            out[name] = ways[write](value)
        else:
            out[name] = value
    return out


def _rotation_judge(names, kept: str | None = None):
    listed = (
        ("the readers are multiplied by R; they undo the rotation: R^-1 W", {"read": "R"}),
        ("the readers are not rotated", {"read": "none"}),
        ("the writers are not rotated", {"write": "none"}),
        ("the writers are multiplied by R^-1; they write in the new basis: W R", {"write": "back"}),
        ("b_O and b_out are written to the stream as well: b R", {"biases": False}),
    )
    mistakes = tuple(Mistake(text, lambda b, R, k=k: _rotated(b, R, names, **k)) for text, k in listed)
    return expect(lambda b, R: _rotated(b, R, names), mistakes=mistakes)


def _others(inputs, value) -> str | None:
    names = [name for name in inputs["block"] if name not in (*_READS, *_WRITES)]
    message = _rotation_judge(names)(inputs, value)
    return message and f"only readers and writers of the stream change. {message}"


# ReLU in another basis


def _plane(rng) -> dict:
    # Many, because a wrong answer is right wherever the ReLU of y is 0.
    return {"x_new": normal(rng, 50, scale=2.0), "y_new": normal(rng, 50, scale=2.0)}


def _formula(x_new, y_new) -> tuple[torch.Tensor, torch.Tensor]:
    """1/2 [max(x'+y', 0) + max(x'-y', 0), max(x'+y', 0) - max(x'-y', 0)], number by number."""
    a = [max(float(x) + float(y), 0.0) for x, y in zip(x_new, y_new, strict=True)]
    b = [max(float(x) - float(y), 0.0) for x, y in zip(x_new, y_new, strict=True)]
    pairs = list(zip(a, b, strict=True))
    return torch.tensor([(p + q) / 2 for p, q in pairs]), torch.tensor([(p - q) / 2 for p, q in pairs])


def _scaled(factor):
    return lambda x, y: tuple(factor * v for v in _formula(x, y))


_RELU_MISTAKES = (
    Mistake("that is ReLU of x' and y' themselves: go back to x and y first", lambda x, y: (x.clamp(min=0), y.clamp(min=0))),
    Mistake("the result is max(x, 0), max(y, 0): turn it into the new basis again",
            lambda x, y: (((x + y) / math.sqrt(2)).clamp(min=0), ((x - y) / math.sqrt(2)).clamp(min=0))),
    Mistake("a factor sqrt(2) is missing: each of the two changes of basis divides by sqrt(2)", _scaled(math.sqrt(2))),
    Mistake("a factor 2 is missing: each of the two changes of basis divides by sqrt(2)", _scaled(2.0)),
    Mistake("a factor sqrt(2) too small: each of the two changes of basis divides by sqrt(2)", _scaled(1 / math.sqrt(2))),
    Mistake("no ReLU was applied: the result is the input", lambda x, y: (x, y)),
    Mistake("x' and y' are swapped in the result", lambda x, y: _formula(x, y)[::-1]),
)  # fmt: skip


EXERCISES = (
    Exercise(
        name="fold_layer_norm",
        lab="01",
        title="A norm folded into a reader",
        parts=(
            Part("one matrix", 1, _fold_inputs, expect(_folded, **_FOLD)),
            Part("a matrix for each head", 1, _fold_inputs_heads, expect(_folded, **_FOLD)),
            Part("it reads the same as before", 1, _fold_use_inputs, _reads_the_same, Only(("gain", "bias", "W", "b"))),
        ),
        hints=(
            "Write layer_norm(x) @ W + b as one long product. What stands between x and the output, apart from the divisor?",
            "First gain into the rows of W; then subtract each column's mean over d_model; the bias goes through the old W.",
            "V = gain[:, None] * W; return V - V.mean(-2, keepdim=True), b + bias @ W",
        ),
        read_again="The basis of the stream is free",
        difficulty=4,
        importance=4,
        minutes=15,
    ),
    Exercise(
        name="rotate_stream",
        lab="01",
        title="Readers and writers in another basis",
        parts=(
            Part("writers", 1, _rotate_inputs, _rotation_judge(_WRITES)),
            Part("readers", 1, _rotate_inputs, _rotation_judge(_READS)),
            Part("everything else stays", 1, _rotate_inputs, _others),
        ),
        hints=(
            "In the new basis the state is x R. What must a writer write, and how does a reader undo R?",
            "Writers: W @ R, biases too (b_O, b_out). Readers: R.T @ W, since R.T is the inverse of a rotation.",
            "new = dict(block); for name in ('W_O', 'b_O', 'W_out', 'b_out'): new[name] = block[name] @ R; likewise R.T @ for readers",
        ),
        read_again="The basis of the stream is free",
        difficulty=2,
        importance=4,
        minutes=10,
    ),
    Exercise(
        name="relu_in_rotated_basis",
        lab="01",
        title="ReLU in a rotated basis",
        parts=(Part("points of the plane", 2, _plane, expect(_formula, mistakes=_RELU_MISTAKES, names=("x'", "y'"))),),
        hints=(
            "ReLU is defined in x and y. You have x' and y'.",
            "x = (x' + y') / sqrt(2), y = (x' - y') / sqrt(2). ReLU. Then the same change of basis once more.",
            "x = (x_new + y_new) / 2**0.5; ...; return (x.relu() + y.relu()) / 2**0.5, (x.relu() - y.relu()) / 2**0.5",
        ),
        read_again="Where the basis matters: neurons",
        difficulty=2,
        importance=3,
        minutes=8,
    ),
)
