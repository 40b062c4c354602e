"""Bars and spinners on stderr, where it is a terminal, and the reporter that draws them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.commands import console, events
from vsrdb_cli.commands.events import Event
from vsrdb_cli.commands.lines import PHASES, say
from vsrdb_cli.text import count, printable

if TYPE_CHECKING:
    from vsrdb_cli.jobs.report import Phase

_STDERR = 2
# From this width on a terminal has room for all columns of a bar.
_WIDE = 80
# Windows has neither. SIGQUIT ends the program by default, and leaves the terminal as it is.
_STOPPING = [getattr(signal, name) for name in ("SIGTSTP", "SIGQUIT") if hasattr(signal, name)]
_CONTINUING = [getattr(signal, name) for name in ("SIGCONT",) if hasattr(signal, name)]


class Bar:
    """A reporter for people at a terminal: a bar while work goes on, and lines of text."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._input: events.InputStarted | None = None
        self._phase: Phase | None = None
        self._drawn = ExitStack()
        self._on_frame: OnFrame | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case events.Starting():
                self._spin("starting")
            case events.InputStarted():
                self._input, self._phase = event, None
                self._spin("opening")
            case events.Progressed():
                self._progress(event)
            case events.Notice() | events.Detail():  # printed above the bar
                pass
            case _:
                self._drawn.close()
        place = self._input.place if self._input else ""
        say(event, place, quiet=self._quiet, verbose=self._verbose)

    def _progress(self, event: events.Progressed) -> None:
        progress = event.progress
        if progress.phase != self._phase:
            self._phase = progress.phase
            if progress.total is None and not progress.frames:
                self._spin(PHASES[progress.phase])
            else:
                self._count(PHASES[progress.phase])
        elif self._on_frame is None:
            self._count(PHASES[progress.phase])
        if self._on_frame is not None:
            self._on_frame(progress.frames, progress.total, self._below(event))

    def _below(self, event: events.Progressed) -> str:
        parts = []
        if event.progress.repeats:
            parts.append(f"{count(event.progress.repeats, 'frame')} repeated")
        if self._input is not None and self._input.of > 1:
            parts.append(f"{self._input.number - 1} of {self._input.of} done")
            if event.all_seconds_left is not None:
                parts.append(f"about {console.human_seconds(event.all_seconds_left)} left")
        return f"  {', '.join(parts)}" if parts else ""

    def _spin(self, step: str) -> None:
        self._drawn.close()
        self._on_frame = None
        self._drawn.enter_context(waiting(self._named(step), quiet=self._quiet))

    def _count(self, step: str) -> None:
        self._drawn.close()
        self._on_frame = self._drawn.enter_context(progress(self._named(step), quiet=self._quiet))

    def _named(self, step: str) -> str:
        started = self._input
        return step if started is None else f"{started.place}{started.target.name}: {step}"


class OnFrame(Protocol):
    def __call__(self, done: int, total: int | None, below: str = "") -> None: ...


class OnStep(Protocol):
    def __call__(self, step: str, detail: str = "") -> None: ...


class _Rate(ProgressColumn):
    """Frames per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f} fps" if speed else "- fps", style="progress.data.speed")


class _Line(Progress):
    """A line that is drawn over again and again, and where there is one a line of text below."""

    below = ""

    def __init__(self, *columns: ProgressColumn, quiet: bool) -> None:
        name = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=name),
            *columns,
            console=console.messages,
            transient=True,
            disable=quiet or not console.can_draw(),
            speed_estimate_period=60,
            expand=True,
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.below:
            yield Text(printable(self.below), style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(description: str, *, quiet: bool = False) -> Iterator[OnFrame]:
    """Draw a bar with frames, rate and time left.

    Yields a function to call after every frame. The total is None where it is not known; `below`
    is a line below the bar.
    """
    wide = console.messages.width >= _WIDE
    line = _Line(
        *((BarColumn(bar_width=12),) if wide else ()),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _Rate(table_column=Column(no_wrap=True)),
        *((TimeElapsedColumn(),) if wide else ()),
        TimeRemainingColumn(compact=True),
        quiet=quiet,
    )
    with _drawn(line) as follow:
        task = line.add_task(printable(description), total=None)

        def on_frame(done: int, total: int | None, below: str = "") -> None:
            # A container's promise may be short: never show more frames than there are.
            shown = max(total, done) if total is not None else None
            line.below = below
            line.update(task, completed=done, total=shown)
            follow()

        yield on_frame


@contextmanager
def waiting(description: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Draw a spinner at once. Yields a function that changes the description."""
    line = _Line(TimeElapsedColumn(), quiet=quiet)
    with _drawn(line) as follow:
        task = line.add_task(printable(description), total=None)

        def describe(text: str) -> None:
            line.update(task, description=printable(text))
            follow()

        yield describe


@contextmanager
def steps(description: str) -> Iterator[OnStep]:
    """Draw a spinner with the current step; where nothing can be drawn, print a line for each.

    Yields a function to call before every step, and when the step's detail changes.
    """
    with waiting(description) as describe:
        printed: list[str] = []

        def on_step(step: str, detail: str = "") -> None:
            if console.can_draw():
                describe(f"{description}: {step}" + (f", {detail}" if detail else ""))
            elif step not in printed[-1:]:
                printed.append(step)
                console.say(f"{description}: {step}")

        yield on_step


@contextmanager
def _drawn(line: _Line) -> Iterator[Callable[[], None]]:
    """Draw on stderr while the program is in the foreground of its terminal: Ctrl-Z, `fg`, `bg`.

    Yields a function to call now and then: no signal tells a running program that `fg` has put it
    in the foreground.
    """

    def follow() -> None:
        if not _in_foreground():
            line.stop()
        elif not line.live.is_started:
            # Shells have written since; the bar is drawn upwards from where the cursor is.
            line.console.print("\n" * (len(list(line.get_renderables())) - 1), end="")
            line.start()

    suspended = False

    def stop(number: int, _: object) -> None:
        nonlocal suspended
        suspended = True
        line.stop()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # returns when the program is continued
        signal.signal(number, stop)
        follow()
        suspended = False

    def resume(_number: int, _: object) -> None:
        if suspended:  # `stop` resumes by itself, once it can be stopped again
            return
        line.stop()  # after SIGSTOP, which no program can catch
        follow()

    handlers = dict.fromkeys(_STOPPING, stop) | dict.fromkeys(_CONTINUING, resume)
    if line.disable or threading.current_thread() is not threading.main_thread():
        handlers = {}
    ours = [number for number in handlers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, handlers[number])
    try:
        if _in_foreground():
            line.start()
        yield ignore if line.disable else follow
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        line.stop()


def _in_foreground() -> bool:
    """Return whether stderr is no job's terminal, or this program is the job in its foreground."""
    try:
        return os.tcgetpgrp(_STDERR) == os.getpgrp()
    except (OSError, AttributeError):  # not the terminal of any job
        return True
