"""`vsrdb weights import`: a released pair becomes a checkpoint for RGB, or nothing is written."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pickle
import random
import re
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from golden_numbers import draw, golden

from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints import pickles
from vsrdb_cli.checkpoints.architecture import Shapes, expected_shapes, is_head
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.checkpoints.released import bgr_to_rgb, import_released
from vsrdb_cli.cli import main
from vsrdb_cli.errors import CheckpointError, OutputError
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

TINY = golden("tiny_32x48")
PREFIXES = {"D": "degradation_learning_network.", "R": "restoration_network."}

State = dict[str, Any]


def half(net: str, shapes: Shapes = TINY.shapes) -> State:
    """One network's parameters, named as in its released file."""
    prefix = PREFIXES[net]
    return {n.removeprefix(prefix): draw(n, s) for n, s in shapes.items() if n.startswith(prefix)}


def released(net: str, state: Any = None) -> State:
    """What a released file holds: parameters, the state of optimiser and scheduler, an epoch."""
    state = half(net) if state is None else state
    weights = [torch.nn.Parameter(torch.zeros(2, 3))]
    optimizer = torch.optim.Adam(weights)
    weights[0].grad = torch.ones(2, 3)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    return {
        f"model_{net}_state_dict": state,
        f"optimizer_{net}_state_dict": optimizer.state_dict(),
        f"scheduler_{net}_state_dict": scheduler.state_dict(),
        "epoch": 99,
    }


def pickled(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


DATA = {net: pickled(released(net)) for net in "DR"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "pair"
    folder.mkdir()
    paths = folder / "model_D_best.pt", folder / "model_R_best.pt"
    for path, net in zip(paths, "DR", strict=True):
        path.write_bytes(DATA[net])
    return paths


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


# --- what is imported -----------------------------------------------------------------------------


def test_the_imported_network_sees_rgb_as_the_released_one_saw_bgr(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "fmanet.safetensors"
    network = build_network(import_released(pair, target))
    clip, restored = TINY.arrays["input"], TINY.arrays["output"]
    with torch.inference_mode():
        output = network(clip.flip(1))
        unflipped = network(clip)
    torch.testing.assert_close(output, restored.flip(1), rtol=0, atol=1e-5)
    assert (unflipped - restored).abs().max() > 1e-3


def test_the_runner_of_an_import_restores_what_the_released_network_does(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint = import_released(pair, tmp_path / "fmanet.safetensors")
    runner = TorchRunner(checkpoint, "cpu", "float32")
    window = [runner.encode(frame) for frame in TINY.arrays["input"].flip(1).unbind(2)]
    expected = TINY.arrays["output"].flip(1)
    torch.testing.assert_close(runner.restore(window), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_flipping_channels_of_parameters_equals_flipping_pictures(bias: bool) -> None:
    torch.manual_seed(7)
    config = dataclasses.replace(TINY.config, num_seq=1, num_flow=2, num_FRMA=1, bias=bias)
    network, flipped = FMANet(config).eval(), FMANet(config).eval()
    state = network.state_dict()
    flipped.load_state_dict(bgr_to_rgb(state, config.num_flow))
    clip = torch.rand(1, 3, 1, 12, 16)
    with torch.inference_mode():
        expected = network(clip).flip(1)
        torch.testing.assert_close(flipped(clip.flip(1)), expected, rtol=0, atol=1e-5)
    for name, tensor in bgr_to_rgb(bgr_to_rgb(state, 2), 2).items():
        assert torch.equal(tensor, state[name]), name


def test_the_checkpoint_is_float32_without_training_heads_and_has_an_origin(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "fmanet.safetensors"
    imported = import_released(pair, target)
    loaded = load_checkpoint(target)
    assert loaded.sha256 == imported.sha256
    assert loaded.config == TINY.config
    assert loaded.state.keys() == {name for name in TINY.shapes if not is_head(name)}
    assert loaded.channel_order == "rgb"
    assert "research and education only" in loaded.licence
    for path in pair:
        assert re.search(rf"{path.name} \(SHA-256 [0-9a-f]{{64}}\)", loaded.origin)
    changed = {n for n, t in loaded.state.items() if not torch.equal(t, draw(n, tuple(t.shape)))}
    assert changed == {
        "degradation_learning_network.feature_extractor.0.weight",
        "restoration_network.feature_extractor.0.weight",
        "restoration_network.f_conv3.0.weight",
        "restoration_network.res_conv2.weight",
    }


def same_weights(checkpoint: Any, pair: tuple[Path, Path], folder: Path) -> bool:
    plain = import_released(pair, folder / "plain.safetensors")
    assert plain.state.keys() == checkpoint.state.keys()
    return all(torch.equal(tensor, checkpoint.state[n]) for n, tensor in plain.state.items())


def ways_to_give_a_pair() -> Iterator[tuple[str, Callable[[Path], list[Path]]]]:
    def files(folder: Path, d: bytes, r: bytes) -> list[Path]:
        (folder / "one.bin").write_bytes(d)
        (folder / "two").write_bytes(r)
        return [folder / "one.bin", folder / "two"]

    def folder_of(folder: Path, names: dict[str, bytes]) -> list[Path]:
        for name, data in names.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return [folder]

    def wrapped(net: str) -> bytes:
        state = {f"module.{name}": tensor for name, tensor in half(net).items()}
        return pickled(released(net, state))

    def double(net: str) -> bytes:
        return pickled(released(net, {n: t.double() for n, t in half(net).items()}))

    d, r = DATA["D"], DATA["R"]
    released_names = {"model_D_best.pt": d, "model_R_best.pt": r}
    yield "two files of any name", lambda folder: files(folder, d, r)
    yield "in the other order", lambda folder: files(folder, r, d)
    yield (
        "names swapped",
        lambda folder: folder_of(folder, {"model_D_best.pt": r, "model_R_best.pt": d}),
    )
    yield "a folder", lambda folder: folder_of(folder, {**released_names, "readme.txt": b"hi"})
    yield (
        "a folder with older ones beside",
        lambda folder: folder_of(folder, {**released_names, "stage1/model_D_last.pt": b"old"}),
    )
    yield "a zip archive", lambda folder: [zipped(folder / "a.zip", released_names)]
    yield (
        "a zip archive from a Mac, with a folder",
        lambda folder: [
            zipped(
                folder / "a.zip",
                {
                    **{f"FMA-Net/{net}.pt": data for net, data in DATA.items()},
                    **{f"__MACOSX/FMA-Net/._{net}.pt": b"x" for net in DATA},
                },
            )
        ],
    )
    yield (
        "a zip archive with paths that lead out of it",
        lambda folder: [
            zipped(folder / "a.zip", {f"../../{n}": data for n, data in released_names.items()})
        ],
    )
    yield "parallel training", lambda folder: files(folder, wrapped("D"), wrapped("R"))
    yield "float64", lambda folder: files(folder, double("D"), double("R"))
    yield (
        "PyTorch's older format",
        lambda folder: files(
            folder,
            pickled(released("D"), _use_new_zipfile_serialization=False),
            pickled(released("R"), _use_new_zipfile_serialization=False),
        ),
    )


@pytest.mark.parametrize("give", [pytest.param(w, id=name) for name, w in ways_to_give_a_pair()])
def test_a_pair_is_recognised_by_what_it_holds(
    give: Callable[[Path], list[Path]], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "inner" / "given"
    folder.mkdir(parents=True)
    sources = give(folder)
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / "fmanet.safetensors"
    checkpoint = import_released(sources, target)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, target])  # nothing is unpacked
    assert same_weights(checkpoint, pair, tmp_path)


# --- what is refused ------------------------------------------------------------------------------


def assert_refused(sources: list[Path], folder: Path, complaint: str) -> CheckpointError:
    """The import fails with `complaint`, and no file has come or changed."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=complaint) as error:
        import_released(sources, folder / "fmanet.safetensors")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert error.value.hint
    assert "\n" not in f"{error.value}{error.value.hint}"
    assert len(str(error.value)) < 1000
    return error.value


@pytest.mark.parametrize("net", "DR")
def test_one_network_twice_is_no_pair(net: str, tmp_path: Path) -> None:
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for path in paths:
        path.write_bytes(DATA[net])
    message = (
        rf"a\.pt and .*b\.pt both hold a model_{net}_state_dict; expected model_D_best\.pt and"
    )
    assert_refused(paths, tmp_path, message)
    assert_refused([paths[0], paths[0]], tmp_path, f"both hold a model_{net}_state_dict")


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"dim": 24}, r"feature_extractor.0.weight is \(24, 27, 1, 3, 3\), expected \(18, 21,"),
        ({"num_FRMA": 1}, r"restoration_network.FRMA_blocks.1\..* is missing; and [0-9]+ more"),
        ({"bias": True}, r"feature_extractor.0.bias is unexpected; "),
        ({"ds_kernel_size": 8}, r"restoration_network.d_conv.0.weight is \(18, 64,"),
    ],
    ids=["dim", "blocks", "bias", "kernel"],
)
def test_networks_of_different_trainings_are_no_pair(
    change: dict[str, Any], complaint: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = expected_shapes(dataclasses.replace(TINY.config, **change))
    pair[1].write_bytes(pickled(released("R", half("R", other))))
    message = (
        rf"model_D_best\.pt and .*model_R_best\.pt are not two halves of the same.*{complaint}"
    )
    assert_refused(list(pair), tmp_path, message)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.3, 0.6, 0.9, -30, -1])
@pytest.mark.parametrize("older", [False, True])
def test_a_file_cut_off_anywhere_is_named(
    kept: float, older: bool, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    data = pickled(released("R"), _use_new_zipfile_serialization=False) if older else DATA["R"]
    pair[1].write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    message = r"model_R_best\.pt is not a complete PyTorch checkpoint"
    assert_refused(list(pair), tmp_path, message)


def test_one_changed_bit_of_a_weight_is_found(pair: tuple[Path, Path], tmp_path: Path) -> None:
    weight = half("R")["res_conv1.weight"].numpy().tobytes()
    position = DATA["R"].find(weight) + len(weight) // 2
    data = bytearray(DATA["R"])
    data[position] ^= 1
    pair[1].write_bytes(data)
    message = r"model_R_best\.pt is not a complete PyTorch checkpoint"
    assert_refused(list(pair), tmp_path, message)


@pytest.mark.parametrize("seed", range(24))
def test_changed_bytes_anywhere_never_raise_anything_else(
    seed: int, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    random_source = random.Random(seed)
    older = seed % 2 == 0
    data = bytearray(
        pickled(released("R"), _use_new_zipfile_serialization=False) if older else DATA["R"]
    )
    # The pickle itself stands at the start of either format, the directory at the end.
    around = random_source.choice([range(2000), range(len(data) - 2000, len(data))])
    for _ in range(random_source.choice([1, 5, 50])):
        data[random_source.choice(around)] = random_source.randrange(256)
    pair[1].write_bytes(data)
    target = tmp_path / "fmanet.safetensors"
    try:
        import_released(pair, target)
    except CheckpointError:
        assert not target.exists()
    else:
        load_checkpoint(target)


class Runs:
    """Pickles as a call of os.system, as hostile files do."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize(
    "disguise, complaint",
    [
        (
            lambda evil: pickled({**released("D"), "epoch": evil}),
            r"tries to load '(posix|nt)\.system'",
        ),
        (
            lambda evil: pickled({"epoch": evil}, _use_new_zipfile_serialization=False),
            r"tries to load '(posix|nt)\.system'",
        ),
        (lambda evil: pickle.dumps(evil, protocol=2), r"tries to load '(posix|nt)\.system'"),
        (
            lambda evil: pickle.dumps(evil, protocol=4),
            "not a complete PyTorch checkpoint of tensors",
        ),
    ],
    ids=["in a checkpoint", "in the older format", "bare", "bare, newer protocol"],
)
@pytest.mark.parametrize("archived", [False, True])
def test_a_file_that_would_run_a_program_is_refused_and_does_not(
    disguise: Callable[[Runs], bytes],
    complaint: str,
    archived: bool,
    pair: tuple[Path, Path],
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
) -> None:
    marker = tmp_path / "ran"
    pair[0].write_bytes(disguise(Runs(marker)))
    pickle.loads(pickle.dumps(Runs(marker)))  # an ordinary reader runs it
    assert marker.exists()
    marker.unlink()
    sources = list(pair)
    if archived:
        sources = [zipped(tmp_path / "a.zip", {path.name: path.read_bytes() for path in pair})]
    assert_refused(sources, tmp_path, rf"model_D_best\.pt (is )?{complaint}")
    assert not marker.exists()
    assert not list(recwarn)  # one clear line, nothing of the unpickler's own


def changed_d(changes: State, *, without: str = "") -> bytes:
    """Net^D's file with other parameters."""
    state = {**half("D"), **changes}
    return pickled(released("D", {n: t for n, t in state.items() if n != without}))


def partly_wrapped() -> bytes:
    names = {f"module.{n}" if "FRMA" in n else n: t for n, t in half("D").items()}
    return pickled(released("D", names))


LAST = "d_conv.2.weight"


@pytest.mark.parametrize(
    "make, complaint",
    [
        (lambda: b"", "is not a complete PyTorch checkpoint"),
        (lambda: b"Sorry, this file is gone.\n" * 99, "is not a complete PyTorch checkpoint"),
        (lambda: pickled([1, 2]), "holds a list, expected a dict with model_D_state_dict or"),
        (lambda: pickled(half("D")), "holds feature_extractor.0.weight; .* more; expected one of"),
        (lambda: pickled({}), "holds nothing; expected one of model_D_state_dict and"),
        (lambda: pickled({**released("D"), **released("R")}), "holds .*; expected one of"),
        (lambda: pickled(released("D", [1])), "its state dict does not map names to tensors"),
        (
            lambda: pickled(released("D", {1: torch.ones(1)})),
            "its state dict does not map names to tensors",
        ),
        (lambda: pickled(released("D", {})), "feature_extractor.0.weight is missing"),
        (lambda: changed_d({}, without=LAST), f"{LAST} is missing"),
        (
            lambda: changed_d({}, without="FRMA_blocks.1.conv_Fw.weight"),
            "FRMA_blocks.1.conv_Fw.weight is missing",
        ),
        (lambda: changed_d({"stranger": torch.ones(2)}), "network.stranger is unexpected"),
        (partly_wrapped, "is missing"),
        (
            lambda: changed_d({LAST: torch.ones(36, 18, 1, 3, 4)}),
            rf"{LAST} is \(36, 18, 1, 3, 4\), expected \(36, 18, 1, 3, 3\)",
        ),
        (lambda: changed_d({LAST: torch.ones(37, 18, 1, 3, 3)}), rf"{LAST} is \(37,.* \(36,"),
        (lambda: changed_d({LAST: 3.5}), f"{LAST} is not a plain tensor"),
        (lambda: changed_d({LAST: torch.ones(3, 3).to_sparse()}), f"{LAST} is not a plain tensor"),
        (
            lambda: changed_d({LAST: torch.ones(3, 3, device="meta")}),
            f"{LAST} claims 36 bytes and has fewer",
        ),
        (
            lambda: changed_d({LAST: torch.ones(1).expand(1 << 40)}),
            f"{LAST} claims 4398046511104 bytes and has fewer",
        ),
        (
            lambda: changed_d({LAST: torch.ones(36, 18, 1, 3, 3).int()}),
            f"{LAST} is torch.int32, expected floating point",
        ),
        (
            lambda: changed_d({LAST: torch.full((36, 18, 1, 3, 3), torch.inf)}),
            f"infinite or NaN in degradation_learning_network.{LAST}",
        ),
    ],
)
def test_a_file_of_other_content_is_named_with_what_was_expected(
    make: Callable[[], bytes], complaint: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    pair[0].write_bytes(make())
    assert_refused(list(pair), tmp_path, rf"model_D_best\.pt.*{complaint}")


def test_what_is_no_pair_at_all_is_told_what_to_give(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "notes.txt").write_text("no weights")
    for sources, complaint in [
        ([pair[0]], r"model_D_best\.pt: not a pair; expected model_D_best.pt and model_R_best.pt"),
        ([*pair, pair[0]], "not a pair"),
        ([pair[0], empty], "not a pair"),
        ([tmp_path / "notes.txt"], r"notes\.txt: not a pair"),
        ([pair[0], tmp_path / "gone.pt"], r"gone\.pt does not exist"),
        ([empty], r"empty holds 0 PyTorch files \(none\); expected model_D_best.pt and"),
    ]:
        assert_refused(sources, tmp_path, complaint)


def test_an_archive_without_exactly_one_pair_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    d, r = DATA["D"], DATA["R"]
    for members, complaint in [
        ({"readme.txt": b"hi"}, r"a\.zip holds 0 PyTorch files \(none\)"),
        ({"model_D_best.pt": d}, r"a\.zip holds 1 PyTorch files \(model_D_best\.pt\)"),
        ({"x.pt": d, "y.pt": r, "z.pt": r}, r"a\.zip holds 3 PyTorch files \(x.pt; y.pt; z.pt\)"),
        (
            {f"{n}/model_{k}_best.pt": v for n in "ab" for k, v in DATA.items()},
            r"a\.zip holds 4 PyTorch files \(a/model_D.*; and 1 more\)",
        ),
        ({"model_D_best.pt": d, "model_R_best.pt": d}, "both hold a model_D_state_dict"),
        (
            {"model_D_best.pt": d, "model_R_best.pt": r[:-9]},
            r"a\.zip/model_R_best\.pt is not a complete",
        ),
    ]:
        assert_refused([zipped(path, members)], tmp_path, complaint)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {f"model_{net}_best.pt": data for net, data in DATA.items()})
    data = bytearray(path.read_bytes())
    data[1000] ^= 0xFF
    path.write_bytes(data)
    assert_refused([path], tmp_path, r"a\.zip is not a readable zip archive")


def bomb(kind: str, folder: Path, zeros: int) -> list[Path]:
    """A few kilobytes that claim to be `zeros` bytes."""
    flat = zipped(folder / "data.zip", {"archive/data.pkl": bytes(zeros)}).read_bytes()
    (folder / "data.zip").unlink()
    if kind == "member":
        return [zipped(folder / "a.zip", {"a.pt": bytes(zeros), "b.pt": DATA["R"]})]
    if kind == "checkpoint in a member":
        return [zipped(folder / "a.zip", {"a.pt": flat, "b.pt": DATA["R"]})]
    (folder / "a.pt").write_bytes(flat)
    (folder / "b.pt").write_bytes(DATA["R"])
    return [folder / "a.pt", folder / "b.pt"]


@pytest.mark.parametrize("kind", ["member", "checkpoint in a member", "checkpoint"])
def test_what_unpacks_to_too_much_is_refused_without_unpacking_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "SIZE_LIMIT", 8 << 20)
    sources = bomb(kind, tmp_path, 9 << 20)
    assert sum(path.stat().st_size for path in sources) < 2 << 20
    tracemalloc.start()
    assert_refused(sources, tmp_path, r"a\.pt unpacks to 9 MiB, expected at most 8 MiB")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("kind", ["member", "checkpoint in a member", "checkpoint"])
def test_what_expands_as_no_weights_do_is_refused_without_unpacking_it(
    kind: str, tmp_path: Path
) -> None:
    sources = bomb(kind, tmp_path, 9 << 20)
    assert_refused(sources, tmp_path, r"a\.pt unpacks to 9 MiB from \d+ KiB, more than")


# --- where it is written --------------------------------------------------------------------------


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    nothing = [tmp_path / "nothing-there.pt"]
    existing = tmp_path / "old.safetensors"
    existing.write_bytes(b"precious")
    (tmp_path / "folder.safetensors").mkdir()
    for name, complaint in [
        ("old.safetensors", "old.safetensors exists already"),
        ("fmanet.pt", r"fmanet\.pt does not end in \.safetensors"),
        ("fmanet", r"fmanet does not end in \.safetensors"),
        ("nowhere/fmanet.safetensors", "the folder .*nowhere does not exist"),
        ("folder.safetensors", "folder.safetensors is a folder"),
    ]:
        with pytest.raises(OutputError, match=complaint) as error:
            import_released(nothing, tmp_path / name)
        assert error.value.hint
    assert existing.read_bytes() == b"precious"
    assert load_checkpoint(import_released(pair, existing, overwrite=True).path).name == "old"


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pair.safetensors"
    zipped(path, {f"model_{net}_best.pt": data for net, data in DATA.items()})
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"pair\.safetensors is an input"):
        import_released([path], path, overwrite=True)
    assert path.read_bytes() == before


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_it_made_how_to_use_it_and_on_what_terms(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    target = tmp_path / "fmanet.safetensors"
    arguments = ["weights", "import", *map(str, pair), "-o", str(target)]
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 0
    parameters = sum(tensor.numel() for tensor in load_checkpoint(target).state.values())
    assert outcome.stdout == f"{target}: FMA-Net with {parameters:,} parameters, x4, RGB\n"
    assert f"vsrdb restore in.mp4 out.mp4 --weights {target}\n" in outcome.stderr
    assert "for research and education only" in outcome.stderr

    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert again.stdout == ""
    assert again.stderr.splitlines() == [
        f"error: {target} exists already",
        "hint: add --overwrite to replace it",
    ]
    assert CliRunner().invoke(main, [*arguments, "--overwrite"]).exit_code == 0


def test_the_command_fails_with_one_error_and_one_hint(tmp_path: Path) -> None:
    target = tmp_path / "fmanet.safetensors"
    outcome = CliRunner().invoke(main, ["weights", "import", str(tmp_path), "-o", str(target)])
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert error.startswith(f"error: {tmp_path} holds 0 PyTorch files")
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == []


def test_imported_without_a_path_it_has_a_name_like_a_bundled_one(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSRDB_WEIGHTS", str(tmp_path / "kept"))
    outcome = CliRunner().invoke(main, ["weights", "import", *map(str, pair), "--name", "released"])
    assert outcome.exit_code == 0, outcome.output
    kept = tmp_path / "kept" / "released.safetensors"
    assert outcome.stdout.startswith(f"{kept}: FMA-Net with ")
    assert "--weights released\n" in outcome.stderr
    assert load_checkpoint("released").path == kept
    assert load_checkpoint("released").name == "released"
    assert "released" in CliRunner().invoke(main, ["weights", "list"]).stdout
    assert "released" in CliRunner().invoke(main, ["weights", "info", "unknown"]).stderr


@pytest.mark.parametrize("name", ["fmanet-xs", "bicubic", "", "a/b", "..", "-x"])
def test_a_name_that_is_taken_or_none_is_refused(pair: tuple[Path, Path], name: str) -> None:
    outcome = CliRunner().invoke(main, ["weights", "import", *map(str, pair), "--name", name])
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"error: '{name}' ")


@pytest.mark.slow
def test_a_pair_of_the_paper_s_size_is_imported(tmp_path: Path) -> None:
    paper = golden("paper_24x20")
    for net in "DR":
        (tmp_path / f"model_{net}_best.pt").write_bytes(
            pickled(released(net, half(net, paper.shapes)))
        )
    checkpoint = import_released([tmp_path], tmp_path / "fmanet.safetensors")
    assert checkpoint.config == FMANetConfig()
    assert checkpoint.parameters == sum(
        math.prod(shape) for name, shape in paper.shapes.items() if not is_head(name)
    )


@pytest.mark.parametrize("name", ["a", "x" * 300])
def test_a_name_beside_a_path_and_one_too_long_are_one_line(tmp_path: Path, name: str) -> None:
    output = ["-o", str(tmp_path / "b.safetensors")] if name == "a" else []
    command = ["weights", "import", str(tmp_path), "--name", name, *output]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].startswith("error: ")
    assert "Traceback" not in done.stderr
