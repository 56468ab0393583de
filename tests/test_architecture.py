"""The layout holds: who may import whom, where SQL and the environment are, and how long files and functions may be (design.md, sections 2 and 9)."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "trunkline"
FILES = sorted(SOURCE.rglob("*.py"))

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 100
LONG_FUNCTION_LINES = 60
MAX_LONG_SHARE = 0.02

# Package -> what it may import of ours, besides itself. A package that is not named may import anything but `app`.
ALLOWED = {
    "errors": set(),
    "ir": set(),
    "protocols": {"ir", "errors"},
    "pricing": {"ir", "catalog.types", "errors"},
    "routing": {"ir", "errors", "catalog.types", "records.types"},
    "accounts": {"ir", "errors", "pricing.types", "records.types"},
    "records": {"ir", "errors", "pricing.types", "pricing.money"},
    "catalog": {"errors", "providers.urls"},
    "shared": {"accounts", "errors"},
    "reconcile": {"errors", "records.types"},
}
# Only these may import the key.
ONLY_FROM = {
    "storage": {"app", "following", "api.management", "web", "cli", "storage"},
    "app": set(),
}
NEVER = {"web": {"protocols", "providers"}}
HTTP_LIBRARIES = {"fastapi", "starlette", "uvicorn", "httptools"}
PURE = ("ir", "protocols", "routing", "pricing", "accounts")
IO_MODULES = {"socket", "ssl", "asyncio", "subprocess", "sqlite3", "urllib.request", "http.client"}
SQL_WORDS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE", "PRAGMA ")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Read once for all that is asked of it."""
    return ast.parse(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def forget_the_trees() -> Iterator[None]:
    """They take more than a hundred megabytes."""
    yield
    tree_of.cache_clear()


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports; True for those of ours, without the package's name."""
    for node in ast.walk(tree_of(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [
                f"{node.module}.{alias.name}" if node.module == "trunkline" else str(node.module)
                for alias in node.names
            ]
        for name in names:
            yield name.removeprefix("trunkline."), name.startswith("trunkline")


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_keep_to_the_layout(path: Path) -> None:
    module = module_of(path)
    own = module.split(".")[0]
    for name, ours in imports(path):
        if not ours:
            continue
        if own in ALLOWED:
            assert within(name, ALLOWED[own] | {own}), f"{module} must not import {name}"
        for guarded, users in ONLY_FROM.items():
            if within(name, {guarded}):
                assert within(module, users), f"{module} must not import {name}"
        assert not within(name, NEVER.get(own, set())), f"{module} must not import {name}"


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path).startswith("protocols.")], ids=module_of)
def test_no_protocol_imports_another(path: Path) -> None:
    parts = module_of(path).split(".")
    others = {folder.name for folder in (SOURCE / "protocols").iterdir() if folder.is_dir()} - {parts[1]}
    assert not [
        name for name, ours in imports(path) if ours and within(name, {f"protocols.{other}" for other in others})
    ]


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path).split(".")[0] in PURE], ids=module_of)
def test_pure_packages_know_no_http_and_do_no_io(path: Path) -> None:
    if module_of(path) == "accounts.secrets_file":
        return  # reads and makes one file, and says so
    found = {name for name, ours in imports(path) if not ours}
    assert not [name for name in found if within(name, HTTP_LIBRARIES | IO_MODULES)]


@pytest.mark.parametrize("path", [path for path in FILES if not module_of(path).startswith("storage")], ids=module_of)
def test_only_storage_holds_sql(path: Path) -> None:
    texts = [
        node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if text.startswith(SQL_WORDS)]
    assert not [name for name, _ in imports(path) if within(name, {"sqlite3", "sqlalchemy", "alembic", "aiosqlite"})]


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path) != "settings"], ids=module_of)
def test_only_settings_read_the_environment(path: Path) -> None:
    read = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert read == []


def functions() -> Iterator[tuple[str, int]]:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{module_of(path)}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_files_and_functions_stay_short() -> None:
    assert [module_of(path) for path in FILES if len(path.read_text().splitlines()) > MAX_FILE_LINES] == []
    lengths = dict(functions())
    assert [name for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES] == []
    assert sum(lines > LONG_FUNCTION_LINES for lines in lengths.values()) <= MAX_LONG_SHARE * len(lengths)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_module_says_what_it_is_for_in_at_most_eight_lines(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, "a module needs a docstring"
    assert len(docstring.splitlines()) <= 8 or module_of(path) == "errors", "errors draws its tree"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_names_say_what_a_thing_does(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(("Manager", "Helper", "Utils"))
    assert path.stem not in ("utils", "helpers", "misc", "common")
