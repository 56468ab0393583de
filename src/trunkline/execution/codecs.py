"""The codecs by the names of their protocols. In: a name as in the catalog. Out: the module, imported at its first use, so that a start is quick."""

import importlib
from functools import cache
from typing import cast

from trunkline.protocols.codec import CHAT, CONVERSE, GEMINI, MESSAGES, RESPONSES, Codec

_MODULES = {
    CHAT: "trunkline.protocols.openai_chat.codec",
    RESPONSES: "trunkline.protocols.openai_responses.codec",
    MESSAGES: "trunkline.protocols.anthropic_messages.codec",
    GEMINI: "trunkline.protocols.gemini.codec",
    CONVERSE: "trunkline.protocols.bedrock_converse.codec",
}


@cache
def codec_of(protocol: str) -> Codec:
    """KeyError for a protocol that nobody speaks."""
    return cast(Codec, importlib.import_module(_MODULES[protocol]))
