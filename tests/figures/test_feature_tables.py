"""Titles and alt texts say what the data says."""

from __future__ import annotations

import pandas as pd

from labs_src.figures import feature_tables as one
from labs_src.figures import feature_tables_controls as two


def test_ranked_counts_what_reaches_the_weakest():
    rows = pd.DataFrame({"rank": [1, 2, 3, 4], "size": [9.0, 7.0, 6.0, 1.0], "planted": [True, False, True, False]})
    assert "1 of the others reaches the weakest of 2 planted" in one.ranked(rows, "Head").title
    clean = rows.assign(planted=[True, True, False, False])
    assert "none of the others reach" in one.ranked(clean, "Head").title
    assert "7, the strongest other 6" in one.ranked(clean, "Head").alt


def test_published_counts_kinds_in_order_of_rank():
    rows = pd.DataFrame({"rank": range(4), "value": [-3.0, 2.0, 1.0, 0.5], "kind": ["a", "b", "a", "c"]})
    figure = one.published(rows, "List")
    assert figure.title == "List: 2 a, 1 b, 1 c"
    assert [trace.name for trace in figure.plotly.data] == ["a", "b", "c"]


def test_outstanding_compares_with_controls():
    names = ["the model's"] * 4 + ["Gaussian"] * 2 + ["rotated"] * 2
    z = [9.0, 7, 12, 10, 6, 5, 9.5, 7]
    rows = pd.DataFrame({"head": list("abcdabab"), "table": ["QK"] * 8, "weights": names, "z": z})
    figure = one.outstanding(rows, 8.0)
    assert figure.title == "Tables above 8: 75% of the model's, 0% of Gaussian, 50% of rotated. Above all controls: 50%"
    assert "largest of the controls lies at 9.5" in figure.alt
    assert list(figure.plotly.layout.yaxis.categoryarray) == ["QK, the model's", "QK, Gaussian", "QK, rotated"]


def test_by_distance_says_where_peaks_agree():
    score, attention = [1.0, 5.0, 2.0], [0.1, 0.2, 0.6]
    parts = [("A", score, attention), ("B", score, score)]
    rows = pd.concat(pd.DataFrame({"head": h, "distance": range(3), "score": s, "attention": a}) for h, s, a in parts)
    figure = one.by_distance(rows)
    assert "in 1 of these 2 heads" in figure.title
    assert "A: score at 1, attention at 2; B: score at 1, attention at 1" in figure.alt


def test_recurring_and_spread_name_their_correlations():
    rows = pd.DataFrame(
        {"layer": [0, 1] * 2, "explains": ["gain"] * 2 + ["length"] * 2, "correlation": [0.1, 0.3, 0.5, 0.5]}
    )
    assert "gain +0.20, length +0.50" in two.recurring(rows).title
    points = pd.DataFrame({"head": ["a", "b"], "layer": [0, 1], "deviation": [1.0, 2.0], "entropy": [0.3, 0.2]})
    assert "-1.00 over 2 heads" in two.spread(points, -1.0).title


def test_noise_names_the_last_noise_with_perfect_tables():
    rows = pd.DataFrame(
        {
            "noise": [0.0, 0.5, 1.0],
            "QK tables": [1.0, 1.0, 0.9],
            "OV tables": [1.0] * 3,
            "circuits that act": [1.0, 0.4, 0.1],
        }
    )
    assert two.noise(rows).title == "At noise 0.5 every table is still perfect, and 40% of the circuits act"


def test_groups_spans_its_draws():
    rows = pd.DataFrame({"draw": [0, 0, 1, 1], "noise in": ["Q, K", "all"] * 2, "acting": [1.0, 0.25, 0.9, 0.4]})
    figure = two.groups(rows)
    assert figure.title == "Noise in Q, K alone leaves 90% to 100% acting, noise in all 25% to 40%"
    assert "all 25% to 40%" in figure.alt and list(figure.plotly.layout.yaxis.categoryarray) == ["Q, K", "all"]
    assert len(figure.plotly.data) == 2 and figure.plotly.data[1].x == (0.9, 0.4)


def test_duplicates_before_and_after():
    rows = pd.DataFrame({"head": ["a", "a"], "latents": ["as they are", "merged"], "precision": [0.5, 1.0]})
    figure = two.duplicates(rows)
    assert figure.title == "Merging duplicates moves mean precision from 0.50 to 1.00"
    assert figure.plotly.layout.yaxis.title.text and figure.plotly.layout.xaxis.title.text
