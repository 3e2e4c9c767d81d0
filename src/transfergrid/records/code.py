"""Fingerprints of source files that ignore docstrings, comments, imports and what describes.

A record keeps the fingerprint of its strategy's file. So results become stale when the strategy's
statements change, but not when a docstring or comment changes, a module that it imports moves, or
a default is searched anew: the settings of a cell are in its config.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path
from typing import TypeGuard

from transfergrid.records.trust import source_file

DESCRIBES = frozenset({"space", "badges", "also_called"})
"""Class attributes of a strategy that no cell's numbers depend on beyond its own config."""


def code_fingerprint(target: str) -> str:
    """Return the fingerprint of the source file of a class, given its dotted path.

    Nothing is imported to find the file, because `target` may come from a record that anyone wrote.
    Empty if the class has no file, or is neither shipped nor allowed (see `trust`).
    """
    file = source_file(target)
    return _digest_of(statements(file.read_bytes())) if file is not None else ""


def known_as(target: str) -> frozenset[str]:
    """Return all fingerprints that a record of the present code may hold.

    Older records hold a fingerprint of the file's bytes. The set is empty if the class has no file,
    or is neither shipped nor allowed.
    """
    file = source_file(target)
    return _known(file) if file is not None else frozenset()


@cache
def _known(file: Path) -> frozenset[str]:
    content = file.read_bytes()
    return frozenset({_digest_of(statements(content)), _digest_of(content)})


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def statements(content: bytes) -> bytes:
    """Return a Python file without its docstrings, comments, imports and empty lines.

    Class attributes that only describe (see `DESCRIBES`) are left out too.

    It cuts text out of the file instead of unparsing a syntax tree, so that every version of Python
    gets the same result. A file that this Python cannot parse is returned unchanged.
    """
    try:
        text = content.decode()
        lines = text.split("\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                line, column = token.start
                lines[line - 1] = lines[line - 1][:column]
        for node in ast.walk(ast.parse(text)):
            for left in _left_out(node):
                first, last = left.lineno, left.end_lineno or left.lineno
                lines[first - 1 : last] = [""] * (last - first + 1)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return content
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()


def _left_out(node: ast.AST) -> list[ast.stmt]:
    """Return the statements, at this node or right inside it, that do not count."""
    if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
        return [node]
    return list(filter(_describes, node.body)) if isinstance(node, ast.ClassDef) else []


def _describes(node: ast.stmt) -> bool:
    """Return whether a statement of a class sets one of `DESCRIBES`."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(one, ast.Name) and one.id in DESCRIBES for one in targets)


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Return whether a node is a string as a statement of its own, which has no effect."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
