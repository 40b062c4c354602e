"""How ONNX Runtime is asked for a device."""

from vsrdb_cli.backends.ort import provider_of


def test_on_a_gpu_float32_is_not_rounded_to_tf32():
    assert provider_of("cuda", 1) == (
        "CUDAExecutionProvider",
        {"device_id": "1", "use_tf32": "0"},
    )


def test_the_cpu_is_asked_for_nothing():
    assert provider_of("cpu", 0) == ("CPUExecutionProvider", {})
