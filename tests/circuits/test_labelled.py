"""A labelled table: the right words beside the right numbers, and files that hold what was shown."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from labs_src import models
from labs_src.circuits import bases, features, folding, labelled
from labs_src.models.attached import OnDemand
from labs_src.models.hub import Unavailable


@pytest.fixture(scope="module")
def mini():
    return models.load("mini-gemma")


def test_names_take_the_best_label_of_a_latent():
    table = pd.DataFrame({"index": [0, 2, 2, 9], "description": ["a", "b", "c", "d"], "f1": [0.1, 0.2, 0.9, 1.0]})
    assert labelled.names(table, 4) == ["a", "", "c", ""]
    assert labelled.names(table.drop(columns="f1"), 4) == ["a", "", "b", ""]


def test_rows_say_which_side_is_which(mini):
    _, rows = labelled.of_model(mini, "qk", 3, 1, 5)
    assert list(rows) == ["rank", "value", "z", "key_feature", "key_label", "query_feature", "query_label"]
    hook = bases.entering(3)
    basis, words = mini.dictionaries[hook].basis(), labelled.names(mini.labels[hook], 1024)
    B = features.affinity(folding.fold(mini.model, 3), 1, basis, cap=False)
    for row in rows.itertuples():
        assert float(B[row.query_feature, row.key_feature]) == pytest.approx(row.value, abs=1e-3)
        assert (row.query_label, row.key_label) == (words[row.query_feature], words[row.key_feature])
    assert rows.value.abs().tolist() == pytest.approx(B.abs().flatten().topk(5).values.tolist(), rel=1e-4)


def test_an_ov_table_names_values_and_outputs(mini):
    _, rows = labelled.of_model(mini, "ov", 2, 0, 5, end="bottom")
    assert list(rows)[3:] == ["value_feature", "value_label", "output_feature", "output_label"]
    folded = folding.fold(mini.model, 2)
    before, after = mini.dictionaries[bases.entering(2)], mini.dictionaries[bases.leaving(2)]
    W = features.writes(folded, 0, before.basis(), after.W_enc.T, cosine=False)
    assert rows.value.iloc[0] == pytest.approx(float(W.min()), rel=1e-4)
    assert rows.output_label.iloc[0] == labelled.names(mini.labels[bases.leaving(2)], 1024)[rows.output_feature.iloc[0]]


def test_cross_and_distance(mini):
    rows = labelled.of_model(mini, "qk", 1, 2, 40, cross=True, end="top")[1]
    assert (rows.key_feature != rows.query_feature).all()
    near, far = (labelled.of_model(mini, "qk", 1, 2, 5, distance=d)[1].value.tolist() for d in (0, 9))
    assert near != far


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("kq", 0, 0), {}, "one of qk, ov, not 'kq'"),
        (("qk", 6, 0), {}, "layers 0 to 5, not 6"),
        (("qk", 0, 4), {}, "heads 0 to 3, not 4"),
        (("qk", 0, 0), {"end": "left"}, "one of size, top, bottom"),
        (("ov", 0, 0), {"cross": True}, "for the query-key table"),
    ],
)
def test_what_is_not_there_gets_one_message(mini, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        labelled.of_model(mini, *arguments, **options)


def test_a_model_without_dictionaries_says_so(mini):
    with pytest.raises(ValueError, match="no Gemma-2 model"):
        labelled.of_model(models.load("induction-1l"), "qk", 0, 0)
    with pytest.raises(
        ValueError, match=r"mini-gemma has no dictionary at blocks\.0\.hook_resid_post; there are: none"
    ):
        labelled.of_model(replace(mini, dictionaries={}), "qk", 1, 0)


def test_labels_that_cannot_be_had_are_left_out_with_a_warning(mini):
    def none_here():
        raise Unavailable("There are no labels.", "Get them.")

    without = replace(mini, labels=OnDemand(dict.fromkeys(mini.dictionaries, none_here)))
    with pytest.warns(UserWarning, match="Numbers without words: There are no labels"):
        rows = labelled.of_model(without, "qk", 3, 1, 5)[1]
    assert list(rows) == ["rank", "value", "z", "key_feature", "query_feature"]


def test_files_hold_what_was_shown(mini, tmp_path):
    rows = labelled.of_model(mini, "qk", 3, 1, 12)[1]
    csv = pd.read_csv(labelled.export(rows, tmp_path / "new" / "a.csv"), keep_default_na=False)
    parquet = pd.read_parquet(labelled.export(rows, tmp_path / "a.parquet"))
    pd.testing.assert_frame_equal(parquet, rows)
    pd.testing.assert_frame_equal(csv, rows, check_exact=False)
    with pytest.raises(ValueError, match=r"\.csv, \.parquet or \.html; got a.xlsx"):
        labelled.export(rows, tmp_path / "a.xlsx")


def test_a_page_needs_nothing_from_elsewhere_and_escapes_words(tmp_path):
    rows = pd.DataFrame({"rank": [0, 1], "value": [2.5, -1.0], "key_label": ["<script>alert(1)</script>", "a & b"]})
    page = labelled.export(rows, tmp_path / "a.html", "Head <1>").read_text()
    assert not re.search(r"(src|href)=|https?:|@import", page)
    assert "&lt;script&gt;alert(1)" in page and "a &amp; b" in page and "<title>Head &lt;1&gt;</title>" in page
    assert page.count("<script>") == 1 and page.count("<tr>") == 3
    assert len(page) < 6000
    one, two = (re.search(r'<div id="(\w+)"', labelled.fragment(rows, c))[1] for c in ("a", "b"))
    assert one != two and labelled.fragment(rows, "a") == labelled.fragment(rows, "a")
