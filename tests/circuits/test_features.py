"""Bases, B and W2F by loops over pairs; metrics by loops; nulls at the right scale."""

from __future__ import annotations

import math

import pytest
import torch
from gemmas import gemma

from labs_src import models
from labs_src.circuits import archetypes, baselines, bases, features, folding, metrics, rope


@pytest.fixture(scope="module")
def folded():
    return folding.fold(gemma("random"), 1)


@pytest.fixture(scope="module")
def rows():
    return bases.unit_rms(torch.randn(13, 48, generator=torch.Generator().manual_seed(1)))


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_loop(folded, head, q_rows, k_rows, distance):
    """B entry by entry: rotate one key with sines and cosines of its own."""
    kv, half = head // (folded.W_Q.shape[0] // folded.W_K.shape[0]), folded.d_head // 2
    out = torch.zeros(len(q_rows), len(k_rows))
    for i, f in enumerate(q_rows):
        for j, g in enumerate(k_rows):
            q, k, total = f @ folded.W_Q[head], g @ folded.W_K[kv], 0.0
            for pair in range(half):
                angle = -distance * folded.theta ** (-2 * pair / folded.d_head)
                c, s = math.cos(angle), math.sin(angle)
                one, two = float(k[pair]), float(k[pair + half])
                total += float(q[pair]) * (one * c - two * s) + float(q[pair + half]) * (two * c + one * s)
            out[i, j] = folded.softcap * math.tanh(total * folded.scale / folded.softcap)
    return out


@pytest.mark.parametrize("head", [0, 3, 5])
@pytest.mark.parametrize("distance", [0, 7])
def test_affinity(folded, rows, head, distance):
    other = random(5, 48, seed=2)
    torch.testing.assert_close(
        features.affinity(folded, head, rows, other, distance),
        by_loop(folded, head, rows, other, distance),
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip


def test_writes(folded, rows):
    out = random(4, 48, seed=3)
    for head in (1, 4):
        plain = torch.stack([(f @ folded.W_V[head // 2]) @ folded.W_O[head] for f in rows])
        torch.testing.assert_close(features.written(folded, head, rows), plain)
        dots = torch.tensor([[float(p @ o) for o in out] for p in plain])
        torch.testing.assert_close(features.writes(folded, head, rows, out, cosine=False), dots, rtol=1e-4, atol=1e-4)
        cosines = torch.tensor([[float(torch.cosine_similarity(p, o, dim=0)) for o in out] for p in plain])
        torch.testing.assert_close(features.writes(folded, head, rows, out), cosines, rtol=1e-4, atol=1e-5)
        assert features.writes(folded, head, rows).shape == (13, 13)


def test_dictionary_basis_decodes_as_the_dictionary_does():
    d = models.load("mini-gemma").dictionaries["blocks.2.hook_resid_post"]
    b, x = bases.from_dictionary(d), 3 * random(50, d.d_in)
    torch.testing.assert_close(b.decode(b.encode(x)), d.decode(d.encode(x)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(b.directions.pow(2).mean(1), torch.ones(d.d_sae))
    part, kept = b.subset(100, seed=4)
    assert len(part) == 100 == len(kept.unique()) and part.bias is b.bias
    assert torch.equal(part.encode(x), b.encode(x)[:, kept]) and torch.equal(part.directions, b.directions[kept])
    assert torch.equal(b.subset(100, seed=4)[1], kept) and not torch.equal(b.subset(100, seed=5)[1], kept)
    with pytest.raises(ValueError, match="1024 directions"):
        b.subset(2000)


def test_token_bases():
    model = gemma("mini-gemma")
    E, x = model.model.embed_tokens.weight, random(20, 128)
    centred, raw = bases.from_tokens(model), bases.from_tokens(model, centred=False)
    mean = bases.from_tokens(model, with_mean=True)
    assert len(centred) == len(raw) == len(E) == len(mean) - 1
    for row in (0, 5, 700):
        e = E[row] - E.mean(0)
        torch.testing.assert_close(centred.directions[row], e / e.pow(2).mean().sqrt())
        torch.testing.assert_close(raw.directions[row], E[row] / E[row].pow(2).mean().sqrt())
    torch.testing.assert_close(centred.encode(x), x @ centred.directions.T / len(E))
    along = mean.encode(x)[:, -1:] * mean.directions[-1]
    m = E.mean(0) / E.mean(0).norm()
    torch.testing.assert_close(along, (x @ m)[:, None] * m, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="centred=True"):
        bases.from_tokens(model, centred=False, with_mean=True)


def test_projection_on_many_random_directions_gives_the_vector_back():
    """Why a basis without a dictionary can predict attention: enough directions, any directions, span the stream."""
    x = random(30, 16)
    far, near = (bases.random_basis(n, 16, seed=1) for n in (40, 20_000))
    error = [float((b.decode(b.encode(x)) - x).norm() / x.norm()) for b in (far, near)]
    assert error[0] > 0.3 and error[1] < 0.05


def test_hook_points():
    assert bases.entering(3) == "blocks.2.hook_resid_post" == bases.leaving(2)
    assert bases.entering(0) == "blocks.0.hook_resid_pre"
    assert bases.entering(0, {"blocks.0.hook_resid_post": None}) == "blocks.0.hook_resid_post"


def test_routing_metrics_by_loops():
    B = 3 * random(9, 9, seed=5)
    best = diag = top = 0.0
    for i in range(9):
        e = [math.exp(float(b)) for b in B[i]]
        p = [v / sum(e) for v in e]
        best, diag, top = best + max(p) / 9, diag + p[i] / 9, top + (p.index(max(p)) == i) / 9
    found = metrics.routing(B)
    assert found["selectivity"] == pytest.approx(best, rel=1e-5)
    assert found["selectivity_over_uniform"] == pytest.approx(9 * best, rel=1e-5)
    assert found["diagonal_mass"] == pytest.approx(diag, rel=1e-5)
    assert found["diagonal_dominance"] == pytest.approx(top, rel=1e-5)
    odd = B - B.T
    assert metrics.asymmetry(odd) == pytest.approx(2.0, rel=1e-5) and metrics.asymmetry(B + B.T) == 0
    s = torch.linalg.svdvals(B)
    p = (s / s.sum()).tolist()
    assert found["effective_rank"] == pytest.approx(math.exp(-sum(v * math.log(v) for v in p)), rel=1e-4)
    assert metrics.effective_rank(torch.eye(7)) == pytest.approx(7)
    with pytest.raises(ValueError, match=r"\(9, 4\)"):
        metrics.diagonal_mass(B[:, :4])


def test_factored_forms_equal_the_full_ones(folded, rows):
    q, k = features.queries(folded, 2, rows), features.keys(folded, 2, rows)
    B = features.affinity(folded, 2, rows, cap=False)
    assert metrics.effective_rank_factored(q, k) == pytest.approx(metrics.effective_rank(B), rel=1e-3)
    at = [features.affinity(folded, 2, rows, distance=d, cap=False).flatten() for d in (1, 16, 1024)]
    wanted = torch.stack([torch.cosine_similarity(B.flatten(), b, dim=0) for b in at])
    got = metrics.rope_stability_factored(q, k, folded.theta, (1, 16, 1024))
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    capped = metrics.rope_stability(folded, 2, rows, (0, 16))
    assert capped[0] == pytest.approx(1.0) and capped[1] < 0.999


def test_rope_auc():
    assert metrics.rope_auc(torch.ones(11)) == pytest.approx(1.0)
    assert metrics.rope_auc(torch.tensor([1.0, 0.0, 0.0]), (1, 2, 4)) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="1 or more"):
        metrics.rope_auc(torch.ones(2), (0, 1))


def test_band_energy():
    rows = torch.zeros(2, 16)
    rows[0, 0] = rows[1, 8] = 1.0  # both of the fastest pair
    rows[0, 7] = 2.0  # the slowest
    torch.testing.assert_close(metrics.band_energy(rows), torch.tensor([2.0, 0, 0, 4.0]) / 6)
    with pytest.raises(ValueError, match="divide"):
        metrics.band_energy(rows[:, :12])


def test_writing_metrics_by_hand():
    W = torch.tensor([[0.9, 0.1, -0.7], [0.2, 0.4, 0.6], [0.0, 0.3, 0.1]])
    m = metrics.writing(W)
    assert m == pytest.approx(
        {"copy_score": 1.4 / 3, "copy_dominance": 1 / 3, "transform": 0.6, "broadcast": 1.1, "suppression": 0.7}
    )
    assert archetypes.writing(W) == "copy"
    assert metrics.writing(torch.eye(3))["suppression"] == 0


@pytest.mark.parametrize(
    ("B", "name"),
    [
        (9 * torch.eye(40), "self_match"),
        (9 * torch.eye(40).roll(1, 0), "selective_cross"),
        (torch.zeros(80, 80), "diffuse"),
        (torch.tensor([[0.0, 1.0, -2.0]]).repeat(60, 20) * torch.linspace(0.5, 2, 60), "repulsion"),
        (torch.tensor([[0.0, 1.9]]).repeat(60, 30) * torch.linspace(0, 2, 60), "mixed"),
    ],
)
def test_routing_archetypes(B, name):
    assert archetypes.routing(B) == name


@pytest.mark.parametrize(
    ("W", "name"),
    [
        (torch.eye(9).roll(1, 0) * 0.8, "transform"),
        (torch.full((9, 9), 0.2), "broadcast"),
        (-0.9 * (1 - torch.eye(9)) + 0.2 * torch.eye(9), "copy"),
        (torch.eye(9) * 0.25 - 0.6 * torch.eye(9).roll(1, 0), "suppress"),
        (0.2 * torch.eye(9), "diffuse"),
    ],
)
def test_writing_archetypes(W, name):
    if name == "copy":
        W = W.clone().fill_diagonal_(0.4)
    assert archetypes.writing(W) == name


@pytest.mark.parametrize("name", baselines.NULLS)
def test_nulls_have_the_spread_of_the_real_one(folded, rows, name):
    real = features.affinity(folded, 2, rows)
    null = baselines.null(name, folded, 2, rows, seed=3)
    assert null.shape == real.shape and float(null.std()) == pytest.approx(float(real.std()), rel=1e-2)
    assert torch.equal(null, baselines.null(name, folded, 2, rows, seed=3))
    assert not torch.allclose(null, baselines.null(name, folded, 2, rows, seed=4))
    with pytest.raises(ValueError, match="permuted keys"):
        baselines.null("nothing", folded, 2, rows)


def test_superposition_corrections(rows):
    many = bases.unit_rms(random(40, 16, seed=6))
    G = baselines.gram(many)
    residue = baselines.minus_gram(2.5 * G + 0.1, many)
    assert abs(float((residue * G).sum())) < 1e-2 and float((baselines.minus_gram(3 * G, many)).norm()) < 1e-3
    few = random(10, 16, seed=7)
    white = baselines.whitened(few)
    torch.testing.assert_close(baselines.gram(white), torch.eye(10), rtol=0, atol=1e-4)
    f = baselines.whitened(many)
    assert baselines.gram(f).abs().triu(1).mean() < G.abs().triu(1).mean()


def test_rotation_of_a_basis_changes_nothing(folded, rows):
    """B and W2F are made of inner products: another basis of the stream for directions and weights is the same."""
    R, _ = torch.linalg.qr(random(48, 48, seed=9))
    from dataclasses import replace

    turned = replace(folded, **{n: torch.einsum("de,hek->hdk", R.T, getattr(folded, n)) for n in ("W_Q", "W_K", "W_V")})
    torch.testing.assert_close(
        features.affinity(turned, 1, rows @ R, distance=3), features.affinity(folded, 1, rows, distance=3),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip
    assert rope.PAIRINGS[0] == "halves"
