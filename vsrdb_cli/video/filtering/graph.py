"""Filter graphs in FFmpeg's syntax: parsed, and what is known of their filters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

# Frames that filters with memory are given before, and after, those that are wanted of them.
LEAD_IN = 24


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Filters that make one picture of one, whatever came before it.
_ALONE = _words(
    "alphaextract alphamerge avgblur bilateral blend bm3d cas chromahold chromakey chromanr"
    " chromashift colorbalance colorchannelmixer colorcontrast colorcorrect colorhold colorize"
    " colorkey colorlevels colormap colorspace colortemperature convolution copy crop curves"
    " dblur dctdnoiz deband deblock deconvolve deflate despill dilation displace drawbox"
    " drawgrid edgedetect epx eq erosion exposure extractplanes fftfilt fillborders floodfill"
    " format gblur geq gradfun grayworld greyedge guided haldclut hflip hqx hstack hsvhold"
    " hsvkey hue huesaturation hysteresis il inflate kirsch lenscorrection limitdiff limiter"
    " lumakey lut lut1d lut2 lut3d lutrgb lutyuv maskedclamp maskedmax maskedmerge maskedmin"
    " maskedthreshold median mergeplanes midequalizer monochrome morpho multiply negate nlmeans"
    " noformat noise null overlay pad perms perspective pixelize premultiply prewitt pseudocolor"
    " removegrain removelogo rgbashift roberts rotate scale scharr selectivecolor setdar"
    " setfield setparams setrange setsar shear showinfo shuffleplanes sidedata sobel split"
    " swaprect swapuv threshold tonemap transpose unpremultiply unsharp v360 varblur vflip"
    " vibrance vstack waveform xbr xmedian xstack yaepblur"
)

# What filters that can open a file open it by: options; none of a filter that always does.
_FILES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("movie", "amovie", "lut1d", "lut3d", "removelogo", "fieldhint", "sendcmd", "asendcmd",
         "arnndn", "showcqt", "life", "cellauto"), ()
    ),
    **dict.fromkeys(("psnr", "ssim", "xpsnr", "ssim360", "vmafmotion"), ("stats_file", "f")),
    "curves": ("psfile", "plot"),
    "selectivecolor": ("psfile",),
    "metadata": ("file",),
    "ametadata": ("file",),
    "deshake": ("filename",),
    "firequalizer": ("dumpfile",),
    "paletteuse": ("debug_kdtree",),
}  # fmt: skip

# Variables of expressions that count frames, and numbers that differ each time.
_COUNTS = re.compile(r"(?<![\w.])(?:[nN](?![\w.=(])|randomi?\()")
# Filters that go by the number of frames, hold all of them, or add up what moved since the first;
# fading goes by their number unless it has a length.
_COUNTING = {"zoompan", "shuffleframes", "scroll", "random", "loop", "reverse", "deshake"}
_FADES_BY_TIME = re.compile(r"(?:^|:)(?:d|duration)=")
# A flag of `noise`: another pattern for every frame; its average with those before.
_NEW_EACH_TIME = re.compile(r"(?:^|[:=+])t(?=$|[:+])")
_AVERAGED = re.compile(r"(?:^|[:=+])a(?=$|[:+])")
# Options of `fftdnoiz`.
_FRAMES_BESIDE = re.compile(r"(?:^|:)(?:prev|next)=[^0]")
_SEED = re.compile(r"(?:all|c0)_seed=(\d+)")
_USUAL_SEED = 123457  # FFmpeg's
_SEEDS = 1 << 31


@dataclass(frozen=True)
class Node:
    """A filter of a graph."""

    name: str
    arguments: str
    """As FFmpeg's `avfilter_init_str` takes them."""

    inputs: tuple[str, ...] = ()
    """Labels before it, the first of its inputs first."""

    outputs: tuple[str, ...] = ()
    ends_chain: bool = False
    """Whether what comes out without a label does not go into the filter after it."""

    @property
    def changes_noise(self) -> bool:
        """True if it adds other noise to every frame."""
        return self.name == "noise" and bool(_NEW_EACH_TIME.search(self.arguments))

    def at(self, ticks: int) -> Node:
        """Return the filter for the frame at a time; noise gets a seed by it."""
        if not self.changes_noise:
            return self
        given = _SEED.search(self.arguments)
        seed = (int(given[1]) if given else _USUAL_SEED) + ticks
        return replace(self, arguments=f"{self.arguments}:all_seed={seed % _SEEDS}")

    @property
    def remembers(self) -> bool:
        """True if it looks at several frames, or may."""
        if self.name == "fftdnoiz":
            return bool(_FRAMES_BESIDE.search(self.arguments))
        return self.name not in _ALONE

    @property
    def opens_files(self) -> bool:
        """True if it opens a file, or could."""
        if self.name not in _FILES:
            return False
        options = _FILES[self.name]
        pieces = self.arguments.split(":")
        named = {piece.partition("=")[0].strip() for piece in pieces if "=" in piece}
        unnamed = sum("=" not in piece for piece in pieces)
        return not options or bool(named & {*options}) or unnamed > 1


@dataclass(frozen=True)
class FilterGraph:
    """Filters and how they are joined.

    Attributes:
        text: as it was written.
    """

    text: str
    nodes: tuple[Node, ...]

    @classmethod
    def parse(cls, text: str) -> FilterGraph:
        """Parse a graph in FFmpeg's syntax.

        Raises:
            ValueError: it is not one; says why.
        """
        return cls(text, tuple(_Parser(text).nodes()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its filters, each once."""
        return tuple(dict.fromkeys(node.name for node in self.nodes))

    @cached_property
    def memory(self) -> int:
        """Number of frames on either side of a frame that may be seen in it."""
        return LEAD_IN if self.remembering else 0

    @property
    def remembering(self) -> tuple[str, ...]:
        """Names of its filters that look at several frames, or may."""
        return tuple(dict.fromkeys(node.name for node in self.nodes if node.remembers))

    @cached_property
    def changes_noise(self) -> bool:
        """True if it adds other noise to every frame."""
        return any(node.changes_noise for node in self.nodes)

    @property
    def opens_files(self) -> tuple[str, ...]:
        """Names of its filters that open files, or could."""
        return tuple(dict.fromkeys(node.name for node in self.nodes if node.opens_files))

    def check_repeatable(self) -> None:
        """Check that a frame comes out the same wherever the graph begins to be given frames.

        Raises:
            ValueError: it does not; says why.
        """
        for node in self.nodes:
            counts = node.name in _COUNTING
            counts |= node.name == "fade" and not _FADES_BY_TIME.search(node.arguments)
            counts |= not node.opens_files and bool(_COUNTS.search(node.arguments))
            if counts:
                raise ValueError(
                    f"{node.name} goes by all frames before, so that parts of a video would differ"
                    " from the whole"
                )
            if node.name == "noise" and _AVERAGED.search(node.arguments):
                raise ValueError(
                    "noise with the flag a goes on from frame to frame, so that parts of a video"
                    " would differ from the whole"
                )
        if self.changes_noise and self.remembering:
            raise ValueError(
                "noise that changes cannot stand in one graph with"
                f" {' and '.join(self.remembering)}, which looks at several frames"
            )


class _Parser:
    """Parses a graph as FFmpeg's graphparser.c does.

    [label] filter@name=arguments [label] , filter ... ; another chain
    """

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def nodes(self) -> list[Node]:
        nodes: list[Node] = []
        while True:
            inputs = self._labels()
            name = self._token("=,;[").partition("@")[0]
            if not name:
                place = self._text[self._at :][:20]
                raise ValueError(f"a filter is missing before '{place}'" if place else "it is empty"
                                 if not nodes else "a filter is missing at the end")  # fmt: skip
            arguments = ""
            if self._next() == "=":
                self._at += 1
                arguments = self._token("[],;")
            outputs = self._labels()
            end = self._next()
            if end not in ("", ",", ";"):
                raise ValueError(f"'{self._text[self._at :][:20]}' is not expected there")
            self._at += 1
            nodes.append(Node(name, arguments, inputs, outputs, ends_chain=end != ","))
            if not end or (end == ";" and not self._text[self._at :].strip()):
                return nodes

    def _next(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _labels(self) -> tuple[str, ...]:
        labels = []
        while self._next() == "[":
            end = self._text.find("]", self._at)
            label = self._text[self._at + 1 : end].strip()
            if end < 0 or not label:
                raise ValueError(f"'{self._text[self._at :][:20]}' is no label")
            labels.append(label)
            self._at = end + 1
        return tuple(labels)

    def _token(self, ends: str) -> str:
        """Read up to one of `ends`, as `av_get_token` does: without one level of escaping."""
        self._next()
        token, kept = "", 0  # how much of it must not be stripped
        while (char := self._text[self._at : self._at + 1]) and char not in ends:
            self._at += 1
            if char == "\\" and self._at < len(self._text):
                token += self._text[self._at]
                self._at += 1
                kept = len(token)
            elif char == "'":
                end = self._text.find("'", self._at)
                if end < 0:
                    raise ValueError("a quotation mark (') is not closed")
                token += self._text[self._at : end]
                self._at = end + 1
                kept = len(token)
            else:
                token += char
        return token[:kept] + token[kept:].rstrip()
