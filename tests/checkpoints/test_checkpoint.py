"""Checkpoints: names, files, configurations from shapes, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from golden_numbers import CASES, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file as read_tensors
from safetensors.torch import save_file as write_tensors
from torch import Tensor

from vsrdb_cli.checkpoints import architecture, registry
from vsrdb_cli.checkpoints.architecture import (
    MOST_PARAMETERS,
    TRAINING_HEADS,
    Shapes,
    expected_shapes,
    infer_config,
    is_head,
    mismatches,
)
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint, save_checkpoint
from vsrdb_cli.checkpoints.pickles import find_pair
from vsrdb_cli.cli import main
from vsrdb_cli.errors import CheckpointError, OutputError
from vsrdb_cli.network.config import FMANetConfig

TINY = golden("tiny_32x48")
INFERENCE = {name: tensor for name, tensor in TINY.state().items() if not is_head(name)}


def save_tiny(path: Path, **options: object) -> Path:
    facts = {"licence": "CC BY 4.0", "origin": "drawn from names", "recipe": "none"}
    save_checkpoint(path, TINY.state(), TINY.config, **{**facts, **options})  # type: ignore[arg-type]
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "tiny.safetensors")


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled weights that holds one model, `tiny-xs`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = save_tiny(folder / "tiny-xs.safetensors", dtype=torch.float16)
    (folder / "registry.toml").write_text(
        f"""
        [[model]]
        name = "tiny-xs"
        file = "{path.name}"
        sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"
        licence = "CC BY 4.0"
        summary = "for tests of what is said of a model; not for videos"
        default = true
        """
    )
    monkeypatch.setattr(registry, "bundled_folder", lambda: folder)
    return path


# --- the configuration, from shapes alone ---------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_of_released_parameters_follows_from_their_shapes(case: str) -> None:
    released = golden(case)
    assert infer_config(released.shapes) == released.config
    assert mismatches(released.shapes, released.config) == []


@st.composite
def configurations(draw: st.DrawFn) -> FMANetConfig:
    def number(most: int) -> int:
        return draw(st.integers(1, most))

    frames = draw(st.sampled_from([1, 3, 5]))
    flows, heads = number(3), number(3)
    return FMANetConfig(
        num_seq=frames,
        dim=frames * flows * heads * number(3),
        ds_kernel_size=4 + 2 * draw(st.integers(0, 8)),
        us_kernel_size=2 * draw(st.integers(0, 4)) + 1,
        num_RDB=number(3),
        growth_rate=number(20),
        num_dense_layer=number(3),
        num_flow=flows,
        num_FRMA=number(3),
        num_transformer_block=number(3),
        num_heads=heads,
        LayerNorm_type=draw(st.sampled_from(["WithBias", "BiasFree"])),
        ffn_expansion_factor=draw(st.sampled_from([1.0, 1.7, 2.0, 2.66, 3.3, 4.0])),
        bias=draw(st.booleans()),
    )


@settings(max_examples=15, deadline=None)
@given(configurations())
@pytest.mark.slow
def test_the_configuration_of_any_network_follows_from_its_shapes(config: FMANetConfig) -> None:
    shapes = expected_shapes(config)
    inferred = infer_config(shapes)
    assert inferred.ffn_hidden == config.ffn_hidden
    factor = config.ffn_expansion_factor
    assert dataclasses.replace(inferred, ffn_expansion_factor=factor) == config
    assert expected_shapes(inferred) == shapes


def test_the_feed_forward_factor_is_the_released_or_the_shortest_one() -> None:
    def factor_of(factor: float) -> float:
        config = dataclasses.replace(TINY.config, ffn_expansion_factor=factor)
        return infer_config(expected_shapes(config)).ffn_expansion_factor

    assert factor_of(2.65) == 2.66  # both give 47
    assert factor_of(2.0) == 2.0
    assert factor_of(2.5) == 2.5
    assert factor_of(3.3333) == 3.3  # both give 59


@pytest.mark.parametrize("name", list(expected_shapes(TINY.config))[::16])
def test_a_parameter_that_is_missing_or_misshapen_is_named(name: str) -> None:
    def complaint(changed: Shapes) -> str:
        try:
            return "; ".join(mismatches(changed, infer_config(changed)))
        except CheckpointError as error:
            return str(error)

    shapes = expected_shapes(TINY.config)
    missing = {other: shape for other, shape in shapes.items() if other != name}
    assert f"{name} is missing" in complaint(missing)
    assert f"{name} is ()" in complaint({**shapes, name: ()})
    assert complaint({**shapes, name: (*shapes[name], 1)}).startswith(name)


def test_a_network_for_other_pictures_than_three_channels_is_refused() -> None:
    name = "degradation_learning_network.feature_extractor.0.weight"
    with pytest.raises(CheckpointError, match="pictures with 4 channels, expected 3"):
        infer_config({**expected_shapes(TINY.config), name: (18, 4, 1, 3, 3)})


def test_sizes_that_fit_no_network_are_refused_with_the_reason() -> None:
    block = "degradation_learning_network.FRMA_blocks.0.multi_attn_block.0"
    shapes = {**expected_shapes(TINY.config), f"{block}.co_attn.temperature": (5, 1, 1)}
    with pytest.raises(
        CheckpointError, match="do not fit FMA-Net: dim 18 is not divisible by num_he"
    ):
        infer_config(shapes)


# --- files ----------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded_and_computes_the_golden_numbers(tiny: Path) -> None:
    checkpoint = load_checkpoint(tiny)
    assert checkpoint.name == "tiny"
    assert checkpoint.path == tiny
    assert checkpoint.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert checkpoint.config == TINY.config
    assert (checkpoint.licence, checkpoint.origin) == ("CC BY 4.0", "drawn from names")
    assert (checkpoint.recipe, checkpoint.channel_order) == ("none", "rgb")
    assert checkpoint.notes == ()
    assert checkpoint.state.keys() == INFERENCE.keys()
    assert checkpoint.parameters == sum(tensor.numel() for tensor in INFERENCE.values())
    network = build_network(checkpoint)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with torch.inference_mode():
        output = network(TINY.arrays["input"])
    torch.testing.assert_close(output, TINY.arrays["output"], rtol=0, atol=1e-5)


def test_the_metadata_say_what_a_reader_of_the_file_needs(tiny: Path) -> None:
    header = tiny.read_bytes()
    (length,) = struct.unpack("<Q", header[:8])
    metadata = json.loads(header[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata.pop("config")) == TINY.config.to_dict()
    assert metadata == {
        "format": "vsrdb",
        "architecture": "fmanet",
        "scale": "4",
        "channel_order": "rgb",
        "licence": "CC BY 4.0",
        "origin": "drawn from names",
        "recipe": "none",
    }


def test_float16_halves_the_file_and_is_loaded_as_float32(tmp_path: Path, tiny: Path) -> None:
    half = save_tiny(tmp_path / "half.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.6 * tiny.stat().st_size
    assert {tensor.dtype for tensor in read_tensors(half).values()} == {torch.float16}
    for name, tensor in load_checkpoint(half).state.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, INFERENCE[name].half().float()), name


def test_equal_weights_make_equal_files(tmp_path: Path, tiny: Path) -> None:
    for attempt in range(5):  # the library alone orders 8 metadata at random
        again = save_tiny(tmp_path / f"{attempt}.safetensors")
        assert again.read_bytes() == tiny.read_bytes()


def test_training_heads_are_neither_saved_nor_loaded(tmp_path: Path, tiny: Path) -> None:
    assert not any(is_head(name) for name in read_tensors(tiny))
    whole = tmp_path / "with-heads.safetensors"
    write_tensors(TINY.state(), whole)
    assert len(TINY.state()) - len(INFERENCE) == 6
    assert load_checkpoint(whole).state.keys() == INFERENCE.keys()


def test_without_metadata_shapes_tell_and_assumptions_are_noted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bare.safetensors"
    write_tensors(INFERENCE, path)
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.config == TINY.config
    assert checkpoint.notes == (f"{path} does not state its channel order; RGB is assumed",)
    assert (checkpoint.licence, checkpoint.origin, checkpoint.recipe) == ("", "", "")


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda s: s.pop("restoration_network.res_conv2.weight"), "res_conv2.weight is missing"),
        (lambda s: s.update(stranger=torch.ones(1)), "stranger is unexpected"),
        (
            lambda s: s.update({"restoration_network.res_conv1.weight": torch.ones(1, 2)}),
            r"res_conv1.weight is \(1, 2\), expected \(18, 18, 3, 3\)",
        ),
        (lambda s: s.clear(), "feature_extractor.0.weight is missing"),
        (
            lambda s: [s.pop(n) for n in list(s) if n.startswith("restoration_network.FRMA")],
            "is missing; and [0-9]+ more",
        ),
        (lambda s: s["restoration_network.res_conv2.weight"][0, 0].fill_(torch.nan), "infinite or"),
        (
            lambda s: s.update(
                {n: t.long() for n, t in s.items() if n.endswith("res_conv2.weight")}
            ),
            "res_conv2.weight is torch.int64, expected floating point",
        ),
    ],
    ids=["missing", "unexpected", "shape", "empty", "many", "nan", "integers"],
)
def test_a_file_with_other_parameters_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], complaint: str
) -> None:
    state = {name: tensor.clone() for name, tensor in INFERENCE.items()}
    change(state)
    path = tmp_path / "other.safetensors"
    write_tensors(state, path)
    with pytest.raises(CheckpointError, match=complaint) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "number, complaint",
    [(MOST_PARAMETERS, "tensors, expected at most"), (600, "name [0-9]+ parts of a network")],
)
def test_names_that_ask_for_a_huge_network_are_refused_before_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, complaint: str
) -> None:
    monkeypatch.setattr(architecture, "expected_shapes", lambda _: pytest.fail("it is made"))
    state = {name: tensor.clone() for name, tensor in INFERENCE.items()}
    first = "degradation_learning_network.feature_extractor.2.RDBs.0.layer.0.conv.weight"
    assert first in state
    for i in range(number):
        state[first.replace("RDBs.0", f"RDBs.{10 + i}")] = torch.ones(1)
        state[first.replace("layer.0", f"layer.{10 + i % 100}")] = torch.ones(1)
    path = tmp_path / "many.safetensors"
    write_tensors(state, path)
    with pytest.raises(CheckpointError, match=complaint):
        load_checkpoint(path)


@pytest.mark.posix
@pytest.mark.timeout(60)
def test_what_has_no_end_is_no_checkpoint(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(CheckpointError, match=f"{path} is {kind}, not a file"):
            load_checkpoint(path)
        with pytest.raises(CheckpointError, match="not a pair"):
            find_pair([path])


@pytest.mark.parametrize(
    "key, value, complaint",
    [
        ("architecture", "edvr", "is for architecture 'edvr', expected 'fmanet'"),
        ("channel_order", "bgr", "is for channel order 'bgr', expected 'rgb'"),
        ("scale", "2", "is for scale 2, but its shapes are for 4"),
        ("config", "{", "has no FMA-Net configuration"),
        ("config", "[]", "has no FMA-Net configuration"),
        ("config", '{"dims": 18}', "has no FMA-Net configuration.*dims"),
        ("config", '{"dim": 24}', "metadata says .*dim 24, its shapes 18"),
        ("config", '{"ffn_expansion_factor": NaN}', "has no FMA-Net configuration"),
        ("config", '{"ffn_expansion_factor": 1e999}', "has no FMA-Net configuration"),
        ("config", '{"num_RDB": 1000000000}', "num_RDB 1000000000, its shapes 2"),
        ("config", '{"bias": "yes"}', "bias yes, its shapes False"),
    ],
)
def test_metadata_that_contradict_the_parameters_are_refused(
    tmp_path: Path, key: str, value: str, complaint: str
) -> None:
    path = tmp_path / "other.safetensors"
    if key == "config" and value.startswith('{"') and "dims" not in value:
        value = json.dumps({**TINY.config.to_dict(), **json.loads(value)})
    write_tensors(INFERENCE, path, metadata={key: value})
    with pytest.raises(CheckpointError, match=complaint):
        load_checkpoint(path)


def test_a_recorded_feed_forward_factor_is_kept_if_it_gives_the_hidden_size(tmp_path: Path) -> None:
    path = tmp_path / "factor.safetensors"
    config = dataclasses.replace(TINY.config, ffn_expansion_factor=2.65)
    write_tensors(INFERENCE, path, metadata={"config": json.dumps(config.to_dict())})
    assert load_checkpoint(path).config == config


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 0.5, -1])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, tiny: Path, kept: float) -> None:
    data = tiny.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    with pytest.raises(CheckpointError, match="not a complete safetensors file") as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


def test_a_pickle_is_not_opened_but_its_import_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "model_R_best.pt"
    torch.save({"model_R_state_dict": INFERENCE}, path)
    with pytest.raises(CheckpointError, match="not a complete safetensors file") as error:
        load_checkpoint(path)
    assert "vsrdb weights import" in str(error.value.hint)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors does not exist"):
        load_checkpoint("nowhere.safetensors")
    with pytest.raises(CheckpointError, match="there/fmanet does not exist"):
        load_checkpoint("there/fmanet")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)


def test_a_file_larger_than_any_network_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="1048576 MiB, expected at most 1024 MiB"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "\\ud800", "9" * 5000])
def test_a_configuration_of_any_text_is_one_error(tmp_path: Path, tiny: Path, text: str) -> None:
    path = tmp_path / "deep.safetensors"
    write_tensors(read_tensors(tiny), path, {"config": text})
    with pytest.raises(CheckpointError, match="has no FMA-Net configuration"):
        load_checkpoint(path)


def test_a_header_in_no_encoding_or_nested_deeply_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    for header in (b'{"\xff": 1}', b"[" * 100_000, b'{"a":' * 50_000):
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(CheckpointError, match="not a complete safetensors file"):
            load_checkpoint(path)


@pytest.mark.slow
def test_thousands_of_extra_tensors_are_refused_by_their_number(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "many.safetensors"
    extra = {f"{TRAINING_HEADS[0]}{n}": torch.zeros(1) for n in range(9000)}
    write_tensors(read_tensors(tiny) | extra, path)
    with pytest.raises(CheckpointError, match="tensors, expected at most 8192"):
        load_checkpoint(path)
    more = {f"extra.{n}.{'x' * 100}": torch.zeros(1) for n in range(20_000)}
    write_tensors(read_tensors(tiny) | more, path)
    with pytest.raises(CheckpointError, match="has a header of"):
        load_checkpoint(path)


# --- saving ---------------------------------------------------------------------------------------


def test_saving_never_replaces_a_file_unasked(tiny: Path) -> None:
    before = tiny.read_bytes()
    with pytest.raises(OutputError, match="exists already") as error:
        save_tiny(tiny, origin="another")
    assert "--overwrite" in str(error.value.hint)
    assert tiny.read_bytes() == before
    save_tiny(tiny, origin="another", overwrite=True)
    assert load_checkpoint(tiny).origin == "another"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny.read_bytes()

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        save_tiny(tiny, overwrite=True)
    assert tiny.read_bytes() == before
    assert list(tiny.parent.iterdir()) == [tiny]


def test_weights_that_float16_cannot_hold_are_not_saved_in_it(tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in INFERENCE.items()}
    state["restoration_network.res_conv2.weight"][0, 0, 0, 0] = 1e5
    path = tmp_path / "large.safetensors"
    with pytest.raises(CheckpointError, match=r"infinite or NaN in .*res_conv2.weight"):
        save_checkpoint(path, state, TINY.config, dtype=torch.float16, licence="", origin="")
    assert not path.exists()
    save_checkpoint(path, state, TINY.config, licence="", origin="")


def test_parameters_of_another_network_are_not_saved(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY.config, bias=True)
    with pytest.raises(CheckpointError, match=r"bias is missing; and [0-9]+ more"):
        save_checkpoint(tmp_path / "x.safetensors", INFERENCE, config, licence="", origin="")
    assert not list(tmp_path.iterdir())


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_bundled_name_loads_its_file(bundled: Path) -> None:
    checkpoint = load_checkpoint("tiny-xs")
    assert (checkpoint.name, checkpoint.path) == ("tiny-xs", bundled)
    assert checkpoint.sha256 == registry.bundled_models()[0].sha256
    assert registry.default_weights() == "tiny-xs"


@pytest.mark.parametrize("position", [0, 20, 0.5, -1])
def test_one_changed_bit_of_a_bundled_file_is_refused(bundled: Path, position: float) -> None:
    data = bytearray(bundled.read_bytes())
    expected = hashlib.sha256(data).hexdigest()
    data[int(position * len(data)) if position == 0.5 else int(position)] ^= 1
    bundled.write_bytes(data)
    found = hashlib.sha256(data).hexdigest()
    message = (
        f"{bundled} is not 'tiny-xs': its SHA-256 starts with {found[:12]},"
        f" expected {expected[:12]}"
    )
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint("tiny-xs")


def test_a_bundled_file_that_is_gone_is_named(bundled: Path) -> None:
    bundled.unlink()
    with pytest.raises(CheckpointError, match=rf"{bundled} does not exist"):
        load_checkpoint("tiny-xs")


@pytest.mark.parametrize("name", ["fmanet-xxl", "", "a" * 5000])
def test_an_unknown_name_is_answered_with_the_known_ones(bundled: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="choose from tiny-xs, nearest, bicubic") as error:
        load_checkpoint(name)
    assert "vsrdb weights import" in str(error.value.hint)


@pytest.mark.parametrize("name", ["nearest", "bicubic"])
def test_a_network_without_parameters_has_no_checkpoint(bundled: Path, name: str) -> None:
    with pytest.raises(
        CheckpointError, match=f"'{name}' has no parameters, so it has no checkpoint"
    ):
        load_checkpoint(name)


def test_every_bundled_checkpoint_is_whole_and_one_is_the_default() -> None:
    models = registry.bundled_models()
    for model in models:
        assert load_checkpoint(model.name).licence == model.licence
    files = {path.name for path in registry.bundled_folder().glob("*.safetensors")}
    assert files == {model.file for model in models}
    assert sum(model.default for model in models) == 1


# --- the commands ---------------------------------------------------------------------------------


def test_list_names_every_model_in_one_line_each_when_piped(bundled: Path) -> None:
    outcome = CliRunner().invoke(main, ["weights", "list"])
    assert outcome.exit_code == 0
    heading, tiny_line, *rest = outcome.stdout.splitlines()
    columns = ["name", "parameters", "scale", "licence", "size", "SHA-256", "description"]
    assert re.split(r"\s{1,}(?!for)", heading.strip()) == columns
    model = registry.bundled_models()[0]
    size = f"{bundled.stat().st_size / 1024:.1f} KiB"
    count = sum(tensor.numel() for tensor in INFERENCE.values())
    for fact in (f"{count:,}", "x4", model.licence, size, model.sha256[:12]):
        assert fact in tiny_line
    assert tiny_line.rstrip().endswith(f"{model.summary} (default)")
    assert [line.split()[:3] for line in rest] == [
        ["nearest", "none", "x4"],
        ["bicubic", "none", "x4"],
    ]


def test_list_shows_a_damaged_model_as_damaged_and_fails(bundled: Path) -> None:
    bundled.write_bytes(bundled.read_bytes()[:-1])
    outcome = CliRunner().invoke(main, ["weights", "list"])
    assert outcome.exit_code == 1
    assert re.search(r"^tiny-xs .* damaged ", outcome.stdout, re.MULTILINE)
    assert "bicubic" in outcome.stdout
    assert f"error: {bundled} is not 'tiny-xs'" in outcome.stderr


def test_info_gives_every_fact_on_a_line_of_its_own(bundled: Path) -> None:
    outcome = CliRunner().invoke(main, ["weights", "info", "tiny-xs"])
    assert outcome.exit_code == 0
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in outcome.stdout.splitlines())
    assert facts["SHA-256"] == hashlib.sha256(bundled.read_bytes()).hexdigest()
    assert facts["file"] == str(bundled)
    assert (facts["scale"], facts["channel order"]) == ("4", "rgb")
    assert (facts["licence"], facts["origin"], facts["recipe"]) == (
        "CC BY 4.0",
        "drawn from names",
        "none",
    )
    for name, value in TINY.config.to_dict().items():
        assert name == "scale" or facts[f"config.{name}"] == str(value)


def test_info_of_a_file_that_records_nothing_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    write_tensors(INFERENCE, path)
    outcome = CliRunner().invoke(main, ["weights", "info", str(path)])
    assert outcome.exit_code == 0
    assert re.search(r"^licence +not recorded$", outcome.stdout, re.MULTILINE)
    assert "RGB is assumed" in outcome.stderr


def test_info_of_an_unknown_name_is_one_error_and_one_hint(bundled: Path) -> None:
    outcome = CliRunner().invoke(main, ["weights", "info", "fmanet-xxl"])
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert error.startswith("error: there are no weights named 'fmanet-xxl'")
    assert hint.startswith("hint: ")
