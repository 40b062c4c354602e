"""The network on a GPU computes what the released code does, in every precision it offers."""

import warnings
from pathlib import Path

import pytest
import torch
from golden_numbers import CASES, golden

from vsrdb_cli.backends import load_runner, parity
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.network import fgdf
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.pipeline.frames import restore_frames
from vsrdb_cli.pipeline.pending import Pending
from vsrdb_cli.video.pixels.colour import to_float, to_planes
from vsrdb_cli.video.reading.open import open_source

pytestmark = pytest.mark.gpu

DEMO = Path(__file__).parents[2] / "docs" / "demo.mp4"


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Golden numbers and a checkpoint that gives them."""
    wanted = golden(request.param)
    names = FMANet(wanted.config).state_dict()
    state = {name: tensor for name, tensor in wanted.state().items() if name in names}
    path = tmp_path_factory.mktemp("golden") / "case.safetensors"
    save_checkpoint(path, state, wanted.config, licence="none", origin="golden numbers")
    return wanted, load_checkpoint(path)


def restored(runner, clip):
    """The centre frame of the first clip, in two steps."""
    return runner.restore([runner.encode(clip[:1, :, t]) for t in range(clip.shape[2])])


def test_float32_gives_the_golden_numbers_whatever_tf32_was_set_to(case, device):
    wanted, checkpoint = case
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    found = restored(TorchRunner(checkpoint, device, "float32"), wanted.arrays["input"])
    torch.testing.assert_close(found, wanted.arrays["output"][:1], rtol=0, atol=1e-4)


# The golden networks' flows are large, and their pictures noise: what a flow loses by rounding
# moves a sample far.
@pytest.mark.parametrize("precision, least", [("float16", 40), ("bfloat16", 24)])
def test_lower_precisions_are_near_the_golden_numbers(case, device, decibels, precision, least):
    wanted, checkpoint = case
    if (device, precision) == ("cpu", "float16"):
        pytest.skip("no CPU computes in it")
    found = restored(TorchRunner(checkpoint, device, precision), wanted.arrays["input"])
    assert decibels(found, wanted.arrays["output"][:1]) >= least


@torch.inference_mode()
def test_the_whole_forward_on_the_gpu_is_the_one_on_the_cpu(device):
    torch.manual_seed(0)
    network = FMANet(FMANetConfig(dim=18, num_RDB=2, num_FRMA=2, num_heads=3)).eval()
    clip = torch.rand(1, 3, 3, 45, 70)
    expected = network(clip)
    network = network.to(device)
    torch.testing.assert_close(network(clip.to(device)).cpu(), expected, rtol=0, atol=1e-4)


@pytest.fixture
def launches(cuda, monkeypatch):
    """Dtypes in which the Triton kernel ran."""
    from vsrdb_cli.network import fgdf_triton

    real, seen = fgdf_triton.launch, []

    def launch(frames, flow_mask, kernel, scale, ksize, out):
        seen.append(kernel.dtype)
        real(frames, flow_mask, kernel, scale, ksize, out)

    monkeypatch.setattr(fgdf_triton, "launch", launch)
    return seen


def test_auto_is_float16_proven_through_the_triton_kernel(cuda, launches):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # that the kernel cannot be compiled
        assert load_runner("fmanet-xs", device=cuda).info.precision == "float16"
    assert set(launches) == {torch.float16, torch.float32}


def test_auto_is_float32_where_the_triton_kernel_is_wrong_in_float16(cuda, monkeypatch):
    from vsrdb_cli.network import fgdf_triton

    real = fgdf_triton.launch

    def broken(frames, flow_mask, kernel, scale, ksize, out):
        real(frames, flow_mask, kernel, scale, ksize, out)
        if out.dtype == torch.float16:
            out.add_(0.01)

    monkeypatch.setattr(fgdf_triton, "launch", broken)
    assert load_runner("fmanet-xs", device=cuda).info.precision == "float32"


@pytest.fixture(scope="module")
def clip():
    """Five frames of a real video."""
    with open_source(DEMO) as reader:
        return [to_float(frame.rgb)[:, :72, :96] for frame in reader.frames(0, 5)]


@pytest.mark.parametrize("precision, least", [("float16", 50), ("bfloat16", 40)])
def test_the_bundled_model_agrees_with_float32_on_a_real_clip(
    device, clip, decibels, precision, least
):
    if (device, precision) == ("cpu", "float16"):
        pytest.skip("no CPU computes in it")
    full, low = (
        torch.stack(
            list(restore_frames(clip, load_runner("fmanet-xs", device=device, precision=name)))
        )
        for name in ("float32", precision)
    )
    assert low.isfinite().all()
    assert decibels(low, full) >= least


def test_the_papers_network_stays_finite_in_float16_on_the_hardest_pictures(cuda, tmp_path):
    """Black and white noise: the steepest edges and largest features there are."""
    torch.manual_seed(0)
    path = tmp_path / "paper.safetensors"
    config = FMANetConfig()
    save_checkpoint(path, FMANet(config).state_dict(), config, licence="none", origin="a seed")
    runner = TorchRunner(load_checkpoint(path), cuda, "float16")
    clip = torch.randint(0, 2, (1, 3, 3, 90, 160)).float()
    assert restored(runner, clip).isfinite().all()


@pytest.fixture
def kernels(cuda, tmp_path, monkeypatch):
    """How often each kernel is launched to encode and restore a frame, of the paper's network."""
    monkeypatch.setenv("VSRDB_CUDA_GRAPHS", "0")  # in a graph kernels have no names of their own
    torch.manual_seed(0)
    path, config = tmp_path / "paper.safetensors", FMANetConfig()
    save_checkpoint(path, FMANet(config).state_dict(), config, licence="none", origin="a seed")
    runner = TorchRunner(load_checkpoint(path), cuda, "float16")
    pictures = [picture.to(cuda) for picture in parity.scene(3, 180, 320)]
    held = [runner.encode(picture) for picture in pictures]
    runner.restore_on_device(held)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        runner.encode(pictures[0])
        runner.restore_on_device(held)
        torch.cuda.synchronize()
    on_gpu = torch.autograd.DeviceType.CUDA
    return {one.key: one.count for one in profile.key_averages() if one.device_type == on_gpu}


def test_a_frame_takes_at_most_2000_launches(kernels):
    assert 300 < sum(kernels.values()) <= 2000, kernels


def test_no_kernel_only_changes_a_layout(kernels):
    moving = {name: n for name, n in kernels.items() if "nchwtonhwc" in name.lower()}
    moving |= {name: n for name, n in kernels.items() if "nhwctonchw" in name.lower()}
    assert moving == {}


def test_codes_made_on_the_gpu_are_those_made_on_the_cpu(device):
    """Also while the windows after it are under way already."""
    runner = load_runner("fmanet-xs", device=device, precision="float32")
    features = [runner.encode(frame) for frame in parity.scene(5, 45, 80)]
    windows = [features[i : i + 3] for i in range(3)]
    begun = [Pending(runner.restore_on_device(window), 8, "") for window in windows]
    for pending, window in zip(begun, windows, strict=True):
        assert torch.equal(pending.result(), to_planes(runner.restore(window)[0], 8))


def test_a_kernel_that_fails_on_the_gpu_is_no_missing_compiler(cuda):
    assert all(fgdf.triton_kernel.works.values()), "the tests ran the reference"
