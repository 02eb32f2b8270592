"""`report.json`, the same as a page for a person, and each executed notebook as a page beside it."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from labs_src.course import pages
from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.records import figures, judge, records
from labs_src.lab import METADATA

COLOUR = {"passed": "green", "drifted": "yellow", "failed": "red"}


@dataclass
class Result:
    """What became of one lab.

    Attributes:
        notebook: The executed notebook, partial when a cell failed; None when there is none.
        text: Its file's content.
        error: kind, message, cell; None when every cell ran.
        seconds: What the execution took, when it took place.
        kept: Whether it is the result of an earlier run.
        page_cache: Where the rendered page is kept, or None.
    """

    lab: Lab
    notebook: Any
    text: str
    error: dict[str, Any] | None
    seconds: float
    peak_mb: float | None
    kept: bool = False
    page_cache: Path | None = None


def entry(result: Result, expected: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A lab's part of the report.

    Args:
        result: What became of it.
        expected: Its entries in the golden file.

    Returns:
        id, title, status (failed: a cell raised, time ran out or a floor was missed; drifted: a record is outside its
        tolerance, new or missing; else passed), seconds, peak_mb, notebook (relative to the report), records, error.
    """
    judged = judge(records(result.notebook) if result.notebook else {}, expected)
    problems = {record["problem"] for record in judged.values()} - {None}
    failed = result.error is not None or "missed its floor" in problems
    lab = {
        "id": result.lab.id,
        "title": result.lab.title,
        "status": "failed" if failed else "drifted" if problems else "passed",
        "seconds": round(result.seconds, 2),
        "peak_mb": result.peak_mb,
        "notebook": result.lab.notebook.name if result.notebook else None,
        "records": judged,
    }
    if result.error:
        lab["error"] = {"message": result.error["message"], "cell": result.error["cell"]}
    return lab


def write(out: Path, report: dict[str, Any], results: list[Result]) -> Path:
    """Write `report.json`, `index.html`, `text.html`, and for each lab the executed notebook and its page.

    Args:
        out: The folder; files of an earlier report are replaced.
        report: tier, seconds, labs.
        results: In the order of the report's labs.

    Returns:
        The path of index.html.
    """
    out.mkdir(parents=True, exist_ok=True)
    before = _previous(out / "report.json")
    labs, plots = [], False
    for lab, result in zip(report["labs"], results, strict=True):
        shown = dict(lab, kept=result.kept, page=None, figures=[])
        if result.notebook:
            shown["page"] = f"{result.lab.slug}.html"
            shown["figures"] = _figures(result)
            write_atomically(out / result.lab.notebook.name, result.text)
            write_atomically(out / shown["page"], _page(result))
        plots = plots or bool(shown["figures"])
        labs.append(shown)
    if plots and not (out / pages.SCRIPT).exists():
        shutil.copy(pages.plotly_script(), out / pages.SCRIPT)
    index = pages.template("index.html.j2").render(
        report=report,
        labs=labs,
        counts=Counter(lab["status"] for lab in labs),
        changes=changes(before, report) if before else None,
        when=time.strftime("%d %B %Y, %H:%M"),
        plots=plots,
        script=pages.SCRIPT,
    )
    write_atomically(out / "index.html", index)
    write_atomically(out / "text.html", _text())
    write_atomically(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return out / "index.html"


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is different from the last report: status, values, records that came or went. Times are not compared."""
    lines = []
    if before.get("tier") != now["tier"]:
        return [f"The last run was of the {before.get('tier')} tier."]
    old_labs = {lab["id"]: lab for lab in before.get("labs", [])}
    for lab in now["labs"]:
        old = old_labs.get(lab["id"])
        if old is None:
            lines.append(f"{lab['id']} was not in the last run")
            continue
        if old["status"] != lab["status"]:
            lines.append(f"{lab['id']}: {old['status']} → {lab['status']}")
        for name, record in lab["records"].items():
            was = old["records"].get(name, {}).get("value")
            if record["tolerance"] is not None and number(was) != number(record["value"]):
                lines.append(f"{lab['id']} {name}: {number(was)} → {number(record['value'])}")
        lines += [f"{lab['id']} {name} is gone" for name in old["records"] if name not in lab["records"]]
    return lines


def summary(report: dict[str, Any]) -> None:
    """Print one table, and a line for everything that is not as it should be."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (
        ("lab", "left"),
        ("status", "left"),
        ("seconds", "right"),
        ("peak MB", "right"),
        ("records", "right"),
    ):
        table.add_column(heading, justify=justify)
    for lab in report["labs"]:
        good = sum(record["ok"] for record in lab["records"].values())
        status = f"[{COLOUR[lab['status']]}]{lab['status']}[/]"
        peak = f"{lab['peak_mb']:.0f}" if lab["peak_mb"] else "-"
        name = f"{lab['id']} {lab['title']}"
        table.add_row(name, status, f"{lab['seconds']:.1f}", peak, f"{good}/{len(lab['records'])}")
    console = Console(highlight=False)
    console.print(table)
    for lab in report["labs"]:
        if "error" in lab:
            where = f", in the cell that begins {lab['error']['cell']!r}" if lab["error"]["cell"] else ""
            console.print(f"{lab['id']} failed: {lab['error']['message']}{where}", markup=False)
        for name, record in lab["records"].items():
            if not record["ok"]:
                console.print(f"{lab['id']} {name}: {explain(record)}", markup=False)


def explain(record: dict[str, Any]) -> str:
    """What is wrong with one record, in a line."""
    value = number(record["value"])
    match record["problem"]:
        case "missing":
            return "expected by data/golden.json, but the lab did not record it"
        case "new":
            return f"{value} is recorded, but data/golden.json does not know it: make notebooks"
        case "missed its floor":
            return f"{value} misses its floor: it must be {record['floor']}"
        case _:
            return f"{value} is outside {number(record['expected'])} ± {number(record['tolerance'])} ({record['why']})"


def number(value: float | None) -> str:
    """A number as the report shows it: four significant digits."""
    return "none" if value is None else f"{value:.4g}"


def _figures(result: Result) -> list[dict[str, str]]:
    """Title and drawing of each figure."""
    bundles = [
        output["data"][pages.PLOTLY]
        for cell in result.notebook.cells
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get(METADATA, {}).get("figure") and pages.PLOTLY in output.get("data", {})
    ]
    drawn = []
    for i, (figure, bundle) in enumerate(zip(figures(result.notebook), bundles), start=1):
        title = re.sub(r"<[^>]+>", " ", figure["title"])
        drawn.append(
            {"title": title, "div": pages.figure_div(bundle, figure["alt"], f"lab-{result.lab.id}-figure-{i}")}
        )
    return drawn


def _page(result: Result) -> str:
    """The rendered notebook, kept with the result so that the next report need not render it again."""
    cached = result.page_cache / f"page-{pages.version()}.html" if result.page_cache else None
    if cached and cached.exists():
        return cached.read_text(encoding="utf-8")
    text = pages.page(result.notebook, f"{result.lab.id} {result.lab.title}")
    if cached:
        write_atomically(cached, text)
    return text


def _text(model: str = "mini-gemma") -> str:
    """A page of what the mini language's models read, beside how well `model` predicts it by its card."""
    from labs_src.language import samples
    from labs_src.models import describe

    measured = describe(model)["measured"]
    return pages.template("text.html.j2").render(
        model=model,
        loss=measured["loss"],
        entropy=measured["entropy"],
        domains=[(name, list(group)) for name, group in groupby(samples.of_each_domain(), key=lambda p: p.domain)],
        mixed=samples.sequence(),
    )


def _previous(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
