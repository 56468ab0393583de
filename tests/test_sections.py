"""The sections for monitoring and probes: what they take, and what they say of what they do not."""

import re
from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.settings import Settings, load_settings


def loaded(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load_settings(path, {})


def test_monitoring_is_closed_traces_and_probes_are_off_unless_asked_for(tmp_path) -> None:
    settings = loaded(tmp_path, "")
    assert (settings.metrics.public, settings.telemetry.otlp_endpoint, settings.routing.probes) == (False, None, None)


def test_probes_have_a_pace_and_a_budget(tmp_path) -> None:
    probes = loaded(tmp_path, "[routing]\nprobes = { every_s = 60, budget_usd_per_day = 2 }").routing.probes
    assert probes is not None
    assert (probes.every_s, probes.budget_usd_per_day) == (60, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[routing]\nprobes = { every_s = 1 }", "routing.probes.every_s"),
        ("[routing]\nprobes = { evry_s = 60 }", "did you mean every_s?"),
        ('[telemetry]\notlp_endpoint = "collector:4318"', 'such as "http://127.0.0.1:4318"'),
        ("[metrics]\npublic = 1", "metrics.public: must be true or false"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_mend(tmp_path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        loaded(tmp_path, text)


def test_bodies_are_not_captured_unless_asked_for(tmp_path) -> None:
    capture = loaded(tmp_path, "").capture
    assert (capture.bodies, capture.days, capture.max_bytes) == ("off", 7, 256 * 1024)
    assert capture.redact == ("keys", "cards")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('bodies = "on"', "capture.bodies"),
        ("days = 0", "capture.days"),
        ("max_bytes = 100", "capture.max_bytes"),
        ('redact = ["names"]', "capture.redact[0]"),
        ('rules = [{ name = "x", pattern = "(" }]', "is no regular expression"),
        ('rules = [{ name = "x", pattern = "a*" }]', "must not match nothing"),
        ('rules = [{ name = "x", pattern = "(a+)+b" }]', "write the inner part as (?>...)"),
        ('rules = [{ name = "x", pattern = ".*a.*b" }]', "too many repetitions in a row"),
        ('rules = [{ name = "a\\"b", pattern = "a" }]', "capture.rules[0].name"),
    ],
)
def test_what_capture_does_not_take_is_told(tmp_path, text, told) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        loaded(tmp_path, f"[capture]\n{text}")


OIDC = '[auth.oidc]\nissuer = "https://login.example.com"\nclient_id = "trunkline"\n'


def test_accounts_of_another_provider_are_taken_with_a_secret_that_is_never_shown(tmp_path) -> None:
    text = f'{OIDC}client_secret = "env:OIDC"\nallowed_domains = ["@Example.com"]\n'
    file = tmp_path / "trunkline.toml"
    file.write_text(text)
    settings = load_settings(file, {"OIDC": "s3cret-of-oidc"})
    oidc = settings.auth.oidc
    assert oidc is not None
    assert (oidc.client_secret, oidc.allowed_domains) == ("s3cret-of-oidc", ("example.com",))
    assert "s3cret-of-oidc" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OIDC.replace("https:", "http:"), "auth.oidc.issuer"),
        (OIDC.replace("https://", ""), "auth.oidc.issuer"),
        (OIDC.replace('client_id = "trunkline"', ""), "auth.oidc.client_id"),
        (f'{OIDC}client_secret = "env:NOT_SET"', "auth.oidc.client_secret"),
        (f"{OIDC}audience = 1", "auth.oidc.audience"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path, text, told) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        loaded(tmp_path, text)


def test_an_issuer_on_this_machine_needs_no_tls(tmp_path) -> None:
    assert loaded(tmp_path, OIDC.replace("https://login.example.com", "http://127.0.0.1:9999")).auth.oidc is not None
