"""`labs table` and `labs sweep`, as a person calls them."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from labs_src.course import cli


@pytest.fixture
def labs(monkeypatch, capsys):
    """The command in this process: (exit code, what it printed, what it complained about)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["labs", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_prints_and_exports(labs, tmp_path):
    files = {kind: tmp_path / f"t.{kind}" for kind in ("csv", "parquet", "html")}
    flags = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    code, out, err = labs(
        "table", "--model", "mini-gemma", "--layer", "3", "--head", "1", "--kind", "qk", "-k", "7", *flags
    )
    assert code == 0, err
    assert "mini-gemma, layer 3, head 1, QK" in out and "query label" in out
    rows = pd.read_csv(files["csv"])
    assert len(rows) == 7 and len(pd.read_parquet(files["parquet"])) == 7
    assert f"{rows.value[0]:.3g}" in out and rows.key_label[0] in out
    assert 'type="search"' in files["html"].read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table", "--layer", "9", "--head", "0"), "labs: the model has layers 0 to 5, not 9"),
        (("table", "--layer", "0", "--head", "0", "--csv", "x.txt"), "labs: x.txt should end in .csv"),
        (("sweep", "--layer", "8"), "labs: mini-gemma has layers 0 to 5, not 8"),
    ],
)
def test_a_mistake_is_one_line(labs, arguments, message):
    code, _, err = labs(*arguments)
    assert code == 2
    assert err.strip() == message


def test_sweep_twice(labs, tmp_path):
    call = ("sweep", "--layer", "1", "--out", str(tmp_path), "-k", "5")
    assert "8 tables in" in (first := labs(*call)[1]) and "8 made, 0 from before" in first
    assert "0 made, 8 from before" in labs(*call)[1]
