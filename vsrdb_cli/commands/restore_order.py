"""What `vsrdb restore` is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.commands.click_options import options_of
from vsrdb_cli.commands.display import Display
from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import check_writable, is_same

if TYPE_CHECKING:
    from vsrdb_cli.batch.finished import Finished
    from vsrdb_cli.batch.targets import Batch
    from vsrdb_cli.commands.restore_many import Restoration


class Order:
    """What the command line asks for, checked as far as that goes before the work.

    Raises:
        VsrdbError: it cannot be.
    """

    def __init__(
        self, sources: list[Path], target: Path, options: dict[str, Any], *, as_json: bool
    ) -> None:
        from vsrdb_cli.batch.inputs import Names, find, is_batch
        from vsrdb_cli.batch.targets import Batch, Item

        self.dry_run: bool = options.pop("dry_run")
        self._as_json = as_json
        self._report: Path | None = options.pop("report")
        self._page: Path | None = options.pop("page")
        self._skip_existing: bool = options.pop("skip_existing")
        container, recursive = options.pop("container"), options.pop("recursive")
        names = Names(options.pop("patterns"), options.pop("excluded"))
        if as_json and not self.dry_run:
            raise OptionError(
                "--json is for --dry-run", hint="use --report FILE or --progress json"
            )
        if self.dry_run and self._report:
            raise OptionError("--report and --dry-run exclude each other", hint="use --json")
        if self.dry_run and options["ray"]:
            raise OptionError(
                "--dry-run and --ray exclude each other",
                hint="omit --ray: the estimate is for this machine alone",
            )
        self._options = options_of(options)
        self._target = target
        self.several = is_batch(sources, recursive=recursive, names=names)
        if container and not self.several:
            raise OptionError(
                "--container is for several inputs", hint="end the output's name as you want it"
            )
        self._batch: Batch
        if self.several:
            suffix = container and f".{container}"
            self._batch = find(sources, target, recursive=recursive, names=names, suffix=suffix)
        else:
            self._batch = Batch([Item(sources[0], target)])
        if self._page is not None:
            self._check_page(self._page)
        if self._report is not None:
            _check_report(self._report, self._batch)

    def estimate(self, shown: Display) -> tuple[dict[str, int], int]:
        """The dry run: how many inputs had which outcome, and the exit status."""
        from vsrdb_cli.commands.dry_run import estimate_all

        if self._page is not None:
            shown.note(f"a dry run does not write {self._page}")
        return estimate_all(
            self._batch,
            self._options,
            shown,
            skip_existing=self._skip_existing,
            finished=self._finished(),
            new_folders=self.several,
            as_json=self._as_json,
        )

    def restoration(self, shown: Display, *, verbose: bool) -> Restoration:
        """The real run."""
        from vsrdb_cli.commands.restore_many import Restoration

        return Restoration(
            self._batch,
            self._options,
            shown,
            skip_existing=self._skip_existing,
            new_folders=self.several,
            report_file=self._report,
            page=self._page,
            finished=self._finished(),
            verbose=verbose,
        )

    def _check_page(self, page: Path) -> None:
        from vsrdb_cli.comparison.page import check_page

        if self.several:
            raise OptionError(
                "--compare is for a single input",
                hint="compare each afterwards: vsrdb compare IN OUT -o PAGE.html",
            )
        if self._report is not None and is_same(page, self._report):
            raise OptionError(
                f"{page} cannot be both page and report", hint="choose another file for one of them"
            )
        (item,) = self._batch.items
        check_page(page, [item.source, item.target], overwrite=self._options.overwrite)

    def _finished(self) -> Finished | None:
        from vsrdb_cli.batch.finished import Finished

        if not self.several:
            return None
        return Finished(self._target, self._options, restart=self._options.restart)


def _check_report(report: Path, batch: Batch) -> None:
    from vsrdb_cli.video.info import PIPE

    check_writable(report)
    for item in batch.items:
        target = Path("/dev/stdout") if item.target == PIPE else item.target
        if is_same(report, item.source) or is_same(report, target):
            raise OptionError(
                f"the report {report} would replace an input or output", hint="choose another file"
            )
