"""Who listens on a loopback port: on a shared machine anyone may have taken the port of a well-known server.

In: the text of /proc/net/tcp and tcp6 (https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html). Out:
user ids.
"""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

LISTEN = "0A"
FIRST_ORDINARY_UID = 1000
"""Below it are root and the users that services run as (login.defs UID_MIN)."""
NOBODY = 65534
"""Whoever is not known in this user namespace, e.g. a service outside a rootless container."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def read_tables(names: Sequence[str] = _TABLES) -> str | None:
    """The rows of listeners in the kernel's tables; None where there are none (macOS)."""
    texts = [_of_listeners(Path(name)) for name in names if Path(name).exists()]
    return "".join(texts) if texts else None


def _of_listeners(table: Path) -> str:
    """They come first, as the kernel's page says: the tens of thousands of connections that a busy machine has after them would hold requests up."""
    with table.open(encoding="ascii") as rows:
        head = next(rows, "")
        return head + "".join(itertools.takewhile(lambda row: row.split()[3] == LISTEN, rows))


def listener_uids(tables: str, port: int) -> set[int]:
    """Owners of all sockets that listen on the port at a loopback or wildcard address."""
    rows = re.findall(r"^\s*\d+: (\w+):(\w{4}) \w+:\w{4} (\w\w) \S+ \S+ \S+\s+(\d+)", tables, re.MULTILINE)
    return {
        int(uid)
        for address, hexport, state, uid in rows
        if state == LISTEN and int(hexport, 16) == port and _local(address)
    }


def stranger(uids: set[int], own_uid: int) -> int | None:
    """An owner whom we have no reason to trust; None where all are us, root or a service."""
    return next((uid for uid in sorted(uids) if uid != own_uid and uid >= FIRST_ORDINARY_UID), None)


def _local(address: str) -> bool:
    """127.0.0.0/8, ::1, a mapped 127.0.0.0/8, or a wildcard, as the kernel prints them (words in host order,
    little-endian)."""
    if len(address) == 8:
        return address == "00000000" or address.endswith("7F")
    mapped = address.startswith("0000000000000000FFFF0000") and address.endswith("7F")
    return mapped or address in ("0" * 32, "00000000000000000000000001000000")
