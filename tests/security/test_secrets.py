"""Secrets with marks, a day of traffic, then a search through everything that is shown, told and kept: none is found.

Marked are the provider's key (of the file, and one that is kept in the store), the master key, an API key, a member's password, the link by which they joined
and their session. Providers answer with the key that they were sent, as some do in errors. Left out of the search are the two files that hold secrets.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
import pytest

from tests.fakes.gateway import (
    CHAT,
    MASTER_KEY,
    Answer,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    provider_toml,
    start_gateway,
)
from tests.fakes.pages import routed
from tests.fakes.upstream import Call, Upstream, says

FILE_KEY = "sk-provider-8f3a61c09d27be54-of-the-file"
STORED_KEY = "sk-provider-77b1e20ca94d5f38-of-the-store"
PASSWORD = "marked-password-5c19e7d2"
CAPTURE = '\n[capture]\nbodies = "full"\nredact = ["keys"]\n'
TEXT = [{"role": "user", "content": "hi"}]


@dataclass
class Day:
    """What was done, and what there is to search through."""

    gateway: GatewayProcess
    secrets: dict[str, str] = field(default_factory=dict)
    shown: dict[str, bytes] = field(default_factory=dict)
    """By where it was shown."""

    def see(self, where: str, answer: Answer) -> Answer:
        self.shown[where] = answer.body + repr(answer.headers.items()).encode()
        return answer


def echoing(call: Call) -> None:
    """A provider that refuses a key, and says which."""
    told = {
        "error": {
            "message": f"Incorrect API key provided: {call.header('authorization')}",
            "type": "invalid_request_error",
        }
    }
    call.answer(401, json.dumps(told).encode(), {"x-echo": str(call.header("authorization"))})


def form(gateway: GatewayProcess, path: str, **fields: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://127.0.0.1:{gateway.port}"}
    headers["host"] = f"127.0.0.1:{gateway.port}"
    return gateway.request("POST", path, urlencode(fields).encode(), headers, key="")


def join(day: Day) -> dict[str, str]:
    """Invite a member and let them in; the headers of their browser."""
    gateway = day.gateway
    invited = gateway.request("POST", "/api/v1/management/members", {"email": "alice@example.com", "role": "admin"})
    assert invited.status == 201, invited.body
    link = urlsplit(invited.json["data"]["link"])
    day.secrets["link"] = parse_qs(link.query)["token"][0]
    joined = form(gateway, link.path, token=day.secrets["link"], password=PASSWORD, again=PASSWORD, name="Alice")
    assert joined.status == 303, joined.body
    form(gateway, "/sign-in", email="alice@example.com", password=PASSWORD + "-wrong")
    signed_in = form(gateway, "/sign-in", email="alice@example.com", password=PASSWORD)
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    day.secrets["session"] = cookie.partition("=")[2]
    return {"cookie": cookie, "accept": "text/html"}


def traffic(day: Day, key: str, secret: str) -> None:
    """Answers and failures of every kind, by every way in which a key can come."""
    gateway = day.gateway
    for model in ("acme/good", "acme/echo"):
        body: dict[str, Any] = {"model": model, "messages": TEXT}
        for stream in (False, True):
            day.see(f"{model} {stream}", gateway.request("POST", CHAT, body | {"stream": stream}, key=secret))
        explained = gateway.request("POST", CHAT, body, {"x-trunkline-explain": "true"}, key=secret)
        day.see(f"{model} explained", explained)
        messages = body | {"max_tokens": 10}
        day.see(f"{model} messages", gateway.request("POST", "/v1/messages", messages, {"x-api-key": secret}, key=""))
        gemini = {"contents": [{"role": "user", "parts": [{"text": f"my key is {secret}"}]}]}
        path = f"/v1beta/models/{model}:generateContent?key={quote(secret)}"
        day.see(f"{model} gemini", gateway.request("POST", path, gemini, key=""))
        day.see(f"{model} plan", gateway.request("POST", "/api/v1/management/route/explain", body, key=secret))
    for wrong in (secret[:-1] + "x", key):
        day.see(
            f"refused {wrong[-4:]}", gateway.request("POST", CHAT, {"model": "acme/good", "messages": TEXT}, key=wrong)
        )


def look_around(day: Day, browser: dict[str, str], ids: dict[str, str]) -> None:
    """Every page that there is, and every address of the API that can be read, as the member and as the operator."""
    gateway = day.gateway
    schema = gateway.get("/api/v1/management/openapi.json").json
    readable = [path for path, verbs in schema["paths"].items() if "get" in verbs]
    for path in sorted(
        {*routed(), *readable, "/metrics", "/readyz", "/api/v1/models", "/api/v1/management/openapi.json"}
    ):
        address = re.sub(r"\{(\w+)[^}]*\}", lambda found: ids.get(found[1], "none"), path)
        day.see(f"page {path}", gateway.get(address, headers=browser, key=""))
        day.see(f"operator {path}", gateway.get(address))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("secrets")
    providers = provider_toml("good", upstream.url("good"), FILE_KEY) + provider_toml(
        "echo", upstream.url("echo"), FILE_KEY
    )
    config = (
        base_toml(folder)
        + CAPTURE
        + providers
        + model_toml("acme/good", ("good",))
        + model_toml("acme/echo", ("echo",))
    )
    upstream.plays("good", "acme--good", says())
    upstream.plays("echo", "acme--echo", echoing)
    made = Day(start_gateway(folder, config))
    try:
        spend(made)
        yield made
    finally:
        made.gateway.stop()


def spend(made: Day) -> None:
    """Everything that is done on it."""
    gateway = made.gateway
    eventually(lambda: gateway.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    kept = json.loads((gateway.folder / "trunkline.db.secrets").read_bytes())
    made.secrets |= {
        "provider's": FILE_KEY,
        "stored provider's": STORED_KEY,
        "master": MASTER_KEY,
        "password": PASSWORD,
    }
    made.secrets |= {"pepper": kept["pepper"], "unused master": kept["master_key"]}
    browser = join(made)
    stored = gateway.request(
        "POST", "/api/v1/management/credentials", {"provider": "good", "secret": STORED_KEY, "name": "team"}
    )
    made.see("stored", stored)
    issued = gateway.request("POST", "/api/v1/management/keys", {"name": "marked"})
    key = issued.json.get("data", issued.json)
    made.secrets["API"] = next(value for value in key.values() if isinstance(value, str) and value.startswith("sk-"))
    traffic(made, next(str(value) for name, value in key.items() if name in ("id", "key_id")), made.secrets["API"])
    record = made.gateway.record(gateway.chat("acme/echo").id).id
    look_around(made, browser, {"id": record, "number": "0", "slug": "echo", "author": "acme", "model": "echo"})


def spellings(secret: str) -> list[bytes]:
    """As it is, and as it would be found encoded."""
    plain = secret.encode()
    inside_base64 = base64.b64encode(plain)[:-4]
    return [
        plain,
        quote(secret, safe="").encode(),
        inside_base64,
        plain.hex().encode(),
        msgspec.json.encode(secret)[1:-1],
    ]


def finds(day: Day, text: bytes) -> list[str]:
    return [name for name, secret in day.secrets.items() if any(one in text for one in spellings(secret))]


def test_the_day_was_one(day: Day) -> None:
    """Otherwise nothing was searched."""
    assert b"hello" in day.shown["acme/good False"]
    assert len(day.shown) > 100
    assert set(day.secrets) >= {"link", "session", "API", "pepper"}


def test_no_secret_is_shown(day: Day) -> None:
    found = {where: names for where, text in day.shown.items() if (names := finds(day, text))}
    assert found == {}


def test_no_secret_is_in_the_logs(day: Day) -> None:
    assert finds(day, day.gateway.log.encode()) == []


def test_no_secret_is_kept_where_it_can_be_read(day: Day) -> None:
    """The store with its journal, bodies, and whatever else lies there, but for the two files that are for secrets."""
    folder: Path = day.gateway.folder
    left_out = {folder / "trunkline.toml", folder / "trunkline.db.secrets"}
    files = [path for path in folder.rglob("*") if path.is_file() and path not in left_out]
    found = {path.name: names for path in files if (names := finds(day, path.read_bytes()))}
    assert any(path.name == "trunkline.db" for path in files)
    assert found == {}
