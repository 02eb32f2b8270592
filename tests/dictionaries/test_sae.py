"""The SAE's hand-written gradients, its variants, and training that stops at a NaN."""

import pytest
import torch

from labs_src.dictionaries.sae import SAE, activate, gradients, new_sae, together, unit
from labs_src.dictionaries.training import Adam, TrainingStopped, train

VARIANTS = [
    {},
    {"tied": True},
    {"aligned": True},
    {"activation": "linear"},
    {"activation": "topk", "k": 2},
    {"activation": "topk", "k": 2, "tied": True},
    {"activation": "jumprelu"},
]


def _random(options: dict, seed: int = 0) -> tuple[SAE, torch.Tensor]:
    sae = new_sae(3, 4, 6, seed, **options)
    g = torch.Generator().manual_seed(seed + 1)
    sae.b_enc += 0.3 * torch.randn(3, 6, generator=g)
    sae.b_dec += 0.5 * torch.randn(3, 4, generator=g)
    return sae, torch.randn(3, 9, 4, generator=g)  # h as the trainer has it: (instances, batch, d_in)


def _autograd(sae: SAE, h: torch.Tensor, coefficient: float) -> dict[str, torch.Tensor]:
    weights = {name: w.clone().requires_grad_() for name, w in sae.weights().items() if name != "threshold"}
    W_enc = weights["W_dec"].mT if sae.tied else weights["W_enc"]
    read = h - weights["b_dec"][:, None] if sae.centred else h
    pre = torch.einsum("ibd,ids->bis", read, W_enc) + weights["b_enc"]
    z = activate(pre, sae)
    h_hat = torch.einsum("bis,isd->bid", z, weights["W_dec"]) + weights["b_dec"]
    loss = (h_hat - h.transpose(0, 1)).pow(2).sum(-1).mean(0)
    if sae.activation in ("relu", "linear"):
        loss = loss + coefficient * z.abs().sum(-1).mean(0)
    return dict(zip(weights, torch.autograd.grad(loss.sum(), list(weights.values()))))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_equal_autograd(options, seed):
    sae, h = _random(options, seed)
    named, _ = gradients(sae, h, 0.3)
    for name, wanted in _autograd(sae, h, 0.3).items():
        torch.testing.assert_close(named[name], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_gradients_of_an_encoder_that_reads_h_as_it_stands(options):
    sae, h = _random(options)
    sae.centred = False
    named, _ = gradients(sae, h, 0.3)
    for name, wanted in _autograd(sae, h, 0.3).items():
        torch.testing.assert_close(named[name], wanted, rtol=1e-4, atol=1e-5)


def test_a_silent_latent_gets_no_gradient():
    sae, h = _random({})
    sae.b_enc[:, 2] = -100.0
    named, z = gradients(sae, h, 0.3)
    assert not z[..., 2].any()
    assert not named["W_enc"][:, :, 2].any() and not named["b_enc"][:, 2].any() and not named["W_dec"][:, 2].any()


def test_jumprelu_threshold_moves_only_near_it():
    sae, h = _random({"activation": "jumprelu"})
    sae.threshold.fill_(50.0)
    assert not gradients(sae, h, 0.3)[0]["threshold"].any()
    pre = torch.einsum("ibd,ids->bis", h - sae.b_dec[:, None], sae.W_enc) + sae.b_enc
    sae.threshold.copy_(pre[0].abs())
    assert gradients(sae, h, 0.3)[0]["threshold"].any()


def test_topk_keeps_k_and_jumprelu_does_not_shrink():
    sae, h = _random({"activation": "topk", "k": 2})
    assert int((sae.encode(h.transpose(0, 1)) > 0).sum(-1).max()) <= 2
    pre = torch.tensor([[[0.05, 0.4, -1.0]]])
    jump = new_sae(1, 1, 3, activation="jumprelu")
    jump.threshold.fill_(0.1)
    torch.testing.assert_close(activate(pre, jump), torch.tensor([[[0.0, 0.4, 0.0]]]))


def test_adam_equals_torch():
    sae, h = _random({})
    twin = [w.clone().requires_grad_() for w in sae.weights().values()]
    reference = torch.optim.Adam(twin, lr=1e-2, betas=(0.9, 0.99))
    adam = Adam(sae)
    for _ in range(5):
        named, _ = gradients(sae, h, 0.3)
        for name, w in zip(sae.weights(), twin):
            w.grad = named[name].clone()
        adam.step(named, 1e-2)
        reference.step()
    for mine, theirs in zip(sae.weights().values(), twin):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_decoder_stays_normalised_and_tied_stays_tied(tied):
    sae, h = _random({"tied": tied})
    train(sae, h.transpose(0, 1), steps=30, batch=9)
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(3, 6))
    assert tied == torch.equal(sae.W_enc, sae.W_dec.mT)


def test_training_lowers_the_loss_and_keeps_snapshots():
    torch.manual_seed(0)
    data = torch.rand(400, 2, 3) @ torch.randn(3, 3)
    sae = new_sae(2, 3, 8, aligned=True)

    def error() -> float:
        return float((sae.decode(sae.encode(data)) - data).pow(2).mean())

    before = error()
    history = train(sae, data, steps=200, batch=100, coefficient=0.01, snapshots=4)
    assert error() < before / 5
    assert history.step == [1, 50, 100, 150, 200] and len(history.W_dec) == len(history.active) == len(history.l1) == 5


def test_together_trains_as_apart():
    data = torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(3))
    apart = [new_sae(1, 3, 4, seed) for seed in (1, 2)]
    both = together([new_sae(1, 3, 4, seed) for seed in (1, 2)])
    train(both, data, steps=20, batch=50)
    for i, sae in enumerate(apart):
        train(sae, data[:, i : i + 1], steps=20, batch=50)
        torch.testing.assert_close(both.W_dec[i], sae.W_dec[0], rtol=1e-4, atol=1e-5)


def test_nan_stops_with_step_and_cause():
    sae, h = _random({})
    data = h.transpose(0, 1).repeat(20, 1, 1)
    data[100, 1, 2] = float("nan")
    with pytest.raises(TrainingStopped, match=r"Step 11: 1 rows of the data are not finite"):
        train(sae, data, steps=50, batch=10)


def test_divergence_names_the_learning_rate():
    sae, h = _random({})
    with pytest.raises(TrainingStopped, match=r"Step \d+: .*learning rate \(1e\+30\).*not normalised"):
        train(sae, h.transpose(0, 1), steps=50, batch=9, learning_rate=1e30, normalise=False)


def test_bad_requests_say_what_to_do():
    with pytest.raises(ValueError, match="one of relu, linear, topk, jumprelu"):
        new_sae(1, 2, 3, activation="gelu")
    with pytest.raises(ValueError, match="k from 1 to d_sae = 3"):
        new_sae(1, 2, 3, activation="topk")
    with pytest.raises(ValueError, match=r"should be \(n, 1, 2\)"):
        train(new_sae(1, 2, 3), torch.zeros(5, 2), steps=1)


def test_unit_leaves_zero_rows():
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))
