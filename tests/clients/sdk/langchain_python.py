"""LangChain's four classes of chat models: a loop with a tool, streams, objects by schema."""

from collections.abc import Callable
from typing import Any

import pydantic
from checks import ADA, KEY, ROOT, backwards, run, two_rounds
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

OPENAI: Any = {"base_url": f"{ROOT}/api/v1", "api_key": KEY}
WAYS: dict[str, Callable[[str], Any]] = {
    "chat": lambda model: ChatOpenAI(model=model, **OPENAI),
    "responses": lambda model: ChatOpenAI(model=model, use_responses_api=True, **OPENAI),
    "messages": lambda model: ChatAnthropic(model=model, base_url=f"{ROOT}/api/anthropic", api_key=KEY),
    "gemini": lambda model: ChatGoogleGenerativeAI(model=model, base_url=f"{ROOT}/api/vertex-ai", google_api_key=KEY),
}


class Person(pydantic.BaseModel):
    """A person."""

    name: str
    age: int


def lookup(city: str) -> str:
    """Look up a key."""
    return city


def two_rounds_of_tools(asked: Any) -> None:
    prompt, results, answer = two_rounds()
    messages: list[Any] = [HumanMessage(prompt)]
    for city, result in zip(("Oslo", "Rome"), results, strict=True):
        made = asked.bind_tools([lookup]).invoke(messages)
        assert [call["args"] for call in made.tool_calls] == [{"city": city}]
        call = made.tool_calls[0]
        messages += [made, ToolMessage(f"the key is {result}", tool_call_id=call["id"], name=call["name"])]
    assert asked.bind_tools([lookup]).invoke(messages).text == answer


def stream(asked: Any) -> None:
    prompt, answer = backwards()
    assert "".join(chunk.text for chunk in asked.stream(prompt)) == answer


def schema(asked: Any) -> None:
    assert asked.with_structured_output(Person).invoke(ADA) == Person(name="Ada", age=36)


def check(way: Callable[[str], Any], what: Callable[[Any], None]) -> Callable[[str], None]:
    def checked(model: str) -> None:
        what(way(model))

    return checked


ALL = (two_rounds_of_tools, stream, schema)
run({f"check_{name}_{what.__name__}": check(way, what) for name, way in WAYS.items() for what in ALL})
