"""Asks this gateway's own data plane over its port, as any client does. In: a path, a key, a body. Out: its answer, or why there is none.

The console has no live health and calls no provider: what needs them is asked there. In a thread, since these questions are rare.
"""

import asyncio
import contextlib
import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trunkline.settings import Settings


class UnreachableError(Exception):
    """The data plane did not answer; the text says where and why."""


class Answered(msgspec.Struct, frozen=True):
    """An answer. Names of headers are lower case; `ms` is from the request's first byte to the answer's last."""

    status: int
    headers: dict[str, str]
    body: bytes
    ms: float

    @property
    def told(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error(self) -> str:
        """What an error says of itself."""
        told = self.told
        found = told.get("error") if isinstance(told, dict) else None
        message = found.get("message") if isinstance(found, dict) else None
        return str(message) if message else f"it answered {self.status} without a word"


async def post(
    settings: Settings,
    path: str,
    key: str,
    body: bytes,
    *,
    headers: dict[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Answered:
    """One request. Raises UnreachableError."""
    return await asyncio.to_thread(_post, settings, path, key, body, headers or {}, timeout_s)


def _post(settings: Settings, path: str, key: str, body: bytes, more: dict[str, str], timeout_s: float) -> Answered:
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "connection": "close",
        **more,
    }
    started_s = time.perf_counter()
    try:
        with contextlib.closing(_client(settings, timeout_s)) as client:
            client.request("POST", path, body, headers)
            response = client.getresponse()
            content = response.read()
    except TimeoutError:
        raise UnreachableError(f"Nothing was answered within {timeout_s:.0f} s.") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"The gateway does not answer at {settings.local_address}: {error}.") from None
    ms = (time.perf_counter() - started_s) * 1000
    return Answered(response.status, {name.lower(): value for name, value in response.getheaders()}, content, ms)


def _client(settings: Settings, timeout_s: float) -> http.client.HTTPConnection:
    address = urlsplit(settings.local_address)
    host, port = address.hostname or "", address.port
    if address.scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    # On this machine the certificate is for the public name, not for the address that is asked here.
    context = ssl._create_unverified_context()  # noqa: S323
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
