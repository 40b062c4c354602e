"""What one thread makes, another consumes, until one of them fails."""

import threading
import time

import pytest

from vsrdb_cli.pipeline.write_behind import DEPTH, WriteBehind


class StoppedError(Exception):
    pass


def test_all_items_are_consumed_in_order_in_another_thread():
    consumed, threads = [], set()

    def consume(items, tell):
        for item in items:
            consumed.append(item)
            threads.add(threading.current_thread())

    with WriteBehind(consume) as behind:
        for number in range(20):
            behind.put(number)
    assert consumed == list(range(20))
    assert threading.current_thread() not in threads


def test_what_is_told_is_called_in_the_callers_thread():
    told = []

    def consume(items, tell):
        for item in items:
            tell(lambda item=item: told.append((item, threading.current_thread())))

    with WriteBehind(consume) as behind:
        for number in range(5):
            behind.put(number)
    assert told == [(number, threading.current_thread()) for number in range(5)]


def test_what_the_consumer_raises_is_raised_in_the_callers_thread():
    def consume(items, tell):
        raise StoppedError(next(items))

    with pytest.raises(StoppedError, match="0"), WriteBehind(consume) as behind:
        for number in range(20):
            behind.put(number)


@pytest.mark.parametrize(
    "room, size, most", [(100, 5, 20), (100, 40, DEPTH), (100, 200, DEPTH), (0, 5, DEPTH)]
)
@pytest.mark.cases
def test_as_many_items_wait_as_there_is_room_for_and_a_few_however_large(room, size, most):
    """Most: of those that are put while the consumer has taken none."""
    go_on, waiting = threading.Event(), []

    def consume(items, tell):
        go_on.wait()
        for _ in items:
            pass

    def put_all(behind):
        for number in range(most + 1):
            behind.put(number)
            waiting.append(number)

    with WriteBehind(consume, room=room, size=lambda item: size) as behind:
        putting = threading.Thread(target=put_all, args=(behind,))
        putting.start()
        while len(waiting) < most:
            time.sleep(0.001)
        putting.join(0.3)  # as long as one more would take if it might wait
        assert putting.is_alive() and len(waiting) == most
        go_on.set()
        putting.join()
    assert len(waiting) == most + 1


def test_leaving_by_an_exception_ends_the_consumer_by_an_exception():
    ended = []

    def consume(items, tell):
        try:
            list(items)
        except BaseException:
            ended.append("cleaned up")
            raise

    with pytest.raises(StoppedError), WriteBehind(consume) as behind:
        behind.put(0)
        raise StoppedError
    assert ended == ["cleaned up"]


def test_an_exception_after_the_last_item_waits_for_the_consumers_end():
    """Else it would go on writing after the run has ended, into a folder nobody holds."""
    all_put, raised, ended = threading.Event(), threading.Event(), threading.Event()

    def stop():
        raised.set()
        raise StoppedError

    def consume(items, tell):
        all_put.wait()
        tell(stop)
        raised.wait()
        time.sleep(0.05)  # long enough to be seen still at work by whoever does not wait
        ended.set()

    with pytest.raises(StoppedError), WriteBehind(consume) as behind:
        behind.put(0)
        all_put.set()
    assert ended.is_set()
