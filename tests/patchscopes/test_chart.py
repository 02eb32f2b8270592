"""The map: files that are whole or not there, and a run that goes on."""

from __future__ import annotations

import pytest

from labs_src.patchscopes import chart

CELLS = [{"layer": i, "steps": 3} for i in range(4)]


def test_resumes_after_a_stop_and_makes_damaged_files_again(tmp_path):
    done = []

    def work(cell):
        if cell["layer"] == 2 and not stopped:
            raise KeyboardInterrupt
        done.append(cell["layer"])
        return [{"layer": cell["layer"], "value": cell["layer"] ** 2}, {"layer": cell["layer"], "value": -1}]

    stopped = []
    with pytest.raises(KeyboardInterrupt):
        chart.chart(CELLS, work, tmp_path, quiet=True)
    assert done == [0, 1] and len(list(tmp_path.iterdir())) == 2
    stopped.append(True)
    table = chart.chart(CELLS, work, tmp_path, quiet=True)
    assert done == [0, 1, 2, 3] and table.layer.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for damage in ('{"rows": [', "[]", ""):
        next(iter(sorted(tmp_path.glob("*.json")))).write_text(damage)
        again = chart.chart(CELLS, work, tmp_path, quiet=True)
        assert again.equals(table)
    assert len(done) == 7 and not list(tmp_path.glob("*.part"))


def test_other_settings_are_other_cells(tmp_path):
    def work(cell):
        return [cell]

    chart.chart(CELLS[:1], work, tmp_path, quiet=True)
    assert chart.chart([CELLS[0] | {"steps": 5}], work, tmp_path, quiet=True).steps.tolist() == [5]
    assert chart.chart([dict(reversed(CELLS[0].items()))], lambda cell: [], tmp_path, quiet=True).steps.tolist() == [3]
    assert chart.chart(CELLS, work, quiet=True).layer.tolist() == [0, 1, 2, 3]  # nothing kept
