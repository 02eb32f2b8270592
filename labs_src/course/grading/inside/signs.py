"""What in a submission's text a person should look at: attempts to reach what an exercise has no use for.

A sign decides nothing. Points come from what the functions return, and the sandbox holds whatever the text says. But an
instructor wants to know who tried, and a list of lines is quickly read.
"""

from __future__ import annotations

import ast
import re

GROUPS = {
    "starts programs": "subprocess pty",
    "uses the network": "socket urllib requests http ftplib aiohttp",
    "calls into the C library": "ctypes cffi",
    "maps memory": "mmap",
    "opens a database": "sqlite3 sqlalchemy",
    "uses the gradebook's library": "nbgrader",
    "uses pickle": "pickle dill cloudpickle marshal",
    "starts processes": "multiprocessing",
    "handles signals": "signal",
    "runs at exit": "atexit",
    "inspects the running program": "inspect gc faulthandler",
    "changes builtins": "builtins",
    "changes limits": "resource",
    "locks files": "fcntl",
    "runs text as code": "code",
}
MODULES = {name: what for what, names in GROUPS.items() for name in names.split()}
OS_CALLS = frozenset(
    {
        "system", "popen", "fork", "forkpty", "kill", "killpg", "abort", "_exit", "setsid", "setuid",
        "remove", "unlink", "rmdir", "symlink", "link", "chmod", "mkfifo", "ptrace", "dup2", "pipe",
        "listdir", "walk", "scandir",
    }
)  # fmt: skip
NAMES = {"exec": "runs text as code", "eval": "runs text as code", "__import__": "imports by name"}
NAMES |= {
    "open": "opens a file",
    "__builtins__": "changes builtins",
    "get_ipython": "reaches into the notebook's shell",
}
INSIDES = frozenset(
    {
        "_getframe", "f_back", "f_locals", "f_globals", "tb_frame", "gi_frame", "__globals__", "__code__",
        "__closure__", "__subclasses__", "__builtins__", "user_ns", "input_transformers_cleanup",
        "input_transformers_post", "ast_transformers", "register_at_fork", "settrace", "setprofile",
    }
)  # fmt: skip
DISGUISES = frozenset(
    {
        "__eq__", "__ne__", "__torch_function__", "__torch_dispatch__", "__array__", "__reduce__",
        "__reduce_ex__", "__setstate__", "__del__", "__instancecheck__", "__class__",
    }
)  # fmt: skip
TEXT = re.compile(r"/proc/|gradebook|autograded|checks[/.]lab|\.\./\.\.|/etc/passwd|\.git/")
SHELL = re.compile(
    r"^\s*(!|%%(bash|sh|script|system|perl|ruby|javascript|js|html|writefile|file)\b|%(system|sx|run|load|store|cd)\b)"
)
TESTING = ("torch.testing", "numpy.testing", "labs_src.checks", "labs_src.course")


def signs(cells: list[str], statements: list) -> list[dict]:
    """Lines worth a look, each once: cell (from 1), line, what.

    Args:
        cells: Sources, for magics.
        statements: From `cells.statements`.
    """
    found: dict[tuple[int, str], dict] = {}

    def note(cell: int, line: int, what: str) -> None:
        found.setdefault((cell, what), {"cell": cell + 1, "line": line, "what": what})

    for cell, source in enumerate(cells):
        for number, line in enumerate(source.splitlines(), start=1):
            if SHELL.match(line):
                note(cell, number, f"runs {line.strip()[:60]}")
    modules = _modules(statements)
    for statement in statements:
        for node in ast.walk(statement.node):
            if what := _sign(node, modules):
                note(statement.cell, getattr(node, "lineno", 1), what)
    return list(found.values())[:50]


def _modules(statements: list) -> set[str]:
    """Names that stand for imported modules."""
    names = set()
    for statement in statements:
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Import):
                names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {alias.asname or alias.name for alias in node.names}
    return names


def _sign(node: ast.AST, modules: set[str]) -> str | None:
    match node:
        case ast.Import(names=names):
            return next((said for alias in names if (said := _module(alias.name))), None)
        case ast.ImportFrom(module=str(module), names=names):
            return _module(module) or next((said for a in names if (said := _module(f"{module}.{a.name}"))), None)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            return f"{NAMES[name]} ({name})"
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OS_CALLS:
            return f"calls os.{name}"
        case ast.Attribute(attr=name) if name in INSIDES:
            return f"inspects the running program ({name})"
        case ast.Attribute(ctx=ast.Store()) if (root := _root(node)) in modules:
            return f"replaces {ast.unparse(node)[:60]}, a part of an imported library ({root})"
        case ast.Call(func=ast.Name(id="setattr"), args=[first, *_]) if _root(first) in modules:
            return f"replaces a part of {ast.unparse(first)[:60]}"
        case ast.FunctionDef(name=name) if name in DISGUISES:
            return f"defines {name}"
        case ast.Constant(value=str(text)) if TEXT.search(text):
            return f"names a path that is not the exercise's: {TEXT.search(text)[0]}"
    return None


def _module(name: str) -> str | None:
    if name.startswith(TESTING):
        return f"uses {name}"
    said = MODULES.get(name.partition(".")[0])
    return f"{said} ({name})" if said else None


def _root(node: ast.AST) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
