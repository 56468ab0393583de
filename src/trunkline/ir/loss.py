"""What a translation could not carry. In: `protocols.settle`. Out: the `x-trunkline-losses` header and the record."""

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """A field that did not reach the provider as it was. `action` is `dropped`, `renamed`, `emulated`, or
    `moved` (it may not be readable there)."""

    field: str
    """In the caller's own words, e.g. `generationConfig.topK`."""
    action: str
    reason: str
