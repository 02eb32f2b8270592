"""Agreement of dictionaries against loops over pairs, closed forms and invariances."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from labs_src.dictionaries import matching, nulls, seeds, stability


def _rows(seed: int, n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.2, 3, n)[:, None]


def _cosine(u, v) -> float:
    length = math.sqrt(sum(x * x for x in u)) * math.sqrt(sum(x * x for x in v))
    return abs(sum(x * y for x, y in zip(u, v, strict=True))) / length if length else 0.0


def _by_loop(A, B) -> float:
    table = [[_cosine(u, v) for v in B.tolist()] for u in A.tolist()]
    there = sum(max(row) for row in table) / len(A)
    back = sum(max(column) for column in zip(*table, strict=True)) / len(B)
    return (there + back) / 2


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_pwmcc_equals_a_loop_in_every_block_size(block):
    A, B = _rows(0, 7, 5), _rows(1, 11, 5)
    A[2] = 0  # a vector of zeros counts, as 0
    assert stability.pwmcc(A, B, block) == pytest.approx(_by_loop(A, B), abs=1e-6)


def test_matches_are_the_nearest_rows():
    A, B = _rows(2, 9, 4), _rows(3, 6, 4)
    found = stability.matches(A, B, block=4)
    S = torch.tensor([[_cosine(u, v) for v in B.tolist()] for u in A.tolist()])
    assert found.a_index.tolist() == S.argmax(1).tolist() and found.b_index.tolist() == S.argmax(0).tolist()
    torch.testing.assert_close(found.b, S.amax(0), atol=1e-6, rtol=0)


def test_pwmcc_ignores_order_length_sign_and_rotation():
    A = _rows(4, 8, 5)
    twin = (A * torch.tensor([1.0, -2, 3, -4, 5, -6, 7, -8])[:, None])[torch.randperm(8)]
    assert stability.pwmcc(A, twin) == pytest.approx(1, abs=1e-6)
    Q = torch.linalg.qr(_rows(5, 5, 5)).Q
    B = _rows(6, 8, 5)
    assert stability.pwmcc(A @ Q, B @ Q) == pytest.approx(stability.pwmcc(A, B), abs=1e-6)


def test_wrong_shapes_say_which_way_round():
    with pytest.raises(ValueError, match=r"codes transposed"):
        stability.pwmcc(torch.ones(4, 3), torch.ones(4, 5))


def test_silence_added_to_the_samples_changes_nothing():
    """Cosines do not know about samples at which neither latent fires: sparsity by itself lowers nothing."""
    z1, z2 = _rows(7, 30, 6).relu(), _rows(8, 30, 6).relu()
    longer = [torch.cat([z, torch.zeros(300, 6)]) for z in (z1, z2)]
    assert stability.pwmcc(longer[0].T, longer[1].T) == pytest.approx(stability.pwmcc(z1.T, z2.T), abs=1e-6)


def test_alive_split_is_exact_with_different_numbers_of_dead_latents():
    z1, z2 = _rows(9, 40, 10).relu(), _rows(10, 40, 10).relu()
    z1[:, :6], z2[:, 5:7] = 0, 0
    split = stability.alive_split(z1, z2)
    assert split.fraction == pytest.approx(12 / 20)
    assert split.total == pytest.approx(_by_loop(z1.T, z2.T), abs=1e-6)
    assert split.fraction * split.value == pytest.approx(split.total, abs=1e-7)
    with pytest.raises(ValueError, match="equal widths"):
        stability.alive_split(z1, z2[:, 1:])


def test_effective_rank_of_known_spectra():
    h = torch.cat([torch.eye(6), -torch.eye(6)])  # mean 0, six equal singular values
    assert stability.effective_rank(h + 5) == pytest.approx(6, abs=1e-6)
    s = torch.tensor([3.0, 1.0])
    p = (s / s.sum()).tolist()
    two = torch.cat([torch.diag(s), -torch.diag(s)])
    assert stability.effective_rank(two) == pytest.approx(math.exp(-sum(q * math.log(q) for q in p)), abs=1e-6)


def test_subspace_overlap_by_projectors_and_by_chance():
    A, B, r = _rows(11, 20, 6), _rows(12, 20, 6), 2
    P = [V[:r].T @ V[:r] for V in (torch.linalg.svd(W.double()).Vh for W in (A, B))]
    assert stability.subspace_overlap(A, B, r) == pytest.approx(float(torch.trace(P[0] @ P[1])) / r, abs=1e-9)
    assert stability.subspace_overlap(A, 3 * A.flip(0), r) == pytest.approx(1)
    assert stability.subspace_overlap(A, B, 6) == pytest.approx(1)
    mean = sum(stability.subspace_overlap(_rows(i, 60, 12), _rows(900 + i, 60, 12), 3) for i in range(40)) / 40
    assert mean == pytest.approx(3 / 12, abs=0.04)


def test_hungarian_beats_every_other_matching():
    A, B = _rows(13, 5, 3), _rows(14, 6, 3)
    S = [[_cosine(u, v) for v in B.tolist()] for u in A.tolist()]
    best = max(sum(S[i][j] for i, j in enumerate(order)) for order in itertools.permutations(range(6), 5))
    found = matching.hungarian(A, B)
    assert found.mean == pytest.approx(best / 5, abs=1e-6) and len(set(found.partner.tolist())) == 5
    assert found.mean <= float(stability.matches(A, B).a.mean()) + 1e-6
    assert matching.hungarian(B, A).partner.tolist().count(-1) == 1
    with pytest.raises(ValueError, match="in blocks"):
        matching.hungarian(torch.ones(matching.LARGEST + 1, 1), B)


def test_nulls_agree_with_the_closed_form():
    wanted = nulls.expected(64, 16)
    assert float(nulls.gaussian(64, 16, n=40).mean()) == pytest.approx(wanted, abs=0.006)
    assert float(nulls.at_start(64, 16, n=40).mean()) == pytest.approx(wanted, abs=0.015)  # even, not Gaussian
    assert nulls.expected(1, 2) == pytest.approx(2 / math.pi, abs=1e-6)  # |cos| of an even angle


def test_permutation_destroys_the_relation_and_nothing_else():
    A = _rows(15, 40, 24)
    own = nulls.permuted(A, A, n=30)
    low, high = nulls.interval(own)
    assert stability.pwmcc(A, A) > 0.999 > high and low < float(own.mean()) < high
    unrelated = nulls.permuted(A, _rows(16, 40, 24), n=30)
    assert abs(float(unrelated.mean()) - stability.pwmcc(A, _rows(16, 40, 24))) < 0.03
    kept = []
    nulls.permuted(A, A, lambda _, B: kept.append(B) or 0.0, n=1)
    torch.testing.assert_close(kept[0] @ kept[0].T, A @ A.T, atol=1e-4, rtol=1e-4)


def test_rows_in_the_same_space_keep_its_shape_and_lose_the_features():
    A = torch.nn.functional.normalize(_rows(19, 3000, 6) * torch.tensor([4.0, 2, 1, 1, 0, 0]), dim=1)
    kept = []
    nulls.same_space(A, 5 * A[:2000], lambda *pair: kept.append(pair) or 0.0, n=1)
    (a, b), moment = kept[0], A.T @ A / len(A)
    assert (a.shape, b.shape) == ((3000, 6), (2000, 6))
    torch.testing.assert_close(a.T @ a / len(a), moment, atol=0.04, rtol=0)  # lengths of A do not count
    torch.testing.assert_close(b.T @ b / len(b), moment, atol=0.05, rtol=0)
    assert torch.allclose(a[:, 4:], torch.zeros(1), atol=1e-5) and abs(float((a[:2000] * b).mean())) < 0.02

    axes = torch.eye(16).repeat(2, 1)  # fills its space evenly: the null is that of random directions
    assert stability.pwmcc(axes, axes) == 1
    assert float(nulls.same_space(axes, axes, n=40).mean()) == pytest.approx(nulls.expected(32, 16), abs=0.01)
    line = _rows(20, 5, 1) * torch.ones(4)  # one direction alone: the space says all
    assert nulls.same_space(line, line, n=2).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_jackknife_by_hand_and_its_cover():
    table = torch.tensor([[torch.nan, 1.0, 2], [1, torch.nan, 6], [2, 6, torch.nan]])
    mean, low, high = stability.jackknife(table)
    left = [6.0, 2.0, 1.0]  # what stays without seed 0, 1, 2
    se = math.sqrt(2 / 3 * sum((x - 3) ** 2 for x in left))
    assert mean == pytest.approx(3) and (high - low) / 2 == pytest.approx(4.3027 * se, rel=1e-4)
    with pytest.raises(ValueError, match="three"):
        stability.jackknife(table[:2, :2])
    table = stability.pairs([1.0, 4.0, 9.0], lambda x, y: abs(x - y))
    assert table[0, 2] == table[2, 0] == 8 and torch.isnan(table.diagonal()).all()


def test_seeds_start_with_the_published_spread_and_survive_a_file(tmp_path):
    sae = seeds.start((1, 2), 8, 512, k=4)
    assert float(sae.W_dec.std()) == pytest.approx((2 / 512) ** 0.5, rel=0.05)
    assert float(sae.W_enc.std()) == pytest.approx((2 / 8) ** 0.5, rel=0.05)
    assert torch.equal(seeds.start((2,), 8, 512).W_dec[0], sae.W_dec[1])
    h = _rows(17, 64, 8)
    trained, _ = seeds.train(h, (1, 2), 512, k=4, steps=5, batch=16, normalise=False)
    z = seeds.encode(trained, h)
    torch.testing.assert_close(z, trained.encode(h[:, None].expand(-1, 2, -1)).transpose(0, 1))
    sizes = []
    for started in ((), (1, 2)):
        seeds.save(trained, tmp_path / "x.safetensors", started)
        sizes.append((tmp_path / "x.safetensors").stat().st_size)
        again = seeds.load(tmp_path / "x.safetensors")
        for name, w in trained.weights().items():
            torch.testing.assert_close(again.weights()[name], w, atol=0.005 * float(w.abs().max()), rtol=1e-3)
        assert (again.activation, again.k, again.centred) == ("topk", 4, False)
    assert sizes[1] < sizes[0]  # latents that never fired have not moved


def test_snapshots_are_the_shorter_trainings():
    h = _rows(18, 64, 8)
    sae, history = seeds.train(h, (1, 2), 12, k=3, steps=10, batch=16, snapshots=2)
    short, _ = seeds.train(h, (1, 2), 12, k=3, steps=5, batch=16)
    again = seeds.snapshot(sae, history, 5)
    for name, w in short.weights().items():
        torch.testing.assert_close(again.weights()[name], w)
