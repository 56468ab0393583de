"""Fixtures of the tests of the store."""

from tests.fakes.store import empty_store, path, url

__all__ = ["empty_store", "path", "url"]
