"""A store of each kind, made once for the tests of a module that only ask: `module_store`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.postgres_server import database
from tests.fakes.stores import AnyStore


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyStore]:
    """Empty, of the current schema: whoever needs it fills it."""
    folder = tmp_path_factory.mktemp("module")
    if request.param == "sqlite":
        path = Path(shutil.copy(request.getfixturevalue("empty_store"), folder / "trunkline.db"))
        yield AnyStore(f"sqlite:///{path}", folder)
        return
    for url in database(request.getfixturevalue("postgres"), request.getfixturevalue("empty_postgres")):
        yield AnyStore(url, folder)
