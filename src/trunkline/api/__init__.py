"""Thin HTTP: parse the path, authenticate, hand over to `execution`, write. The data plane is bare ASGI; management lives in the console process."""
