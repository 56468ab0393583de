"""The sections for monitoring and probes: what they take, and what they say of what they do not."""

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
