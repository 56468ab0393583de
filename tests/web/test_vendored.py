"""Files of other projects are as their authors published them, named with their licence."""

import hashlib
import tomllib
from pathlib import Path

import trunkline.web.app

FOLDER = Path(trunkline.web.app.__file__).parent / "static" / "vendor"
LISTED = tomllib.loads((FOLDER / "vendored.toml").read_text())["file"]


def test_each_file_is_listed_and_has_its_checksum():
    found = {path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css")}
    assert found == {entry["name"] for entry in LISTED}
    for entry in LISTED:
        assert hashlib.sha256((FOLDER / entry["name"]).read_bytes()).hexdigest() == entry["sha256"], entry["name"]


def test_each_licence_is_there():
    for entry in LISTED:
        assert (FOLDER / entry["licence"].rsplit(", ", 1)[1]).read_text().strip()
