"""Passwords of people. In: what somebody typed. Out: a hash to keep, or whether it fits one. A hash takes some 100 ms and 64 MiB: not for an event loop.

Argon2id with the second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes (https://www.rfc-editor.org/rfc/rfc9106#section-4). A rule of length
and no rule of composition (https://pages.nist.gov/800-63-4/sp800-63b.html#passwordver).
"""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

LEAST_CHARS = 12
MOST_CHARS = 256
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$dHJ1bmtsaW5lLW5vYm9keQ$kTmcpN0sZ3D0y7jFPYg0o3Hb8e2ocxkQ3r0xg2sLT3w"
"""Fits no password that anybody knows: compared with where an address is nobody's, so that this takes as long."""


def fault_of(password: str) -> str:
    """What is wrong with a new password, in words; empty where nothing is."""
    if len(password) < LEAST_CHARS:
        return f"A password has at least {LEAST_CHARS} characters; a sentence is a good one."
    if len(password) > MOST_CHARS:
        return f"A password has at most {MOST_CHARS} characters."
    if len(set(password)) < 4:
        return "A password of so few different characters is guessed at once."
    return ""


def hash_password(password: str) -> str:
    """In argon2's own format, with its parameters and a salt of its own."""
    return _hasher().hash(password.encode("utf-8", "surrogatepass"))


def fits(hashed: str, password: str) -> bool:
    """Whether it is the password. False for a hash that is none."""
    try:
        return _hasher().verify(hashed, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(hashed: str) -> bool:
    """Whether it was made with other parameters than today's: to be made anew when the password is next known."""
    return _hasher().check_needs_rehash(hashed)


def _hasher() -> PasswordHasher:
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
