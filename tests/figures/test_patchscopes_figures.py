"""Lab 08's figures: titles computed from the data, axes labelled, tidy data."""

from types import SimpleNamespace

import pandas as pd
import torch

from labs_src.figures import patchscopes, patchscopes_evidence, patchscopes_text


def _axes(figure):
    return figure.plotly.layout.xaxis.title.text, figure.plotly.layout.yaxis.title.text


def _found(values, gate, up):
    """A search of one row that goes straight from gate and up of -1 to the given ones."""
    part = torch.linspace(0, 1, len(values))[:, None]
    inside = (-1 + part * (torch.tensor([gate, up]) + 1))[:, None]
    return SimpleNamespace(trace=torch.tensor(values)[:, None], value=torch.ones(1) * values[-1], inside=inside)


def test_traces_are_in_natural_maxima():
    figure = patchscopes.traces({"plain": _found([0.0, 1.0, 2.0], -0.7, -9.0)}, 4.0)
    assert figure.title == "After 2 steps: 0.50 plain (natural maximum: 1)"
    assert figure.data.ratio.tolist() == [0, 0.25, 0.5] and all(_axes(figure))


def test_landscape_shows_start_way_and_end():
    paths = {"plain": _found([0.0, 0.5, 1.5], -0.75, -9.0), "warm": _found([0.0, 40.0], 6.0, 7.0)}
    figure = patchscopes.landscape(paths)
    assert figure.title == "Plain, ends at gate -0.75, up -9.0; warm, ends at gate 6.00, up 7.0"
    level, way, end, *_, start = figure.plotly.data
    assert min(level.x) < -0.75 and max(level.y) > 7 and all(_axes(figure))
    assert min(map(min, level.z)) < 0 < max(map(max, level.z))
    assert way.y == (-1, -5, -9) and end.y == (-9,) and start.x == (-1,), "one start for both"
    assert len(figure.data) == 5


def test_reached_keeps_zeros_on_a_log_scale():
    figure = patchscopes.reached({"a": torch.tensor([0.0, 2.0, 4.0]), "b": torch.tensor([6.0])})
    assert figure.title == "Median over natural maximum: 2.00 a, 6.00 b"
    assert figure.data.ratio.min() == 0.01 and figure.plotly.layout.yaxis.type == "log"


def test_naturalness_has_both_rulers():
    table = pd.DataFrame({"vectors": ["n", "n", "X"], "cosine": [0.9, 1.0, 0.5], "distance": [1.0, 1.2, 1.1]})
    figure = patchscopes.naturalness(table)
    assert figure.title == "Medians, left to right: cosine 0.95, 0.50; distance 1.10, 1.10"
    assert len(figure.plotly.data) == 4 and figure.plotly.layout.yaxis2.title.text


def test_constraints_name_both_ends():
    table = pd.DataFrame({"way": ["free", "best"], "ratio": [5.0, 0.8], "cosine": [0.5, 1.0], "distance": [1.0, 1.4]})
    figure = patchscopes.constraints(table)
    ends = "distance nearest to 1: free (1.00); highest ratio: free (5.0)"
    assert figure.title == f"Highest cosine: best (1.00, ratio 0.80);<br>{ends}"
    assert [list(point.x) for point in figure.plotly.data] == [[0.5], [1.0], [1.0], [1.4]], "both rulers on an axis"


def test_agreement_takes_means_after_the_last_step():
    rows = [("8 latents", "s", 5, 0.0), ("8 latents", "s", 15, 0.0), ("8 latents", "s", 15, 1.0),
            ("8 latents", "r", 15, 0.3), ("9 latents", "s", 15, 0.7)]  # fmt: skip
    figure = patchscopes_evidence.agreement(pd.DataFrame(rows, columns=["size", "neurons", "steps", "agreement"]))
    assert figure.title == "Mean agreement after 15 steps: 0.50 s, 0.30 r (8 latents); 0.70 s (9 latents)"
    assert figure.plotly.layout.yaxis.title.text and figure.plotly.layout.shapes[1].y0 == 0.5, "the line is the mean"
    colours = [column.marker.color for column in figure.plotly.data]
    assert colours[0] == colours[1] == colours[3] != colours[2]


def test_necessity_by_size_and_choice():
    table = pd.DataFrame({"size": ["1"] * 2 + ["2"] * 2, "latent": ["x", "y"] * 2, "lost": [0.2, 0.0, 0.8, 0.1]})
    figure = patchscopes_evidence.necessity(table)
    assert figure.title == "Median share lost (x, y):<br>1: 0.20, 0.00; 2: 0.80, 0.10"
    assert all(_axes(figure)) and len(figure.plotly.data) == 2


def test_thresholds_compare_equal_activations_only():
    rows = [("a", 1.0, 0.9, 10), ("a", 2.0, 0.5, 15), ("b", 1.0, 0.1, 12), ("b", 2.0, 0.8, 9), ("b", 3.0, 0.0, 15)]
    table = pd.DataFrame(rows, columns=["meaning", "activation", "share", "tokens"])
    figure = patchscopes_evidence.thresholds(table, "7")
    assert figure.title.startswith("Latent 7 near 1: the target fires at 90% of 10 a and 10% of 12 b<br>")
    assert "(no other bin with 10 tokens of each)" in figure.title, "a bin of 9 tokens is not compared"
    assert "nothing to compare" in patchscopes_evidence.thresholds(table[table.activation > 1], "7").title
    assert figure.data.low.min() > -1e-9 and figure.data.high.iloc[-1] > 0.1, "0 of 15 is not known to be 0"


def test_factorial_says_whether_it_is_more_than_the_parts():
    four = {(False, False): 0.0, (True, False): 0.1, (False, True): 0.2, (True, True): 0.5}
    assert patchscopes_evidence.factorial(four).title == "Both on: 0.50, more than the sum of the parts (0.30)"
    four[True, True] = 0.2
    assert "no more than" in patchscopes_evidence.factorial(four).title


def test_sweep_and_pivots():
    table = pd.DataFrame({"vector": ["X", "X"], "alpha": [0.0, 1.5], "hits": [0.5, 0.25]})
    figure = patchscopes_text.sweep(table, 0.02)
    assert figure.title == "Hits at the best alpha: 50% X" and all(_axes(figure))
    table = pd.DataFrame({"held": ["l", "l"], "strength": [1.0, 4.0], "code": [0.1, 0.7]})
    figure = patchscopes_text.pivots(table, 0.01, 0.8)
    assert (
        figure.title == "Code in the different tokens written, at 4 times the maximum: 70% l (real code 80%)"
        and all(_axes(figure))
    )


def test_atlas_leaves_impossible_cells_empty():
    rows = [(1, 1, True, 3.0), (1, 1, False, 5.0), (1, 3, True, 2.0), (3, 3, True, 6.0)]
    figure = patchscopes_text.atlas(pd.DataFrame(rows, columns=["inject", "layer", "false_optimum", "warm"]))
    stuck, warm = figure.plotly.data
    assert stuck.z[1][0] is None and stuck.z[0][0] == 0.5 and warm.z[0][0] == 4
    assert figure.title.startswith(
        "Published objective: stuck in 50% to 100% of a cell's searches; warm start reaches 2.0"
    )


def test_relabelled_counts_and_escapes():
    table = pd.DataFrame(
        {
            "latent": [1, 2], "target": ["L3N4", "L3N5"], "observational": ["token: <b>", "b"], "causal": ["c", ""],
            "covered": [0.1, 0.9], "covered_causal": [0.8, 0.0], "disagrees": [True, False],
        }
    )  # fmt: skip
    figure = patchscopes_text.relabelled(table)
    assert figure.title.startswith("1 of 1 decided labels")
    assert (
        "&lt;b&gt;" in figure.plotly.layout.yaxis.ticktext[1] and "undecided" in figure.plotly.layout.yaxis.ticktext[0]
    )
    assert [list(group.x) for group in figure.plotly.data] == [[0.8], [0.1], [0.9]], "causal, colleague's, undecided"
