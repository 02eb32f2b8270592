"""Lab 04's figures: titles computed from the data, axes labelled, tidy data, small."""

import json

import pandas as pd
import pytest
import torch

from labs_src.dictionaries import planted, resampling
from labs_src.dictionaries.sae import new_sae
from labs_src.dictionaries.training import train
from labs_src.figures import dictionaries as draw
from labs_src.figures.dictionaries_animation import training


@pytest.fixture(scope="module")
def run():
    problem = planted.problem(planted.pentagon(3, 0), 0.025, 0, n=1000, held_out=100)
    sae = new_sae(3, 2, 5, 0)
    history = train(
        sae,
        problem.h,
        steps=400,
        batch=64,
        snapshots=8,
        resample=resampling.simple(0),
        resample_every=50,
        learning_rate=2e-2,
    )
    return problem, sae, history


def _axes(figure):
    return figure.plotly.layout.xaxis.title.text, figure.plotly.layout.yaxis.title.text


def test_hidden_states(run):
    problem, *_ = run
    figure = draw.hidden_states(problem.directions[0] * 0.5, problem.directions[0])
    assert figure.title.startswith("100%") and list(figure.data) == ["h0", "h1"] and _axes(figure) == ("h[0]", "h[1]")


def test_shrinking_says_who_reaches_zero():
    figure = draw.shrinking({"L1": [1.0, 0.5, 0.0], "L2": [1.0, 0.5, 0.25]}, 0.05)
    assert figure.title == "L1 reaches 0 at step 2; L2 still has 0.25 at the end"
    assert len(figure.data) == 6 and _axes(figure) == ("step", "weight")


def test_directions_table(run):
    problem, sae, _ = run
    alive = torch.ones(3, 5, dtype=torch.bool)
    figure = draw.directions(problem.directions, sae.W_enc, sae.W_dec, alive, "a title")
    assert len(figure.data) == 15 and figure.data["encoder-decoder cosine"].between(-1, 1).all()


def test_sweep_runaway_alignment_live():
    table = pd.DataFrame({"penalty": ["sum", "mean"], "d_sae": [5, 5], "l0": [1.0, 2.0], "recovered": [1.0, 0.5]})
    assert draw.width_sweep(table).title == "At d_sae = 5 the sum recovers 100% of the features, the mean 50%"
    assert (
        draw.runaway([1, 2], [1.0, 4.0], [1.0, 0.5]).title
        == "The decoder grows 4 times longer, the penalty shrinks 2-fold"
    )
    assert "at the end: 0.900 (a)" in draw.alignment([1, 2], {"a": [0.0, 0.9]}).title
    live = draw.live_latents([1, 2], {"with": [0.5, 1.0], "without": [0.5, 0.7]}, [1])
    assert live.title == "Latents that fire at the end: 100% with, 70% without" and len(live.data) == 4


def test_gains_and_trade_off():
    table = pd.DataFrame({"seed": [1, 2], "without": [0.2, 0.3], "with": [1.0, 0.9]})
    title = draw.gains(table, 0.7, 0.5, 0.9).title
    assert title == "95% of the features with resampling, 25% without: 70 points more (95% interval 50 to 90)"
    table = pd.DataFrame(
        {"sae": ["a", "b"], "l0": [20.0, 5.0], "explained_variance": [0.9, 0.8], "dead_fraction": [0.0, 0.0]}
    )
    assert draw.trade_off(table, "model").title == "model: a explains 90.0% of the variance with 20 active latents"


def test_animation_marks_every_resampled_latent_once(run):
    problem, _, history = run
    figure = training(history, problem.directions, [0, 2])
    frames = figure.plotly.frames
    assert len(frames) == len(history.step) and len(figure.plotly.layout.sliders[0].steps) == len(frames)
    marks = sum(len(trace.x) for frame in frames for trace in frame.data if trace.mode == "markers")
    moved = sum(int(mask[[0, 2]].sum()) for _, mask in history.resampled)
    assert moved > 0 and 0 < marks <= moved
    assert figure.title.startswith(f"{moved} latents")
    assert len(json.dumps(figure.bundle())) < 150_000
    assert set(figure.data.instance) == {0, 2}
