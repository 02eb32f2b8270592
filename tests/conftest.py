"""One thread for every test, and the table of checks that a test run ends with.

With more threads, the labs' small models only wait for each other. The table is made here and not beside its tests,
because with several workers the process that prints collects no tests and reads no conftest further down.
"""

from __future__ import annotations

import os
from collections import Counter

for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("PLOTLY_RENDERER", "plotly_mimetype")

_rejected, _accepted, _listed = Counter(), Counter(), Counter()


def pytest_runtest_logreport(report):
    """Count in the process that prints, so that the table is whole when tests run in several processes."""
    if report.when != "call" or "test_wrong_answers.py" not in report.nodeid:
        return
    properties = dict(report.user_properties)
    if "exercise" not in properties:
        return
    key = properties["exercise"], properties["kind"]
    _listed[key] += 1
    if report.passed:
        (_rejected if properties["kind"] == "wrong" else _accepted)[properties["exercise"]] += 1


def pytest_terminal_summary(terminalreporter):
    """The table: exercise, wrong answers rejected, right ones accepted."""
    names = sorted({name for name, _ in _listed}, key=lambda name: _order().get(name, ("", 0)))
    if not names:
        return
    terminalreporter.section("checks against wrong and right answers")
    terminalreporter.write_line(f"{'lab':<5}{'exercise':<36}{'wrong rejected':>16}{'right accepted':>16}")
    for name in names:
        wrong, right = f"{_rejected[name]}/{_listed[name, 'wrong']}", f"{_accepted[name]}/{_listed[name, 'right']}"
        terminalreporter.write_line(f"{_order().get(name, ('?',))[0]:<5}{name:<36}{wrong:>16}{right:>16}")


def _order() -> dict[str, tuple]:
    from labs_src.checks import exercises, lab_ids

    return {e.name: (lab, i) for lab in lab_ids() for i, e in enumerate(exercises(lab))}
