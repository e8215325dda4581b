"""Parameters in Python files: the constants that DVC finds in them (dvc.utils.serialize._py).

The rule to keep: nothing is executed. The parser builds a tree, and only literals of it become values; it has limits,
because a tree takes a thousand times the memory of its text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

MAX_BYTES = 256 << 10
"""Parsing takes up to 300 times as much memory for a moment."""
_MAX_BITS = 14_000
"""Python turns no longer number into decimal digits (4300 of them)."""


class Unreadable(Exception):
    """The file is not Python, or not within the limits: what is wrong, line and column where they are known."""

    def __init__(self, detail: str, line: int = 0, column: int = 0) -> None:
        super().__init__(detail)
        self.detail, self.line, self.column = detail, line, column


def load(source: str) -> dict[str, Any]:
    """The constants of `source` as DVC has them: of the module, of its classes (in a mapping of their own), and of
    `self` in `__init__`. What is no literal is passed over, tuples stay tuples. Raises Unreadable."""
    if len(source) > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES} characters")
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > _MAX_BITS:
                raise Unreadable("a number is too long", node.lineno, node.col_offset + 1)
        return _body(tree.body)
    except SyntaxError as error:
        raise Unreadable(error.msg, error.lineno or 0, error.offset or 1) from error
    except (RecursionError, MemoryError) as error:
        raise Unreadable("the expressions are nested too deep") from error
    except (ValueError, TypeError) as error:  # a null byte; a list as a key
        raise Unreadable(str(error)) from error


def _body(statements: Sequence[ast.stmt], *, only_self: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            found.update(_assigned(statement, only_self=only_self))
        elif isinstance(statement, ast.ClassDef):
            found[statement.name] = _body(statement.body)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            found.update(_body(statement.body, only_self=True))
    return found


def _assigned(statement: ast.Assign | ast.AnnAssign, *, only_self: bool) -> Iterator[tuple[str, Any]]:
    """Name and value, or nothing where the target is no name or the value no literal."""
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
    name = _name(targets[0], only_self=only_self) if len(targets) == 1 else None
    if name is None or statement.value is None:
        return
    try:
        value = ast.literal_eval(statement.value)
    except ValueError:
        return
    yield name, value


def _name(target: ast.expr, *, only_self: bool) -> str | None:
    if isinstance(target, ast.Name):
        return None if only_self else target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        return target.attr
    return None
