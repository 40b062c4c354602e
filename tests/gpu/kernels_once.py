"""Runs every Triton kernel once, in two number types, for a tool that watches memory.

compute-sanitizer [--tool racecheck] python tests/gpu/kernels_once.py

On a CPU, with TRITON_INTERPRET=1, it tries itself. Called by prove.sh, which sets its import path.
"""

import torch
from fgdf_operands import operands
from fused_operands import errors

from vsrdb_cli.network import fgdf_triton, fused_triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

for dtype in (torch.float32, torch.float16):
    found = errors(fused_triton, dtype, device=DEVICE, height=5, width=7)
    assert max(found.values()) < 1e-2, found
    frames, flow_mask, kernel = (t.to(DEVICE) for t in operands(1, 2, 3, 5, 3))
    out = torch.empty(1, 3, 12, 20, dtype=dtype, device=DEVICE)
    fgdf_triton.launch(frames.to(dtype), flow_mask, kernel.to(dtype), 4, 3, out)
    assert out.isfinite().all()
    print(dtype, found)
