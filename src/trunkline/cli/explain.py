"""`trunkline explain`: asks the running gateway what it would do with a request, without calling anyone. In: a request as JSON. Out: a table, or JSON."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import click

from trunkline.accounts import secrets_file
from trunkline.errors import TrunklineError
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.table import Table

PATH = "/api/v1/management/route/explain"
TIMEOUT_S = 30.0
PROTOCOLS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")


class ExplainError(TrunklineError):
    """The gateway could not be asked, or refused."""


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--protocol", type=click.Choice(PROTOCOLS), help="What FILE is a request of [default: Chat, or what FILE says]."
)
@click.option("--path-model", default="", help="The model, for Gemini's requests, which have it in the path.")
@click.option("--url", help="Address of the gateway [default: this machine's, from the configuration].")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The file that the gateway was started with [default: ./trunkline.toml].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as it is.")
def explain(
    file: BinaryIO, protocol: str | None, path_model: str, url: str | None, config: Path | None, as_json: bool
) -> None:
    """Say which offers a request in FILE (- for standard input) would go to, why, and at what price."""
    settings = load_settings(config)
    data = _ask(settings, url, _body(file.read(), protocol, path_model))
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    _print(data)


def _body(text: bytes, protocol: str | None, path_model: str) -> bytes:
    if protocol is None:
        return text
    try:
        body = json.loads(text)
    except ValueError as error:
        raise click.ClickException(f"the request is no JSON: {error}") from None
    return json.dumps({"protocol": protocol, "body": body, "path_model": path_model}).encode()


def _ask(settings: Settings, url: str | None, body: bytes) -> Any:
    address = urlsplit(url or settings.local_address)
    headers = {
        "authorization": f"Bearer {_master_key(settings)}",
        "content-type": "application/json",
        "connection": "close",
    }
    client = _client(address.scheme, address.hostname or "", address.port, is_own=url is None)
    with contextlib.closing(client):
        try:
            client.request("POST", PATH, body, headers)
            response = client.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            mend = "start it with `trunkline serve`, or give its address with --url"
            raise ExplainError(f"no gateway answers at {address.geturl()} ({error}); {mend}") from None
    try:
        told = json.loads(answer)
        if status == 200:
            return told["data"]
        message = told["error"]["message"]
    except (ValueError, LookupError, TypeError):
        message = "that is no gateway of this version"
    raise ExplainError(f"{address.netloc} answers {status}: {message}")


def _client(scheme: str, host: str, port: int | None, *, is_own: bool) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    # On this machine the certificate is for the public name, not for the address that is asked here.
    context = ssl._create_unverified_context() if is_own else ssl.create_default_context()  # noqa: S323
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def _master_key(settings: Settings) -> str:
    if settings.auth.master_key:
        return settings.auth.master_key
    if not settings.secrets_path.exists():
        raise ExplainError(f"there is no master key: {settings.secrets_path} is made by the gateway's first start")
    return secrets_file.load_or_make(settings.secrets_path).master_key


def _print(data: Any) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False)
    asked, model, auto = data["asked_model"], data["model"], data.get("auto")
    console.print(asked if asked == model else f"{asked}: {model}", style="bold")
    if auto:
        console.print(auto["reason"])
    first = data["candidates"][0]
    if first.get("rank"):
        console.print(f"about {first['input_tokens']} tokens in and {first['output_tokens']} out; {data['protocol']}")
    console.print(_table(data["candidates"]))
    if data["error"]:
        console.print(f"No offer can take it: {data['error']['message']}", style="red")


def _table(candidates: list[dict[str, Any]]) -> Table:
    from rich.table import Column, Table
    from rich.text import Text

    right: Any = {"justify": "right"}
    columns = (
        Column("", **right),
        Column("offer", no_wrap=True),
        Column("first", **right),
        Column("USD", **right),
        "how",
        "why",
    )
    table = Table(*columns, box=None, header_style="bold")
    for one in candidates:
        rank, share, way = one.get("rank"), one.get("share"), one.get("native")
        table.add_row(
            str(rank or "-"),
            Text(one["offer"]),
            "" if share is None else f"{share:.0%}",
            one.get("estimated_usd") or ("" if rank is None else "unknown"),
            "" if way is None else "as it is" if way else "translated",
            Text(one["reason"]),
            style="" if rank else "dim",
        )
    return table
