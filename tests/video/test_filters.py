"""Filters of FFmpeg before the network and before the encoder: what they are given and give."""

import io
from fractions import Fraction

import av
import clips
import numpy as np
import pytest
import torch
from restoring import y4m_of

from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.options import EncoderOptions, Hdr, RestoreOptions
from vsrdb_cli.video.filtering.filtering import Filtering, Pictures
from vsrdb_cli.video.filtering.graph import FilterGraph
from vsrdb_cli.video.pixels.colour import SDR, Colour
from vsrdb_cli.video.reading.open import open_requested
from vsrdb_cli.video.reading.prefilter import prefiltered
from vsrdb_cli.video.reading.y4m_reader import PipeReader
from vsrdb_cli.video.writing.frame_converter import Postfilters
from vsrdb_cli.video.writing.output import resolve_output

PICTURES = Pictures(64, 48, "yuv420p", SDR, Fraction(4, 3))


def tried(graph, given=PICTURES):
    return Filtering.tried(
        "--prefilter", graph, given, time_base=Fraction(1, 12800), rate=Fraction(25)
    )


@pytest.fixture
def clip(tmp_path):
    return clips.make(tmp_path / "in.mp4", frames=8)


def opened(path, graph, **options):
    return open_requested(path, RestoreOptions(prefilter=graph, **options))


def by_ffmpeg(path, graph):
    """The frames that FFmpeg itself makes, as (H, W) luma."""
    with av.open(str(path)) as source:
        frames = list(source.decode(video=0))
    chain = av.filter.Graph()
    buffer = chain.add_buffer(template=frames[0], time_base=Fraction(1, 12800))
    filters = [chain.add(*part.split("=", 1)) for part in graph.split(",")]
    chain.link_nodes(buffer, *filters, chain.add("buffersink")).configure()
    done = []
    for frame in frames:
        chain.push(frame)
        done.append(clips.planes_of(chain.pull())[0])
    return done


@pytest.mark.parametrize("graph, nodes", [
    ("hflip", [("hflip", "")]),
    (" crop = 32:24 , nlmeans=s=3:p=5 ", [("crop", "32:24"), ("nlmeans", "s=3:p=5")]),
    ("crop@mine=32:24", [("crop", "32:24")]),
    ("drawbox=enable='between(t,1,2)'", [("drawbox", "enable=between(t,1,2)")]),
    (r"geq=lum=p(X\,Y)\;1", [("geq", "lum=p(X,Y);1")]),
    ("[in]split[a][b];[b]hflip[c];[a][c]hstack", [("split", ""), ("hflip", ""), ("hstack", "")]),
])  # fmt: skip
def test_a_graph_is_read_as_ffmpeg_reads_it(graph, nodes):
    assert [(node.name, node.arguments) for node in FilterGraph.parse(graph).nodes] == nodes


@pytest.mark.parametrize("graph, gives", [
    ("crop=32:24", (32, 24, "yuv420p", Fraction(4, 3))),
    ("pad=80:60", (80, 60, "yuv420p", Fraction(4, 3))),
    ("scale=iw*sar:ih,setsar=1", (85, 48, "yuv420p", Fraction(1))),
    ("transpose", (48, 64, "yuv420p", Fraction(3, 4))),
    ("format=yuv422p10le", (64, 48, "yuv422p10le", Fraction(4, 3))),
    ("split[a][b];[b]hflip[c];[a][c]hstack", (128, 48, "yuv420p", Fraction(4, 3))),
    ("[a]hflip[b];[b]vflip[c]", (64, 48, "yuv420p", Fraction(4, 3))),
])  # fmt: skip
def test_what_a_graph_gives_is_known_before_the_work(graph, gives):
    found = tried(graph).gives
    assert (found.width, found.height, found.pix_fmt, found.sample_aspect_ratio) == gives


def test_the_colours_that_a_graph_names_are_known_too():
    assert tried("setparams=colorspace=bt470bg:range=pc").gives.colour == Colour(5, 2, 1, 1)
    assert tried("hflip").gives.colour == SDR


@pytest.mark.parametrize("graph, says", [
    ("crop=w=wide", "Undefined constant or missing '(' in 'wide'"),
    ("crop=999:9", "crop: Invalid too big or non positive size for width '998'"),
    ("nlmeans=s=1000", "Value 1000.000000 for parameter 's' out of range"),
    ("nlmeans=strength=3", "option"),
    ("hqdn3d", "this build of FFmpeg has no filter 'hqdn3d'"),
    ("anull", "Media type mismatch"),
    ("overlay", "2 open inputs and 1 open outputs"),
    ("split", "1 open inputs and 2 open outputs"),
    ("hflip,nullsink", "1 open inputs and 0 open outputs"),
    ("color=red", "0 open inputs"),
    ("[a]hflip[b", "'[b' is no label"),
    ("hflip,,vflip", "a filter is missing"),
    ("", "it is empty"),
    ("crop='32:24", "is not closed"),
    ("split,hflip", "more is joined to hflip than it has room for"),
    ("movie=/nowhere.png[a];[in][a]overlay", "/nowhere.png"),
])  # fmt: skip
def test_a_wrong_graph_is_refused_in_one_line_with_the_reason(graph, says):
    with pytest.raises(OptionError) as refused:
        tried(graph)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("graph, name", [
    ("fps=50", "fps"), ("fps=5", "fps"), ("nlmeans,framestep=2", "framestep"),
    ("setpts=2*PTS", "setpts"), ("bwdif=mode=send_field", "bwdif"), ("tblend", "tblend"),
    ("tmix,fps=50,lagfun", "fps"), ("select='gt(t,0)'", "select"), ("tpad=stop=1", "tpad"),
    ("minterpolate", "minterpolate"),
])  # fmt: skip
def test_a_filter_that_drops_adds_or_moves_frames_is_named(graph, name):
    with pytest.raises(VideoError) as refused:
        tried(graph)
    assert str(refused.value).startswith(f"--prefilter: {name} does not give one frame for each")
    assert "ffmpeg -i IN -vf" in refused.value.hint


@pytest.mark.parametrize("graph", ["select='lt(t,0.2)'", "decimate", "tpad=start=1,trim=start=9"])
def test_one_that_does_so_only_later_is_noticed_as_it_runs(tmp_path, graph):
    source = clips.make(tmp_path / "in.mp4", frames=12)
    with pytest.raises(VideoError, match="not give one frame for each"), opened(source, graph) as r:
        list(r.frames())


@pytest.mark.parametrize("graph, says", [
    ("crop=32:24:x=n", "crop goes by all frames before"),
    ("fade=in:0:30", "fade goes by"),
    ("geq=lum='random(1)*255'", "geq goes by"),
    ("reverse", "reverse goes by"),
    ("noise=alls=5:allf=t+a", "noise with the flag a"),
    ("tmix,noise=alls=5:allf=t", "tmix, which looks at several frames"),
])  # fmt: skip
def test_what_would_differ_in_parts_of_a_video_is_refused(graph, says):
    with pytest.raises(OptionError) as refused:
        tried(graph)
    assert says in str(refused.value)


def test_fading_and_cropping_by_time_are_taken():
    assert tried("fade=t=in:st=0:d=1,crop=32:24:x='8*t'").gives.width == 32


@pytest.mark.parametrize("graph, opens", [
    ("lut3d=my.cube", True), ("movie=logo.png[a];[in][a]overlay", True),
    ("metadata=print:file=out.txt", True), ("curves=psfile=a.acv", True),
    ("sendcmd=f=list", True), ("metadata=mode=print", False), ("curves=vintage", False),
    ("nlmeans,crop=9:9", False),
])  # fmt: skip
def test_filters_that_open_files_are_known(graph, opens):
    assert bool(FilterGraph.parse(graph).opens_files) == opens


@pytest.mark.parametrize("graph", ["nlmeans=s=6", "deblock", "crop=100:60", "unsharp,hflip"])
def test_frames_before_the_network_are_those_of_ffmpeg(clip, graph):
    with opened(clip, graph) as reader:
        shape = reader.info.height, reader.info.width
        frames = list(reader.frames())
    wanted = by_ffmpeg(clip, graph if "=" in graph else graph.replace(",", "=,") + "=")
    assert {luma.shape for luma in wanted} == {shape}
    for frame, luma in zip(frames, wanted, strict=True):
        red, green, blue = frame.rgb.double()
        made = 16 + 219 / 255 * (0.2126 * red + 0.7152 * green + 0.0722 * blue)
        assert np.abs(made.numpy() - luma).mean() < 0.7  # rounding to RGB, and clipped colours


def test_frames_keep_their_times_and_their_number(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6, pts=clips.VARIABLE, rate=Fraction(30),
                        time_base=Fraction(1, 90000))  # fmt: skip
    with opened(source, "atadenoise") as reader, open_requested(source, RestoreOptions()) as plain:
        times = [(frame.pts, frame.duration) for frame in reader.frames()]
        assert times == [(frame.pts, frame.duration) for frame in plain.frames()]


@pytest.mark.slow
def test_parts_read_alone_are_those_of_the_whole(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=60)
    for graph in ("atadenoise", "noise=alls=12:allf=t", "nlmeans", "tmix=frames=5"):
        with opened(source, graph) as reader:
            whole = [frame.rgb for frame in reader.frames()]
            part = [frame.rgb for frame in reader.frames(40, 44)]
        assert len(part) == 4
        assert all(map(torch.equal, part, whole[40:44])), graph


def test_what_remembers_everything_is_led_in(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=60)
    with opened(source, "lagfun=decay=0.8") as reader:
        whole = next(iter(reader.frames(50, 51))).rgb.int()
        every = [frame.rgb.int() for frame in reader.frames()][50]
    assert 0 <= (whole - every).abs().max() <= 2  # 0.8 ** 24 of the past is left


def test_noise_differs_from_frame_to_frame(clip):
    with opened(clip, "lutyuv=y=128:u=128:v=128,noise=alls=20:allf=t") as reader:
        first, second, *_ = [frame.rgb for frame in reader.frames()]
    assert not torch.equal(first, second)
    with opened(clip, "lutyuv=y=128:u=128:v=128,noise=alls=20:allf=t:all_seed=5") as reader:
        assert not torch.equal(first, next(iter(reader.frames())).rgb)


def test_a_part_of_a_video_is_filtered_with_what_lies_before_it(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=20)
    with opened(source, "tmix=frames=5") as reader:
        whole = [frame.rgb for frame in reader.frames()]
    with opened(source, "tmix=frames=5", start="10f", end="14f") as part:
        assert part.info.frame_count == 4
        assert all(map(torch.equal, (frame.rgb for frame in part.frames()), whole[10:14]))


def test_interlaced_video_is_deinterlaced_first(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=12, woven=True, codec="ffv1", height=96)
    with opened(source, "null") as reader, open_requested(source, RestoreOptions()) as plain:
        assert all(map(torch.equal, (f.rgb for f in reader.frames()),
                       (f.rgb for f in plain.frames())))  # fmt: skip
        assert reader.report.deinterlaced == plain.report.deinterlaced


@pytest.fixture
def hdr_clip(tmp_path):
    return clips.make(
        tmp_path / "hdr.mkv", frames=2, codec="ffv1", pix_fmt="yuv420p10le", matrix=9, transfer=16
    )


@pytest.mark.slow  # FFmpeg computes a table of colours for seconds
def test_hdr_is_filtered_before_it_is_converted(hdr_clip):
    with opened(hdr_clip, "crop=80:60", hdr=Hdr.SDR) as reader:
        assert (reader.info.colour, reader.info.bit_depth) == (SDR, 16)
        assert next(iter(reader.frames())).rgb.shape == (3, 60, 80)


def test_filters_that_leave_8_bits_are_refused_for_hdr(tmp_path, hdr_clip):
    with opened(hdr_clip, "nlmeans", hdr=Hdr.SDR) as reader:
        assert reader.info.bit_depth == 8
        said = "--prefilter leaves 8 of 10 bits per colour: values are rounded"
        assert said in reader.info.notices
    with pytest.raises(OptionError, match="nlmeans leaves 8 bits per colour; HDR video needs 10"):
        opened(hdr_clip, "nlmeans", hdr=Hdr.KEEP)
    with (
        open_requested(hdr_clip, RestoreOptions(hdr=Hdr.KEEP)) as reader,
        pytest.raises(OptionError, match="--postfilter nlmeans leaves 8 bits per colour"),
    ):
        resolve_output(tmp_path / "out.mp4", reader.info, 4, postfilters=Postfilters("nlmeans"))


def test_pictures_say_that_filters_round_them(tmp_path):
    source = clips.make(tmp_path / "in.mkv", frames=2, codec="ffv1", pix_fmt="yuv420p10le")
    output, target = written(tmp_path, "out", "nlmeans", source=source)
    assert any("--postfilter leaves 8 of 16 bits" in notice for notice in output.notices)
    with av.open(str(next(target.iterdir()))) as made:
        assert made.streams.video[0].pix_fmt == "rgb24"


def test_transparent_video_is_filtered_with_its_alpha_channel(tmp_path):
    path = tmp_path / "in.mov"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("prores_ks", rate=25, options={"profile": "4444"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva444p10le"
        frame = av.VideoFrame(64, 48, "yuva444p10le")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with opened(path, "crop=32:24") as reader:
        assert reader.info.transparent
        assert [frame.rgb.shape for frame in reader.frames()] == [(3, 24, 32)]


def test_a_stream_is_filtered_as_it_comes(clip):
    with PipeReader(io.BytesIO(y4m_of(clip))) as pipe:
        reader = prefiltered(pipe, "atadenoise,crop=100:60")
        assert (reader.info.height, reader.info.width) == (60, 100)
        frames = list(reader.frames())
    assert [frame.pts for frame in frames] == list(range(8))
    assert {frame.rgb.shape for frame in frames} == {(3, 60, 100)}


def write_pictures(folder, suffix, count=4):
    folder.mkdir()
    for number in range(count):
        image = av.VideoFrame.from_ndarray(clips.picture(number), "rgb24").to_image()
        image.save(folder / f"{number:03d}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.slow
def test_pictures_are_filtered_in_their_own_format(tmp_path, suffix):
    folder = write_pictures(tmp_path / "in", suffix)
    with opened(folder, "crop=96:60:0:0,tmix=frames=3", start="1f", end="3f") as reader:
        part = [frame.rgb for frame in reader.frames()]
    with opened(folder, "crop=96:60:0:0,tmix=frames=3") as reader:
        whole = [frame.rgb for frame in reader.frames()]
    with opened(folder, None) as reader:
        plain = [frame.rgb[:, :60, :96].int() for frame in reader.frames()]
    assert (len(whole), len(part)) == (4, 2)
    assert all(map(torch.equal, part, whole[1:3]))
    mean = (plain[1] + plain[2] + plain[3]) / 3
    assert (whole[3] - mean).abs().mean() < 1.5


@pytest.mark.slow
def test_turned_pictures_are_filtered_as_they_lie_in_the_file(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    image = av.VideoFrame.from_ndarray(clips.picture(3), "rgb24").to_image()
    exif = image.getexif()
    exif[0x112] = 6  # to be turned by 90 degrees
    image.save(folder / "1.jpg", exif=exif)
    with opened(folder, "crop=100:40") as reader:
        (frame,) = reader.frames()
        assert (reader.info.height, reader.info.width) == (100, 40) == frame.rgb.shape[1:]


def written(tmp_path, name, graph, *, grain=None, source=None, options=None):
    """Write a grey clip of 4 frames through filters; return the output, and the file."""
    source = source or clips.make(tmp_path / "in.mp4", frames=4)
    target = tmp_path / name
    with open_requested(source, RestoreOptions()) as reader:
        output = resolve_output(
            target, reader.info, 1, options, postfilters=Postfilters(graph, grain)
        )
        with output.open() as sink:
            for frame in reader.frames():
                sink.write(frame)
            sink.commit()
    return output, target


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out"])
@pytest.mark.parametrize("graph", ["crop=100:60", "atadenoise,crop=100:60"])
def test_restored_pictures_are_filtered_before_they_are_written(tmp_path, name, graph):
    output, target = written(tmp_path, name, graph)
    assert output.size == (60, 100)
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    images = [image for file in files for image in clips.read(file).images]
    assert [image.shape for image in images] == [(60, 100, 3)] * 4


def test_an_encoder_gets_the_format_that_filters_give(tmp_path):
    output, target = written(tmp_path, "out.mp4", "format=yuv422p10le")
    assert output.bit_depth == 16
    with av.open(str(target)) as made:
        assert made.streams.video[0].pix_fmt == "yuv422p10le"
    output, target = written(tmp_path, "rgb.mp4", "format=gbrp")  # which libx264 has not
    with av.open(str(target)) as made:
        assert made.streams.video[0].pix_fmt == "yuv420p"


def test_pixels_shapes_that_filters_give_are_written(tmp_path):
    _, target = written(tmp_path, "out.mp4", "setsar=4/3")
    with av.open(str(target)) as made:
        assert made.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_an_empty_filter_changes_no_sample(tmp_path):
    _, plain = written(tmp_path, "plain", None)
    _, filtered = written(tmp_path, "filtered", "null")
    for one, other in zip(sorted(plain.iterdir()), sorted(filtered.iterdir()), strict=True):
        (before,), (after,) = clips.read(one).images, clips.read(other).images
        assert np.abs(before.astype(int) - after).max() <= 2  # 8-bit YUV holds RGB to that


def test_a_wrong_postfilter_is_refused_before_the_work(tmp_path):
    with pytest.raises(OptionError, match="--postfilter crop=999:9"):
        written(tmp_path, "out.mp4", "crop=999:9")
    with pytest.raises(VideoError, match="--postfilter: fps does not give"):
        written(tmp_path, "out.mp4", "fps=50")


def grey_clip(tmp_path, pix_fmt="yuv420p"):
    """A clip of one grey, in the middle of the range."""
    path = tmp_path / "grey.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, pix_fmt
        for number in range(3):
            frame = av.VideoFrame(320, 180, pix_fmt)
            deep = frame.format.components[0].bits > 8
            for plane in frame.planes:
                code = np.full(plane.buffer_size // (2 if deep else 1), 128 << (2 if deep else 0),
                               np.uint16 if deep else np.uint8)  # fmt: skip
                plane.update(code.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("pix_fmt, step", [("yuv420p", 1), ("yuv420p10le", 4)])
@pytest.mark.parametrize("strength", [1.5, 3, 6])
def test_grain_has_the_strength_asked_for_in_luma_alone(tmp_path, pix_fmt, step, strength):
    source, lossless = grey_clip(tmp_path, pix_fmt), EncoderOptions(codec="ffv1")
    _, target = written(tmp_path, "out.mkv", None, grain=strength, source=source, options=lossless)
    with av.open(str(target)) as made:
        frames = [clips.planes_of(frame) for frame in made.decode(video=0)]
    lumas = [frame[0].astype(float) / step for frame in frames]
    for luma, *chroma in frames:
        assert abs(luma.mean() / step - 128) < strength / 6
        assert luma.std() / step == pytest.approx(strength, rel=0.15)
        assert all(np.ptp(plane) == 0 for plane in chroma)
    assert abs(np.corrcoef(lumas[0].ravel(), lumas[1].ravel())[0, 1]) < 0.05
    beside = np.corrcoef(lumas[0][:, 1:].ravel(), lumas[0][:, :-1].ravel())[0, 1]
    assert 0.3 < beside < 0.8  # grains are larger than a pixel
