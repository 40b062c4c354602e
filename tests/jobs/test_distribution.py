"""Segments come home once each, whatever becomes of the workers; Ray is a stand-in here."""

import random
from collections import Counter
from types import SimpleNamespace

import clips
import pytest
from long_jobs import OPTIONS

from vsrdb_cli.backends.runner import RunnerInfo
from vsrdb_cli.cluster.agreement import encoder_facts
from vsrdb_cli.cluster.connection import Node
from vsrdb_cli.cluster.distribution import Distribution
from vsrdb_cli.cluster.pool import WorkerPool
from vsrdb_cli.cluster.worker import Accepted, Delivery, Loaded, Network
from vsrdb_cli.errors import BackendError
from vsrdb_cli.jobs.events import FrameRestored, Notice, SegmentFinished, SegmentLost
from vsrdb_cli.jobs.plan import Plan
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.video.reading.open import open_requested
from vsrdb_cli.video.writing.output import resolve_output

FRAMES, SEGMENT = 120, 10
NETWORK = Network("nearest", None, "cpu", "float32")


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

    def __init__(self, node, facts, files):
        self.node, self.ended, self.tiles, self.files = node, None, [], files
        info = RunnerInfo("nearest", "", "torch", "cpu", "float32")
        loading = Loading(Loaded(node.name, info, {"vsrdb": "1"}))
        self.load = Call(lambda network: loading)
        self.prepare = Call(lambda spec: None)
        self.accept = Call(lambda job, source: self._accept(job, facts))
        self.restore = Call(lambda segment, excerpt: Stream(self, segment))

    def _accept(self, job, facts):
        self.tiles.append(job.tile)
        return Accepted(True, facts)


class Loading:
    def __init__(self, loaded):
        self.loaded = loaded


class Stream:
    def __init__(self, actor, segment):
        self.actor = actor
        frames = [FrameRestored(segment)] * segment.count
        self._messages = iter([*frames, Delivery(actor.files(segment), ())])

    def __next__(self):
        return self.actor.ended or next(self._messages)


def own_files(segment):
    return {"": str(segment.index).encode() * 5}


class StandIn:
    """What of a cluster and of Ray is used."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError
    )

    def __init__(self, seed=0, fault=lambda ray, chance: None, files=own_files, facts=None):
        self.ray = self
        self._random, self._fault = random.Random(seed), fault
        self._files, self._facts = files, facts
        self.living = [Node(f"id{i}", f"node{i}", 1, 0, 1 << 40) for i in range(3)]
        self.actors = []
        self.cluster = SimpleNamespace(
            ray=self,
            check_alive=lambda: None,
            nodes=lambda: self.living,
            start_actors=self.start,
        )

    def start(self, kind, node, memory):
        self.actors.append(Actor(node, self._facts, self._files))
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
        return value.loaded if isinstance(value, Loading) else value

    def kill(self, actor):
        actor.ended = actor.ended or RayError("killed")

    put = staticmethod(lambda value: value)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return clips.make(folder / "in.mp4", frames=FRAMES, height=90, width=160)


@pytest.fixture
def run(tmp_path, source):
    """Runs a job of 12 segments with faults; gives what was heard of it."""

    def run(seed, fault, files=own_files):
        frames, done, notices = Counter(), [], []

        def on_event(event):
            match event:
                case FrameRestored(segment):
                    frames[segment.index] += 1
                case SegmentFinished(segment):
                    done.append(segment.index)
                case SegmentLost(segment):
                    frames.pop(segment.index)
                case Notice(text):
                    notices.append(text)

        bounds = tuple(range(0, FRAMES + 1, SEGMENT))
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_requested(source, OPTIONS) as reader:
            output = resolve_output(tmp_path / "out.mp4", reader.info, 4)
            ray = StandIn(seed, fault, files, encoder_facts(output, 4))
            pool = WorkerPool(ray.cluster, NETWORK, 0, {})
            pool.on_notice = notices.append
            plan = Plan(bounds, frozenset(), (0,) * (len(bounds) - 1), 1)
            spec = RestoreSpec.of_output(OPTIONS, output)
            job = Job(reader.info, output, spec, None, plan, folder)
            pool.start()
            Distribution(pool, job, plan.segments, reader, on_event).run()
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


def test_the_worker_after_one_that_ran_out_of_memory_has_smaller_tiles(run):
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


@pytest.mark.parametrize(
    "name", ["../stolen", "/tmp/stolen", "a/b.png", "../evil.png", "..", ".", "a\0b"]
)
def test_a_worker_that_sends_a_name_of_elsewhere_writes_nothing(run, tmp_path, name):
    with pytest.raises(BackendError, match="names that no segment has"):
        run(0, lambda ray, chance: None, lambda segment: {"a.png": b"", name: b"stolen"})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_worker_of_a_node_has_a_name_of_its_own():
    cluster = StandIn().cluster
    cluster.nodes = lambda: [Node("id0", "node0", 1, 4, 1 << 40)]
    cluster.start_actors = lambda kind, node, memory: [Actor(node, {}, own_files) for _ in range(4)]
    pool = WorkerPool(cluster, NETWORK, 0, {})
    pool.start()
    names = sorted(worker.name for worker in pool.workers)
    assert names == ["node0", "node0-id0", "node0-id0-2", "node0-id0-3"]
