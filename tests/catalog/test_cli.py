"""`trunkline catalog` at the command line."""

import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from trunkline.catalog.load import data_dir
from trunkline.cli.catalog import catalog
from trunkline.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/t.db"\n[embedded]\ncache_dir = "{tmp_path}/cache"\n')
    return path


def run(*arguments: str | Path) -> Result:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(catalog, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_check_counts_what_is_there_and_names_what_is_shut_down(config: Path) -> None:
    result = run("check", "--config", config, "--today", "2026-11-24")
    assert result.exit_code == 0
    assert re.match(r"\d+ models, \d+ offers, \d+ providers, version [0-9a-f]{12}", result.output)
    assert "openai/o4-mini:openai was shut down on 2026-10-23" in result.output


def test_check_names_old_prices(config: Path) -> None:
    assert "last checked on 2026-11-24" in run("check", "--config", config, "--today", "2027-11-24").output


def test_check_of_a_file_takes_it_as_a_layer(tmp_path: Path) -> None:
    layer = tmp_path / "acme.toml"
    layer.write_text('[providers.acme]\nbase_url = "https://a.example"\n[[models]]\nslug = "acme/a"\n')
    assert "acme/a has no offer" in run("check", layer).output


def test_check_of_a_bad_file_fails_with_its_fault(tmp_path: Path) -> None:
    layer = tmp_path / "acme.toml"
    layer.write_text("[providers.acme]\nnaem = 1\n")
    with pytest.raises(ConfigError, match="did you mean `name`"):
        run("check", layer)


def test_build_finds_the_compiled_file_up_to_date() -> None:
    result = run("build", "--check")
    assert (result.exit_code, "catalog.json is up to date" in result.output) == (0, True)


def test_diff_without_changes_says_so(config: Path) -> None:
    assert run("diff", "--config", config).output == "No difference.\n"


def test_diff_shows_what_the_configuration_changes(config: Path) -> None:
    config.write_text(config.read_text() + '[providers.openai]\nname = "Ours"\n')
    output = run("diff", "--config", config).output
    assert "provider openai" in output
    assert "Ours" in output


def test_diff_of_two_files(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes((data_dir() / "catalog.json").read_bytes())
    new.write_bytes(old.read_bytes().replace(b'"OpenAI: o4 Mini"', b'"Renamed"'))
    assert "Renamed" in run("diff", old, new).output
    new.write_text("{}")
    with pytest.raises(ConfigError, match="is not a compiled catalog"):
        run("diff", old, new)


def test_explain_shows_value_layer_and_source(config: Path) -> None:
    output = run("explain", "openai/o4-mini:azure", "--config", config).output
    assert "0.28 USD perMTokens" in output
    assert "shipped models.toml" in output
    assert "azure.microsoft.com" in output


class Published(BaseHTTPRequestHandler):
    """Serves the layer that the test has put on the server."""

    def do_GET(self) -> None:
        body = self.server.layer  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HTTPServer]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), Published)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch_puts_a_checked_layer_into_the_cache(config: Path, publisher: HTTPServer) -> None:
    publisher.layer = b'[[models]]\nslug = "openai/o4-mini"\nname = "Fetched"\n'  # type: ignore[attr-defined]
    result = run("fetch", f"https://localhost:{publisher.server_port}/catalog.toml", "--config", config)
    assert "written" in result.output
    assert "Fetched" in run("diff", "--config", config).output


def test_fetch_refuses_a_layer_that_would_redirect_keys(config: Path, publisher: HTTPServer) -> None:
    publisher.layer = b'[providers.openai]\nbase_url = "https://evil.example"\n'  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="must not say where keys go"):
        run("fetch", f"https://localhost:{publisher.server_port}/catalog.toml", "--config", config)
    assert not (config.parent / "cache" / "catalog.toml").exists()


def test_fetch_takes_https_only(config: Path) -> None:
    with pytest.raises(ConfigError, match="only fetched over HTTPS"):
        run("fetch", "http://localhost/catalog.toml", "--config", config)
