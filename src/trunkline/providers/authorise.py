"""Requests of accounts that have a credential instead of a key: a token of Google's goes with them, or AWS's signature. In: endpoint, body. Out: headers."""

import datetime
from collections.abc import Callable

from trunkline.execution.transport.request_head import authority
from trunkline.providers.accounts import Account, Endpoint
from trunkline.providers.google_tokens import GoogleCredential, GoogleTokens
from trunkline.providers.sigv4 import sign

Headers = tuple[tuple[bytes, bytes], ...]


async def authorised(
    account: Account,
    where: Endpoint,
    headers: Headers,
    body: bytes,
    *,
    tokens: GoogleTokens,
    unix_s: Callable[[], float],
) -> Headers:
    """`headers`, complete but for these, with what proves who asks. Nothing may change them or the body afterwards. Raises TransportError."""
    credential = account.credential
    if credential is None:
        return headers
    if isinstance(credential, GoogleCredential):
        token = await tokens.token(credential)
        return (*headers, (b"authorization", b"Bearer " + token.encode("ascii")))
    return sign(
        credential,
        method="POST",
        host=authority(where.origin),
        target=where.target.decode("ascii"),
        headers=headers,
        body=body,
        region=account.region,
        # https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html
        service="bedrock-mantle" if where.origin.host.startswith("bedrock-mantle.") else "bedrock",
        now=datetime.datetime.fromtimestamp(unix_s(), datetime.UTC).strftime("%Y%m%dT%H%M%SZ"),
    )
