"""Which statements of a notebook define its exercises, and for which exercises they are enough.

A lab takes a minute to run; its functions take milliseconds to define. So only what the exercises' functions need is
run: imports, functions, classes and simple constants, followed from name to name. That is enough for an exercise when
nothing that was left out could change what its function does: no name that it uses, however indirectly, is bound,
patched or filled by a statement that was skipped. Where that is not certain, the whole notebook is run for it. So the
mark does not depend on the path.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from labs_src.course.grading.inside.cells import Statement

# Calls without effects whose result is a constant.
PURE = frozenset(
    {
        "torch.device", "torch.tensor", "torch.Generator", "functools.partial", "partial", "math.sqrt",
        "math.log", "math.radians", "Path", "TypeVar", "namedtuple", "collections.namedtuple", "float", "int",
        "str", "tuple", "range", "frozenset", "torch.finfo", "np.array", "jaxtyped",
    }
)  # fmt: skip
# Calls that set something for everything after them, and do nothing else.
SETTING = ("torch.set_", "torch.manual_seed", "torch.use_deterministic", "torch.autograd.set_", "random.seed")
SETTING += ("np.random.seed", "numpy.random.seed", "np.set_printoptions", "sys.setrecursionlimit", "warnings.")
# With these a statement may do anything to any name.
ANYTHING = frozenset({"exec", "eval", "globals", "setattr", "delattr", "compile", "__import__"})
ANYTHING |= frozenset({"get_ipython", "importlib", "builtins", "__builtins__"})

# Displays and results of these calls can be filled by whoever holds them.
FILLABLE = (ast.List, ast.Dict, ast.Set)
FILLED = frozenset({"torch.tensor", "np.array", "torch.Generator"})
# Calls that only look at what they are given.
LOOKING = frozenset(
    {
        "len", "print", "range", "sorted", "enumerate", "zip", "list", "tuple", "set", "sum", "max", "min",
        "str", "int", "float", "repr", "any", "all", "dict", "type", "isinstance", "display", "check", "hint",
        "solution", "record", "say", "show", "torch.tensor", "torch.as_tensor", "torch.stack", "torch.cat",
        "pd.DataFrame",
    }
)  # fmt: skip


@dataclass
class Plan:
    """What to run, and what is known before anything is run.

    Attributes:
        run: Statements to run, in the notebook's order.
        missing: Exercises that nothing in the notebook defines.
        whole: Exercises for which the whole notebook has to be run, each with the reason.
    """

    run: list[Statement] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)


def plan(statements: list[Statement], exercises: list[str]) -> Plan:
    """Sort statements into definitions and the rest, exercises into ready, missing and those that need everything.

    Args:
        statements: Of all cells.
        exercises: Names of functions.
    """
    chosen = [defines(statement.node) for statement in statements]
    definitions = [s for s, yes in zip(statements, chosen, strict=True) if yes]
    skipped = [s for s, yes in zip(statements, chosen, strict=True) if not yes]
    settings = [s for s in definitions if isinstance(s.node, ast.Expr)]
    stars = [s for s in definitions if isinstance(s.node, ast.ImportFrom) and s.node.names[0].name == "*"]
    binders: dict[str, list[Statement]] = {}
    for statement in definitions:
        for name in statement.stores:
            binders.setdefault(name, []).append(statement)
    doubtful = _doubtful(statements, skipped, definitions)
    anything = next((name for s in skipped for name in sorted(_anything(s))), None)
    result = Plan()
    needed: set[int] = {id(s) for s in settings + stars}
    for exercise in exercises:
        names, used = _closure(exercise, binders)
        unclear = sorted(names & doubtful)
        if exercise not in binders and exercise not in doubtful and not anything and not stars:
            result.missing.append(exercise)
        elif unclear:
            result.whole[exercise] = f"{unclear[0]} is set by a cell that does more than define"
        elif anything:
            result.whole[exercise] = f"a cell uses {anything}"
        needed |= used
    result.run = [s for s in definitions if id(s) in needed]
    return result


def _anything(statement: Statement) -> set[str]:
    """Names of what a statement uses that may change any name; `vars` and `locals` do so only without an argument."""
    found = statement.loads & ANYTHING
    for node in ast.walk(statement.node):
        if isinstance(node, ast.Call) and not node.args and dotted(node.func) in ("vars", "locals"):
            found = found | {dotted(node.func)}
    return found


def _closure(name: str, binders: dict[str, list[Statement]]) -> tuple[set[str], set[int]]:
    """Every name that a name depends on, and the statements that bind them."""
    names, used, queue = set(), set(), [name]
    while queue:
        name = queue.pop()
        if name in names:
            continue
        names.add(name)
        for statement in binders.get(name, ()):
            if id(statement) not in used:
                used.add(id(statement))
                queue += statement.loads | statement.stores
    return names, used


def _doubtful(statements: list[Statement], skipped: list[Statement], definitions: list[Statement]) -> set[str]:
    """Names whose value may differ once the skipped statements have run."""
    found: set[str] = set()
    handed: set[str] = set()
    for statement in skipped:
        found |= statement.stores | _changed(statement.node, calls=False)
        handed |= _handed(statement.node)
    for statement in statements:
        found |= statement.hidden
    assigned = [s for s in definitions if isinstance(s.node, ast.Assign | ast.AnnAssign)]
    modules = {name for s in definitions if isinstance(s.node, ast.Import | ast.ImportFrom) for name in s.stores}
    fillable = {name for s in assigned if _fillable(s.node.value) for name in s.stores}
    aliases = {name for s in assigned if _alias(s.node.value, modules) for name in s.stores}
    called = {root for s in statements for root in _changed(s.node, calls=True)}
    put = {root for s in statements for root in _changed(s.node, calls=False)}
    for alias, target in _targets(assigned):  # what happens to one name happens to the other
        if alias in called | handed | put and target in fillable | aliases:
            found.add(target)
    return found | (fillable & (called | handed)) | (aliases & called) | ({n for s in assigned for n in s.stores} & put)


def _fillable(value: ast.expr | None) -> bool:
    """Whether a constant can be filled or written over in place."""
    parts = ast.walk(value) if value is not None else ()
    return any(isinstance(p, FILLABLE) or (isinstance(p, ast.Call) and dotted(p.func) in FILLED) for p in parts)


def _alias(value: ast.expr | None, modules: set[str]) -> bool:
    """Whether a constant is another name for something that has methods; a part of a library is none to worry about."""
    return isinstance(value, ast.Name | ast.Attribute) and dotted(value).partition(".")[0] not in modules


def _targets(assigned: list[Statement]) -> list[tuple[str, str]]:
    """(new name, old name) for every plain second name."""
    return [(name, dotted(s.node.value).partition(".")[0]) for s in assigned if s.node.value for name in s.stores]


def _handed(tree: ast.AST) -> set[str]:
    """Names that are given to a function which may keep or fill them, or get a second name."""
    names = set()
    for node in ast.walk(tree):
        given: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and dotted(node.func) not in LOOKING:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.Return):
            given = [node.value]
        for value in given:
            parts = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
            names |= {part.id for part in parts if isinstance(part, ast.Name)}
    return names


def _changed(tree: ast.AST, calls: bool) -> set[str]:
    """Names into whose attributes or entries something is put (and, with `calls`, whose methods are called)."""
    roots = set()
    for node in ast.walk(tree):
        target = None
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            target = node
        elif calls and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name):
            roots.add(target.id)
    return roots


def defines(node: ast.stmt) -> bool:
    """Whether a statement only defines: an import, a function, a class, a constant, or a group of these."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
            return True
        case ast.Assign(targets=targets, value=value):
            return all(_names_only(target) for target in targets) and simple(value)
        case ast.AnnAssign(target=ast.Name(), value=value):
            return value is None or simple(value)
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=func)):
            return dotted(func).startswith(SETTING)
        case ast.If(test=test, body=body, orelse=orelse):
            return simple(test) and all(map(defines, body + orelse))
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
            caught = [statement for handler in handlers for statement in handler.body]
            return all(map(defines, body + caught + orelse + final))
    return False


def simple(node: ast.expr) -> bool:
    """Whether an expression has no effect: constants, names, operators, displays, lambdas and a few calls."""
    match node:
        case ast.Constant() | ast.Name() | ast.Lambda():
            return True
        case ast.Attribute(value=value):
            return simple(value)
        case ast.Call(func=func, args=args, keywords=keywords):
            return dotted(func) in PURE and all(map(simple, args)) and all(simple(k.value) for k in keywords)
        case ast.UnaryOp() | ast.BinOp() | ast.BoolOp() | ast.Compare() | ast.IfExp() | ast.Subscript() | ast.Slice():
            return all(simple(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return all(map(simple, elements))
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and simple(key) for key in keys) and all(map(simple, values))
        case ast.JoinedStr():
            return True
    return False


def dotted(node: ast.expr) -> str:
    """A name with its attributes ("np.random.seed"), or "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (root := dotted(node.value)):
        return f"{root}.{node.attr}"
    return ""


def _names_only(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_names_only, target.elts))
    return isinstance(target, ast.Name)
