"""An attempt that was sent on the short way (`plain`), for `run` to go on with."""

from typing import TYPE_CHECKING

import msgspec

from trunkline.execution.keys import Key
from trunkline.execution.transport.exchange import Exchange as Response
from trunkline.records.types import Attempt
from trunkline.routing.health import Sample
from trunkline.routing.types import Plan

if TYPE_CHECKING:
    from trunkline.execution.exchange import Exchange
    from trunkline.execution.gateway import Gateway


class Begun(msgspec.Struct, frozen=True):
    """Lives as long as its attempt. `started_at` is loop time in seconds, `token` that of `Health.begin`."""

    chosen: Plan
    key: Key
    response: Response
    started_at: float
    started_ms: float
    token: int


def give_up(gateway: "Gateway", exchange: "Exchange", begun: Begun) -> None:
    """Nobody could go on with it: it ends, says nothing of its offer's health, and stands in the record."""
    begun.response.abort()
    offer, now_s = begun.chosen.steps[0].offer, gateway.clock.now_s()
    gateway.health.observe(offer.id, Sample(now_s, None, began_s=begun.started_at), begun.token)
    told = Attempt(
        offer.provider,
        offer.id,
        offer.upstream_model,
        begun.started_ms,
        begun.started_ms + (now_s - begun.started_at) * 1000,
        "internal",
        begun.response.status,
        reused_connection=begun.response.reused,
    )
    exchange.attempts.append(told)
