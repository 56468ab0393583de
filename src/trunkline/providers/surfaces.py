"""Surfaces of a protocol that want body or stream a little otherwise, known by the base URL. In: base URL, protocol; later a body. Out: `Surface`; the body.

* Claude on Vertex AI: the model is in the path, the version in the body.
* Claude by Bedrock's InvokeModel: the same, whether to stream is in the path, betas are in the body, and a stream comes in AWS's own frames.
* Bedrock's Converse: a stream comes in AWS's own frames.
"""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from trunkline.protocols.codec import CONVERSE, MESSAGES
from trunkline.protocols.rawjson import join, raw, split
from trunkline.providers.urls import BEDROCK_INVOKE, VERTEX_CLAUDE

Headers = tuple[tuple[bytes, bytes], ...]


class Surface(msgspec.Struct, frozen=True):
    """What differs. The plain one changes nothing."""

    version: str = ""
    """Goes into the body as `anthropic_version`; `model` is taken out."""
    says_stream: bool = True
    betas_in_body: bool = False
    framing: Literal["sse", "eventstream"] = "sse"
    """Of streams; see `providers.eventstream.BedrockEvents`."""


PLAIN = Surface()
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
_VERTEX = Surface(version="vertex-2023-10-16")
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
_BEDROCK = Surface(version="bedrock-2023-05-31", says_stream=False, betas_in_body=True, framing="eventstream")


_CONVERSE = Surface(framing="eventstream")


def surface_of(base_url: str, protocol: str) -> Surface:
    if protocol == CONVERSE:
        return _CONVERSE
    path = urlsplit(base_url).path.rstrip("/")
    if protocol == MESSAGES and path.endswith(VERTEX_CLAUDE):
        return _VERTEX
    if protocol == MESSAGES and path.endswith(BEDROCK_INVOKE):
        return _BEDROCK
    return PLAIN


def fitted(surface: Surface, body: bytes, headers: Headers = ()) -> tuple[bytes, Headers]:
    """The body for this surface, and the headers that are left. Only top-level keys are touched."""
    if surface is PLAIN or not surface.version:
        return body, headers
    fields = split(body)
    fields.pop("model", None)
    if not surface.says_stream:
        fields.pop("stream", None)
    fields["anthropic_version"] = raw(surface.version)
    if surface.betas_in_body:
        betas = _betas(headers)
        headers = tuple(header for header in headers if header[0].lower() != b"anthropic-beta")
        if betas:
            fields["anthropic_beta"] = raw(betas)
    return join(fields), headers


def _betas(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    found = (value.decode("ascii") for name, value in headers if name.lower() == b"anthropic-beta")
    return [beta.strip() for text in found for beta in text.split(",") if beta.strip()]
