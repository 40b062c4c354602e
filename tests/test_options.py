"""An option is declared once: command, configuration file, programs and journal all have it."""

import json
import math
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.commands.click_options import options_of
from vsrdb_cli.commands.restore import restore
from vsrdb_cli.errors import OptionError
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.option_fields import flag_of, is_switch
from vsrdb_cli.option_values import FrameNumber
from vsrdb_cli.options import EncoderOptions, Hdr, RestoreOptions, declared_options
from vsrdb_cli.restore import restore_video

DECLARED = list(declared_options())
# What an option is of no use without.
NEEDED = {"ray_ship_code": {"ray": "auto"}}
each_option = pytest.mark.parametrize("entry", DECLARED, ids=flag_of)


def sample(entry):
    """A value other than the default, as a configuration file would say it."""
    declared = entry.metadata["option"]
    if is_switch(entry):
        return True  # of a flag: given
    if declared.choices:
        return declared.choices[-1]
    if declared.between is not None:
        return math.ceil(declared.between[0])
    if declared.read is None:
        return "text"
    for text in ("96", "cuda:1", "key=value"):
        try:
            declared.read((text,) if entry.name == "extra" else text)
        except ValueError:
            continue
        return text
    raise AssertionError(f"no sample for {entry.name}")


def by_command(*arguments):
    """The options that a command line comes to."""
    context = restore.make_context("restore", [*map(str, arguments), "in.mp4", "out.mp4"])
    return options_of({entry.name: context.params[entry.name] for entry in DECLARED})


def on_the_line(entry):
    value = sample(entry)
    needed = [f"--{name}={of}" for name, of in NEEDED.get(entry.name, {}).items()]
    return [f"--{flag_of(entry)}", *([] if value is True else [value]), *needed]


def value_in(options, entry):
    holder = options if hasattr(options, entry.name) else options.encoder
    return getattr(holder, entry.name)


def test_every_field_but_the_encoders_threads_is_an_option():
    names = {f.name for f in (*fields(RestoreOptions), *fields(EncoderOptions))}
    assert names - {entry.name for entry in DECLARED} == {"encoder", "threads"}


def test_help_shows_every_option_that_is_not_hidden():
    text = CliRunner().invoke(main, ["restore", "--help"]).output
    for entry in DECLARED:
        assert (f"--{flag_of(entry)}" in text.split()) != entry.metadata["option"].hidden


def test_without_options_the_command_takes_the_defaults_of_programs():
    assert by_command() == RestoreOptions()


@each_option
def test_the_command_takes_it_and_reads_it_as_a_program_does(entry):
    options = by_command(*on_the_line(entry))
    value = sample(entry)
    given = (value,) if entry.name == "extra" else not entry.default if value is True else value
    assert options == RestoreOptions.of(**{entry.name: given}, **NEEDED.get(entry.name, {}))
    assert value_in(options, entry) != value_in(RestoreOptions(), entry)


@each_option
def test_the_configuration_file_takes_it_under_the_same_name(entry, tmp_path):
    file = tmp_path / "vsrdb.toml"
    values = {flag_of(entry): sample(entry), **NEEDED.get(entry.name, {})}
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    assert by_command("--config", file) == by_command(*on_the_line(entry))


def test_an_option_that_can_be_repeated_takes_a_list_in_the_file(tmp_path):
    (tmp_path / "vsrdb.toml").write_text('encoder-option = ["tune=film", "g=30"]\n')
    options = by_command("--config", tmp_path / "vsrdb.toml")
    assert options.encoder.extra == {"tune": "film", "g": "30"}


@pytest.mark.parametrize("name, number", [("start", 2), ("end", 2.5), ("fps", 25), ("tile", 96)])
def test_a_number_in_the_file_is_what_it_is_on_the_command_line(name, number, tmp_path):
    (tmp_path / "vsrdb.toml").write_text(f"{name} = {number}\n")
    options = by_command("--config", tmp_path / "vsrdb.toml")
    assert options == by_command(f"--{name}", number)
    assert not isinstance(
        options.start or options.end, FrameNumber
    )  # seconds; a frame would be "2f"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    (tmp_path / "vsrdb.toml").write_text("scale = 2\n", encoding="utf-8-sig")
    assert by_command("--config", tmp_path / "vsrdb.toml").scale == 2


def test_a_time_without_quotes_is_refused_with_the_line_to_write(tmp_path):
    (tmp_path / "vsrdb.toml").write_text("start = 00:01:30\n")
    with pytest.raises(OptionError, match="without quotes") as refused:
        by_command("--config", tmp_path / "vsrdb.toml")
    assert refused.value.hint == 'write: start = "00:01:30"'


def test_part_of_a_number_in_the_file_is_not_cut_off(tmp_path):
    (tmp_path / "vsrdb.toml").write_text("scale = 2.5\n")
    given = ["restore", "--config", str(tmp_path / "vsrdb.toml"), "in.mp4", "out.mp4"]
    refused = CliRunner().invoke(main, given)
    assert refused.exit_code == 2
    assert "2.5" in refused.output


def test_a_job_is_bound_to_values_as_the_command_line_has_them():
    assert RestoreOptions().frame_values["no-scene-cut"] is False
    assert by_command("--no-scene-cut").frame_values["no-scene-cut"] is True
    assert RestoreOptions(hdr="sdr").frame_values["hdr"] == "sdr"


def test_the_journal_binds_a_job_to_the_options_its_frames_depend_on(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6, height=24, width=32)

    def stop(progress):
        if progress.phase == "restore":
            raise KeyboardInterrupt

    options = RestoreOptions(weights="nearest", segment_seconds=0.1)
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, tmp_path / "out.mp4", options, on_progress=stop)
    journal = json.loads((work_folder(tmp_path / "out.mp4") / "journal.json").read_text())
    # Weights, backend and precision are entered as what they came to.
    bound = set(journal["bound"]) - {"weights", "backend", "precision"}
    bound = {name for name in bound if "input" not in name and "version" not in name}
    assert bound == {flag_of(e) for e in DECLARED if e.metadata["option"].frames}


@pytest.mark.parametrize("wrong, says", [
    ({"strength": 1.5}, "strength 1.5 is not valid"),
    ({"scale": 0}, "scale 0 is not valid"),
    ({"tile": 10}, "tile 10 is not valid"),
    ({"hdr": "no"}, "hdr 'no' is not valid"),
    ({"codec": "mpeg2"}, "codec 'mpeg2' is not valid"),
    ({"start": "1m"}, "start '1m' is not valid"),
    ({"start": math.nan}, "start nan is not valid"),
    ({"devices": "cpu,,cpu"}, "devices 'cpu,,cpu' is not valid"),
    ({"extra": ("tune",)}, "encoder option 'tune' is not valid"),
])  # fmt: skip
def test_what_cannot_be_is_refused_wherever_it_comes_from(wrong, says):
    with pytest.raises(OptionError, match=says) as refused:
        RestoreOptions.of(**wrong)
    assert refused.value.hint


@pytest.mark.parametrize("wrong, says", [
    ({"overwrite": "no"}, "overwrite must be bool, not str"),
    ({"strict": 1}, "strict must be bool, not int"),
    ({"scale": "4"}, "scale must be int, not str"),
    ({"scale": 2.5}, "scale must be int, not float"),
    ({"scale": True}, "scale must be int, not bool"),
    ({"scale": None}, "scale must be int, not NoneType"),
    ({"crf": 16.5}, "crf must be int or None, not float"),
    ({"strength": "1"}, "strength must be a number, not str"),
    ({"backend": 3}, "backend must be str, not int"),
    ({"start": [1]}, "start must be str or a number or None, not list"),
    ({"tile": 96.0}, "tile must be str or int or None, not float"),
    ({"weights": b"x"}, "weights must be str or a path, not bytes"),
    ({"extra": "tune=film"}, "extra must be Mapping or list or tuple, not str"),
    ({"threads": "2"}, "threads must be int, not str"),
])  # fmt: skip
def test_a_value_of_another_type_is_a_type_error_that_names_it(wrong, says):
    with pytest.raises(TypeError, match=says):
        RestoreOptions.of(**wrong)


def test_the_encoders_options_are_no_dict():
    with pytest.raises(TypeError, match="encoder must be EncoderOptions, not dict"):
        RestoreOptions(encoder={"codec": "hevc"})


def test_numbers_of_numpy_are_numbers_and_a_path_names_weights():
    options = RestoreOptions(scale=np.int64(2), strength=np.float32(0.5), weights=Path("w.x"))
    assert (options.scale, options.strength, options.weights) == (2, 0.5, "w.x")
    assert {type(options.scale), type(options.strength)} == {int, float}


def test_options_may_be_changed_one_by_one_and_are_checked_again():
    options = replace(RestoreOptions(scale=2), hdr="keep")
    assert options.hdr.value == "keep"
    with pytest.raises(OptionError):
        replace(options, scale=9)


def test_one_device_and_several_exclude_each_other_for_programs_too():
    with pytest.raises(OptionError, match="device and devices cannot be used together"):
        RestoreOptions(device="cpu", devices=("cpu", "cpu"))


def test_a_choice_that_is_none_tells_the_choices_to_programs_too():
    with pytest.raises(OptionError, match="hdr 'foo' is not valid") as refused:
        RestoreOptions(hdr="foo")
    assert refused.value.hint == "choose refuse, keep or sdr"
    assert RestoreOptions(hdr=Hdr.KEEP) == RestoreOptions(hdr="keep")


def test_the_first_gpu_is_one_device_by_whichever_name():
    assert RestoreOptions(devices=("cuda", "cuda:0")).devices == ("cuda:0", "cuda:0")


@pytest.mark.parametrize("given, means", [
    (2, Fraction(2)), (np.int64(2), Fraction(2)), ("2", Fraction(2)), (2.5, Fraction(5, 2)),
    (1e-5, Fraction(1, 100_000)), ("2f", FrameNumber(2)), (FrameNumber(2), FrameNumber(2)),
])  # fmt: skip
def test_a_bare_number_is_seconds_and_a_frame_says_so(given, means):
    options = RestoreOptions(start=given)
    for found in (options.start, replace(options, scale=2).start):  # checked once more
        assert (found, type(found)) == (means, type(means))


@pytest.mark.parametrize(
    "given", [{"start": -1}, {"end": -0.5}, {"sample": "2250f"}, {"sample": "1e"}]
)
def test_no_place_lies_before_the_beginning_and_no_length_is_a_frame(given):
    with pytest.raises(OptionError) as refused:
        RestoreOptions(**given)
    assert ("2250f" in refused.value.hint) is False


def test_an_option_that_the_source_decides_can_be_turned_on_and_off(tmp_path):
    assert by_command("--detelecine").detelecine is True
    assert by_command("--no-detelecine").detelecine is False
    (tmp_path / "vsrdb.toml").write_text("detelecine = false\n")
    assert by_command("--config", tmp_path / "vsrdb.toml").detelecine is False
    assert by_command("--config", tmp_path / "vsrdb.toml", "--detelecine").detelecine is True
