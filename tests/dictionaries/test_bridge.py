"""The bridge to sae-lens: train, measure, save, load."""

import pytest
import torch

from labs_src.dictionaries import planted, recovery


@pytest.fixture(scope="module")
def bridge():
    from labs_src.dictionaries import bridge

    return bridge


@pytest.fixture(scope="module")
def rows():
    problem = planted.problem(planted.random_directions(1, 12, 8, 0), 0.1, 0, n=4000, held_out=500)
    scale = problem.h.pow(2).mean().sqrt()
    return problem.directions, problem.h[:, 0] / scale, problem.held_out[:, 0] / scale


KINDS = [
    ("standard", {"l1_coefficient": 0.5}),
    ("topk", {"k": 2}),
    ("batchtopk", {"k": 2}),
    ("jumprelu", {"l0_coefficient": 0.3}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=lambda x: x if isinstance(x, str) else "")
def test_trains_saves_and_loads(bridge, rows, tmp_path, kind, options):
    directions, h, held_out = rows
    sae = bridge.train(h, kind, 12, samples=60_000, batch=200, **options)
    quality = bridge.quality(sae, held_out)
    assert quality.explained_variance > 0.5 and 0 < quality.l0 < 6
    assert recovery.mean_max_cosine(directions, sae.W_dec[None]).item() > 0.6
    bridge.save(sae, tmp_path / kind)
    again = bridge.load(tmp_path / kind)
    assert torch.isfinite(again(held_out)).all()
    if kind != "batchtopk":  # saved with one threshold for all, so it is another function
        torch.testing.assert_close(again(held_out), sae(held_out), rtol=1e-3, atol=1e-4)


def test_same_seed_same_weights(bridge, rows):
    first, second = (bridge.train(rows[1], "topk", 12, samples=4000, k=2, seed=3) for _ in range(2))
    assert torch.equal(first.W_dec, second.W_dec)


def test_own_and_sae_lens_measure_alike(bridge, rows):
    from labs_src.dictionaries.sae import new_sae

    own = new_sae(1, 8, 12, aligned=True, activation="topk", k=2)
    quality = bridge.quality(own, rows[2])
    z = own.encode(rows[2][:, None])
    assert quality.l0 == pytest.approx(float((z != 0).float().sum(-1).mean()))


def test_activations_leave_out_the_first_position_and_are_scaled(bridge):
    class Model:
        def run_with_cache(self, tokens, names_filter):
            return None, {names_filter: tokens[..., None].float().expand(-1, -1, 4)}

    tokens = torch.tensor([[100, 2, 3], [100, 4, 5]])
    h = bridge.activations(Model(), "hook", tokens, chunk=1)
    assert h.shape == (4, 4)
    torch.testing.assert_close(h.pow(2).mean(), torch.tensor(1.0))
    torch.testing.assert_close(h[:, 0] / h[0, 0], torch.tensor([1.0, 1.5, 2.0, 2.5]))


def test_nan_stops_with_the_step(bridge, rows):
    bad = rows[1].clone()
    bad[:] = float("nan")
    with pytest.raises(bridge.TrainingStopped, match="Step 1: the loss is nan"):
        bridge.train(bad, "topk", 12, samples=2000, k=2)


def test_bad_requests_say_what_to_do(bridge, rows, tmp_path):
    with pytest.raises(ValueError, match="one of standard, topk, batchtopk, jumprelu"):
        bridge.train(rows[1], "gated", 12, samples=10)
    with pytest.raises(FileNotFoundError, match=r"should hold cfg\.json"):
        bridge.load(tmp_path)
