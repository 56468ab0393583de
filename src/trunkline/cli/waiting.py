"""Waits for a store that is away at the start, however long. In: what is to be done with it, the sockets that callers come to. Out: what came of it.

Meanwhile callers are told: `/healthz` is 200, everything else 503 with why. After a loss of power everything may come up in any order.
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from trunkline.errors import StoreAway

LOOK_S = 1.0
_READ_WITHIN_S = 1.0
_HEAD_BYTES = 16_384
_WORDS = "This gateway waits for its store and takes no requests yet; see its log."
_ALIVE = b'{"status":"ok"}'
_NOT_YET = (
    b'{"ready":false,"store":{"last_error":"%b"},"error":{"message":"%b","type":"overloaded","param":null,"code":"503"}}'
    % (b"the store is away; see the log", _WORDS.encode())
)
Done = TypeVar("Done")


def once_it_is_there(
    work: Callable[[], Done], listeners: Sequence[socket.socket], log: Any, *, look_s: float = LOOK_S
) -> Done:
    """Do it, again and again while the store is away. What else goes wrong is raised."""
    try:
        return work()
    except StoreAway as error:
        told = str(error)
    log.warning("waits for its store", error=told)
    with _answering(listeners):
        while True:
            time.sleep(look_s)
            try:
                done = work()
            except StoreAway as error:
                if told != str(error):
                    told = str(error)
                    log.warning("waits for its store", error=told)
            else:
                log.info("the store is there")
                return done


@contextlib.contextmanager
def _answering(listeners: Sequence[socket.socket]) -> Iterator[None]:
    """A thread that answers whoever comes, one after the other."""
    ends, ended = socket.socketpair()
    for listener in listeners:
        # Another process may take a caller first. They stay so: event loops have them no other way.
        listener.setblocking(False)
    thread = threading.Thread(target=_answer_all, args=(listeners, ended), name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.close()
        thread.join()
        ended.close()


def _answer_all(listeners: Sequence[socket.socket], ended: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([ended, *listeners], [], [])
        if ended in ready:
            return
        for listener in ready:
            with contextlib.suppress(OSError):
                _answer(listener.accept()[0])


def _answer(caller: socket.socket) -> None:
    with caller:
        caller.settimeout(_READ_WITHIN_S)
        head = caller.recv(_HEAD_BYTES)
        is_alive = head.startswith((b"GET /healthz ", b"HEAD /healthz "))
        status, body = (b"200 OK", _ALIVE) if is_alive else (b"503 Service Unavailable", _NOT_YET)
        caller.sendall(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nretry-after: 2\r\nconnection: close\r\n\r\n"
            % (status, len(body))
            + (b"" if head.startswith(b"HEAD ") else body)
        )
        # What the caller sends on must be read, or closing would take the answer back: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
        caller.shutdown(socket.SHUT_WR)
        while caller.recv(_HEAD_BYTES):
            pass
