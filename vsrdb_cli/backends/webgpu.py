"""GPUs that WebGPU reaches by Vulkan, D3D12 or Metal, and what ONNX Runtime's plugin says of them.

A process computes on one of them, and the plugin chooses it by its power alone: where a machine has
a graphics card and a GPU inside the processor, "webgpu:0" is the card and "webgpu:1" the other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vsrdb_cli.device_kinds import HOW_TO_NAME, KINDS, MAKERS, is_device_name, kind_of
from vsrdb_cli.errors import BackendError
from vsrdb_cli.runtime import is_configured

WEBGPU_KIND = KINDS["webgpu"]

# Where Linux has the descriptions of Vulkan's drivers, unless these name others.
_NAMED_DRIVERS = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
_DRIVERS = (
    *("/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d"),
    *("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"),
)
_INTERFACES = {"win32": "D3D12", "darwin": "Metal"}
FATAL = 4  # of the severities of ONNX Runtime's messages


@dataclass(frozen=True)
class Adapter:
    """A GPU that WebGPU reaches."""

    name: str
    """ "webgpu:0" or "webgpu:1"."""
    hardware: str
    """What it is, as "AMD 1002:744c, Vulkan"; several, joined by "or", where that is not known."""
    power: str
    """The plugin's name for how it is chosen: "high-performance" or "low-power"."""
    device: Any
    """As ONNX Runtime takes it."""
    is_software: bool
    """Whether the CPU computes in its place."""
    versions: str
    """Of ONNX Runtime and the plugin."""


class WebGpu:
    """The GPUs of this machine that ONNX Runtime's WebGPU plugin computes on.

    Args:
        load: imports a module by its name.
    """

    def __init__(self, load: Callable[[str], Any] = import_module) -> None:
        self._load = load

    def adapters(self) -> tuple[Adapter, ...]:
        """List the GPUs; none where the plugin is not installed."""
        try:
            return tuple(self._adapters())
        except BackendError:
            return ()

    def find(self, name: str) -> Adapter:
        """Find the GPU called "webgpu" or "webgpu:N".

        Raises:
            BackendError: it does not exist, or the plugin is not installed.
        """
        if not is_device_name(name) or kind_of(name) is not WEBGPU_KIND:
            raise BackendError(f"'{name}' is no device of WebGPU", hint=HOW_TO_NAME)
        adapters = list(self._adapters())
        if not adapters:
            raise no_adapter()
        number = int(name.partition(":")[2] or 0)
        if number >= len(adapters):
            names = ", ".join(f"{a.name}, {a.hardware}" for a in adapters)
            raise BackendError(
                f"there is no '{name}': of this machine's GPUs WebGPU reaches {names}",
                hint="it chooses between a graphics card and a GPU inside the processor, and not"
                " among several cards",
            )
        return adapters[number]

    def _adapters(self) -> Iterator[Adapter]:
        """Yield the strongest GPU, and the one inside the processor if that is another."""
        try:
            # The plugin first: without it ONNX Runtime, which takes longer, need not be loaded.
            plugin, runtime = self._load("onnxruntime_ep_webgpu"), self._load("onnxruntime")
        except ImportError as error:
            raise missing(error.name or "onnxruntime_ep_webgpu") from error
        devices = _devices(runtime, plugin)
        kinds = runtime.OrtHardwareDeviceType
        gpus = [one for one in devices if one.device.type == kinds.GPU
                and one.device.vendor_id in MAKERS]  # fmt: skip
        cards = [gpu for gpu in gpus if gpu.device.metadata.get("Discrete") == "1"]
        inside = [gpu for gpu in gpus if gpu not in cards]
        # Listed only where there is no GPU, if the environment tells the plugin so.
        software = [one for one in devices if one.device.type == kinds.CPU]
        for number, group in enumerate(filter(None, (cards, inside) if gpus else (software,))):
            names = dict.fromkeys(_description(one.device) for one in group)
            what = " or ".join(names) if gpus else "the CPU in place of a GPU"
            yield Adapter(
                f"{WEBGPU_KIND.name}:{number}",
                f"{what}, {_INTERFACES.get(sys.platform, 'Vulkan')}",
                "low-power" if number else "high-performance",
                group[0],
                not gpus,
                f"onnxruntime {runtime.__version__}"
                f" webgpu {group[0].ep_metadata.get('version', '')}",
            )


WEBGPU = WebGpu()


def missing(package: str) -> BackendError:
    """Create the error for a package that is not installed."""
    return BackendError(
        f"--device {WEBGPU_KIND.name} needs the package '{package.replace('_', '-')}', which is not"
        " installed",
        hint="pip install 'vsrdb[webgpu]'",
    )


def no_adapter() -> BackendError:
    """Create the error for a machine on which WebGPU finds no GPU."""
    vulkan = "" if sys.platform in _INTERFACES else (
        " with Vulkan (AMD, Intel: apt-get install mesa-vulkan-drivers; NVIDIA: its own driver)"
    )  # fmt: skip
    return BackendError(
        "WebGPU finds no GPU here",
        hint=f"install the GPU's driver{vulkan}, or use --device cpu",
    )


def _devices(runtime: Any, plugin: Any) -> list[Any]:
    """List what the plugin, which is registered with ONNX Runtime once, may compute on."""
    name = plugin.get_ep_name()
    if not any(device.ep_name == name for device in runtime.get_ep_devices()):
        hush(runtime)
        try:
            runtime.register_execution_provider_library(name, plugin.get_library_path())
        except Exception as error:
            if "already registered" not in str(error):
                first = str(error).strip().partition("\n")[0]
                raise BackendError(
                    f"ONNX Runtime {runtime.__version__} cannot load its WebGPU plugin: {first}",
                    hint="pip install --upgrade 'vsrdb[webgpu]'",
                ) from error
    return [device for device in runtime.get_ep_devices() if device.ep_name == name]


def hush(runtime: Any) -> None:
    """Keep ONNX Runtime from printing what goes wrong, which is raised, in vsrdb's own process."""
    if is_configured():
        runtime.set_default_logger_severity(FATAL)


def _description(device: Any) -> str:
    """Return the name of a GPU, or its maker and its PCI numbers: Linux has no names."""
    maker = MAKERS.get(device.vendor_id, "")
    numbers = f"{maker} {device.vendor_id:04x}:{device.device_id:04x}"
    return str(device.metadata.get("Description") or numbers)


def driver() -> str | None:
    """Return text that changes with the GPU's driver; None where nothing does, as on Windows."""
    if sys.platform == "darwin":
        return platform.mac_ver()[0]  # Metal is a part of it
    if sys.platform != "linux":
        return None
    named = next((os.environ[name] for name in _NAMED_DRIVERS if os.environ.get(name)), None)
    if named is not None:
        files = [Path(name) for name in named.split(os.pathsep)]
    else:
        files = [file for folder in _DRIVERS for file in sorted(Path(folder).glob("*.json"))]
    facts = [platform.release()]  # of the kernel, which brings the other half of most drivers
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        facts.append(f"{file} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
