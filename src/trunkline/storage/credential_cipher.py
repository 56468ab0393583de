"""Encrypts the keys of providers that are kept in the store. In: a `StoredCredential`, its secret, the secrets file's pepper. Out: bytes for its row, and back.

AES-256-GCM with a key of its own for each row. Associated data: the credential's id, whose it is, its provider, and which pepper sealed it. So what is
in one row is of use in no other, nor after its owner was changed in the store.
"""

import hmac
import os
from collections.abc import Callable, Iterable

import msgspec

from trunkline.accounts.stored_keys import StoredKey
from trunkline.accounts.types import StoredCredential
from trunkline.errors import StoreError

_LABEL = b"provider credentials"
_VERSION = b"\x01"
_PEPPER_ID_BYTES = 4
_NONCE_BYTES = 12


class SealedCredential(msgspec.Struct, frozen=True):
    """As it is in the store."""

    credential: StoredCredential
    sealed: bytes

    def __repr__(self) -> str:
        return f"SealedCredential({self.credential.id})"


class CredentialCipher:
    """Lives as long as the process; for any thread. `cryptography` is loaded at the first use, which most installations never come to."""

    def __init__(self, pepper: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._secret = hmac.digest(pepper, _LABEL, "sha256")
        self._pepper_id = hmac.digest(self._secret, b"id", "sha256")[:_PEPPER_ID_BYTES]
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return "CredentialCipher(...)"

    def seal(self, credential: StoredCredential, secret: str) -> bytes:
        """One byte for the form, four that name the pepper, the nonce, the ciphertext with its tag."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        place, nonce = self._place(credential), self._random_bytes(_NONCE_BYTES)
        text = AESGCM(self._row_key(place)).encrypt(nonce, secret.encode(), place)
        return _VERSION + self._pepper_id + nonce + text

    def open(self, credential: StoredCredential, sealed: bytes) -> str:
        """The secret. StoreError where the row was changed, or the secrets file is another one; the error says which credential, not what it is."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, pepper_id, rest = sealed[:1], sealed[1 : 1 + _PEPPER_ID_BYTES], sealed[1 + _PEPPER_ID_BYTES :]
        what = f"the stored key {credential.id} of {credential.provider} cannot be decrypted"
        if version != _VERSION or pepper_id != self._pepper_id:
            raise StoreError(f"{what}: the secrets file is not the one that it was stored with; store it anew")
        place = self._place(credential)
        try:
            return AESGCM(self._row_key(place)).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], place).decode()
        except (InvalidTag, ValueError) as error:
            raise StoreError(f"{what}: its row was changed; store it anew") from error

    def keys(self, found: Iterable[SealedCredential]) -> tuple[list[StoredKey], list[str]]:
        """Those that can be opened, and what is wrong with the others."""
        keys, faults = [], []
        for one in found:
            try:
                secret = self.open(one.credential, one.sealed)
            except StoreError as error:
                faults.append(str(error))
                continue
            keys.append(StoredKey(one.credential.provider, secret, one.credential.org_id, one.credential.member_id))
        return keys, faults

    def _place(self, credential: StoredCredential) -> bytes:
        whose = (credential.id, credential.org_id, credential.member_id, credential.provider, self._pepper_id.hex())
        return msgspec.json.encode(whose)

    def _row_key(self, place: bytes) -> bytes:
        return hmac.digest(self._secret, place, "sha256")
