"""Encrypts what is kept. In: `Kept`, and the secrets file's pepper. Out: bytes for the store that are of use in their own row only, and back.

AES-256-GCM with a key per row, HMAC-SHA256 of the row's kind, key and key id under a key derived from the pepper; the same three are the associated
data. So no row can take another's place, and the random nonces never come near GCM's limit of messages under one key
(https://csrc.nist.gov/pubs/sp/800/38/d/final, section 8.3).
"""

import hmac
import os
import zlib
from collections.abc import Callable

import msgspec

from trunkline.errors import StoreError
from trunkline.records.types import Kept

_LABEL = b"kept"
_NONCE_BYTES = 12
_AS_IT_IS, _DEFLATED = b"\x01", b"\x02"
_WORTH_DEFLATING_BYTES = 512


class Cipher:
    """Lives as long as the process; for any thread. `cryptography` is loaded at the first use: its import takes longer than the rest of a start."""

    def __init__(self, pepper: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._secret = hmac.digest(pepper, _LABEL, "sha256")
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return "Cipher(...)"

    def seal(self, kept: Kept) -> bytes:
        """Its data, compressed where that pays, encrypted: one byte for the form, the nonce, the ciphertext with its tag."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        form, plain = _packed(kept.data)
        place = _place(kept)
        nonce = self._random_bytes(_NONCE_BYTES)
        return form + nonce + AESGCM(self._row_key(place)).encrypt(nonce, plain, form + place)

    def open(self, sealed: Kept) -> Kept:
        """The same with its data readable. StoreError where it was changed, or the secrets file is another one."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        place, data = _place(sealed), sealed.data
        form, nonce, text = data[:1], data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :]
        try:
            plain = AESGCM(self._row_key(place)).decrypt(nonce, text, form + place)
        except (InvalidTag, ValueError) as error:
            # The key is no secret of its caller's; the data is not told.
            why = f"what is kept under {sealed.key} cannot be decrypted: it was changed, or the secrets file is not the one of this store"
            raise StoreError(why) from error
        return msgspec.structs.replace(sealed, data=zlib.decompress(plain) if form == _DEFLATED else plain)

    def _row_key(self, place: bytes) -> bytes:
        return hmac.digest(self._secret, place, "sha256")


def _packed(data: bytes) -> tuple[bytes, bytes]:
    # Conversations are text, and each of their responses holds all that went before it.
    if len(data) < _WORTH_DEFLATING_BYTES:
        return _AS_IT_IS, data
    deflated = zlib.compress(data, 1)
    return (_DEFLATED, deflated) if len(deflated) < len(data) else (_AS_IT_IS, data)


def _place(kept: Kept) -> bytes:
    return msgspec.json.encode((kept.kind, kept.key, kept.key_id))
