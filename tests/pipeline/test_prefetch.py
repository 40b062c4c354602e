"""A stage works ahead in its own thread, hands on its errors, and stops when it is told to."""

from __future__ import annotations

import threading

import pytest

from vsrdb_cli.pipeline.prefetch import Prefetch


def test_items_come_out_in_order():
    with Prefetch(iter(range(50)), depth=3) as items:
        assert list(items) == list(range(50))


def test_an_error_is_raised_after_the_items_before_it():
    def broken():
        yield 1
        yield 2
        raise OSError("disk")

    got = []
    with pytest.raises(OSError, match="disk"), Prefetch(broken()) as items:
        for item in items:
            got.append(item)
    assert got == [1, 2]


def test_no_more_than_its_depth_is_worked_ahead():
    produced, proceed = [], threading.Event()

    def source():
        for index in range(100):
            produced.append(index)
            if index == 4:
                proceed.set()
            yield index

    with Prefetch(source(), depth=4) as items:
        assert proceed.wait(10)
        next(items)
        assert len(produced) <= 7


def test_leaving_early_stops_the_thread_and_closes_the_source():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    with Prefetch(endless()) as items:
        next(items)
    assert closed.is_set()
    assert threading.active_count() == before
