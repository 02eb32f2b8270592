"""Resampling: what it changes, what it leaves, where it draws from, and that it helps on seeds not chosen."""

import pytest
import torch

from labs_src.dictionaries import planted, recovery, resampling
from labs_src.dictionaries.sae import new_sae, together
from labs_src.dictionaries.training import Adam, train

SEEDS = range(50, 55)
SCHEDULE = {"steps": 4000, "batch": 64, "learning_rate": 2e-2, "coefficient": 0.25, "resample_every": 100}


def _trained(tied: bool = False):
    sae = new_sae(2, 3, 5, 1, tied=tied)
    h = torch.randn(40, 2, 3, generator=torch.Generator().manual_seed(2))
    adam = Adam(sae)
    adam.m.fill_(1.0)
    adam.v.fill_(1.0)
    sae.b_enc.fill_(-0.1)
    dead = torch.tensor([[True, False, False, True, False], [False, True, False, False, False]])
    return sae, adam, dead, h


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", [resampling.simple, resampling.by_loss])
def test_only_the_dead_change(make, tied):
    sae, adam, dead, h = _trained(tied)
    before = {name: w.clone() for name, w in sae.weights().items()}
    make(seed=0)(sae, adam, dead, h)
    assert torch.equal(sae.W_dec[~dead], before["W_dec"][~dead])
    assert not torch.isclose(sae.W_dec[dead], before["W_dec"][dead]).all(-1).any()
    torch.testing.assert_close(sae.W_dec[dead].norm(dim=-1), torch.ones(3))
    assert not sae.b_enc[dead].any() and (sae.b_enc[~dead] == -0.1).all()
    moments = [adam.views(adam.m), adam.views(adam.v)]
    for views in moments:
        assert not views["W_dec"][dead].any() and (views["W_dec"][~dead] == 1).all()
        assert (views["b_dec"] == 1).all()
        if not tied:
            assert not views["W_enc"].mT[dead].any() and (views["W_enc"].mT[~dead] == 1).all()
    if tied:
        assert torch.equal(sae.W_enc, sae.W_dec.mT)
    else:
        alive_length = sae.W_enc.norm(dim=1)[0][~dead[0]].mean()
        torch.testing.assert_close(sae.W_enc.norm(dim=1)[0][dead[0]], (0.5 * alive_length).expand(2))


def test_moments_may_be_kept_to_show_what_that_does():
    sae, adam, dead, h = _trained()
    resampling.by_loss(reset=False)(sae, adam, dead, h)
    assert (adam.m == 1).all() and (adam.v == 1).all()


def test_an_instance_with_no_live_latent_is_no_division_by_zero():
    sae, adam, dead, h = _trained()
    dead[0] = True
    resampling.by_loss()(sae, adam, dead, h)
    assert torch.isfinite(sae.W_enc).all()


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_draws_follow_the_power(power):
    error = torch.tensor([[0.1], [0.5], [1.0], [2.0]])
    chance = resampling.probabilities(error, power)
    drawn = resampling.pick(chance, torch.rand(1, 40_000, generator=torch.Generator().manual_seed(0)))
    frequency = torch.bincount(drawn[0], minlength=4) / 40_000
    wanted = error[:, 0] ** power / (error**power).sum()
    torch.testing.assert_close(frequency, wanted, rtol=0, atol=0.01)


def test_no_error_anywhere_draws_evenly():
    torch.testing.assert_close(
        resampling.probabilities(torch.zeros(4, 2)), torch.full((4, 2), 0.25, dtype=torch.float64)
    )


def test_recovery_and_gain_hold_on_five_other_seeds():
    many = planted.together([planted.problem(planted.pentagon(16, s), 0.025, s) for s in SEEDS])

    def features(resample):
        sae = together([new_sae(16, 2, 5, s) for s in SEEDS])
        train(sae, many.h, resample=resample, **SCHEDULE)
        scores = recovery.scores(sae, many.held_out, many.directions)
        return scores.features.view(len(SEEDS), 16), scores.dead.mean()

    without, dead_before = features(None)
    with_it, dead_after = features(resampling.by_loss(0))
    assert int((with_it == 1).sum(1).min()) >= 15
    _, low, _ = recovery.interval(with_it.mean(1) - without.mean(1))
    assert low > 0.3 and dead_before > 0.15 and dead_after < 0.03
