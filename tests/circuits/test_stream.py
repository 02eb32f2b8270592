"""The stream's weights, parts and rotations, on a small random GPT-2 against Hugging Face and the bridge."""

from __future__ import annotations

import pytest
import torch

from labs_src.circuits import stream

EPS, D_MODEL, HEADS, LAYERS, VOCAB = 0.05, 12, 3, 2, 17  # eps large enough to be seen


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel

    from labs_src.language import markov

    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB, n_positions=9, n_embd=D_MODEL, n_layer=LAYERS, n_head=HEADS, n_inner=20,
            activation_function="gelu", layer_norm_epsilon=EPS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, use_cache=False,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():  # biases are 0 and gains 1 in a new model
            parameter.add_(torch.randn_like(parameter) * 0.4)
    folder = tmp_path_factory.mktemp("random-gpt2")
    model.save_pretrained(folder)
    markov.tokenizer().save_pretrained(folder)
    return TransformerBridge.boot_transformers(str(folder), device="cpu").eval()


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, VOCAB, (3, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def weights(bridge):
    return stream.weights(bridge)


def fold(gain, bias, W, b):
    """By explicit matrices."""
    centre = torch.eye(len(gain), dtype=gain.dtype) - 1 / len(gain)
    return centre @ torch.diag(gain) @ W, b + bias @ W


@torch.no_grad()
def logits(bridge, tokens):
    return bridge(tokens)


def test_parts_sum_to_the_last_state(bridge, tokens):
    with torch.no_grad():
        names, parts = stream.parts(bridge, tokens)
        states = stream.states(bridge, tokens)
    assert parts.shape == (2 + LAYERS * (HEADS + 2), *tokens.shape, D_MODEL) and states.shape[0] == LAYERS + 1
    assert names[:4] == ["embedding", "position", "L0H0", "L0H1"] and len(set(names)) == len(names)
    torch.testing.assert_close(parts.sum(0), states[-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts[:2].sum(0), states[0], rtol=1e-4, atol=1e-5)


def test_size_hides_the_digits_of_rounding_alone():
    assert stream.size(torch.tensor(3e-6)) == "below 0.0001" and stream.size(3e-6, 1e-5) == "below 1e-05"
    assert stream.size(0.142) == "0.14" and stream.size(float("nan")) == "nan"


def test_kinds():
    kinds = [stream.kind(name) for name in ("embedding", "position", "L0H2", "L11 bias", "L3 MLP")]
    assert kinds == ["embedding", "position", "head", "bias", "MLP"]


def test_folded_forward_is_the_model(bridge, tokens, weights):
    folded = stream.folded(weights, fold)
    torch.testing.assert_close(stream.folded_forward(tokens, folded), logits(bridge, tokens), rtol=1e-3, atol=1e-4)


def test_a_wrong_fold_is_not_the_model(bridge, tokens, weights):
    folded = stream.folded(weights, lambda gain, bias, W, b: (gain[:, None] * W, b))
    assert (stream.folded_forward(tokens, folded) - logits(bridge, tokens)).abs().max() > 0.1


@pytest.mark.parametrize("size", [2, 12, 31])
def test_rotation(size):
    R = stream.rotation(size, seed=3)
    torch.testing.assert_close(R @ R.T, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.linalg.det(R) > 0.99 and torch.equal(R, stream.rotation(size, seed=3))


def test_neurons_are_privileged_up_to_their_order(tokens, weights):
    folded = stream.folded(stream.double(weights), fold)
    plain = stream.folded_forward(tokens, folded)
    order = torch.eye(20, dtype=torch.float64)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    permuted = stream.folded_forward(tokens, stream.neurons_changed(folded, order))
    turned = stream.folded_forward(tokens, stream.neurons_changed(folded, stream.rotation(20)))
    torch.testing.assert_close(permuted, plain, rtol=0, atol=1e-10)
    assert (turned - plain).abs().max() > 0.1


@pytest.mark.parametrize("component", ["embedding", "position", "L0H1", "L1H2", "L0 bias", "L1 MLP"])
def test_without_removes_one_write(bridge, tokens, weights, component):
    from transformer_lens.model_bridge import TransformerBridge

    assert isinstance(bridge, TransformerBridge)
    changed = stream.without(weights, component)
    ablated = stream.folded_forward(tokens, stream.folded(changed, fold))
    torch.testing.assert_close(ablated, _hooked(bridge, tokens, component), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def _hooked(bridge, tokens, component):
    """The same ablation by hooks on the library's own forward."""
    layer = component[1]

    def subtract(amount):
        return lambda value, hook: value - amount

    def silence(value, hook):
        return torch.zeros_like(value)

    def silence_head(value, hook):
        value = value.clone()
        by_head = value if value.dim() == 4 else value.unflatten(-1, (HEADS, -1))
        by_head[:, :, int(component[3])] = 0.0
        return value

    hooks = {
        "embedding": ("hook_embed", silence),
        "position": ("hook_pos_embed", silence),
        "head": (f"blocks.{layer}.attn.hook_z", silence_head),
        "bias": (f"blocks.{layer}.hook_attn_out", subtract(bridge.b_O[int(layer)] if layer.isdigit() else 0.0)),
        "MLP": (f"blocks.{layer}.hook_mlp_out", silence),
    }
    return bridge.run_with_hooks(tokens, fwd_hooks=[hooks[stream.kind(component)]])


@pytest.mark.parametrize("component", ["L9H0", "L2 MLP", "head"])
def test_without_says_what_does_not_exist(weights, component):
    with pytest.raises(ValueError, match="There is no component"):
        stream.without(weights, component)


def test_weights_of_another_kind_of_model_are_refused(bridge):
    bridge.cfg.act_fn, kept = "gelu_new", bridge.cfg.act_fn
    try:
        with pytest.raises(ValueError, match="gelu_new"):
            stream.weights(bridge)
    finally:
        bridge.cfg.act_fn = kept


def test_float64_reaches_new_tensors_and_ends(weights):
    with stream.float64():
        assert torch.zeros(1).dtype == torch.float64
    with pytest.raises(ZeroDivisionError), stream.float64():
        _ = 1 / 0
    assert torch.zeros(1).dtype == torch.float32
    exact = stream.double(weights)
    assert exact["blocks"][1]["W_Q"].dtype == torch.float64 and exact["eps"] == weights["eps"]
    assert weights["blocks"][1]["W_Q"].dtype == torch.float32
