"""Fixtures of the tests of the store."""

from tests.fakes.filled import module_store
from tests.fakes.postgres_server import blank_postgres_url, empty_postgres, postgres, postgres_url, store_url
from tests.fakes.store import empty_store, path, url
from tests.fakes.stores import any_store, postgres_store

__all__ = [
    "any_store", "blank_postgres_url", "empty_postgres", "empty_store", "module_store", "path", "postgres", "postgres_store",
    "postgres_url", "store_url", "url",
]  # fmt: skip
