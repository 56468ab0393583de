"""Fixtures of the tests of the writer."""

from tests.fakes.store import empty_store, path, url

__all__ = ["empty_store", "path", "url"]
