"""The specification by which the pipeline restores a video's pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vsrdb_cli.option_values import Tile
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.pipeline import prefetch, write_behind
from vsrdb_cli.video.writing.output import Output

# Of the output, what libx264 holds at its default preset: pictures it looks ahead at, and those
# it refers to, with their half-pixel planes. Threads, decoder and containers, whatever the size.
_ENCODER_BYTES_PER_PIXEL = 100
_FIXED_BYTES = 25 << 20


@dataclass(frozen=True)
class RestoreSpec:
    """All that restoring a video's pictures depends on, the network aside."""

    size: tuple[int, int]
    """(height, width) of the video, in LR pixels."""

    bit_depth: int
    """Bits of the restored frames' colours, 8 or 16."""

    scale: int = 4
    strength: float = 1.0
    scene_cuts: bool = True
    tile: Tile = "auto"
    """Side of the tiles, as `RestoreOptions.tile` asks for it."""

    held: int = 0
    """Frames of the source that are held for the next segment's filters."""

    share: float = 1.0
    """Share of the device's free memory, where several processes work on one device."""

    @classmethod
    def of(cls, options: RestoreOptions, size: tuple[int, int], bit_depth: int) -> RestoreSpec:
        """Create a spec from options."""
        return cls(
            size, bit_depth, options.scale, options.strength, options.scene_cuts, options.tile
        )

    @classmethod
    def of_output(cls, options: RestoreOptions, output: Output) -> RestoreSpec:
        """Create the spec of the video that `output` was chosen for."""
        spec = cls.of(options, (output.info.height, output.info.width), output.bit_depth)
        return replace(spec, held=2 * output.lead_in)

    @property
    def pipeline_bytes(self) -> int:
        """Bytes a video takes on the CPU beside the network: frames in flight, and the encoder."""
        lr = self.size[0] * self.size[1]
        hr = lr * self.scale**2
        colours = 3 * (1 if self.bit_depth == 8 else 2)
        # A queue before the network and one behind it, with the frame at either end.
        lr_frames = prefetch.DEPTH + 2 + self.held
        queued = lr * lr_frames * colours + hr * (write_behind.DEPTH + 2) * colours
        windows = lr * 3 * 3 * 4  # the frames of a window in float32
        return queued + windows + hr * _ENCODER_BYTES_PER_PIXEL + _FIXED_BYTES
