"""`load_settings`: what a file and the environment make of each other, and that each fault names file, key and mend."""

from pathlib import Path

import pytest
import trustme

from trunkline.errors import ConfigError
from trunkline.settings import (
    Settings,
    keys_for_next_start,
    load_settings,
    resolve_secret,
    taken_over,
    with_address,
)

SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def load(text: str = "", **env: str) -> Settings:
        Path("gateway.toml").write_text(text)
        return load_settings(Path("gateway.toml"), env)

    return load


def test_nothing_given_means_a_gateway_on_this_machine_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    assert (settings.server.host, settings.server.port, settings.path) == ("127.0.0.1", 8080, None)
    assert settings.store.path == tmp_path / "trunkline.db"
    assert settings.server.max_body_bytes == 32 * 1024 * 1024


def test_the_contract_of_the_readme_is_taken_whole(load):
    settings = load(
        """
        [server]
        host = "127.0.0.1"
        port = 8080
        [store]
        url = "sqlite:///trunkline.db"
        [auth]
        master_key = "env:TRUNKLINE_MASTER_KEY"
        [providers.acme]
        name = "Acme"
        base_url = "http://127.0.0.1:9001"
        api_key = "env:ACME_KEY"
        [[models]]
        slug = "acme/alpha"
        context_tokens = 200000
        max_output_tokens = 100000
        input = ["text", "image"]
        reasoning = true
        [[models.offers]]
        provider = "acme"
        upstream_model = "alpha-1"
        protocols = ["openai.chat"]
        price = [ { item = "prompt", unit = "perMTokens", value = "1.10" } ]
        """,
        TRUNKLINE_MASTER_KEY=SECRET,
        ACME_KEY="acme-1",
    )
    assert settings.auth.master_key == SECRET
    assert settings.provider_keys["acme"] == ("acme-1",)
    assert settings.catalog_layer.models[0].slug == "acme/alpha"


FAULTS = [
    ("[server]\nprot = 1", "server.prot", "did you mean port?"),
    ("[sever]\nport = 1", "sever", "did you mean server?"),
    ("[server]\nzzz = 1", "server.zzz", "known here: cors_origins"),
    ("[server]\nport = '80'", "server.port", "a whole number without quotes"),
    ("[server]\nport = 80.5", "server.port", "a whole number without quotes"),
    ("[server]\nport = 70000", "server.port", "less than or equal to 65535"),
    ("[server]\nhost = ''", "server.host", "must not be empty"),
    ("[server]\npublic_url = 'llm.example.com'", "server.public_url", '"https://llm.example.com"'),
    ("[server]\ntrusted_proxies = ['proxy']", "server.trusted_proxies", '"10.0.0.0/8"'),
    ("[server]\ntrusted_proxies = '10.0.0.1'", "server.trusted_proxies", 'must be a list such as ["..."]'),
    ("[server]\ncors_origins = ['https://a.example.com/x']", "server.cors_origins", "origins without a path"),
    ("[server]\ntls_cert = 'a.pem'", "server", "set the missing one"),
    ("[server]\ntls_cert = 'a.pem'\ntls_key = 'b.pem'", "server", "a.pem, which is no file"),
    ("[server]\nmax_body_bytes = 1", "server.max_body_bytes", "greater than or equal to 1024"),
    ("server = 3", "server", "a section of its own"),
    ("[store]\nurl = 'mysql://db/x'", "store.url", '"postgresql://user:password@host:5432/database"'),
    ("[store]\nurl = 'env:NOT_SET'", "store.url", "variable NOT_SET is not set"),
    ("[store]\nurl = 'trunkline.db'", "store.url", '"sqlite:///trunkline.db"'),
    ("[store]\nurl = 'sqlite:///:memory:'", "store.url", "must be a SQLite file"),
    ("[shared]\nurl = 'memcached://127.0.0.1'", "shared.url", '"redis://127.0.0.1:6379/0"'),
    ("[auth]\nmaster_key = 'env:NOT_SET'", "auth.master_key", "variable NOT_SET is not set"),
    ("[auth]\nmaster_key = 'file:none.txt'", "auth.master_key", "file none.txt is empty or cannot be read"),
    ("[auth]\nmaster_key = ''", "auth.master_key", 'write "env:NAME"'),
    ("[auth]\nmaster_key = 'two words'", "auth.master_key", "copy it anew"),
    ("[auth]\nmaster_key = 7", "auth.master_key", "text in quotes"),
    ("[gateway]\ninclude_cost = 'no'", "gateway.include_cost", "true or false"),
    ("[gateway]\nkeepalive_s = -1", "gateway.keepalive_s", "greater than or equal to 0"),
    ("[providers.acme]\napi_key = 'env:NOT_SET'", "providers.acme.api_key", "set it"),
    ("[providers.acme]\napi_keys = ['a', 'env:NOT_SET']", "providers.acme.api_keys[1]", "set it"),
    (
        "[providers.acme]\nheaders = { x-team = 'env:NOT_SET' }",
        "providers.acme.headers.x-team",
        "variable NOT_SET is not set",
    ),
    ("[providers.acme]\nheaders = { Host = 'a' }", "providers.acme.headers", "written by the gateway itself"),
    ("[providers.acme]\nbase_ulr = 'x'", "providers.acme.base_ulr", "did you mean `base_url`?"),
]


@pytest.mark.parametrize(("text", "key", "mend"), FAULTS, ids=[fault[1] + "-" + fault[2][:12] for fault in FAULTS])
def test_a_fault_names_file_key_and_mend(load, text, key, mend):
    with pytest.raises(ConfigError) as caught:
        load(text)
    message = str(caught.value)
    assert f"gateway.toml: {key}:" in message
    assert mend in message
    assert "\n" not in message


def test_all_faults_are_told_at_once(load):
    with pytest.raises(ConfigError) as caught:
        load(
            """
            [server]
            port = "x"
            [auth]
            master_key = "env:MASTER"
            [gateway]
            includecost = true
            [providers.acme]
            api_key = "env:ACME_KEY"
            [[models]]
            slug = "nonsense"
            """
        )
    message = str(caught.value)
    for part in ("server.port", "auth.master_key", "gateway.includecost", 'models["nonsense"].slug'):
        assert part in message


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [("TRUNKLINE_PORT", "http", "whole number"), ("TRUNKLINE_STORE_URL", "mysql://x", "SQLite file")],
)
def test_a_fault_in_a_variable_names_the_variable(load, name, value, mend):
    with pytest.raises(ConfigError, match=mend) as caught:
        load("", **{name: value})
    assert str(caught.value).startswith(f"{name}: ")


def test_a_file_that_is_no_toml_names_the_line(load):
    with pytest.raises(ConfigError, match=r"gateway\.toml: is not valid TOML: .*line 2"):
        load("[server]\nport = = 1")


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="TRUNKLINE_CONFIG: names"):
        load_settings(None, {"TRUNKLINE_CONFIG": str(tmp_path / "none.toml")})


def test_variables_win_over_the_file(load):
    settings = load(
        "[server]\nhost = '::1'\nport = 1",
        TRUNKLINE_HOST="127.0.0.2",
        TRUNKLINE_PORT="9000",
        TRUNKLINE_STORE_URL="sqlite:////var/lib/t.db",
    )
    assert (settings.server.host, settings.server.port) == ("127.0.0.2", 9000)
    assert settings.secrets_path == Path("/var/lib/t.db.secrets")


def test_the_file_is_found_in_the_working_directory_or_by_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trunkline.toml").write_text("[server]\nport = 1")
    (tmp_path / "other.toml").write_text("[server]\nport = 2")
    assert load_settings(None, {}).server.port == 1
    assert load_settings(None, {"TRUNKLINE_CONFIG": "other.toml"}).server.port == 2


def test_a_secret_may_stand_in_a_file(load):
    Path("key.txt").write_text(f"{SECRET}\n")
    assert load("[auth]\nmaster_key = 'file:key.txt'").auth.master_key == SECRET


def test_a_provider_that_is_off_needs_no_key(load):
    assert "acme" not in load("[providers.acme]\nenabled = false\napi_key = 'env:NOT_SET'").provider_keys


def test_no_secret_is_shown(load):
    settings = load(
        f"[auth]\nmaster_key = '{SECRET}'\n[providers.acme]\napi_key = '{SECRET}'\napi_keys = ['{SECRET}']",
        OPENAI_API_KEY=SECRET,
    )
    assert settings.provider_keys["acme"] == (SECRET, SECRET)
    assert SECRET not in f"{settings!r} {settings} {settings.auth!r} {settings.catalog_layer!r}"


@pytest.mark.parametrize(
    "text",
    [
        f"[auth]\nmaster_key = ['{SECRET}']",
        f"[auth]\nmaster_key = '{SECRET} {SECRET}'",
        f"[auth]\nmaster_key = '{SECRET}'\n[server]\nport = 'x'",
        f"[shared]\nurl = 'memcached://:{SECRET}@127.0.0.1'",
        f"[store]\nurl = 'mysql://u:{SECRET}@127.0.0.1/x'",
        f"[providers.acme]\napi_key = ['{SECRET}']",
        f"[providers.acme]\napi_keys = '{SECRET}'",
    ],
)
def test_no_secret_is_in_an_error(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert SECRET not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_the_address_is_one_that_can_be_called(load):
    assert load("[server]\nhost = '0.0.0.0'").address == "http://127.0.0.1:8080"
    assert load("[server]\nhost = '::1'").address == "http://[::1]:8080"
    behind = load("[server]\npublic_url = 'https://llm.example.com/'")
    assert (behind.address, behind.local_address) == ("https://llm.example.com", "http://127.0.0.1:8080")


def test_the_command_line_wins_over_all(load):
    settings = with_address(load("[server]\nport = 1", TRUNKLINE_PORT="2"), port=3)
    assert (settings.server.port, settings.server.host) == (3, "127.0.0.1")


def test_the_cache_is_where_the_operator_says(load):
    assert load("[embedded]\ncache_dir = 'weights'").cache_dir == Path("weights")
    assert load(TRUNKLINE_CACHE="/cache").cache_dir == Path("/cache")
    assert load(XDG_CACHE_HOME="/xdg", HOME="/home/alice").cache_dir == Path("/xdg/trunkline")
    assert load(HOME="/home/alice").cache_dir == Path("/home/alice/.cache/trunkline")


def test_the_overlay_folder_is_beside_the_file(load):
    assert load().overlay_dir is None
    Path("catalog.d").mkdir()
    assert load().overlay_dir == Path("catalog.d")


def test_keys_of_the_overlay_folder_are_resolved_as_well(load):
    Path("catalog.d").mkdir()
    Path("catalog.d/acme.toml").write_text("[providers.acme]\napi_key = 'env:ACME_KEY'")
    assert load(ACME_KEY="acme-1").provider_keys == {"acme": ("acme-1",)}
    with pytest.raises(ConfigError, match=r"catalog\.d/acme\.toml: providers\.acme\.api_key: the variable ACME_KEY"):
        load()


def test_settings_do_not_change(load):
    settings = load()
    with pytest.raises(AttributeError):
        settings.path = Path("x")
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
    with pytest.raises(TypeError):
        settings.env["A"] = "b"


def test_a_secret_of_an_empty_variable_is_missing():
    with pytest.raises(ConfigError, match="KEY is not set or empty"):
        resolve_secret("env:KEY", {"KEY": " "}, "here")


TLS = "[server]\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'"


@pytest.fixture
def certificate(tmp_path, monkeypatch) -> trustme.LeafCert:
    monkeypatch.chdir(tmp_path)
    issued = trustme.CA().issue_cert("llm.example.com")
    issued.cert_chain_pems[0].write_to_path("cert.pem")
    issued.private_key_pem.write_to_path("key.pem")
    return issued


def test_a_certificate_and_its_key_are_taken(certificate, load):
    assert load(TLS).server.tls_cert == Path("cert.pem")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("cert.pem", b"not a certificate", "tls_cert cert.pem and tls_key key.pem are no certificate chain"),
        (
            "key.pem",
            trustme.CA().issue_cert("a").private_key_pem.bytes(),
            "key.pem is not the key of tls_cert cert.pem",
        ),
        ("key.pem", b"", "convert or correct them"),
    ],
    ids=["no certificate", "the key of another", "no key"],
)
def test_tls_files_that_cannot_be_used_are_told_before_anything_starts(certificate, load, file, content, words):
    Path(file).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(TLS)
    assert str(caught.value).startswith("gateway.toml: server: ")
    assert words in str(caught.value)


def test_a_header_may_name_a_secret(load):
    Path("team.txt").write_text("research\n")
    text = "[providers.acme]\nheaders = { x-team = 'file:team.txt', x-tenant = 'env:TENANT', x-plain = 'a b' }"
    settings = load(text, TENANT=SECRET)
    assert settings.provider_headers["acme"] == {"x-team": "research", "x-tenant": SECRET, "x-plain": "a b"}
    assert SECRET not in repr(settings)


def test_what_a_later_file_says_of_headers_replaces_the_earlier(load):
    Path("catalog.d").mkdir()
    Path("catalog.d/acme.toml").write_text("[providers.acme]\nheaders = { x-team = 'a', x-old = 'b' }")
    assert load().provider_headers["acme"] == {"x-team": "a", "x-old": "b"}
    assert load("[providers.acme]\nheaders = { x-team = 'c' }").provider_headers["acme"] == {"x-team": "c"}


def test_a_provider_that_a_later_file_switches_on_has_the_key_of_the_earlier(load):
    Path("catalog.d").mkdir()
    Path("catalog.d/acme.toml").write_text("[providers.acme]\nenabled = false\napi_key = 'env:ACME_KEY'")
    assert load("[providers.acme]\nenabled = true", ACME_KEY="acme-1").provider_keys["acme"] == ("acme-1",)
    assert "acme" not in load().provider_keys


def test_the_store_may_be_named_by_a_variable_that_holds_its_password(load):
    url = "postgresql://trunkline:hunter2@db.example.com/trunkline"
    settings = load("[store]\nurl = 'env:DATABASE_URL'", DATABASE_URL=url)
    assert settings.store.url == url
    assert settings.store.is_postgres
    assert "hunter2" not in f"{settings!r} {settings.store!r} {settings.store}"


def test_what_a_variable_says_of_the_store_is_checked_and_not_shown(load):
    with pytest.raises(ConfigError, match=r"store\.url.*must be a SQLite file") as caught:
        load("[store]\nurl = 'env:DATABASE_URL'", DATABASE_URL="mysql://u:hunter2@db/x")
    assert "hunter2" not in str(caught.value)


def test_a_gateway_on_postgresql_keeps_its_own_files_in_the_working_directory(load, tmp_path):
    settings = load("[store]\nurl = 'postgresql://u@db/x'")
    names = {settings.secrets_path.name, settings.pid_path.name, settings.store.spool_path.name}
    assert names == {"trunkline.secrets", "trunkline.pid", "trunkline.spool"}
    assert settings.secrets_path.parent == tmp_path
    named = load("[store]\nurl = 'postgresql://u@db/x'\nsecrets_file = '/run/s'\nspool_dir = '/var/spool/t'")
    assert (named.secrets_path, named.store.spool_path) == (Path("/run/s"), Path("/var/spool/t"))


CHANGES = {
    "server.drain_s": "[server]\ndrain_s = 1",
    "server.trusted_proxies": "[server]\ntrusted_proxies = ['10.0.0.0/8']",
    "server.host": "[server]\nhost = '127.0.0.2'",
    "server.port": "[server]\nport = 1",
    "store.url": "[store]\nurl = 'sqlite:///other.db'",
    "store.spool_max_mb": "[store]\nspool_max_mb = 1",
    "store.spool_dir": "[store]\nspool_dir = '/s'",
    "store.secrets_file": "[store]\nsecrets_file = '/s/secrets'",
    "shared.url": "[shared]\nurl = 'redis://127.0.0.1'",
    "embedded.idle_stop_s": "[embedded]\nidle_stop_s = 1",
    "embedded.cache_dir": "[embedded]\ncache_dir = '/c'",
}


@pytest.mark.parametrize(("key", "text"), CHANGES.items(), ids=list(CHANGES))
def test_what_needs_a_new_start_is_named_and_stays_as_it_runs(load, key, text):
    running, changed = load(), load(f"{text}\n[gateway]\nkeepalive_s = 3")
    assert keys_for_next_start(running, changed) == (key,)
    kept = taken_over(running, changed)
    assert keys_for_next_start(running, kept) == ()
    assert kept.gateway.keepalive_s == 3


def test_what_can_be_taken_over_asks_for_no_start(load):
    text = "[server]\ncors_origins = ['*']\nmax_body_bytes = 2048\n[auth]\nmaster_key = 'sk-2'\n[pages]\npublic = false"
    assert keys_for_next_start(load(), load(text)) == ()


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("", True),
        ("[server]\nhost = 'localhost'", True),
        ("[server]\nhost = '::1'", True),
        ("[server]\nhost = '0.0.0.0'", False),
        ("[server]\nhost = '192.0.2.1'", False),
        ("[server]\nhost = 'llm.example.com'", False),
        ("[server]\npublic_url = 'https://llm.example.com'", False),
        ("[server]\ntrusted_proxies = ['127.0.0.1']", False),
        ("[server]\nhost = '0.0.0.0'\n[pages]\npublic = true", True),
        ("[pages]\npublic = false", False),
    ],
)
def test_pages_are_open_on_this_machine_alone_unless_the_file_says_otherwise(
    tmp_path: Path, text: str, is_open: bool
) -> None:
    file = tmp_path / "trunkline.toml"
    file.write_text(text)
    assert load_settings(file, {}).pages_public is is_open
