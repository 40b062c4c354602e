"""Memory does not grow with a video: tests/benchmarks/memory_curve.py shows 2,000 frames."""

import clips
import psutil
import pytest
from long_jobs import OPTIONS

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

WARM, FRAMES = 150, 600
ALLOWED_BYTES = 12 << 20  # 450 HR frames kept would be 16 MiB


@pytest.mark.slow
@pytest.mark.parametrize("segment_seconds", [4.0, 1e9])
def test_memory_is_flat_in_segments_and_at_once(tmp_path, tiny, segment_seconds):
    source = clips.make(tmp_path / "in.mp4", frames=FRAMES, height=24, width=32)
    sizes, process = [], psutil.Process()

    def on_progress(progress):
        if progress.phase == "restore" and progress.frames:
            sizes.append(process.memory_info().rss)

    options = RestoreOptions(weights=tiny, segment_seconds=segment_seconds, encoder=OPTIONS.encoder)
    restore_video(source, tmp_path / "out.mp4", options, on_progress=on_progress)
    assert len(sizes) == FRAMES
    assert max(sizes[WARM:]) - sizes[WARM] < ALLOWED_BYTES
