"""Segments come home once each, whatever becomes of the workers; Ray is a stand-in here."""

import random
from collections import Counter
from types import SimpleNamespace

import clips
import pytest
from long_jobs import OPTIONS

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.cluster import distribution, pool
from vsrdb_cli.cluster.connection import Node
from vsrdb_cli.cluster.worker import Introduction, Settings
from vsrdb_cli.errors import BackendError
from vsrdb_cli.jobs.plan import Plan
from vsrdb_cli.jobs.segments import Job, Listener
from vsrdb_cli.video.reading.open import open_for
from vsrdb_cli.video.writing.output import settle_output

FRAMES, SEGMENT = 120, 10


class RayError(Exception):
    pass


class OutOfMemoryError(RayError):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Call:
    """A method of a worker: a value, or for `restore` a stream of them."""

    def __init__(self, method):
        self._method = method

    def remote(self, *arguments):
        return self._method(*arguments)

    def options(self, **_):
        return self


class Actor:
    """A worker; ended: what Ray would say of it."""

    def __init__(self, node):
        self.node, self.ended, self.tiles = node, None, []
        self.load, self.restore = Call(self._load), Call(self._restore)
        self.take_up = Call(lambda job, source: [self.tiles.append(job.tile), (True, {})][1])
        self.prepare = Call(lambda *arguments: None)

    def _load(self, settings):
        info = RunnerInfo("nearest", "", "torch", "cpu", "float32")
        return Loading(Introduction(self.node.name, info, {"vsrdb": "1"}))

    def _restore(self, segment, excerpt):
        return Stream(self, segment)


class Loading:
    def __init__(self, introduction):
        self.introduction = introduction


class Stream:
    def __init__(self, actor, segment):
        self.actor = actor
        count = segment.count
        content = {"": str(segment.index).encode() * 5}
        self._events = iter([*[("frame", None)] * count, ("done", (content, ()))])

    def __next__(self):
        return self.actor.ended or next(self._events)


class StandIn:
    """What of Ray is used."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError
    )

    def __init__(self, seed, fault):
        self._random, self._fault = random.Random(seed), fault
        self.living = [Node(f"id{i}", f"node{i}", 1, 0, 1 << 40) for i in range(3)]
        self.actors = []

    def start(self, ray, kind, node, memory):
        self.actors.append(Actor(node))
        return [self.actors[-1]]

    def nodes(self):
        return [{"Alive": True, "NodeID": node.id} for node in self.living]

    def wait(self, calls, num_returns=1, timeout=None):
        streams = [call for call in calls if isinstance(call, Stream)]
        if streams:
            self._fault(self, self._random)
        # A worker's second segment begins when its first has ended.
        ready = list({stream.actor: stream for stream in reversed(streams)}.values()) or calls
        return [self._random.choice(ready)], []

    def get(self, value, timeout=None):
        if isinstance(value, Exception):
            raise value
        return value.introduction if isinstance(value, Loading) else value

    def kill(self, actor):
        actor.ended = actor.ended or RayError("killed")

    put = staticmethod(lambda value: value)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a job of 12 segments with faults; gives what was heard of it."""
    source = clips.make(tmp_path / "in.mp4", frames=FRAMES, height=90, width=160)

    def run(seed, fault):
        ray = StandIn(seed, fault)
        monkeypatch.setattr(pool, "actor_on", ray.start)
        monkeypatch.setattr(pool, "nodes", lambda ray: ray.living)
        monkeypatch.setattr(pool, "check_alive", lambda ray: None)
        monkeypatch.setattr(distribution, "encoder_facts", lambda output, scale: {})
        workers = pool.WorkerPool(ray, Settings("nearest", None, "cpu", "float32"), 0, {}, 60.0)
        frames, done, notices = Counter(), [], []
        listener = Listener(
            on_frame=lambda segment: frames.update([segment.index]),
            on_tile=lambda tile: None,
            on_done=lambda segment, lost: done.append(segment.index),
            on_lost=lambda segment: frames.pop(segment.index),
            on_notice=notices.append,
        )
        workers.say = notices.append
        bounds = tuple(range(0, FRAMES + 1, SEGMENT))
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_for(source, OPTIONS) as reader:
            output = settle_output(tmp_path / "out.mp4", reader.info, 4)
            plan = Plan(bounds, frozenset())
            job = Job(source, OPTIONS, output, None, plan, folder)
            workers.gather()
            shared_out = distribution.Distribution(
                workers, job, plan.segments, reader, listener, reach=1
            )
            shared_out.run()
        contents = [job.path(segment).read_bytes() for segment in plan.segments]
        return SimpleNamespace(
            frames=frames, done=done, notices=notices, ray=ray, contents=contents
        )

    return run


@pytest.mark.parametrize("seed", range(5))
def test_twenty_nodes_killed_lose_nothing_and_double_nothing(run, seed):
    killed = []

    def kill_and_replace(ray, chance):
        if len(killed) < 20 and chance.random() < 0.2:
            node = chance.choice(ray.living)
            ray.living.remove(node)
            ray.living.append(Node(f"new{len(killed)}", f"new{len(killed)}", 1, 0, 1 << 40))
            for actor in ray.actors:
                if actor.node is node:
                    actor.ended = RayError("The node has died")
            killed.append(node)

    told = run(seed, kill_and_replace)
    assert len(killed) == 20
    assert sorted(told.done) == list(range(12))
    assert told.frames == dict.fromkeys(range(12), SEGMENT)
    assert told.contents == [str(index).encode() * 5 for index in range(12)]


def test_where_a_worker_ran_out_of_memory_the_next_one_has_smaller_tiles(run):
    def run_out(ray, chance):
        for actor in ray.actors[:3]:
            actor.ended = OutOfMemoryError("killed, as its node ran out of memory")

    told = run(0, run_out)
    assert sorted(told.done) == list(range(12))
    assert [actor.tiles for actor in told.ray.actors[:3]] == [[None]] * 3
    assert [actor.tiles for actor in told.ray.actors[3:]] == [[106]] * 3  # two thirds of 160
    assert any("memory ran out on node0" in notice for notice in told.notices)


def test_when_no_node_is_left_the_run_ends_with_what_helps(run):
    def all_die(ray, chance):
        ray.living.clear()
        for actor in ray.actors:
            actor.ended = RayError("The node has died")

    with pytest.raises(BackendError, match="no node of the Ray cluster is left") as error:
        run(0, all_die)
    assert "with or without --ray" in error.value.hint


@pytest.mark.parametrize("name", ["../stolen", "/tmp/stolen", "a/b", "..", ".", "a\0b"])
def test_a_worker_that_sends_a_name_of_elsewhere_writes_nothing(run, tmp_path, monkeypatch, name):
    def forged(actor, segment, excerpt):
        stream = Stream(actor, segment)
        stream._events = iter([("done", ({"a.png": b"", name: b"stolen"}, ()))])
        return stream

    monkeypatch.setattr(Actor, "_restore", forged)
    with pytest.raises(BackendError, match="names that no segment has"):
        run(0, lambda ray, chance: None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "in.mp4"]


def test_every_worker_of_a_node_has_a_name_of_its_own(monkeypatch):
    ray = StandIn(0, lambda ray, chance: None)
    monkeypatch.setattr(pool, "actor_on", lambda ray, kind, node, memory: [Actor(node)] * 4)
    monkeypatch.setattr(pool, "nodes", lambda ray: ray.living[:1])
    monkeypatch.setattr(pool, "check_alive", lambda ray: None)
    workers = pool.WorkerPool(ray, Settings("nearest", None, "cpu", "float32"), 0, {}, 60.0)
    workers.gather()
    names = [worker.name for worker in workers.workers]
    assert names == ["node0", "node0-id0", "node0-id0-2", "node0-id0-3"]


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "..", "a/b.png"])
def test_names_that_a_worker_sends_stay_in_the_segments_folder(tmp_path, name):
    with pytest.raises(BackendError, match="which no segment has"):
        distribution._keep(tmp_path / "segment-00000", {"1.png": b"", name: b"evil"})
    assert not list(tmp_path.rglob("*evil*"))
