"""What the tests of the Gemini codec share: fixtures of tests/golden/gemini, contexts, targets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.ir.request import Reasoning, Request
from trunkline.protocols.codec import GEMINI, QUIRKS, AnswerContext, RequestContext, Target

GOLDEN = Path(__file__).parents[2] / "golden" / "gemini"
SECRET = b"a secret of one account"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`request_file`, `answer_file`, `stream_file`, `error_file`: the tests that name one run for each file of its kind."""
    for kind in ("request", "answer", "stream", "error"):
        if f"{kind}_file" in metafunc.fixturenames:
            files = sorted(path for path in (GOLDEN / f"{kind}s").iterdir() if ".expected" not in path.name)
            metafunc.parametrize(f"{kind}_file", files, ids=[path.stem for path in files])


@pytest.fixture
def expected() -> Callable[[Path], Any]:
    def find(path: Path) -> Any:
        changed = path.with_suffix(".expected.json")
        return json.loads((changed if changed.exists() else path).read_text())

    return find


@pytest.fixture
def asked() -> RequestContext:
    return RequestContext(request_id="req_1", secret=SECRET, path_model="google/gemini-3-flash")


@pytest.fixture
def offer() -> Callable[..., Target]:
    """A target; keyword arguments are quirks."""

    def make(**quirks: Any) -> Target:
        known = msgspec.structs.replace(QUIRKS[GEMINI], **quirks)
        return Target(protocol=GEMINI, upstream_model="gemini-3-flash", quirks=known, request_id="req_1")

    return make


@pytest.fixture
def answering() -> Callable[..., AnswerContext]:
    """The context of an answer. `shown` is whether the caller asked for thoughts, `kept` gets what goes into the store."""

    def make(shown: bool | None = True, array: bool = False) -> AnswerContext:
        reasoning = None if shown is None else Reasoning(shown=shown)
        request = Request(origin=GEMINI, model="gemini-3-flash", turns=(), reasoning=reasoning)
        return AnswerContext(
            request=request,
            request_id="req_r1",
            model="gemini-3-flash",
            created_s=1,
            secret=SECRET,
            keep=lambda key, data: None,
            array_framing=array,
        )

    return make
