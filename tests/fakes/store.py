"""Stores to test with: `path` is an empty one of the current schema, `url` one that is not made yet, both in the test's own folder."""

import shutil
from pathlib import Path

import pytest

from trunkline.storage.migrate import upgrade


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; a test that wants a store gets a copy."""
    path = tmp_path_factory.mktemp("store") / "trunkline.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/trunkline.db"


@pytest.fixture
def path(url: str, empty_store: Path) -> Path:
    """An empty store of the current schema."""
    return Path(shutil.copy(empty_store, url.removeprefix("sqlite:///")))
