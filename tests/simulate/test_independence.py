"""The referee shares no code with the codecs that it judges."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "src" / "trunkline" / "simulate"
# The made-up past is records for the store: it judges nothing.
FILES = sorted(path for path in FOLDER.rglob("*.py") if path.name != "history.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_simulator_imports_nothing_of_the_protocols(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [name for name in named if name.startswith(("trunkline.protocols", "trunkline.ir"))]
