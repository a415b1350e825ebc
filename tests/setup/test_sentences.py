# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that the code is made of, where no linter looks."""

import ast

from house.environments import ROOT


def test_no_half_of_a_text_stands_beside_it():
    """An f-string on a line of its own does nothing: two lines are one text within brackets alone."""
    lost = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("blender_addon", "peekaboo_engine", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.JoinedStr)
    ]
    assert lost == []
