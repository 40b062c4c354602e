"""Engines on disk: two files and a sidecar that says exactly what they were built of and for.

An engine runs only where it was built: the same TensorRT, the same kind of GPU. A sidecar that
does not fit is refused with the command that rebuilds it; nothing is rebuilt unasked.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vsrdb_cli.backends.exported_files import GRAPHS, ExportFiles
from vsrdb_cli.backends.graphs import REVISION
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.files import whole

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Sizes:
    """Smallest, best and largest picture an engine takes, in LR pixels."""

    smallest: Size
    best: Size
    largest: Size

    def __post_init__(self) -> None:
        for axis in (0, 1):
            if not 2 <= self.smallest[axis] <= self.best[axis] <= self.largest[axis]:
                raise ValueError(f"{self}: not smallest <= best <= largest, from 2 pixels up")

    def cover(self, height: int, width: int) -> bool:
        low, high = self.smallest, self.largest
        return low[0] <= height <= high[0] and low[1] <= width <= high[1]

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `vsrdb export` that ask for these sizes."""
        names = zip(
            ("--min", "--size", "--max"), (self.smallest, self.best, self.largest), strict=True
        )
        return tuple(word for name, size in names for word in (name, _wxh(size)))

    def __str__(self) -> str:
        return f"{_wxh(self.smallest)}..{_wxh(self.best)}..{_wxh(self.largest)}"


def make_sizes(best: Size, smallest: Size | None, largest: Size | None) -> Sizes:
    """Sizes as asked for; by default from 32x32 (or `best`, if that is less) to `best`.

    Raises:
        OptionError: smallest, best and largest are not in that order.
    """
    low = smallest or (min(32, best[0]), min(32, best[1]))
    try:
        return Sizes(low, best, largest or best)
    except ValueError:
        raise OptionError(
            f"--min {_wxh(low)}, --size {_wxh(best)} and --max {_wxh(largest or best)} are not in"
            " that order",
            hint="for example: --min 64x64 --size 320x180 --max 640x360",
        ) from None


@dataclass(frozen=True)
class Place:
    """Where an engine is built and runs.

    version: of TensorRT. gpu, capability: name and compute capability ("9.0"); both "any" for a
    TensorRT-RTX engine, which is finished on the GPU it meets.
    """

    flavour: str
    version: str
    gpu: str
    capability: str


@dataclass(frozen=True)
class Engine:
    """A sidecar: what the two engine files beside it are."""

    place: Place
    weights: str
    sha256: str
    precision: str
    config: Mapping[str, Any]
    sizes: Sizes
    engine_sha256: Mapping[str, str]
    agreement: Mapping[str, float] = field(default_factory=dict)
    revision: int = REVISION

    def path(self, folder: Path) -> Path:
        files = ExportFiles(folder, self.weights, self.sha256, self.precision)
        return sidecar_path(files, self.place, self.sizes)

    def paths(self, folder: Path) -> list[Path]:
        """The sidecar and the engines beside it."""
        sidecar = self.path(folder)
        return [sidecar, *(engine_path(sidecar, graph) for graph in GRAPHS)]

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2)
        with whole(self.path(folder)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def sidecar_path(files: ExportFiles, place: Place, sizes: Sizes) -> Path:
    """The name holds all that tells engines of one checkpoint apart."""
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", place.gpu).strip("-")
    key = f"{place.flavour}-{place.version}-{gpu}-sm{place.capability.replace('.', '')}"
    sides = "-".join(_wxh(size) for size in (sizes.smallest, sizes.best, sizes.largest))
    return files.folder / f"{files.stem}-{key}-{sides}.json"


def engine_path(sidecar: Path, graph: str) -> Path:
    return sidecar.with_name(f"{sidecar.stem}-{graph}.engine")


def load_engine(sidecar: Path, files: ExportFiles, place: Place) -> Engine:
    """Read a sidecar of `files` and check that it fits them, `place` and the engine beside it.

    Raises:
        BackendError: it was built elsewhere, by another version, or the files are not its own.
    """
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8"))
        sizes = {name: tuple(size) for name, size in values.pop("sizes").items()}
        engine = Engine(place=Place(**values.pop("place")), sizes=Sizes(**sizes), **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackendError(
            f"{sidecar} does not describe an engine: {error}",
            hint=f"rebuild it: {files.command(place.flavour)}",
        ) from error
    again = files.command(place.flavour, *engine.sizes.options)
    if engine.revision != REVISION:
        raise BackendError(
            f"{sidecar} was made by another version of vsrdb (revision {engine.revision}, wanted"
            f" {REVISION})",
            hint=f"rebuild it: {again}",
        )
    if engine.place != place:
        raise BackendError(
            f"{sidecar} was built for {_where(engine.place)}, but this machine has {_where(place)}",
            hint=f"build it here: {again}",
        )
    if (engine.sha256, engine.precision) != (files.sha256, files.precision):
        raise BackendError(
            f"{sidecar} was made of {engine.weights} ({engine.sha256[:12]}) in {engine.precision},"
            f" not of {files.weights} ({files.sha256[:12]}) in {files.precision}",
            hint=f"rebuild it: {again}",
        )
    for graph in GRAPHS:
        path = engine_path(sidecar, graph)
        found = file_sha256(path)
        if found != engine.engine_sha256.get(graph):
            raise BackendError(
                f"{path} is damaged: its SHA-256 starts with {found[:12] or '(no file)'}, expected"
                f" {engine.engine_sha256.get(graph, '(none)')[:12]}",
                hint=f"rebuild it: {again}",
            )
    return engine


def find_engine(files: ExportFiles, place: Place, size: Size | None = None) -> Engine:
    """The engine of these files for `place`.

    Of several, the one for the smallest pictures that takes `size`; if none does, or no size is
    given, the one for the largest.

    Raises:
        BackendError: there is none, or the only ones there do not fit.
    """
    begins = f"{glob.escape(files.stem)}-{place.flavour}"
    sidecars = sorted(files.folder.glob(f"{begins}-[0-9]*.json"))
    refused: BackendError | None = None
    fitting = []
    for sidecar in sidecars:
        try:
            fitting.append(load_engine(sidecar, files, place))
        except BackendError as error:
            refused = error
    if fitting:
        taking = [e for e in fitting if size is not None and e.sizes.cover(*size)]
        return min(taking, key=_area) if taking else max(fitting, key=_area)
    if refused is not None:
        raise refused
    raise BackendError(
        f"no {place.flavour} engine found for '{files.weights}' in {files.precision} in"
        f" {files.folder}",
        hint=f"build it: {files.command(place.flavour)}",
    )


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; "" if it is not there."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _area(engine: Engine) -> int:
    height, width = engine.sizes.largest
    return height * width


def _wxh(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _where(place: Place) -> str:
    return f"{place.flavour} {place.version} on {place.gpu} (compute capability {place.capability})"
