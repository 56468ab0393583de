"""Stored responses: GET, DELETE and their input items. In: a request below `/responses`, and the key that asks. Out: JSON; 404 for what is another key's.

https://developers.openai.com/api/reference/resources/responses
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any, Literal, cast
from urllib.parse import parse_qs, unquote

from trunkline.api.call import Call
from trunkline.errors import AccessDenied, InvalidParams, NotFound, RequestError
from trunkline.execution.conversations import Conversations, input_items
from trunkline.execution.respond import JSON_HEADERS, Reply
from trunkline.protocols.openai_responses import stored

AnswerError = Callable[[Reply, RequestError], None]

_PATH = re.compile(rb"(?:/api)?/v1/responses(?:/(?P<id>[^/]+)(?P<rest>/[^/]+)?)?/?")
_MAX_BODY_BYTES = 64 * 1024
"""Clients send none, or `{}`."""
_DEFAULT_LIMIT = 20


class StoredResponses:
    """Answers about stored responses. Lives as long as the process."""

    def __init__(self, conversations: Conversations, answer_error: AnswerError) -> None:
        self._conversations = conversations
        self._answer_error = answer_error
        self._answers: dict[tuple[str, bytes], _Answer] = {
            ("GET", b""): self._get,
            ("HEAD", b""): self._get,
            ("DELETE", b""): self._delete,
            ("GET", b"/input_items"): self._list,
            ("HEAD", b"/input_items"): self._list,
            ("POST", b"/cancel"): self._cancel,
        }

    def handler(self, method: str, target: bytes) -> "Callable[[Call, Reply, str], _Asking] | None":
        """Who answers `call, reply, key_id`, as a `Handler`; None where the path is not of a stored response, or the method none of its."""
        found = _PATH.fullmatch(target.partition(b"?")[0])
        if found is None:
            return None
        if found["id"] is None:
            return self._made(self._refuse_socket, "") if method == "GET" else None
        answer = self._answers.get((method, found["rest"] or b""))
        return self._made(answer, unquote(found["id"].decode("latin-1"))) if answer else None

    def _made(self, answer: "_Answer", response_id: str) -> "Callable[[Call, Reply, str], _Asking]":
        def make(call: Call, reply: Reply, key_id: str) -> _Asking:
            return _Asking(lambda: answer(call, response_id, key_id), reply, self._answer_error)

        return make

    async def _get(self, call: Call, response_id: str, key_id: str) -> bytes:
        if _query(call, "stream") == "true":
            raise InvalidParams("A stored response cannot be streamed again; ask without `stream`.", param="stream")
        return bytes((await self._conversations.response(response_id, key_id)).response)

    async def _delete(self, call: Call, response_id: str, key_id: str) -> bytes:
        del call
        await self._conversations.delete(response_id, key_id)
        return stored.deleted(response_id)

    async def _list(self, call: Call, response_id: str, key_id: str) -> bytes:
        limit, order = _query(call, "limit") or str(_DEFAULT_LIMIT), _query(call, "order") or "desc"
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3):
            raise InvalidParams("`limit` must be a number between 1 and 100.", param="limit")
        if order not in ("asc", "desc"):
            raise InvalidParams("`order` must be `asc` or `desc`.", param="order")
        items = input_items(await self._conversations.response(response_id, key_id))
        order = cast('Literal["asc", "desc"]', order)
        return stored.input_page(items, limit=int(limit), after=_query(call, "after"), order=order)

    async def _cancel(self, call: Call, response_id: str, key_id: str) -> bytes:
        del call
        await self._conversations.response(response_id, key_id)
        raise InvalidParams(
            "Only a response that runs in the background can be cancelled, and none does here: close the connection to end an answer."
        )

    async def _refuse_socket(self, call: Call, response_id: str, key_id: str) -> bytes:
        del response_id, key_id
        if any(name == b"upgrade" for name, _ in call.headers):
            # Codex asks so where it was told that sockets are served, and goes on with POST.
            raise AccessDenied("Responses are not served over WebSocket; use POST.")
        raise NotFound("Stored responses are not listed; GET /responses/{id} gives one.")


_Answer = Callable[[Call, str, str], Coroutine[Any, Any, bytes]]


class _Asking:
    """One request about a stored response: a `Handler`."""

    max_body_bytes = _MAX_BODY_BYTES

    def __init__(
        self, answer: Callable[[], Coroutine[Any, Any, bytes]], reply: Reply, answer_error: AnswerError
    ) -> None:
        self._answer = answer
        self._reply = reply
        self._answer_error = answer_error

    async def run(self, body: bytes) -> None:
        del body
        try:
            self._reply.whole(200, JSON_HEADERS, await self._answer())
        except RequestError as error:
            self._answer_error(self._reply, error)

    def refuse(self, error: RequestError) -> None:
        self._answer_error(self._reply, error)

    def left(self) -> None:
        """Nothing is under way before the body is whole."""


def _query(call: Call, name: str) -> str:
    return parse_qs(call.query.decode("latin-1")).get(name, [""])[-1]
