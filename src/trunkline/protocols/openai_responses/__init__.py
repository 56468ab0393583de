"""OpenAI Responses (https://developers.openai.com/api/reference/resources/responses): the codec and what stored responses need. See `codec`."""

from trunkline.protocols.codec import RESPONSES as NAME

__all__ = ["NAME"]
