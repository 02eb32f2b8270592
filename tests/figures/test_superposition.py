"""Lab 03's figures: titles come from the data, axes are labelled, the tidy data is what is drawn."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from labs_src.figures import superposition as draw
from labs_src.figures.superposition_neurons import neuron_weights
from labs_src.figures.superposition_theory import geometry_curve, lines, phase_diagram
from labs_src.superposition import geometry
from labs_src.superposition.data import make
from labs_src.superposition.toy import hidden, train

P = torch.tensor([1.0, 0.3, 0.05])


@pytest.fixture(scope="module")
def model():
    return train(make(P, 5), 2, 0.9 ** torch.arange(5.0), steps=100, snapshots=4)


def all_figures(model):
    x = make(P, 5).sample(50)
    grid = torch.randint(0, 3, (4, 5))
    table = pd.DataFrame({"p": [1.0, 0.1], "loss": [0.2, 0.1], "model": ["a", "a"]})
    D = geometry.dimensionality(model.W)
    return {
        "arrows": draw.arrows(model.W, P),
        "gram": draw.gram(model.W, P),
        "training": draw.training(model.history, model.steps, P),
        "hidden": draw.hidden_states(hidden(model.W, x), (x > 0).sum(2), P),
        "phases": phase_diagram(grid, grid, torch.logspace(0, -1, 4), torch.logspace(-1, 1, 5)),
        "geometry": geometry_curve(P, D),
        "lines": lines(table, "p", "loss", "model", title="loss falls", log_x=True),
        "neurons": neuron_weights(model.W, ["a", "b", "c"]),
    }


def test_every_figure_has_labelled_axes_and_data(model):
    for name, figure in all_figures(model).items():
        layout = figure.plotly.layout
        titles = [layout[key].title.text for key in layout if key.startswith(("xaxis", "yaxis"))]
        assert any(titles), name
        assert len(figure.data) > 0 and figure.title and len(figure.alt) > 40, name
        assert len(str(figure.bundle())) < 200_000, name


def test_arrows_title_counts_kept_features():
    W = torch.stack((torch.eye(5)[:2], torch.ones(2, 5)))
    figure = draw.arrows(W, ["first", "second"])
    assert figure.title == "2 features have a norm above 0.9 at first, 5 at second"
    assert len(figure.data) == 10
    with pytest.raises(ValueError, match="instances, 2, n_features"):
        draw.arrows(torch.ones(1, 3, 5), ["x"])


def test_training_has_a_frame_for_each_snapshot(model):
    figure = draw.training(model.history, model.steps, P)
    assert [frame.name for frame in figure.plotly.frames] == [str(s) for s in model.steps]
    last = figure.plotly.frames[-1].data[0]
    assert last.x[1] == pytest.approx(float(model.W[0, 0, 0]), abs=1e-3)


def test_phase_title_is_the_agreement():
    a, b = torch.zeros(2, 2, dtype=torch.int), torch.tensor([[0, 0], [0, 2]])
    figure = phase_diagram(a, b, torch.tensor([1.0, 0.1]), torch.tensor([0.5, 2.0]))
    assert "75%" in figure.title


def test_neurons_title_counts_polysemantic_units():
    W = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    assert neuron_weights(W, ["x"]).title.endswith(": 1 of 2")
    with pytest.raises(ValueError, match="as many labels"):
        neuron_weights(W, ["x", "y"])
