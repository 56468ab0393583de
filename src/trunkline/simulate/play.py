"""Sends an answer to the client as its fate wants it: at its pace, whole or broken.

In: a `Peer`, headers, the answer's bytes, a `Fate`. Out: the outcome, in the journal's words.
"""

import asyncio
from collections.abc import Sequence

from trunkline.simulate.directives import Fault
from trunkline.simulate.pace import Fate
from trunkline.simulate.peer import Peer
from trunkline.simulate.wire import Events

Headers = Sequence[tuple[bytes, bytes]]


async def play_stream(peer: Peer, headers: Headers, events: Events, fate: Fate, gap_s: float) -> str:
    """A stream of server-sent events. A fault before the head comes before any byte."""
    fault = fate.fault
    if fault and fault.after < 0 and fault.kind != "error":
        return await break_off(peer, fault)
    await peer.start(200, headers)
    pieces = broken(events.pieces) if fate.malformed else events.pieces
    if fault:
        pieces = pieces[: max(0, fault.after)]
    if not await play_pieces(peer, events.opening, pieces, gap_s):
        return "left"
    if fault:
        return await break_off(peer, fault, events.error(len(pieces)))
    await peer.write(events.closing, more=False)
    return "answered"


async def play_pieces(peer: Peer, opening: bytes, pieces: Sequence[bytes], gap_s: float) -> bool:
    """Sends the opening with the first piece, then one piece a gap, late ones together. False if the client left."""
    if gap_s <= 0 or len(pieces) < 2:
        await peer.write(opening + b"".join(pieces), more=True)
        return True
    await peer.write(opening + pieces[0], more=True)
    loop = asyncio.get_running_loop()
    start = loop.time()
    sent = 1
    while sent < len(pieces):
        if not await peer.waited(max(0.0, start + sent * gap_s - loop.time())):
            return False
        ready = min(len(pieces), due(loop.time() - start, gap_s))
        await peer.write(b"".join(pieces[sent:ready]), more=True)
        sent = max(sent, ready)
    return True


def due(elapsed_s: float, gap_s: float) -> int:
    """How many pieces should be out by now: one at the start and one each gap, a timer's rounding forgiven."""
    return 1 + int(elapsed_s / gap_s + 1e-6)


async def play_body(peer: Peer, headers: Headers, body: bytes, fate: Fate) -> str:
    """A body in one piece. Broken: before the head, or after half the bytes that were announced."""
    if fate.malformed:
        body = body[: len(body) * 2 // 3]
    fault = fate.fault
    if fault and fault.after < 0:
        return await break_off(peer, fault)
    await peer.start(200, [*headers, (b"content-length", b"%d" % len(body))])
    await peer.write(body[: len(body) // 2] if fault else body, more=fault is not None)
    return await break_off(peer, fault) if fault else "answered"


async def break_off(peer: Peer, fault: Fault, error: bytes = b"") -> str:
    if fault.kind == "error":
        await peer.write(error, more=False)
        return "error"
    if fault.kind == "reset":
        await peer.reset()
        return "reset"
    if fault.kind == "cut":
        await peer.close()
        return "cut"
    await peer.left()
    return "stalled"


def broken(pieces: Sequence[bytes]) -> Sequence[bytes]:
    """The pieces with one event in the middle whose JSON stops short."""
    told = [position for position, piece in enumerate(pieces) if piece]
    if not told:
        return pieces
    middle = told[len(told) // 2]
    return [*pieces[:middle], stopping_short(pieces[middle]), *pieces[middle + 1 :]]


def stopping_short(events: bytes) -> bytes:
    """The last of these events without its last third."""
    last = events.rstrip(b"\r\n")
    end = events[len(last) :] or b"\n\n"
    begin = max(last.rfind(b"\n\n"), last.rfind(b"\r\n\r\n"), 0)
    return last[: begin + (len(last) - begin) * 2 // 3] + end
