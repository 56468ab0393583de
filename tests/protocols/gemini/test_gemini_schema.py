"""Schemas: Google's read as JSON Schema, and JSON Schema lowered for models that take no more than Google's."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ir.parts import Text, Turn
from trunkline.ir.request import Format, Request, Tool
from trunkline.protocols.codec import CHAT, Target
from trunkline.protocols.gemini import codec
from trunkline.protocols.gemini.schema import lifted, lowered

# https://ai.google.dev/api/caching#Schema
WORDS = {
    "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems", "properties", "required", "minProperties",
    "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf", "propertyOrdering", "default", "items", "minimum", "maximum",
}  # fmt: skip
TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}


def low(schema: Any) -> Any:
    found, _ = lowered(msgspec.Raw(json.dumps(schema).encode()))
    return None if found is None else json.loads(bytes(found))


def inner(schema: Any) -> Any:
    """Of a property."""
    return low({"type": "object", "properties": {"a": schema}})["properties"]["a"]


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "string"}, {"type": "STRING"}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        (
            {"type": ["string", "integer"]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"type": "STRING", "nullable": True, "description": "d"},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "number"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
        ),
        ({"const": "x"}, {"type": "STRING", "format": "enum", "enum": ["x"]}),
        (
            {"enum": ["a", "b", None]},
            {"type": "STRING", "format": "enum", "enum": ["a", "b"], "nullable": True},
        ),
        (
            {"type": "integer", "enum": [1, 2], "description": "How many."},
            {"type": "INTEGER", "description": "How many. One of: 1, 2."},
        ),
        ({"type": "array"}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
            {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]}},
        ),
        ({"type": "string", "format": "uri"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 2}, {"type": "NUMBER", "minimum": 0}),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "OBJECT"}),
        ({}, {"type": "STRING"}),
        (True, {"type": "STRING"}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
                    {"properties": {"y": {"type": "number"}}, "required": ["y"]},
                ]
            },
            {
                "type": "OBJECT",
                "properties": {"x": {"type": "STRING"}, "y": {"type": "NUMBER"}},
                "required": ["x", "y"],
            },
        ),
    ],
)
def test_a_word_that_google_lacks_is_said_in_one_that_it_has(schema: Any, found: Any) -> None:
    assert inner(schema) == found


def test_references_are_put_in() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/definitions/B~1x"}},
        "$defs": {"A": {"type": "string", "description": "one"}},
        "definitions": {"B/x": {"type": "integer"}},
        "required": ["a", "gone"],
    }
    assert low(schema) == {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING", "description": "one"}, "b": {"type": "INTEGER"}},
        "required": ["a"],
    }


def test_a_schema_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "string"}}}
    found = low({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert found["properties"]["next"] == {"type": "OBJECT"}


def test_references_that_multiply_end() -> None:
    levels = {
        f"l{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/l{n + 1}"} for k in "abcd"}} for n in range(20)
    }
    found, _ = lowered(msgspec.Raw(json.dumps({"$ref": "#/$defs/l0", "$defs": levels}).encode()))
    assert found is not None
    assert len(bytes(found)) < 1_000_000


@pytest.mark.parametrize("levels", [100, 400, 5000])
@pytest.mark.parametrize("opening", ['{"properties":{"a":', '{"allOf":[', '{"anyOf":[', '{"items":'])
def test_a_schema_that_is_too_deep_ends(opening: str, levels: int) -> None:
    closing = {'{"properties":{"a":': "}}", '{"items":': "}"}.get(opening, "]}")
    deep = msgspec.Raw((opening * levels + "{}" + closing * levels).encode())
    lowered(deep)
    lifted(deep)


def test_an_object_without_properties_is_left_out() -> None:
    assert low({"type": "object", "properties": {}}) is None


def test_what_is_lost_is_named() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "base64"}}, "not": {}}
    assert lowered(msgspec.Raw(json.dumps(schema).encode()))[1] == ("contentEncoding", "not")


JSON_SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 1}, {"type": ["boolean", "null"]}, {"enum": ["a"]}, {"const": 5}, {}, True]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("abc"), inner, min_size=1)},
                              optional={"required": st.lists(st.sampled_from("abcd"), unique=True), "additionalProperties": st.booleans()}),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=8,
)  # fmt: skip


def check(schema: Any) -> None:
    assert set(schema) <= WORDS
    assert schema.get("type", "STRING") in TYPES
    assert ("type" in schema) or ("anyOf" in schema)
    for each in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        check(each)
    if schema.get("type") == "ARRAY":
        check(schema["items"])
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))


@given(JSON_SCHEMAS)
def test_every_schema_becomes_one_of_googles(schema: Any) -> None:
    found = low({"type": "object", "properties": {"a": schema}})
    if found is not None:
        check(found)


def test_googles_schema_is_read_as_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "any_of": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
            "e": {"type": "STRING", "enum": ["a"], "nullable": True},
            "l": {"type": "ARRAY", "min_items": "2", "items": {"type": "INTEGER", "format": "int32"}},
        },
        "property_ordering": ["e"],
    }
    assert json.loads(bytes(lifted(msgspec.Raw(json.dumps(schema).encode())))) == {
        "type": "object",
        "properties": {
            "any_of": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
            "e": {"type": ["string", "null"], "enum": ["a", None]},
            "l": {"type": "array", "minItems": 2, "items": {"type": "integer", "format": "int32"}},
        },
        "propertyOrdering": ["e"],
    }


def test_an_offer_with_the_subset_gets_it_and_the_loss_is_noted(offer: Callable[..., Target]) -> None:
    schema = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"patternProperties":{}}')
    request = Request(
        origin=CHAT,
        model="m",
        turns=(Turn("user", (Text("a"),)),),
        tools=(Tool(name="f", parameters=schema), Tool(name="g")),
        format=Format(kind="json_schema", schema=schema),
    )
    written = codec.write_request(request, offer(schema="subset"))
    body = json.loads(written.body)
    google = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    assert body["tools"][0]["functionDeclarations"] == [{"name": "f", "parameters": google}, {"name": "g"}]
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": google}
    assert {(loss.field, loss.action) for loss in written.losses} == {
        ("tools.schema", "dropped"),
        ("format.schema", "dropped"),
    }
    full = json.loads(codec.write_request(request, offer()).body)
    assert full["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == json.loads(bytes(schema))
