"""State goes through a client of another protocol and comes back whole, or not at all."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from trunkline.ir.parts import Carry, Opaque, Text, Thinking
from trunkline.protocols.carry import Kept, carried, carry, origin, put_before, recall, seal, store, stored_ids, unseal

SECRET = b"of one account"
SIGNED = Thinking("Rome.", carry=Carry("anthropic.messages", msgspec.Raw(b'{"signature":"EqoB+/=="}')))
KEPT = Kept(
    before=(SIGNED,), carry=Carry("gemini", msgspec.Raw(b'{"thoughtSignature":"Ab=="}')), place="next", id="toolu_1"
)

kept = st.builds(
    Kept,
    before=st.lists(
        st.one_of(
            st.builds(Thinking, st.text(), st.booleans(), st.just(SIGNED.carry)),
            st.builds(Opaque, st.text(), st.just(SIGNED.carry)),
        ),
        max_size=2,
    ).map(tuple),
    carry=st.sampled_from([None, KEPT.carry]),
    place=st.sampled_from(["self", "next"]),
    id=st.text(),
)


@given(kept)
def test_what_is_sealed_comes_back_whole(state: Kept) -> None:
    assert unseal(seal(state, SECRET), SECRET) == state


@given(kept)
def test_a_seal_survives_being_taken_for_base64_and_written_in_the_other_alphabet(state: Kept) -> None:
    class Part(BaseModel):  # as google-genai has it
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
        thought_signature: bytes

    sealed = seal(state, SECRET)
    assert "=" not in sealed
    came_back = Part.model_validate_json(msgspec.json.encode({"thought_signature": sealed})).model_dump_json()
    assert unseal(msgspec.json.decode(came_back)["thought_signature"], SECRET) == state
    assert base64.b64encode(base64.b64decode(sealed)).decode() == sealed


@pytest.mark.parametrize("text", ["", "EqoBCkgIARABGAIiQL2UoU0b1OHYi+", "tl1", "TL1EQUJD"])
def test_what_is_not_ours_stays_the_vendors(text: str) -> None:
    assert unseal(text, SECRET) is None


@pytest.mark.parametrize("text", ["tl1e", "tl1e====", "tl1eQUJD", "tl1e\u00e4"])
def test_what_is_ours_and_broken_holds_nothing(text: str) -> None:
    assert unseal(text, SECRET) == Kept()


@given(st.integers(4, 200), st.sampled_from("ABCdef0"))
def test_one_changed_character_breaks_the_seal(at: int, other: str) -> None:
    sealed = seal(KEPT, SECRET)
    at %= len(sealed)
    changed = f"{sealed[:at]}{other}{sealed[at + 1 :]}"
    assert changed == sealed or unseal(changed, SECRET) in (None, Kept())


def test_one_account_cannot_open_what_another_was_given() -> None:
    assert unseal(seal(KEPT, SECRET), b"of another account") == Kept()


def test_state_behind_a_tool_call_id_comes_back_from_the_store() -> None:
    states: dict[str, bytes] = {}
    call_id = store(KEPT, SECRET, states.__setitem__)
    assert recall(call_id, states, SECRET) == KEPT
    assert len(call_id) <= 64
    assert call_id.replace("-", "").replace("_", "").isalnum()


def test_an_id_whose_state_is_lost_or_changed_is_only_an_id() -> None:
    states: dict[str, bytes] = {}
    call_id = store(KEPT, SECRET, states.__setitem__)
    assert recall(call_id, {}, SECRET) is None
    assert recall("call_abc", states, SECRET) is None
    assert recall(call_id, {call_id: states[call_id].replace(b"Rome", b"Oslo")}, SECRET) is None
    assert recall(call_id, states, b"of another account") is None


def test_the_ids_to_look_up_are_found_in_a_body_each_once() -> None:
    call_id = store(KEPT, SECRET, lambda key, data: None)
    body = msgspec.json.encode({"a": {"id": call_id}, "b": [{"tool_call_id": call_id}], "c": f"the text {call_id}"})
    assert stored_ids(body) == (call_id,)
    assert stored_ids(b'{"id":"call_abc"}') == ()


def test_a_carry_goes_back_to_its_origin_alone() -> None:
    signature = carry("openai.responses/azure", {"encrypted_content": msgspec.Raw(b'"gAAA"')})
    assert carried(signature, "openai.responses", "azure") == {"encrypted_content": msgspec.Raw(b'"gAAA"')}
    assert carried(signature, "openai.responses", "openai") == {}
    assert carried(signature, "anthropic.messages", "") == {}
    assert carried(None, "openai.responses", "azure") == {}


def test_a_carry_from_a_client_that_does_not_say_whose_it_is_is_tried() -> None:
    signature = carry("openai.responses", {"encrypted_content": msgspec.Raw(b'"gAAA"')})
    assert carried(signature, "openai.responses", "azure")
    assert origin("openai.responses", "") == "openai.responses"
    assert origin("openai.responses", "azure") == "openai.responses/azure"


def test_a_part_without_keys_of_its_own_has_no_carry() -> None:
    assert carry("gemini", {}) is None


def test_kept_thinking_takes_the_place_of_what_the_client_returned_of_it() -> None:
    parts = [Text("Hi"), Thinking("Rome.")]
    put_before(parts, KEPT)
    assert parts == [Text("Hi"), SIGNED]
    put_before(parts, KEPT)
    assert parts == [Text("Hi"), SIGNED]


def test_other_thinking_stays_beside_the_kept_one() -> None:
    parts = [Thinking("Oslo.")]
    put_before(parts, KEPT)
    assert parts == [Thinking("Oslo."), SIGNED]
