"""A GPU of software for WebGPU: SwiftShader, which comes with Chromium. A window takes seconds."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from vsrdb_cli.backends.webgpu import WebGpu
from vsrdb_cli.export import to_onnx

DRIVER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
ENVIRONMENT = {
    "VK_ICD_FILENAMES": str(DRIVER),
    "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1",
}
needs_software_gpu = pytest.mark.skipif(not DRIVER.exists(), reason="Chromium is not installed")


@contextmanager
def software_gpu():
    """Give this process the GPU, and take it away again; sessions must be gone by then."""
    runtime = pytest.importorskip("onnxruntime")
    plugin = pytest.importorskip("onnxruntime_ep_webgpu")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        if WebGpu().adapters():  # registered before, in another environment
            yield WebGpu().find("webgpu")
            return
        runtime.unregister_execution_provider_library(plugin.get_ep_name())
        yield WebGpu().find("webgpu")
        runtime.unregister_execution_provider_library(plugin.get_ep_name())


@contextmanager
def unpadded_export():
    """Export as vsrdb once did: convolutions of 9, 18 or 27 channels, which WebGPU gets wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_onnx, "padded", lambda network: network)
        patch.setattr(to_onnx, "padded_dim", lambda config: config.dim)
        yield
