"""Pydantic AI's four classes of models: an agent with a tool, a streamed output, an output type."""

import asyncio
from collections.abc import Callable
from typing import Any

import pydantic
from checks import ADA, KEY, ROOT, backwards, run, two_rounds
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

OPENAI: Any = {"base_url": f"{ROOT}/api/v1", "api_key": KEY}
ANTHROPIC: Any = {"base_url": f"{ROOT}/api/anthropic", "api_key": KEY}
GOOGLE: Any = {"base_url": f"{ROOT}/api/vertex-ai", "api_key": KEY}
WAYS: dict[str, Callable[[str], Any]] = {
    "chat": lambda model: OpenAIChatModel(model, provider=OpenAIProvider(**OPENAI)),
    "responses": lambda model: OpenAIResponsesModel(model, provider=OpenAIProvider(**OPENAI)),
    "messages": lambda model: AnthropicModel(model, provider=AnthropicProvider(**ANTHROPIC)),
    "gemini": lambda model: GoogleModel(model, provider=GoogleProvider(**GOOGLE)),
}


class Person(pydantic.BaseModel):
    """A person."""

    name: str
    age: int


def two_rounds_of_tools(asked: Any) -> None:
    prompt, results, answer = two_rounds()
    left = iter(results)

    def lookup(city: str) -> str:
        """Look up a key."""
        return f"the key for {city} is {next(left)}"

    assert Agent(asked, tools=[lookup]).run_sync(prompt).output == answer


def stream(asked: Any) -> None:
    prompt, answer = backwards()

    async def output() -> Any:
        async with Agent(asked).run_stream(prompt) as result:
            return await result.get_output()

    assert asyncio.run(output()) == answer


def schema(asked: Any) -> None:
    assert Agent(asked, output_type=Person).run_sync(ADA).output == Person(name="Ada", age=36)


def check(way: Callable[[str], Any], what: Callable[[Any], None]) -> Callable[[str], None]:
    def checked(model: str) -> None:
        what(way(model))

    return checked


ALL = (two_rounds_of_tools, stream, schema)
run({f"check_{name}_{what.__name__}": check(way, what) for name, way in WAYS.items() for what in ALL})
