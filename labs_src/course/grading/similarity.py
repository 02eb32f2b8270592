"""Pairs of submissions that are suspiciously alike, for an instructor to look at; it says nothing about who copied.

Code is cut into tokens with pygments, names that a student chose become one token (so renaming hides nothing), and what
was released is taken out. scikit-learn's TF-IDF over runs of tokens then counts what few students wrote for much and
what everybody wrote for little; two submissions are compared by the cosine of their vectors.
"""

from __future__ import annotations

import ast
import builtins
import csv
import difflib
import html
import io
import json
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labs_src.course.catalogue import Lab
from labs_src.course.cells import write_atomically
from labs_src.course.grading.reading import exercises_of
from labs_src.course.grading.submission import Submission
from labs_src.course.learner import learner_copy

ELSEWHERE = "other cells"
RUN = 5
"""Tokens in a run: a short expression, longer than what an idiom of one library leaves no choice in."""
ENOUGH = 40
"""Tokens of one's own below which a submission is not compared."""
SUSPICIOUS = 0.8
FEW = 6


@dataclass(frozen=True)
class Pair:
    """Two submissions.

    Attributes:
        lab: Two digits.
        first, second: Students.
        alike: Cosine, 0 to 1.
        where: Exercises that contribute most to it, with what is alike in each, 0 to 1.
        page: The two side by side.
    """

    lab: str
    first: str
    second: str
    alike: float
    where: tuple[tuple[str, float], ...]
    page: Path | None = None


def pairs(submissions: Sequence[Submission], lab: Lab, above: float = SUSPICIOUS) -> list[Pair]:
    """Pairs of one lab's submissions, most alike first.

    Args:
        submissions: Of this lab; those that could not be read are left out.
        lab: What they are of.
        above: The cosine from which a pair is listed.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    released = _released(lab)
    texts = {s.student: own_parts(s.content, lab, released) for s in submissions if s.lab == lab.id and s.content}
    runs = {student: list(_runs(parts)) for student, parts in texts.items()}
    students = [student for student in texts if len(runs[student]) >= ENOUGH]
    if len(students) < 2:
        return []
    vectorizer = TfidfVectorizer(analyzer=lambda student: runs[student], sublinear_tf=True)
    vectors = vectorizer.fit_transform(students)
    cosines = (vectors @ vectors.T).tocoo()
    exercise_of = [name.partition("|")[0] for name in vectorizer.get_feature_names_out()]
    found = [
        Pair(lab.id, students[i], students[j], round(float(value), 3), _where(vectors[i], vectors[j], exercise_of))
        for i, j, value in zip(cosines.row, cosines.col, cosines.data)
        if i < j and value >= above
    ]
    return sorted(found, key=lambda pair: (-pair.alike, pair.first, pair.second))


def own_parts(content: bytes, lab: Lab, released: set[str] | None = None) -> dict[str, str]:
    """What a student wrote, by exercise: functions, answers in words, and everything in other cells.

    Args:
        content: The notebook.
        lab: Its lab.
        released: Lines that were there before, stripped.
    """
    released = _released(lab) if released is None else released
    names = exercises_of(lab)
    parts: dict[str, list[str]] = {}
    for cell in json.loads(content)["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        for name, text in _functions(cell["source"], names) if cell["cell_type"] == "code" else [(grade_id, "")]:
            lines = (text or cell["source"]).splitlines()
            kept = [line for line in lines if line.strip() and line.strip() not in released]
            if kept:
                parts.setdefault(name if name in names else ELSEWHERE, []).extend(kept)
    return {name: "\n".join(lines) for name, lines in parts.items()}


def write(found: Sequence[Pair], submissions: Sequence[Submission], lab: Lab, folder: Path) -> list[Pair]:
    """A page for each pair with both side by side, and `similar-NN.csv`.

    Returns:
        The pairs with their pages.
    """
    released = _released(lab)
    contents = {s.student: s.content for s in submissions if s.lab == lab.id and s.content}
    done = []
    for pair in found:
        path = folder / "similar" / f"{pair.lab}_{pair.first}_{pair.second}.html"
        one, two = (own_parts(contents[student], lab, released) for student in (pair.first, pair.second))
        write_atomically(path, side_by_side(pair, one, two))
        done.append(Pair(**{**vars(pair), "page": path}))
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["lab", "first", "second", "alike", "where"])
    for pair in found:
        where = "; ".join(f"{name} {value:.2f}" for name, value in pair.where)
        rows.writerow([pair.lab, pair.first, pair.second, f"{pair.alike:.3f}", where])
    write_atomically(folder / f"similar-{lab.id}.csv", table.getvalue())
    return done


def side_by_side(pair: Pair, one: Mapping[str, str], two: Mapping[str, str]) -> str:
    """An HTML page; what students wrote is escaped by difflib.

    Args:
        pair: What is compared.
        one, two: From `own_parts`.
    """
    differ = difflib.HtmlDiff()
    order = [name for name, _ in pair.where] + sorted((set(one) | set(two)) - {name for name, _ in pair.where})
    columns = "<colgroup><col class='n'><col class='t'><col class='n'><col class='t'></colgroup>"
    tables = []
    for name in order:
        left, right = one.get(name, "").splitlines(), two.get(name, "").splitlines()
        heads = [
            html.escape(student) + ("" if lines else " (nothing of their own)")
            for student, lines in ((pair.first, left), (pair.second, right))
        ]
        table = differ.make_table(left, right, *heads)
        table = re.sub(r"(?:\s*<colgroup></colgroup>)+", columns, table, count=1)
        table = re.sub(r'\s*<t([hd]) class="diff_next".*?</t\1>', "", table)
        table = (
            table.replace('<th colspan="2"', "<th colspan='2'").replace(' nowrap="nowrap"', "").replace("&nbsp;", " ")
        )
        alike = dict(pair.where).get(name)
        tables.append(f"<h2>{html.escape(name)}{f' · {alike:.2f} alike' if alike is not None else ''}</h2>{table}")
    style = (
        ":root{color-scheme:light dark}"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem}"
        "table{border-collapse:collapse;font:12px/1.4 ui-monospace,monospace;width:100%;table-layout:fixed}"
        "col.n{width:2.5rem}td{padding:0 .4rem;vertical-align:top;white-space:pre-wrap;overflow-wrap:break-word}"
        "td.diff_header{color:#888;text-align:right}th{text-align:left}"
        ".diff_add{background:#2e7d3233}.diff_chg{background:#b8860033}.diff_sub{background:#b3261e33}"
    )
    head = f"Lab {pair.lab}: {html.escape(pair.first)} and {html.escape(pair.second)}, {pair.alike:.2f} alike"
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    note = "What was released is left out. Marked is what differs. Being alike is a reason to look, not a finding."
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>{policy}<title>{head}</title>"
        f"<style>{style}</style></head><body><h1>{head}</h1><p>{note}</p>{''.join(tables)}</body></html>\n"
    )


def _released(lab: Lab) -> set[str]:
    return {line.strip() for cell in learner_copy(lab).cells for line in cell.source.splitlines()}


def _functions(source: str, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """A cell's code, the exercises' functions apart from the rest."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        name = next((name for name in sorted(names) if f"def {name}" in source), ELSEWHERE)
        yield name, source
        return
    lines = source.splitlines()
    rest = []
    for node in tree.body:
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield node.name, text
        else:
            rest.append(text)
    if rest:
        yield ELSEWHERE, "\n".join(rest)


def _runs(parts: Mapping[str, str]) -> Iterator[str]:
    """Overlapping runs of tokens, with their exercise; comments apart, or adding one would hide a copy."""
    for name, text in parts.items():
        for tokens in _tokens(text):
            for start in range(max(1, len(tokens) - RUN + 1) if tokens else 0):
                yield f"{name}|{' '.join(tokens[start : start + RUN])}"


def _tokens(text: str) -> tuple[list[str], list[str]]:
    """Tokens of the code without layout, a freely chosen name being one token; and the words of comments."""
    from pygments.lexers import PythonLexer
    from pygments.token import Comment, Literal, Name, Text, Whitespace

    code: list[str] = []
    words: list[str] = []
    for kind, value in PythonLexer().get_tokens(text):
        if kind in Text or kind in Whitespace:
            continue
        if kind in Comment or kind in Literal.String.Doc:
            words += value.lower().replace("#", " ").split()
        elif kind in Name:
            fixed = (code and code[-1] == ".") or keyword.iskeyword(value) or hasattr(builtins, value)
            code.append(value if fixed or value in ("torch", "math", "np") else "name")
        elif value.strip():
            code.append(value.strip())
    return code, words


def _where(first: Any, second: Any, exercise_of: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Per exercise the cosine of the two students' vectors there, those that contribute most first."""
    shared = first.multiply(second).tocoo()
    product: dict[str, float] = {}
    for column, value in zip(shared.col, shared.data):
        product[exercise_of[column]] = product.get(exercise_of[column], 0.0) + float(value)
    lengths = []
    for vector in (first.tocoo(), second.tocoo()):
        squares: dict[str, float] = {}
        for column, value in zip(vector.col, vector.data):
            squares[exercise_of[column]] = squares.get(exercise_of[column], 0.0) + float(value) ** 2
        lengths.append(squares)
    order = sorted(product, key=lambda name: -product[name])[:FEW]
    return tuple((name, round(product[name] / (lengths[0][name] * lengths[1][name]) ** 0.5, 2)) for name in order)
