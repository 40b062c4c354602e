"""What torch and ONNX Runtime answer on machines with other GPUs, made up: none has run here."""

from dataclasses import replace
from types import SimpleNamespace

import torch

from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.backends.webgpu import WebGpu

GIB = 1 << 30


class Drifting(TorchRunner):
    """A runner on the CPU that says it is on a GPU, and computes the right picture plus an error.

    `count` is of the pictures that were restored.
    """

    def __init__(
        self,
        checkpoint,
        error=0.0,
        precision="float32",
        device="xpu:0",
        hardware="Arc B580, XPU",
    ):
        super().__init__(checkpoint, "cpu", "float32")
        self.error, self.count = error, 0
        self.info = replace(self.info, device=device, precision=precision, hardware=hardware)

    def restore(self, window):
        self.count += 1
        return super().restore(window) + self.error


def made_up(kind=None, *, names=(), hip=None, tells_free=True, **modules):
    """Answer as torch does on a machine with GPUs of a kind, each with 8 GiB.

    Of those the driver calls 2 GiB free, and torch has reserved 3 GiB and uses 1 of them.
    """

    def mem_get_info(name):
        if not tells_free:
            raise RuntimeError("The device doesn't support querying the available free memory.")
        return 2 * GIB, 8 * GIB

    def current_accelerator(check_available=False):
        assert check_available, "a build of torch for a GPU names it though there is none"
        return None if kind is None else torch.device(kind)

    module = SimpleNamespace(
        get_device_name=lambda name: names[int(name.rpartition(":")[2])],
        mem_get_info=mem_get_info,
        get_device_properties=lambda name: SimpleNamespace(total_memory=8 * GIB),
        memory_reserved=lambda name: 3 * GIB,
        memory_allocated=lambda name: GIB,
    )
    accelerator = SimpleNamespace(
        current_accelerator=current_accelerator, device_count=lambda: len(names)
    )
    version = SimpleNamespace(hip=hip, cuda=None if hip else "13.0")
    return SimpleNamespace(
        **{"accelerator": accelerator, "version": version, kind or "none": module, **modules}
    )


NONE = made_up()
NVIDIA = made_up("cuda", names=("NVIDIA H200", "NVIDIA L4"))
AMD = made_up("cuda", names=("Radeon RX 7900 XTX",), hip="6.4.43482-0f2d60242")
INTEL = made_up("xpu", names=("Intel(R) Arc(TM) B580 Graphics", "Intel(R) Graphics"))
# An older driver of Intel's, which does not tell how much is free.
INTEL_SILENT = made_up("xpu", names=("Intel(R) Iris(R) Xe Graphics",), tells_free=False)
APPLE = made_up(
    "mps",
    names=("Apple M2",),
    mps=SimpleNamespace(recommended_max_memory=lambda: 3, current_allocated_memory=lambda: 1),
    backends=SimpleNamespace(mps=SimpleNamespace(get_name=lambda: "Apple M2")),
)


def listed(kind, vendor, device, **metadata):
    """Return a device as ONNX Runtime lists it for the plugin, with the numbers of its maker."""
    hardware = SimpleNamespace(
        type=kind, vendor_id=vendor, device_id=device, vendor="", metadata=metadata
    )
    return SimpleNamespace(
        ep_name="WebGpuExecutionProvider", ep_metadata={"version": "0.4.0"}, device=hardware
    )


RADEON = listed("gpu", 0x1002, 0x744C, Discrete="1")
GEFORCE = listed("gpu", 0x10DE, 0x2684, Discrete="1", Description="NVIDIA GeForce RTX 4090")
UHD = listed("gpu", 0x8086, 0x4680, Discrete="0")
SERVER_DISPLAY = listed(
    "gpu", 0x1A03, 0x2000
)  # of a server's board: it shows, and computes nothing
PROCESSOR = listed("cpu", 0x8086, 0)


def webgpu(*devices, refusal=None):
    """Answer as ONNX Runtime does on a machine with these devices, once the plugin is registered.

    Args:
        refusal: what it says instead of registering the plugin.
    """
    registered = []

    def register(name, path):
        if refusal or registered:
            raise RuntimeError(refusal or f"EP library is already registered under {name}")
        registered.append(path)

    runtime = SimpleNamespace(
        __version__="1.32.0",
        OrtHardwareDeviceType=SimpleNamespace(CPU="cpu", GPU="gpu"),
        register_execution_provider_library=register,
        get_ep_devices=lambda: list(devices) if registered else [],
        set_default_logger_severity=lambda severity: None,
    )
    plugin = SimpleNamespace(
        get_ep_name=lambda: "WebGpuExecutionProvider", get_library_path=lambda: "plugin.so"
    )
    return WebGpu({"onnxruntime": runtime, "onnxruntime_ep_webgpu": plugin}.__getitem__)


def _not_installed(name):
    raise ModuleNotFoundError(f"No module named '{name}'", name="onnxruntime_ep_webgpu")


NO_PLUGIN = WebGpu(_not_installed)
