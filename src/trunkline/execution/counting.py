"""How many tokens a prompt has.

In: a request for counting. Out: the number in the same protocol's shape, from the provider where it counts, else estimated.

Counting is free at the providers, so it leaves no record: https://platform.claude.com/docs/en/build-with-claude/token-counting, https://ai.google.dev/api/tokens.
"""

import importlib
from typing import Any

import msgspec

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.catalog.types import PARAMETERS, Deadlines, Model, Offer
from trunkline.errors import ConfigError, InvalidParams, TransportError
from trunkline.execution.asked import Door
from trunkline.execution.bill import CHARACTERS_PER_TOKEN
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.planning import offers_of
from trunkline.execution.upstream import upstream_request
from trunkline.execution.ways import Sent
from trunkline.ir.request import Request
from trunkline.protocols.codec import GEMINI, MESSAGES, RESPONSES, RequestContext, UpstreamBody
from trunkline.protocols.facts import facts_of
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.providers.accounts import endpoint
from trunkline.providers.targets import target

_MODULES = {
    MESSAGES: "trunkline.protocols.anthropic_messages.count",
    GEMINI: "trunkline.protocols.gemini.count",
    RESPONSES: "trunkline.protocols.openai_responses.count",
}
"""Each with `read_count_request`, `write_count_request`, `read_count`, `write_count`."""
_MAX_ANSWER_BYTES = 64 * 1024
COUNT_DEADLINES = Deadlines(connect_s=5.0, first_event_s=10.0, idle_s=10.0, total_s=10.0)


class Counted(msgspec.Struct, frozen=True):
    body: bytes
    estimated: bool


async def count(
    gateway: Gateway, snapshot: Snapshot, door: Door, body: bytes, request_id: str, rules: KeyRules = NO_RULES
) -> Counted:
    """Raises a `RequestError` for a body that cannot be read, or a model that there is not."""
    own = _module(door.protocol)
    context = RequestContext(
        request_id=request_id, secret=gateway.vault.secret, path_model=door.path_model, headers=door.headers
    )
    request: Request = own.read_count_request(body, context)
    model, offers = offers_of(snapshot, request.model, gateway.clock.today(), rules)
    for offer in offers:
        for protocol in (MESSAGES, GEMINI):
            if protocol in offer.protocols and protocol in snapshot.account(offer.provider).base_urls:
                total = await _asked(gateway, snapshot, model, offer, protocol, request, request_id)
                if total is not None:
                    return Counted(own.write_count(total), estimated=False)
    estimate = -(-facts_of(request, PARAMETERS).prompt_bytes // CHARACTERS_PER_TOKEN)
    return Counted(own.write_count(estimate), estimated=True)


async def _asked(
    gateway: Gateway, snapshot: Snapshot, model: Model, offer: Offer, protocol: str, request: Request, request_id: str
) -> int | None:
    """The provider's count; None where it gives none."""
    account, module = snapshot.account(offer.provider), _module(protocol)
    try:
        told = target(account, offer, model, protocol, stream=False, request_id=request_id)
        sent: UpstreamBody = module.write_count_request(request, told)
        where = endpoint(account, offer, protocol, gateway.keys.take(account).secret, count=True)
        made = await upstream_request(
            gateway, account, where, Sent(sent.body, sent.headers), COUNT_DEADLINES, stream=False
        )
        response = await gateway.transport(account).send(made)
        try:
            answer = await response.read(_MAX_ANSWER_BYTES)
        finally:
            response.abort()
        total: int | None = module.read_count(answer) if response.status == 200 else None
    except (TransportError, ConfigError, InvalidParams, *UNREADABLE):
        return None
    return total


def _module(protocol: str) -> Any:
    return importlib.import_module(_MODULES[protocol])
