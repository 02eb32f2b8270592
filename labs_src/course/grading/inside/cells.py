"""Cells of a notebook as Python: sources out of the file, magics tolerated, statements with what they bind and use."""

from __future__ import annotations

import ast
import dis
import json
import re
import types
from dataclasses import dataclass, field
from typing import Any

# Cell magics around ordinary Python, and statements that only one shell understands.
PYTHON_CELL = re.compile(r"^\s*%%(time|timeit|capture|prun|python3?)\b")
OTHER_CELL = re.compile(r"^\s*%%\w")
MAGIC_LINE = re.compile(r"^(\s*)([%!?]|.*\?\s*$)")
MAGIC_VALUE = re.compile(r"^(\s*[\w, ]+=\s*)[%!].*$")
QUOTE = 120
"""Characters of a line that a message quotes."""


def sources(notebook: bytes) -> list[str]:
    """The source of every code cell, in order.

    Raises:
        ValueError: It is not a notebook.
    """
    try:
        tree = json.loads(notebook)
        cells = tree["cells"] if "cells" in tree else [cell for sheet in tree["worksheets"] for cell in sheet["cells"]]
        return [_text(cell.get("source", cell.get("input", ""))) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a notebook: {type(error).__name__}: {error}") from error


def _text(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source)


def plain(source: str) -> str:
    """A cell without magics; what they would have given is None.

    A cell that is already Python stays as it is, to the letter.
    """
    try:
        ast.parse(source)
        return source
    except (SyntaxError, ValueError):
        pass
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if OTHER_CELL.match(first) and not PYTHON_CELL.match(first):
        return ""
    return "\n".join(_without_magic(line) for line in lines)


def _without_magic(line: str) -> str:
    if PYTHON_CELL.match(line):
        return ""
    if found := MAGIC_VALUE.match(line):
        return f"{found[1]}None"
    if found := MAGIC_LINE.match(line):
        return f"{found[1]}pass"
    return line


@dataclass
class Statement:
    """One statement of a cell.

    Attributes:
        cell: Number of the code cell, from 0.
        node: Its syntax tree.
        code: Compiled, ready to run.
        loads: Global names that it, or any function in it, reads.
        stores: Global names that it binds.
        hidden: Global names that a function in it binds when it is called.
    """

    cell: int
    node: ast.stmt
    code: types.CodeType
    loads: set[str] = field(default_factory=set)
    stores: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)


def statements(cells: list[str]) -> tuple[list[Statement], dict[int, str]]:
    """Every statement of every cell, and for each cell that is not Python the reason.

    Args:
        cells: As from `sources`.

    Returns:
        The statements; reasons by number of the cell, from 0, each with the line quoted.
    """
    found: list[Statement] = []
    unreadable: dict[int, str] = {}
    flags = 0
    for number, source in enumerate(cells):
        try:
            text = plain(source)
            tree = ast.parse(text)
            flags |= _future(tree)
            parts = [_statement(number, node, flags) for node in tree.body]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            unreadable[number] = _reason(error, source)
        else:
            found += parts
            _remember(number, text)
    return found, unreadable


def _reason(error: Exception, source: str) -> str:
    """Where a cell is not Python and why, with the line as it stands there: line 3, `return x +`: invalid syntax."""
    if not isinstance(error, SyntaxError) or not error.lineno:
        return "it is nested too deeply" if isinstance(error, RecursionError | MemoryError) else str(error)[:QUOTE]
    text = line(source, error.lineno)
    return f"line {error.lineno}{f', `{text}`' if text else ''}: {(error.msg or 'invalid syntax')[:QUOTE]}"


def line(source: str, number: int | None = None) -> str:
    """A line of a cell, counted from 1; the first that is not empty, if none is named."""
    lines = re.split(r"\r\n|\r|\n", source)
    chosen = lines[number - 1 : number] if number else [text for text in lines if text.strip()]
    return chosen[0].strip()[:QUOTE] if chosen else ""


def not_python(source: str, why: str, exercises: list[str]) -> dict[str, Any]:
    """A cell that is not Python, for a message: why, its first line, the exercises whose functions it would define."""
    named = set(re.findall(r"\bdef\s+(\w+)", source))
    return {"why": why, "text": line(source), "exercises": [name for name in exercises if name in named]}


def _statement(cell: int, node: ast.stmt, flags: int) -> Statement:
    module = ast.Module(body=[node], type_ignores=[])
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(module, f"<cell {cell + 1}>", "exec", flags=flags, dont_inherit=True)
    statement = Statement(cell, node, code)
    _names(code, statement, top=True)
    return statement


def _names(code: types.CodeType, into: Statement, top: bool) -> None:
    """Sort the names of a code object, and of the functions in it, into read and bound."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            into.loads.add(step.argval)
        elif step.opname in ("STORE_NAME", "STORE_GLOBAL", "DELETE_NAME", "DELETE_GLOBAL", "IMPORT_STAR"):
            if top:
                into.stores.add(step.argval)
            elif step.opname.endswith("GLOBAL"):
                into.hidden.add(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _names(constant, into, top=False)


def _future(tree: ast.Module) -> int:
    """Flags of `from __future__ import ...`, which hold for all cells below."""
    import __future__

    names = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]
    features = (getattr(__future__, name, None) for name in names)
    return sum({feature.compiler_flag for feature in features if feature is not None})


def _remember(cell: int, text: str) -> None:
    """Let messages quote the line in which an error was raised."""
    import linecache

    name = f"<cell {cell + 1}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
