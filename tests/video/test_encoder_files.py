"""No option of an encoder reads or writes a file of its own."""

import clips
import pytest
from click.testing import CliRunner

from vsrdb_cli.cli import main
from vsrdb_cli.errors import OptionError
from vsrdb_cli.video.writing.encoding import check_no_files


@pytest.mark.parametrize(
    "option, value",
    [
        ("stats", "here"),
        ("passlogfile", "here"),
        ("flags", "+pass1"),
        ("x264-params", "ref=1:stats=here:pass=1"),
        ("x264-params", "pass=1"),
        ("x264-params", "dump_yuv=here"),
        ("x264-params", "dump-yuv=here"),
        ("x264-params", r"st\ats=here"),
        ("x264opts", "qpfile=here"),
        ("x264_params", "opencl_clbin=here"),
        ("x265-params", "csv=here:csv-log-level=2"),
        ("x265-params", "'recon'=here"),
        ("x265-params", "analysis-save=here"),
        ("x265-params", "scaling-list=here"),
        ("x265-params", "film-grain=here"),
        ("x265-params", "lambda-file=here"),
    ],
)
def test_what_names_a_file_is_refused(option, value):
    with pytest.raises(OptionError, match="read or write files"):
        check_no_files({option: value})


@pytest.mark.parametrize(
    "option, value",
    [
        ("tune", "film"),
        ("flags", "+cgop"),
        ("x264-params", "ref=3:deblock=-1,-1:cqm=flat:psy-rd=1.0,0.15:direct=auto"),
        ("x265-params", "scaling-list=default:aq-mode=3:log-level=error"),
        ("svtav1-params", "film-grain=8:tune=0"),
    ],
)
def test_what_names_none_is_not(option, value):
    check_no_files({option: value})


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_no_file_is_written_not_even_by_a_dry_run(tmp_path, monkeypatch, dry):
    monkeypatch.chdir(tmp_path)
    clips.make(tmp_path / "in.mp4", frames=3, height=32, width=32)
    asked = ["--weights", "nearest", "--encoder-option", "x264-params=pass=1:stats=stats.log"]
    done = CliRunner().invoke(main, ["restore", "in.mp4", "out.mp4", *asked, *dry])
    assert done.exit_code == 2 and "read or write files" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
