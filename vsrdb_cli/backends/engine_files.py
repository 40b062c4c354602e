"""Engines on disk: two files, and a sidecar that states what they were built from and for.

An engine runs only where it was built: the same TensorRT, the same kind of GPU. One from elsewhere
is refused with the command that builds it here; one that is damaged is to be rebuilt.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vsrdb_cli.backends.exported_files import (
    GRAPHS,
    ExportFiles,
    StaleExportError,
    read_sidecar,
    require_proven,
    sha256_in,
)
from vsrdb_cli.backends.graphs import REVISION
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.files import whole

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Sizes:
    """The smallest, best and largest picture an engine takes, in LR pixels."""

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
        """Options of `vsrdb export` that request these sizes."""
        names = zip(
            ("--min", "--size", "--max"), (self.smallest, self.best, self.largest), strict=True
        )
        return tuple(word for name, size in names for word in (name, _wxh(size)))

    def __str__(self) -> str:
        return f"{_wxh(self.smallest)}..{_wxh(self.best)}..{_wxh(self.largest)}"


def make_sizes(best: Size, smallest: Size | None, largest: Size | None) -> Sizes:
    """Make sizes; by default from 32x32 (or `best`, if that is less) to `best`.

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
    """The place where an engine is built and runs."""

    flavour: str
    """ "tensorrt" or "tensorrt-rtx"."""
    version: str
    """Version of TensorRT."""
    gpu: str
    """Name of the GPU; "any" for TensorRT-RTX, which finishes engines on the GPU it meets."""
    capability: str
    """Compute capability, such as "9.0"; "any" for TensorRT-RTX."""


@dataclass(frozen=True)
class Engine:
    """A sidecar, which describes the two engine files beside it."""

    place: Place
    weights: str
    sha256: str
    precision: str
    sizes: Sizes
    engine_sha256: Mapping[str, str]
    revision: int = REVISION

    def save(self, files: ExportFiles) -> None:
        text = json.dumps(asdict(self), indent=2)
        with whole(sidecar_path(files, self.place, self.sizes)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def sidecar_path(files: ExportFiles, place: Place, sizes: Sizes) -> Path:
    """Return the sidecar's path; its name holds all that distinguishes a checkpoint's engines."""
    sides = "-".join(_wxh(size) for size in (sizes.smallest, sizes.best, sizes.largest))
    return files.folder / f"{_begin(files, place)}{sides}.json"


def engine_path(sidecar: Path, graph: str) -> Path:
    """Return the path of the engine of `graph`, one of GRAPHS."""
    return sidecar.with_name(f"{sidecar.stem}-{graph}.engine")


def engine_paths(files: ExportFiles, place: Place, sizes: Sizes) -> list[Path]:
    """List an engine's sidecar and the two files beside it."""
    sidecar = sidecar_path(files, place, sizes)
    return [sidecar, *(engine_path(sidecar, graph) for graph in GRAPHS)]


def load_engine(sidecar: Path, files: ExportFiles, place: Place) -> Engine:
    """Read a sidecar of `files`; check that it and the engine beside it match its name.

    Its content never leads to other files.

    Raises:
        StaleExportError: one of the three is damaged, or of another checkpoint or version.
        BackendError: it was built elsewhere.
    """
    sizes = _sizes_in_name(sidecar, files, place)
    if sizes is None:
        raise _foreign(sidecar, files, place)
    words = files.words(place.flavour, *sizes.options)
    values = read_sidecar(sidecar, words)
    if values.get("revision") != REVISION:
        raise StaleExportError(
            f"{sidecar} was made by another version of vsrdb"
            f" (revision {values.get('revision')!r}, wanted {REVISION})",
            words,
        )
    hashes = {graph: sha256_in(values.get("engine_sha256"), graph) for graph in GRAPHS}
    engine = Engine(place, files.weights, files.sha256, files.precision, sizes, hashes)
    if values != json.loads(json.dumps(asdict(engine))):
        raise StaleExportError(
            f"{sidecar} does not describe the engine of {files.weights} ({files.sha256[:12]}) in"
            f" {files.precision} for {_where(place)} that its name promises",
            words,
        )
    for graph, sha256 in hashes.items():
        require_proven(engine_path(sidecar, graph), sha256, words)
    return engine


def find_engine(files: ExportFiles, place: Place, size: Size | None = None) -> Engine:
    """Find the engine of these files for `place`.

    Of several, choose the one for the smallest pictures that takes `size`; if none does, or no size
    is given, the one for the largest.

    Raises:
        StaleExportError: the only one for `place` is damaged, or does not match its name.
        BackendError: there is none, or the only ones there were built elsewhere.
    """
    begins = f"{glob.escape(files.stem)}-{place.flavour}"
    sidecars = sorted(files.folder.glob(f"{begins}-[0-9]*.json"))
    refused: list[BackendError] = []
    fitting = []
    for sidecar in sidecars:
        try:
            fitting.append(load_engine(sidecar, files, place))
        except BackendError as error:
            refused.append(error)
    if fitting:
        taking = [e for e in fitting if size is not None and e.sizes.cover(*size)]
        return min(taking, key=_area) if taking else max(fitting, key=_area)
    if refused:
        raise min(refused, key=lambda error: not isinstance(error, StaleExportError))
    raise BackendError(
        f"no {place.flavour} engine found for '{files.weights}' in {files.precision} in"
        f" {files.folder}",
        hint=f"build it: {files.command(place.flavour)}",
    )


def _begin(files: ExportFiles, place: Place) -> str:
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", place.gpu).strip("-")
    capability = place.capability.replace(".", "")
    return f"{files.stem}-{place.flavour}-{place.version}-{gpu}-sm{capability}-"


def _sizes_in_name(sidecar: Path, files: ExportFiles, place: Place) -> Sizes | None:
    """Return the sizes in the name of an engine for `place`; None if it is for another place."""
    sides = re.fullmatch(
        r"(\d{1,5})x(\d{1,5})-(\d{1,5})x(\d{1,5})-(\d{1,5})x(\d{1,5})",
        sidecar.stem.removeprefix(_begin(files, place)),
        re.ASCII,
    )
    if sides is None:
        return None
    numbers = [int(side) for side in sides.groups()]
    smallest, best, largest = zip(numbers[1::2], numbers[::2], strict=True)
    try:
        return Sizes(smallest, best, largest)
    except ValueError:
        return None


def _foreign(sidecar: Path, files: ExportFiles, place: Place) -> BackendError:
    """Return the error for an engine built elsewhere; its sidecar is trusted for nothing else."""
    try:
        values = read_sidecar(sidecar, ())
        there = Place(**{name: str(value)[:80] for name, value in values["place"].items()})
        sides = {name: (int(h), int(w)) for name, (h, w) in values["sizes"].items()}
        sizes = Sizes(**sides)
    except (BackendError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return BackendError(
            f"{sidecar} does not describe an engine",
            hint=f"build one: {files.command(place.flavour)}",
        )
    return BackendError(
        f"{sidecar} was built for {_where(there)}, but this machine has {_where(place)}",
        hint=f"build it here: {files.command(place.flavour, *sizes.options)}",
    )


def _area(engine: Engine) -> int:
    height, width = engine.sizes.largest
    return height * width


def _wxh(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _where(place: Place) -> str:
    return f"{place.flavour} {place.version} on {place.gpu} (compute capability {place.capability})"
