"""docs/simulate.md says what there is."""

import re
from pathlib import Path

import pytest

from trunkline.simulate.config import Behaviour, load_config
from trunkline.simulate.directives import READERS

GUIDE = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text("utf-8")


@pytest.mark.parametrize("word", READERS)
def test_every_directive_is_in_the_guides_table(word: str) -> None:
    assert re.search(rf"^\| `<<{word}\b", GUIDE, re.MULTILINE)


@pytest.mark.parametrize("field", Behaviour.__struct_fields__)
def test_every_field_of_a_behaviour_is_in_the_guides_file(field: str) -> None:
    assert re.search(rf"^{field} = ", GUIDE, re.MULTILINE)


def test_the_guides_file_can_be_used(tmp_path: Path) -> None:
    found = re.search(r"^```toml simulate\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found
    path = tmp_path / "simulate.toml"
    path.write_text(found[1])
    assert load_config(path).behaviour("azure-sim").error_rates == {429: 0.02, 500: 0.01}
