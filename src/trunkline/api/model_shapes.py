"""Lists of models as Anthropic's and Google's clients know them. In: models of the catalog. Out: JSON.

https://platform.claude.com/docs/en/api/models/list, https://ai.google.dev/api/models#method:-models.list
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trunkline.catalog.types import Model


class Shape(msgspec.Struct, frozen=True):
    """How one protocol writes models."""

    one: Callable[[Model], bytes]
    several: Callable[[Sequence[Model]], bytes]


def _anthropic(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.slug,
        "display_name": model.name,
        "created_at": f"{model.released_on or '1970-01-01'}T00:00:00Z",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _anthropic_list(models: Sequence[Model]) -> bytes:
    """All on one page."""
    cards = [_anthropic(model) for model in models]
    first, last = (cards[0]["id"], cards[-1]["id"]) if cards else (None, None)
    return msgspec.json.encode({"data": cards, "has_more": False, "first_id": first, "last_id": last})


def _google_card(model: Model) -> Any:
    from trunkline.protocols.gemini.count import ModelCard

    return ModelCard(
        name=model.slug,
        display_name=model.name,
        description=model.description,
        context_tokens=model.context_tokens or None,
        max_output_tokens=model.max_output_tokens or None,
        reasoning=model.reasoning,
    )


def _google(model: Model) -> bytes:
    from trunkline.protocols.gemini.count import model_card

    return msgspec.json.encode(model_card(_google_card(model)))


def _google_list(models: Sequence[Model]) -> bytes:
    from trunkline.protocols.gemini.count import model_list

    return model_list([_google_card(model) for model in models])


ANTHROPIC = Shape(lambda model: msgspec.json.encode(_anthropic(model)), _anthropic_list)
GOOGLE = Shape(_google, _google_list)
