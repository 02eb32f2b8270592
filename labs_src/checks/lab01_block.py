"""Lab 01: a pre-norm block and the whole forward.

Oracles are PyTorch's fused functions in float64; never the stored solutions.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from labs_src.checks.compare import Mistake, expect, normal
from labs_src.checks.contract import Exercise, Part
from labs_src.checks.lab01_norms import gain, layer_norm

BATCH, POS, D_MODEL, HEADS, D_HEAD, D_MLP, VOCAB = 2, 5, 12, 3, 7, 20, 11


def block_weights(rng, mlp: bool = True) -> dict:
    """A block as `labs_src.circuits.stream.weights` gives it; with an MLP that writes nothing if `mlp` is false."""
    block: dict = {}
    for norm in ("ln1", "ln2"):
        block |= {f"{norm}_w": gain(rng), f"{norm}_b": normal(rng, D_MODEL, scale=0.5)}
    for name in "QKV":
        block[f"W_{name}"] = normal(rng, HEADS, D_MODEL, D_HEAD, scale=0.4)
        block[f"b_{name}"] = normal(rng, HEADS, D_HEAD, scale=0.5)
    block |= {"W_O": normal(rng, HEADS, D_HEAD, D_MODEL, scale=0.3), "b_O": normal(rng, D_MODEL)}
    block |= {"W_in": normal(rng, D_MODEL, D_MLP, scale=0.4), "b_in": normal(rng, D_MLP)}
    on = 1.0 if mlp else 0.0
    block |= {"W_out": on * normal(rng, D_MLP, D_MODEL, scale=0.3), "b_out": on * normal(rng, D_MODEL)}
    return block | {"eps": float(rng.uniform(0.05, 0.2))}


def _block_inputs(rng, mlp: bool) -> dict:
    return {"x": normal(rng, BATCH, POS, D_MODEL) + 0.5, "block": block_weights(rng, mlp)}


def _model_inputs(rng) -> dict:
    return {
        "tokens": torch.from_numpy(rng.integers(0, VOCAB, size=(BATCH, POS))),
        "weights": {
            "W_E": normal(rng, VOCAB, D_MODEL),
            "W_pos": normal(rng, POS + 3, D_MODEL),
            "blocks": [block_weights(rng) for _ in range(2)],
            "ln_final_w": gain(rng),
            "ln_final_b": normal(rng, D_MODEL),
            "W_U": normal(rng, D_MODEL, VOCAB, scale=0.4),
            "b_U": normal(rng, VOCAB),
            "eps": float(rng.uniform(0.05, 0.2)),
        },
    }


def _double(value):
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _double(item) for key, item in value.items()}
    return [_double(item) for item in value] if isinstance(value, list) else value


def run_block(
    x, block, *, ln1=True, ln2=True, skip=(True, True), base="x", post=False, joint=False, gelu=F.gelu, without=()
):
    """The block by PyTorch's functions in float64; keywords make the usual mistakes."""
    x, W = x.double(), _double(block)
    W |= {name: torch.zeros_like(W[name]) for name in without}

    def norm(value, name, on=True):
        return layer_norm(value, W[f"{name}_w"], W[f"{name}_b"], W["eps"]) if on else value

    n = norm(x, "ln1", ln1 and not post)
    q, k, v = (torch.einsum("bpd,hde->bhpe", n, W[f"W_{c}"]) + W[f"b_{c}"][:, None] for c in "QKV")
    z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    attention = z.transpose(1, 2).flatten(-2) @ W["W_O"].flatten(0, 1) + W["b_O"]
    mid = attention + ((n if base in ("normed", "normed1") else x) if skip[0] else 0.0)
    mid = norm(mid, "ln1") if post else mid
    m = norm(x if joint else mid, "ln2", ln2 and not post)
    out = gelu(m @ W["W_in"] + W["b_in"]) @ W["W_out"] + W["b_out"]
    out = out + ((m if base in ("normed", "normed2") else mid) if skip[1] else 0.0)
    return norm(out, "ln2") if post else out


def run_model(tokens, weights, *, positions=True, last_norm=True, unembed_bias=True, order=1, shift=0):
    W = _double(weights)
    x = W["W_E"][tokens]
    if positions:
        x = x + W["W_pos"][shift : shift + tokens.shape[1]]
    for block in W["blocks"][::order]:
        x = run_block(x, block)
    if last_norm:
        x = layer_norm(x, W["ln_final_w"], W["ln_final_b"], W["eps"])
    return x @ W["W_U"] + (W["b_U"] if unembed_bias else 0.0)


def _gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


_BLOCK_MISTAKES = tuple(
    Mistake(text, lambda *a, k=k: run_block(*a, **k))
    for text, k in (
        ("that is post-norm (x -> norm(x + F(x))); pre-norm is x + F(norm(x))", {"post": True}),
        ("the skip adds the normed stream; add the stream itself", {"base": "normed"}),
        ("attention is added to the stream as ln1 left it; add it to x itself (keep the normed copy under another name)", {"base": "normed1"}),
        ("the MLP is added to the stream as ln2 left it; add it to x itself (keep the normed copy under another name)", {"base": "normed2"}),
        ("the attention's skip is missing: x + attention(...)", {"skip": (False, True)}),
        ("the MLP's skip is missing: x + mlp(...)", {"skip": (True, False)}),
        ("both skips are missing: a block adds to the stream", {"skip": (False, False)}),
        ("the attention reads the stream without its norm (ln1)", {"ln1": False}),
        ("the MLP reads the stream without its norm (ln2)", {"ln2": False}),
        ("the norms are missing", {"ln1": False, "ln2": False}),
        ("the MLP reads the block's input; it reads the stream after attention has written", {"joint": True}),
        ("b_O is missing", {"without": ("b_O",)}),
        ("b_out is missing", {"without": ("b_out",)}),
        ("b_in is missing", {"without": ("b_in",)}),
        ("the MLP has ReLU; this model has GELU", {"gelu": F.relu}),
        ("the MLP has the tanh form of GELU; this model has the exact one", {"gelu": _gelu_tanh}),
    )
) + (
    Mistake("ln1 and ln2 are swapped", lambda x, W: run_block(x, W | {a + c: W[b + c] for a, b in (("ln1", "ln2"), ("ln2", "ln1")) for c in ("_w", "_b")})),
    Mistake("the MLP uses ln1; it has a norm of its own, ln2", lambda x, W: run_block(x, W | {"ln2_w": W["ln1_w"], "ln2_b": W["ln1_b"]})),
    Mistake("eps is not the block's: use block['eps']", lambda x, W: run_block(x, W | {"eps": 1e-5})),
)  # fmt: skip


_FORWARD_MISTAKES = (
    Mistake("the positions W_pos are not added", lambda *a: run_model(*a, positions=False)),
    Mistake("the positions start at 1; the first token has W_pos[0]", lambda *a: run_model(*a, shift=1)),
    Mistake("the last norm (ln_final) is missing", lambda *a: run_model(*a, last_norm=False)),
    Mistake("b_U is missing", lambda *a: run_model(*a, unembed_bias=False)),
    Mistake("the blocks run from last to first", lambda *a: run_model(*a, order=-1)),
    Mistake("only the first block runs", lambda t, W: run_model(t, W | {"blocks": W["blocks"][:1]})),
    Mistake("no block runs", lambda t, W: run_model(t, W | {"blocks": []})),
    Mistake("those are log-probabilities; return the logits", lambda *a: run_model(*a).log_softmax(-1)),
    Mistake("those are probabilities; return the logits", lambda *a: run_model(*a).softmax(-1)),
)  # fmt: skip


_NORM_LOOSE = {"rtol": 2e-4, "atol": 2e-5}


EXERCISES = (
    Exercise(
        name="transformer_block",
        lab="01",
        title="A pre-norm block",
        parts=(
            Part(
                "attention reads, and adds to the stream (an MLP that writes nothing)",
                2,
                lambda rng: _block_inputs(rng, mlp=False),
                expect(run_block, axes="batch pos d_model", mistakes=_BLOCK_MISTAKES, **_NORM_LOOSE),
            ),
            Part(
                "then the MLP",
                2,
                lambda rng: _block_inputs(rng, mlp=True),
                expect(run_block, axes="batch pos d_model", mistakes=_BLOCK_MISTAKES, **_NORM_LOOSE),
            ),
        ),
        hints=(
            "Two lines have the form x = x + F(norm(x)). What does the second one read?",
            "Norm with ln1, attend with every head, add. Norm the new stream with ln2, mlp, add.",
            "z of head h: attention_head(n, block['W_Q'][h], block['b_Q'][h], ...)[1]; torch.stack(zs, dim=2) goes into multi_head",
        ),
        read_again="A block adds",
        difficulty=3,
        importance=5,
        minutes=15,
    ),
    Exercise(
        name="forward",
        lab="01",
        title="The whole forward",
        parts=(
            Part(
                "logits of a two-block model",
                3,
                _model_inputs,
                expect(run_model, axes="batch pos d_vocab", mistakes=_FORWARD_MISTAKES, rtol=1e-3, atol=1e-4),
            ),
        ),
        hints=(
            "The stream starts as a sum of two things and is read once at the end.",
            "W_E[tokens] + W_pos[:length], every block in turn, ln_final, W_U, b_U.",
            "x = weights['W_E'][tokens] + weights['W_pos'][: tokens.shape[1]]; for block in weights['blocks']: x = transformer_block(x, block)",
        ),
        read_again="A block adds",
        difficulty=2,
        importance=4,
        minutes=8,
    ),
)
