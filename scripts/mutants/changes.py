"""Every small change of a module's source, as syntax trees."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult, ast.Mod: ast.Add,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change of a module's source. place, number: the node in the order of ast.walk, and which of its changes.
    line: of the source. what: "old -> new"."""

    source: str
    place: int
    number: int
    line: int
    what: str

    def tree(self) -> ast.Module:
        """The whole module with this change."""
        tree = ast.parse(self.source)
        node = list(ast.walk(tree))[self.place]
        if _changed(node, self.number) == LEFT_OUT:
            for parent in ast.walk(tree):
                for part in ("body", "orelse", "finalbody"):
                    block = getattr(parent, part, None)
                    if isinstance(block, list) and node in block:
                        block[block.index(node)] = ast.Pass()
        return ast.fix_missing_locations(tree)


def changes(code: str) -> Iterator[Change]:
    """All changes of a module."""
    tree = ast.parse(code)
    silent = _silent(tree)
    for place, node in enumerate(ast.walk(tree)):
        for number in range(2 if id(node) not in silent else 0):
            after = _changed(trial := copy.deepcopy(node), number)
            if after is not None:
                after = after or ast.unparse(trial)
                yield Change(code, place, number, node.lineno, f"{_short(ast.unparse(node))} -> {_short(after)}")


LEFT_OUT = "left out"


def _short(code: str) -> str:
    text = " ".join(code.split())
    return text if len(text) <= 70 else f"{text[:67]}..."


def _silent(tree: ast.Module) -> set[int]:
    """Nodes (by id) that no test could mind: annotations, decorators, docstrings, the words of messages."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            silent |= {id(each) for each in ast.walk(node.exc)}
        for part in ("annotation", "returns"):
            if (inner := getattr(node, part, None)) is not None:
                silent |= {id(each) for each in ast.walk(inner)}
        for decorator in getattr(node, "decorator_list", ()):
            silent |= {id(each) for each in ast.walk(decorator)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent |= {id(node), id(node.value)}
        if isinstance(node, ast.JoinedStr):
            silent |= {id(each) for each in ast.walk(node)}
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            silent |= {id(each) for each in ast.walk(node)}
    return silent


def _changed(node: ast.AST, number: int) -> str | None:
    """Make change `number` of this node in place: ""; LEFT_OUT for a statement to be left out; None: there is none."""
    if isinstance(node, ast.Compare) and number < len(node.ops) and type(node.ops[number]) in COMPARISONS:
        node.ops[number] = COMPARISONS[type(node.ops[number])]()
    elif number:
        return None
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Expr | ast.Raise):
        return LEFT_OUT
    else:
        return None
    return ""
