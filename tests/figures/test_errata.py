"""Lab 07's figures: titles computed from the numbers drawn, axes named, the data kept."""

from __future__ import annotations

import pandas as pd
import pytest

from labs_src.circuits import published
from labs_src.figures import errata


def rho_table(**variants):
    rows = [(layer, v, x) for v, values in variants.items() for layer, x in enumerate(values)]
    return pd.DataFrame(rows, columns=["layer", "variant", "rho"])


def test_before_and_after_says_both_means():
    data = rho_table(bugs=[0.0, 0.1], one=[0.4, 0.5], mended=[0.9, 1.0])
    figure = errata.before_after(data, "bugs", "mended")
    assert "mean rho 0.05" in figure.title and "0.95, lowest layer 0.90" in figure.title and "one 0.45" in figure.title
    widths = [trace.line.width for trace in figure.plotly.data]
    assert widths == [4, 2, 4] and figure.plotly.layout.yaxis.title.text.startswith("rho")
    assert len(figure.data) == 6


def test_rho_names_the_best_first():
    figure = errata.rho(rho_table(a=[0.1, 0.2], b=[0.8, 0.9]))
    assert figure.title == "Mean rho: b 0.85, a 0.15"


def test_published_counts_negative_layers():
    table = pd.DataFrame({"layer": [0, 1, 2], "pre_fix": [None, -0.2, 0.4], "fixed_sae": [0.1, 0.2, 0.3]})
    figure = errata.published(table, {"pre_fix": "before", "fixed_sae": "after"})
    assert "before: 1 of 2 layers below 0, mean 0.100" in figure.title and len(figure.data) == 5
    real = errata.published(published.errata(), published.COLUMNS)
    assert "mean 0.229" in real.title


def test_parity_tells_rounding_from_error():
    rows = [(0, "1 + gamma", "q", 0, 0.999999), (0, "gamma", "q", 0, -0.3), (1, "gamma", "k", 0, 0.6)]
    figure = errata.parity(pd.DataFrame(rows, columns=["layer", "fold", "projection", "head", "cosine"]))
    assert "1 + gamma at least 1.0000" in figure.title and "gamma -0.30 to 0.60" in figure.title


def test_rotation_gap_has_log_axes():
    rows = [(0, "halves", 0.0), (1, "halves", 1e-6), (0, "interleaved", 0.0), (1, "interleaved", 2.5)]
    figure = errata.rotation_gap(pd.DataFrame(rows, columns=["distance", "pairing", "error"]))
    assert figure.title == "Largest error of a logit: halves below 0.001, interleaved 2.5"
    assert figure.plotly.layout.xaxis.type == figure.plotly.layout.yaxis.type == "log"


def test_peaks_are_divided_by_the_highest_null():
    rows = [
        (0, "model", 8.0, 1.0), (0, "legacy fold", 40.0, 1.0), (0, "null a", 4.0, 2.0), (0, "null b", 2.0, 0.5),
        (0, "legacy fold, gains as trained", 8.0, 1.0), (1, "legacy fold, gains as trained", 4.5, 1.0),
        (1, "model", 9.0, 3.0), (1, "legacy fold", 90.0, 1.0), (1, "null a", 9.0, 1.0), (1, "null b", 2.0, 1.0),
    ]  # fmt: skip
    figure = errata.peaks(pd.DataFrame(rows, columns=["layer", "case", "selectivity", "diagonal"]))
    assert "selectivity 1.00 to 2.00 times (above it in 1 of 2 layers)" in figure.title
    assert "diagonal 0.50 to 3.00 times (above it in 1 of 2 layers)" in figure.title
    assert "legacy fold 5 to 10; legacy fold, gains as trained 0.5 to 1" in figure.title


def test_peaks_take_the_highest_draw_of_a_null():
    rows = [(0, "model", 8.0, 1.0), (0, "legacy fold", 40.0, 1.0), (0, "null", 2.0, 2.0), (0, "null", 16.0, 0.5)]
    figure = errata.peaks(pd.DataFrame(rows, columns=["layer", "case", "selectivity", "diagonal"]))
    assert "selectivity 0.50 to 0.50 times (above it in 0 of 1 layers)" in figure.title
    names = [trace.name for trace in figure.plotly.data]
    assert "null, highest of 2" in names and "model" in names


def test_omissions_order_the_bases():
    rows = [("a", "one", 0.9), ("a", "two", 0.8), ("a", "both", 0.1), ("a", "both", 0.3)]
    rows += [("b", "one", 0.7), ("b", "two", 0.5), ("b", "both", 0.5)]
    figure = errata.omissions(pd.DataFrame(rows, columns=["basis", "left out", "rho"]), "a", "b")
    assert "a minus b" in figure.title and "one +0.20, two +0.30, both -0.30" in figure.title
    assert [list(trace.x) for trace in figure.plotly.data] == [["one", "two", "both"]] * 2


def test_probes_name_the_layer():
    rows = [(0, "own dictionary", 0.9), (1, "own dictionary", 0.2), (0, "tokens", 0.5), (1, "tokens", 0.7)]
    figure = errata.probes(pd.DataFrame(rows, columns=["layer", "probe", "rho"]))
    assert figure.title == "Best other probe minus own dictionary: +0.50 at layer 1, at most -0.40 elsewhere"


def test_contributions_and_areas():
    figure = errata.contributions({"a": 0.3, "b": 0.1}, {"a": 0.2, "b": 0.0}, {"a": 0.4, "b": 0.2})
    assert figure.title.startswith("Of a gain of 0.40, a bring 0.30") and len(figure.data) == 6
    area = pd.DataFrame({"layer": [0, 1], "variant": ["x", "x"], "area": [0.5, 0.7]})
    assert errata.areas(area).title == "Mean area: x 0.60"


def test_seeds_say_the_largest_spread():
    rows = [(m, v, layer, x) for m, v, x in (("a", "p", 0.5), ("b", "p", 0.7), ("a", "q", 0.9), ("b", "q", 0.9)) for layer in (0, 1)]  # fmt: skip # noqa: E501
    figure = errata.seeds(pd.DataFrame(rows, columns=["model", "variant", "layer", "rho"]))
    assert "2 models, 2 ways" in figure.title and "0.20 at most (p)" in figure.title
    assert "p 0.50 to 0.70" in figure.alt


@pytest.mark.parametrize("name", ["rho", "areas"])
def test_lines_differ_in_more_than_colour(name):
    data = rho_table(a=[0.1, 0.2], b=[0.8, 0.9]).assign(area=0.5)
    figure = getattr(errata, name)(data)
    dashes = {trace.line.dash for trace in figure.plotly.data}
    assert len(dashes) == 2
