"""What torch answers on machines with other GPUs, made up: nothing here has run on one."""

from types import SimpleNamespace

import torch

GIB = 1 << 30


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
