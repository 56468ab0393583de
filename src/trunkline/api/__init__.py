"""Thin HTTP: parse the path, authenticate, hand over to `execution`, write. The data plane has a server of its own; management lives in the console process."""
