"""Lab 05's figures: titles computed from the data, axes labelled, tidy data."""

import pandas as pd
import torch

from labs_src.dictionaries.reading import Context
from labs_src.figures import dashboard, dashboard_causes, dashboard_labels


def _axes(figure):
    return figure.plotly.layout.xaxis.title.text, figure.plotly.layout.yaxis.title.text


def test_histogram_leaves_the_silent_tokens_out():
    figure = dashboard.histogram(torch.tensor([0.0] * 6 + [1.0, 2.0]), "7")
    assert figure.title == "Latent 7 fires at 25.00% of the tokens, up to 2.0"
    assert figure.data.tokens.sum() == 2 and all(_axes(figure))


def test_contexts_align_at_the_place_and_show_tags_as_text():
    examples = [
        Context(["the", "<row>", "x"], [0.0, 3.0, 1.0], 1),
        Context(["<row>"], [2.0], 0),
        Context(["a"], [1.0], 0),
    ]
    figure = dashboard.contexts(examples, "7", ["90%", "50%", "0%"])
    assert figure.title == "Latent 7: 2 of 3 contexts fire at “&lt;row&gt;”; 2 different words in all"
    heat = figure.plotly.data[0]
    assert [row[1] for row in heat.text] == ["&lt;row&gt;", "&lt;row&gt;", "a"] and heat.x == (-1, 0, 1)
    assert figure.plotly.layout.yaxis.ticktext == ("90%", "50%", "0%")
    assert len(figure.data) == 5 and figure.data.place.sum() == 3


def test_promoted_takes_both_ends():
    figure = dashboard.promoted(list("abcdef"), torch.tensor([0.1, 3.0, -2.0, 0.5, -1.0, 0.0]), "7", k=2)
    assert figure.data.token.tolist() == ["b", "d", "e", "c"]
    assert figure.title == "Latent 7 promotes “b” most and demotes “c” most"


def test_optimism_splits_at_the_median_firing():
    table = pd.DataFrame(
        {
            "latent": [1, 2],
            "label": ["a", "b"],
            "firings": [5, 50],
            "f1_selection": [0.9, 0.8],
            "f1_held_out": [0.6, 0.7],
        }
    )
    title = dashboard_labels.optimism(table).title
    assert title == "Held out, F1 falls by 0.100 for latents that fire often, 0.300 for rare ones"


def test_labelled_counts_strictly_above():
    figure = dashboard_labels.labelled({"ours": torch.tensor([0.8, 0.2]), "random": torch.tensor([0.7, 0.1])}, 0.7)
    assert figure.title == "Labelled at F1 > 0.7: ours 50%, random 0%" and all(_axes(figure))
    at_zero = figure.data[figure.data["f1 asked"] == 0]
    assert at_zero.share.tolist() == [1.0, 1.0]


def test_refuted_and_breakdown():
    table = pd.DataFrame(
        {
            "latent": [1, 2, 3],
            "label": list("abc"),
            "f1_there": [0.9, 0.9, 0.2],
            "f1_here": [0.1, 0.8, 0.1],
            "fails": [True, False, False],
        }
    )
    assert dashboard_labels.refuted(table, 0.7).title.startswith("1 of 2 labels")
    shares = {"theirs": torch.tensor([0.9, 0.1, 0.0]), "all": torch.tensor([0.1, 0.88, 0.02])}
    figure = dashboard_labels.breakdown(shares, ("var", "arg", "n"), "7")
    assert figure.title == "Firings of latent 7, theirs: var 90%; all: arg 88%"
    assert set(figure.data.value) == {"var", "arg"}  # too small a share is left out


def test_agreement_and_ablation():
    table = pd.DataFrame({"case": ["early", "early", "last"], "latent": [1, 2, 3], "correlation": [0.4, 0.6, 1.0]})
    figure = dashboard_causes.agreement(table)
    assert figure.title == "Table against model, median correlation: from 0.50 (early) to 1.00 (last)"
    table = pd.DataFrame({"label": ["<a>", "b"], "ablated": [0.5, 0.1], "control": [0.2, 0.3]})
    figure = dashboard_causes.ablation(table)
    assert figure.title == "Taking the latent out changes more than a matched push for 1 of 2 latents"
    assert figure.plotly.data[0].text == ("&lt;a&gt;", "b") and all(_axes(figure))
    table.loc[0, "control"] = 0.0  # a log axis has no place for it
    assert min(dashboard_causes.ablation(table).plotly.data[0].x) > 0


def test_steering_and_attribution():
    rows = [("latent", 2.0, i, p) for i, p in enumerate([0.1, 0.5, 0.9])] + [("matched push", 2.0, 0, 0.08)]
    rows += [(push, 0.0, i, 0.1) for push in ("latent", "matched push") for i in range(3)]
    figure = dashboard_causes.steering(pd.DataFrame(rows, columns=["push", "strength", "latent", "share"]))
    assert figure.title == (
        "Natural successors, median of 3 latents: 50% with the latent, 8% with the matched push at strength 2"
    )
    thick = [line for line in figure.plotly.data if line.showlegend is not False]
    assert [line.x for line in thick] == [(0.0, 2.0)] * 2 and len(figure.plotly.data) == 8 and all(_axes(figure))
    table = pd.DataFrame(
        {"layer": ["one"] * 3 + ["two"] * 3, "attribution": [1.0, 2, 3] * 2, "ablation": [1.0, 2, 3, 3, 2, 1]}
    )
    figure = dashboard_causes.attribution(table)
    assert figure.title == "Attribution against ablation, correlation: 1.00 one, -1.00 two" and all(_axes(figure))
