"""What a notebook imports: records, prose with recorded numbers, figures with alt text."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from labs_src import lab
from labs_src.figures.figure import MIMETYPE, Figure, styled


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw=False, metadata=None: outputs.append((data, metadata))
    )
    monkeypatch.setattr(lab, "_session", lab._Session())
    return outputs


def test_record_prints_a_line_and_carries_the_exact_value(shown):
    lab.record("score", torch.tensor(0.87654), tolerance=0.02, why="seeds", must="> 0.8")
    data, metadata = shown[0]
    assert data == {"text/plain": "score ≈ 0.88 (must be > 0.8: yes)"}
    entry = metadata["interp_workbook"]["record"]
    assert entry["value"] == pytest.approx(0.87654) and entry["held"] and entry["tolerance"] == 0.02


def test_record_says_when_a_bound_is_missed(shown):
    lab.record("score", 0.3, tolerance=0.01, why="seeds", must="> 0.8")
    assert shown[0][0]["text/plain"].endswith("NO)") and not shown[0][1]["interp_workbook"]["record"]["held"]


@pytest.mark.parametrize(
    ("value", "tolerance", "text"),
    [(3, 0, "x = 3"), (1e-6, 1e-4, "x ≈ 0, within 0.0001"), (12.3456, None, "x = 12.3 s"), (5.4321, 0.1, "x ≈ 5.4")],
)
def test_digits_follow_the_tolerance(shown, value, tolerance, text):
    lab.record("x", value, tolerance=tolerance, why="test", unit="s" if tolerance is None else None)
    assert shown[0][0]["text/plain"] == text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_record_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="look at the cell"):
        lab.record("x", value, tolerance=0.1, why="test")


@pytest.mark.parametrize(
    ("must", "value", "held"),
    [
        ("> 0.8", 0.8, False),
        (">= 0.8", 0.8, True),
        ("< 1e-4", 9e-5, True),
        ("<= 5", 5, True),
        ("= 2", 2, True),
        ("= 2", 3, False),
    ],
)
def test_holds(must, value, held):
    assert lab.holds(must, value, 0.0) is held


def test_holds_refuses_another_form():
    with pytest.raises(ValueError, match="a bound looks like"):
        lab.holds("about 3", 3.0)


def test_say_fills_in_recorded_numbers(shown):
    lab.record("score", 0.875, tolerance=0.01, why="test")
    lab.say("It is {score:.2f}, or {percent:.0f}%.", percent=87.5)
    assert shown[1][0].data == "It is 0.88, or 88%."


def test_say_of_what_was_not_recorded():
    with pytest.raises(KeyError, match="run the cells above"):
        lab.say("It is {nothing}.")
    with pytest.raises(KeyError, match="run the cells above"):
        lab.recorded("nothing")


def test_start_sets_seed_and_refuses_an_unknown_tier(capsys):
    lab.start("02", tier="mini", seed=3)
    first = torch.rand(2)
    lab.start("02", tier="mini", seed=3)
    assert torch.equal(first, torch.rand(2)) and torch.get_num_threads() == 1
    assert "Lab 02, mini tier, seed 3." in capsys.readouterr().out
    with pytest.raises(ValueError, match="no tier 'maxi'"):
        lab.start("02", tier="maxi")


def _figure(title="A line rises", alt="A line that rises from zero to one over two points."):
    data = pd.DataFrame({"x": range(20), "y": range(20)})
    return Figure(styled(go.Figure(go.Scatter(x=data.x, y=data.y)), title), alt, data)


def test_show_gives_the_plot_the_words_and_the_numbers(shown):
    lab.show(_figure(alt="A line < that rises from zero to one."))
    (plot, metadata), (words, _) = shown
    assert MIMETYPE in plot and metadata["interp_workbook"]["figure"]["title"] == "A line rises"
    assert "A line &lt; that rises" in words.data and "and 8 more rows" in words.data


def test_a_figure_needs_a_title_and_alt_text():
    with pytest.raises(ValueError, match="title"):
        _figure(title="")
    with pytest.raises(ValueError, match="alt text"):
        _figure(alt="A line")
