"""Means, starting points, and distances from natural states."""

from __future__ import annotations

import pytest
import torch
from tiny_gated import D, Tiny

from labs_src.patchscopes import natural


@pytest.fixture
def rows():
    g = torch.Generator().manual_seed(0)
    return torch.randn(4000, D, generator=g) @ torch.randn(D, D, generator=g) + 3


def test_mean_vector_takes_each_prompts_own_end():
    model, ids, last = (
        Tiny(),
        torch.randint(0, 11, (5, 4), generator=torch.Generator().manual_seed(0)),
        torch.tensor([3, 1, 2, 0, 3]),
    )
    states = model.run_with_cache(ids, "blocks.1.hook_resid_pre")[1]["blocks.1.hook_resid_pre"]
    expected = torch.stack([states[i, t] for i, t in enumerate(last.tolist())]).mean(0)
    torch.testing.assert_close(natural.mean_vector(model, "blocks.1.hook_resid_pre", ids, last, chunk=2), expected)


def test_mahalanobis_is_one_for_natural_rows_and_does_not_see_the_axes(rows):
    fitted = natural.Natural.fit(rows, shrink=0)
    torch.testing.assert_close(fitted.mahalanobis(rows).pow(2).mean(), torch.tensor(1.0), atol=1e-3, rtol=0)
    turn = torch.randn(D, D, generator=torch.Generator().manual_seed(2))
    turned = natural.Natural.fit(rows @ turn, shrink=0)
    far = rows[:5] + 20
    torch.testing.assert_close(turned.mahalanobis(far @ turn), fitted.mahalanobis(far), rtol=1e-3, atol=1e-3)
    assert (fitted.mahalanobis(far) > fitted.mahalanobis(rows).max()).all()


def test_nearest_cosine_by_search(rows):
    x = torch.randn(4, D)
    expected = [max(float(torch.cosine_similarity(v, r, dim=0)) for r in rows[:60]) for v in x]
    torch.testing.assert_close(natural.Natural.fit(rows[:60]).nearest_cosine(x), torch.tensor(expected))
    assert (natural.Natural.fit(rows).nearest_cosine(3 * rows[:5]) > 0.9999).all()


def test_projections_keep_what_is_inside(rows):
    fitted = natural.Natural.fit(rows)
    x = torch.cat([rows[:3], rows[:3] * 50])
    inside = fitted.ellipsoid(3.0)(x)
    torch.testing.assert_close(inside[:3], x[:3])
    torch.testing.assert_close(fitted.mahalanobis(inside[3:]), torch.full((3,), 3.0))
    most = float(rows.norm(dim=-1).mean())
    assert (fitted.norm_ball()(x).norm(dim=-1) <= most * 1.0001).all()


def test_starts(rows):
    g = torch.Generator().manual_seed(0)
    mean = rows.mean(0)
    assert torch.equal(natural.starts("mean", 3, mean, rows, g), mean.repeat(3, 1))
    spread = natural.starts("jittered", 3000, mean, rows, g)
    torch.testing.assert_close(spread.std(0), rows.std(0), rtol=0.1, atol=0)
    assert all((rows == v).all(1).any() for v in natural.starts("natural", 5, mean, rows, g))
    length = natural.starts("gaussian", 5, mean, rows, g).norm(dim=-1)
    torch.testing.assert_close(length, rows.norm(dim=-1).mean().expand(5))
    with pytest.raises(ValueError, match="'natural'"):
        natural.starts("zero", 1, mean, rows, g)


def test_best_rows():
    rows = torch.eye(4)
    assert torch.equal(natural.best_rows(torch.tensor([0.0, 3.0, 1.0, 2.0]), rows, 2), rows[[1, 3]])
