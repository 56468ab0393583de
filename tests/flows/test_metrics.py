"""`/metrics` and traces of a running gateway: who may see them, and that they say what happened."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.collector import Collector, attributes
from tests.fakes.gateway import base_toml, eventually, model_toml, provider_toml, start_gateway
from tests.fakes.upstream import fails, says

FORWARDED = {"x-forwarded-for": "192.0.2.7"}


def samples(gateway, name: str, **labels: str) -> list[float]:
    text = gateway.get("/metrics", key="").body.decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [one.value for one in found if one.name == name and labels.items() <= one.labels.items()]


def test_on_this_machine_alone_everyone_may_see_them(gateway) -> None:
    answer = gateway.get("/metrics", key="")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"trunkline_ready 1\n" in answer.body


def test_who_comes_through_a_proxy_needs_the_master_key(gateway) -> None:
    assert gateway.get("/metrics", key="", headers=FORWARDED).status == 403
    assert gateway.get("/metrics", headers=FORWARDED).status == 200


def test_requests_and_attempts_are_counted(model) -> None:
    model.plays(fails(500), second=says("hello"))
    model.ask()
    labels = {"gen_ai_request_model": model.slug}
    eventually(lambda: samples(model.gateway, "trunkline_requests_total", outcome="ok", **labels) == [1], "the count")
    assert sorted(samples(model.gateway, "trunkline_attempts_total", **labels)) == [1, 1]
    assert samples(model.gateway, "trunkline_attempts_total", error_type="500", **labels) == [1]
    assert samples(model.gateway, "trunkline_offer_uptime_ratio", gen_ai_provider_name="first", **labels) == [0]


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()


def test_traces_are_sent_where_the_operator_wants_them_and_the_last_before_the_end(
    tmp_path, upstream, collector
) -> None:
    config = base_toml(tmp_path) + provider_toml("first", upstream.url("first")) + model_toml("acme/traced", ("first",))
    gateway = start_gateway(tmp_path, f'{config}[telemetry]\notlp_endpoint = "{collector.endpoint}"\n')
    upstream.plays("first", "acme--traced", says("hello"))
    answer = gateway.chat("acme/traced")
    assert gateway.stop() == 0, gateway.log
    roots = [attributes(span) for span in collector.spans if not span.parent_span_id]
    assert [root["trunkline.request_id"] for root in roots] == [answer.id]
