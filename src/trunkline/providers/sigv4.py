"""AWS Signature Version 4. In: a credential, a request, the time. Out: the headers that sign it. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

from trunkline.providers.discreet import Discreet

_UNRESERVED = "-._~"
_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsCredential(Discreet, frozen=True, kw_only=True):
    """An access key of AWS; `session_token` is of temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "access_key_id", self.access_key_id


def sign(
    credential: AwsCredential,
    *,
    method: str,
    host: str,
    target: str,
    headers: tuple[tuple[bytes, bytes], ...],
    body: bytes,
    region: str,
    service: str,
    now: str,
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers with those of the signature. `target` is path and query as sent, `host` as the transport writes it, `now` like `20261124T093000Z`.

    All given headers are signed, so none may be changed afterwards.
    """
    date = now[:8]
    scope = f"{date}/{region}/{service}/aws4_request"
    signed = {name.decode("ascii").lower(): " ".join(value.decode("ascii").split()) for name, value in headers}
    signed |= {"host": host, "x-amz-date": now}
    if credential.session_token:
        signed["x-amz-security-token"] = credential.session_token
    names = ";".join(sorted(signed))
    path, _, query = target.partition("?")
    canonical = "\n".join(
        (
            method,
            # Paths are encoded once more than they are sent, by every service but S3.
            quote(path, safe="/" + _UNRESERVED),
            _canonical_query(query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    to_sign = "\n".join((_ALGORITHM, now, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_key(credential, date, region, service), to_sign.encode(), "sha256").hex()
    authorization = (
        f"{_ALGORITHM} Credential={credential.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    more = {"x-amz-date": now, "authorization": authorization}
    if credential.session_token:
        more["x-amz-security-token"] = credential.session_token
    return (*headers, *((name.encode("ascii"), value.encode("ascii")) for name, value in more.items()))


def _canonical_query(query: str) -> str:
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in parse_qsl(query, True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _key(credential: AwsCredential, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{credential.secret_access_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
