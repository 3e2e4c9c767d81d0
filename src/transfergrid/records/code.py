"""Fingerprints of source files by what they do: docstrings, comments and imports do not count.

A record keeps that of its strategy's file, so that results are called stale when the strategy has
changed, and not when a sentence in it or the place of a module has.
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


def code_fingerprint(target: str) -> str:
    """Return a fingerprint of the source file of a class by its dotted path.

    Nothing is imported to find it: `target` may be of a record that anyone wrote. "" if it has
    none, and for what is neither shipped nor allowed (see `trust`).
    """
    file = source_file(target)
    return _digest_of(statements(file.read_bytes())) if file is not None else ""


def known_as(target: str) -> frozenset[str]:
    """Return every fingerprint that a record may have of the code as it is now.

    Older records have one of the file's bytes. None of what has no file, or is not to be read.
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
    """Return a Python file less its docstrings, comments, imports and empty lines.

    Text is cut out of the file and nothing is written anew, so that every version of Python finds
    the same. A file that this Python cannot read is returned as it is.
    """
    try:
        text = content.decode()
        lines = text.split("\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                line, column = token.start
                lines[line - 1] = lines[line - 1][:column]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node):
                first, last = node.lineno, node.end_lineno or node.lineno
                lines[first - 1 : last] = [""] * (last - first + 1)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return content
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Return whether it is a string that stands alone: what nobody computes with."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
