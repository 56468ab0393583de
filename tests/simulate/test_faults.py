"""Answers that break, each in its own way, by directive and by rate."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import AZURE, OPENAI, Post
from trunkline.simulate.config import Behaviour
from trunkline.simulate.directives import NO_SCRIPT, read_script
from trunkline.simulate.pace import Fate, fate, gap_s
from trunkline.simulate.play import due
from trunkline.simulate.spread import Spread


class Rigged:
    """Stands in for `random.Random` at its edge: each draw is given."""

    def __init__(self, draw: float) -> None:
        self.draw = draw

    def random(self) -> float:
        return self.draw

    def randint(self, low: int, _high: int) -> int:
        return low + 3

    def betavariate(self, _alpha: float, _beta: float) -> float:
        return self.draw


def raw_request(message: str, *, stream: bool = True) -> bytes:
    body = json.dumps({"model": "gpt-4.1", "stream": stream, "messages": [{"role": "user", "content": message}]})
    head = f"POST {OPENAI} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body.encode()


@pytest.fixture
def line(simulated: SimulatedProvider) -> Any:
    """A bare connection to the server."""
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=10) as made:
        yield made


def read_all(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(("status", "path"), [(429, OPENAI), (503, OPENAI), (500, AZURE), (429, AZURE), (418, OPENAI)])
def test_a_scripted_failure_happens_so_many_times_and_then_no_more(post: Post, status: int, path: str) -> None:
    message = f"<<fail {status} 2>> <<say well>>"
    assert [post(message, path=path).status for _ in range(3)] == [status, status, 200]


def test_a_429_says_when_to_come_back(post: Post) -> None:
    headers = post("<<fail 429 1 2.5>>").headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("3", "2500")
    assert headers.get_all("x-ratelimit-remaining-requests") == ["0"]


def test_a_500_says_nothing_of_the_kind(post: Post) -> None:
    assert "retry-after" not in post("<<fail 500 1>>").headers


def test_error_bodies_have_each_vendors_shape(post: Post) -> None:
    assert post("<<fail 429 1>>").json["error"]["code"] == "rate_limit_exceeded"
    assert set(post("<<fail 500 1>>").json["error"]) == {"message", "type", "param", "code"}
    assert post("<<fail 429 1>>", path=AZURE).json["error"]["code"] == "429"
    assert set(post("<<fail 500 1>>", path=AZURE).json["error"]) == {"code", "message"}


def test_a_directive_can_be_meant_for_one_provider(post: Post) -> None:
    message = "<<@azure fail 500 9>> <<@other fail 500 9>> <<say well>>"
    assert post(message, path=AZURE).status == 500
    assert post(message, path=OPENAI).status == 200


def test_a_cut_stream_ends_without_its_last_chunk(post: Post, line: socket.socket) -> None:
    line.sendall(raw_request("<<say a b c>><<cut 2>>"))
    received = read_all(line)
    assert b'"[simulated]"' in received
    assert b'" a"' in received
    assert b'" b"' not in received
    assert not received.endswith(b"0\r\n\r\n")


def test_a_cut_before_the_head_sends_nothing(line: socket.socket) -> None:
    line.sendall(raw_request("<<cut>>"))
    assert read_all(line) == b""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("when", ["", "2"])
def test_a_reset_is_a_real_one(line: socket.socket, when: str, stream: bool) -> None:
    line.sendall(raw_request(f"<<reset {when}>>", stream=stream))
    with pytest.raises(ConnectionResetError):
        read_all(line)


def test_a_body_in_one_piece_is_cut_short_of_its_announced_length(post: Post) -> None:
    with pytest.raises(http.client.IncompleteRead):
        post("<<cut 1>>")


def test_a_stall_keeps_the_connection_open_and_notices_when_the_client_leaves(
    simulated: SimulatedProvider, line: socket.socket
) -> None:
    line.sendall(raw_request("<<say a b c>><<stall 1>>"))
    received = b""
    while b'"[simulated]"' not in received:
        received += line.recv(65536)
    assert simulated.log()[0]["outcome"] == "open"
    line.shutdown(socket.SHUT_WR)
    assert b'" a"' not in read_all(line)
    simulated.idle()
    assert simulated.log()[0]["outcome"] == "stalled"


def test_an_error_in_the_middle_of_a_stream_is_its_last_event(post: Post) -> None:
    answer = post("<<say a b>><<errmid 1>>", stream=True)
    assert answer.chunks[-1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in answer.body
    assert b'" a"' not in answer.body


def test_an_error_in_the_middle_of_a_plain_answer_is_a_500(post: Post) -> None:
    assert post("<<errmid 1>>").status == 500


def test_malformed_answers_are_no_json(post: Post) -> None:
    with pytest.raises(json.JSONDecodeError):
        _ = post("<<malformed>>").json
    answer = post("<<malformed>>", stream=True)
    assert answer.body.endswith(b"[DONE]\n\n")
    with pytest.raises(json.JSONDecodeError):
        _ = answer.chunks


def test_the_content_type_can_be_missing_or_wrong(post: Post) -> None:
    assert post("<<notype>>").headers["content-type"] is None
    assert post("<<notype text/html>>", stream=True).headers["content-type"] == "text/html"


def test_an_empty_answer_has_no_text_and_no_output_tokens(post: Post) -> None:
    answer = post("<<empty>>").json
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["usage"]["completion_tokens"] == 0
    assert post("<<empty body>>").body == b""


def test_usage_can_be_left_out(post: Post) -> None:
    assert "usage" not in post("<<nousage>>").json
    chunks = post("<<nousage>>", stream=True, stream_options={"include_usage": True}).chunks
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


def test_a_number_of_tokens_can_be_asked_for(post: Post) -> None:
    assert len(post("<<tokens 200>>", stream=True).chunks) == 202


def test_paced_answers_are_the_same_as_unpaced_ones(post: Post) -> None:
    def texts(message: str) -> list[str]:
        chunks = post(message, stream=True).chunks
        return [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]

    assert texts("<<say a b c d e>><<slow 1>>") == texts("<<say a b c d e>>")
    assert texts("<<tokens 50 20000>>") == texts("<<tokens 50>>")


@pytest.mark.parametrize(("elapsed_s", "pieces"), [(0, 1), (0.09, 1), (0.1, 2), (0.25, 3), (1.0, 11)])
def test_one_piece_is_due_at_the_start_and_one_each_gap(elapsed_s: float, pieces: int) -> None:
    assert due(elapsed_s, 0.1) == pieces


def test_a_paced_stream_stops_when_the_client_leaves(simulated: SimulatedProvider, line: socket.socket) -> None:
    line.sendall(raw_request("<<tokens 100000>><<slow 5>>"))
    line.recv(10)
    line.shutdown(socket.SHUT_WR)
    read_all(line)
    simulated.idle()
    assert simulated.log()[0]["outcome"] == "left"


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(0.05, (429, None)), (0.15, (500, None)), (0.25, (200, "reset")), (0.35, (200, "cut")), (0.45, (200, None))],
)
def test_rates_share_out_what_goes_wrong(draw: float, expected: tuple[int, str | None]) -> None:
    behaviour = Behaviour(error_rates={429: 0.1, 500: 0.1}, reset_rate=0.1, cut_rate=0.1)
    met = fate(behaviour, NO_SCRIPT, Rigged(draw))  # type: ignore[arg-type]
    assert (met.status, met.fault.kind if met.fault else None) == expected


def test_a_script_wins_over_the_rates() -> None:
    met = fate(Behaviour(cut_rate=1, ttft_ms=Spread(5, 5, 5)), read_script("<<stall 4>><<wait 7>>", "x"), Rigged(0))  # type: ignore[arg-type]
    assert met.fault is not None
    assert (met.fault.kind, met.fault.after, met.first_s) == ("stall", 4, 0.007)


def test_waits_are_drawn_and_divided_by_the_speed() -> None:
    behaviour = Behaviour(ttft_ms=Spread(1000, 3000, 1500), tokens_per_s=Spread(10, 50, 20), speed=20)
    met = fate(behaviour, NO_SCRIPT, Rigged(0.5))  # type: ignore[arg-type]
    assert met.first_s == pytest.approx(3**0.5 / 20)  # Half way between 1 s and 3 s, by logarithms.
    assert met.tokens_per_s == pytest.approx(500**0.5 * 20)


def test_a_meter_at_the_other_end_measures_the_drawn_throughput() -> None:
    gap = gap_s(Fate(tokens_per_s=50.0), pieces=11, tokens=200)
    first_to_last_s = gap * 10
    assert 200 / first_to_last_s == pytest.approx(50.0)


def test_rates_can_be_set_while_it_runs(post: Post, simulated: SimulatedProvider) -> None:
    simulated.behaviour("openai-sim", error_rates={"503": 1}, retry_after_s=4)
    answer = post("hi")
    assert (answer.status, answer.headers["retry-after"]) == (503, "4")
    simulated.reset()
    assert post("hi").status == 200
