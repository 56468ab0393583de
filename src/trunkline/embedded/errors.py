"""What can go wrong with the local model, each with the next step in its words."""

from trunkline.errors import TransportError, TrunklineError


class EmbeddedUnavailable(TransportError):
    """The local model cannot answer now. Counts as a failed connection, so that routing goes on to the next offer."""

    kind = "connect"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WeightsError(TrunklineError):
    """Weights could not be had, or are not what the manifest says."""


class SourceFailed(WeightsError):
    """One source gave nothing; the next one is tried. The message says which and why."""
