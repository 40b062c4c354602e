"""The two exported graphs: their inputs and outputs, and what their files say of themselves.

    encoder:   picture                                           -> centre, features
    restorer:  centre, picture_0, features_0, ... picture_{T-1}, features_{T-1}  -> restored

`features` is what a frame gives to every window it is in, `centre` what it gives besides to the
one it is the centre of. Pictures are float32, RGB, 0 to 1; features are in the graph's precision
and nobody's business but the restorer's. Batch 1, any height and width from 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vsrdb_cli.documents import parse_json
from vsrdb_cli.network.config import FMANetConfig

Precision = Literal["float32", "float16"]

# Raised whenever the graphs' inputs, outputs, arithmetic or sidecars change: older files are made
# again.
REVISION = 3

PICTURE, CENTRE, FEATURES, RESTORED = "picture", "centre", "features", "restored"
ENCODED = [CENTRE, FEATURES]


def restorer_inputs(length: int) -> list[str]:
    """List the names of the restorer's inputs, in order."""
    frames = [(f"{PICTURE}_{t}", f"{FEATURES}_{t}") for t in range(length)]
    return [CENTRE, *(name for frame in frames for name in frame)]


def names_of(graph: str, length: int) -> tuple[list[str], list[str]]:
    """List the names of a graph's inputs, and of its outputs."""
    if graph == "encoder":
        return [PICTURE], ENCODED
    return restorer_inputs(length), [RESTORED]


@dataclass(frozen=True)
class GraphInfo:
    """The metadata of an exported file."""

    weights: str
    """Name of the checkpoint it was exported from."""
    sha256: str
    """SHA-256 of that checkpoint."""
    config: FMANetConfig
    precision: str
    """Precision of its features and most arithmetic."""

    def to_metadata(self) -> dict[str, str]:
        return {
            "format": "vsrdb-graph",
            "revision": str(REVISION),
            "weights": self.weights,
            "sha256": self.sha256,
            "config": json.dumps(self.config.to_dict(), sort_keys=True),
            "scale": str(self.config.scale),
            "channel_order": "rgb",
            "precision": self.precision,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> GraphInfo:
        """Read the metadata that `to_metadata` wrote.

        Raises:
            ValueError: they are another program's or version's.
        """
        found = metadata.get("format"), metadata.get("revision"), metadata.get("channel_order")
        wanted = ("vsrdb-graph", str(REVISION), "rgb")
        if found != wanted:
            raise ValueError(f"not made by this version of vsrdb: {found}, expected {wanted}")
        try:
            return cls(
                metadata["weights"],
                metadata["sha256"],
                FMANetConfig.from_dict(parse_json(metadata["config"])),
                metadata["precision"],
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"its metadata are incomplete: {error}") from error
