from pathlib import Path

import pytest

from trunkline.storage.migrate import upgrade


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/trunkline.db"


@pytest.fixture
def path(url: str) -> Path:
    """An empty store of the current schema."""
    upgrade(url)
    return Path(url.removeprefix("sqlite:///"))
