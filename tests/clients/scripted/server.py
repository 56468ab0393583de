"""The scripted model as a provider of all four protocols, in a thread of the test process. Out: `ScriptedModel`, its base addresses.

It answers only requests with the operator's key, so that a client's own key that got through would fail every test.
"""

import asyncio
import socket
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.clients.scripted import chat, gemini, messages, responses
from tests.clients.scripted.plan import Conversation, Plan, count, plan
from tests.clients.scripted.words import Cut

ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
GEMINI_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
OBJECTIONS = {"messages": messages.objection, "gemini": gemini.objection}
OPENAI_ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}

Whole = Callable[[Conversation, Plan], dict[str, Any]]
Events = Callable[[Conversation, Plan], Iterator[str]]


class ScriptedModel:
    """Lives until `stop`: a server, and how often each scripted failure was played."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._failed: Counter[str] = Counter()
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = listener.getsockname()[1]
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/responses", self._responses, methods=["POST"]),
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
            Route("/v1beta/models/{model}:{operation}", self._gemini, methods=["POST"]),
        ]
        # Its log would show every cut stream as an error.
        config = uvicorn.Config(Starlette(routes=routes), log_config=None, access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    @property
    def bases(self) -> dict[str, str]:
        """The base address for each protocol, as a gateway's configuration names them."""
        root = f"http://127.0.0.1:{self.port}"
        openai = dict.fromkeys(("openai.chat", "openai.responses"), f"{root}/v1")
        return openai | dict.fromkeys(("anthropic.messages", "gemini"), root)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    async def _chat(self, request: Request) -> Response:
        return self._answer(request, chat.read(await request.json()), chat.whole, chat.events)

    async def _responses(self, request: Request) -> Response:
        return self._answer(request, responses.read(await request.json()), responses.whole, responses.events)

    async def _messages(self, request: Request) -> Response:
        return self._answer(request, messages.read(await request.json()), messages.whole, messages.events)

    async def _count_tokens(self, request: Request) -> Response:
        return JSONResponse({"input_tokens": count(messages.read(await request.json()))})

    async def _gemini(self, request: Request) -> Response:
        operation = request.path_params["operation"]
        body = await request.json()
        if operation == "countTokens":
            body = body.get("generateContentRequest") or body
            return JSONResponse({"totalTokens": count(gemini.read(body, "", stream=False))})
        talk = gemini.read(body, request.path_params["model"], stream=operation == "streamGenerateContent")
        return self._answer(request, talk, gemini.whole, gemini.events)

    def _answer(self, request: Request, talk: Conversation, whole: Whole, events: Events) -> Response:
        if _key(request, talk.protocol) != self._key:
            return _error(talk.protocol, 401, "this is not the operator's key")
        refusal = OBJECTIONS[talk.protocol](talk.raw) if talk.protocol in OBJECTIONS else None
        if refusal is not None:
            return _error(talk.protocol, 400, refusal)
        made = plan(talk, self._failed)
        if made.fail is not None:
            status, after = made.fail
            return _error(talk.protocol, status, f"scripted failure {status}", after)
        if talk.stream:
            return StreamingResponse(_cutting(events(talk, made)), media_type="text/event-stream")
        return JSONResponse(whole(talk, made))


async def _cutting(events: Iterator[str]) -> AsyncIterator[str]:
    """The events, each a packet of its own, up to where the script cuts the connection."""
    try:
        for event in events:
            yield event
            await asyncio.sleep(0)
    except Cut:
        # The server closes a connection whose answer failed.
        raise ConnectionError("cut off, as the script says") from None


def _key(request: Request, protocol: str) -> str | None:
    """The key where this protocol has it, and only there."""
    name = {"messages": "x-api-key", "gemini": "x-goog-api-key"}.get(protocol, "authorization")
    sent = request.headers.get(name)
    return sent.removeprefix("Bearer ") if sent and name == "authorization" else sent


def _error(protocol: str, status: int, message: str, after: str | None = None) -> Response:
    """An error in the protocol's own shape."""
    headers = {"x-request-id": f"req_{uuid.uuid4().hex[:16]}"} | ({"retry-after": after} if after else {})
    body: dict[str, Any]
    if protocol == "messages":
        body = {"type": "error", "error": {"type": ANTHROPIC_ERRORS.get(status, "api_error"), "message": message}}
    elif protocol == "gemini":
        body = {"error": {"code": status, "message": message, "status": GEMINI_ERRORS.get(status, "INTERNAL")}}
    else:
        kind = OPENAI_ERRORS.get(status, "server_error")
        body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return JSONResponse(body, status, headers)
