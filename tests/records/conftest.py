"""Fixtures of the tests of records and their writer."""

from tests.fakes.postgres_server import empty_postgres, postgres, postgres_url, store_url
from tests.fakes.store import empty_store, path, url
from tests.fakes.stores import any_store

__all__ = ["any_store", "empty_postgres", "empty_store", "path", "postgres", "postgres_url", "store_url", "url"]
