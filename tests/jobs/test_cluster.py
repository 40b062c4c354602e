"""Runs on a Ray cluster; its nodes are two of one CPU each, in this machine."""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import clips
import pytest
from long_jobs import OPTIONS, StoppedError, Watch, pixels

from vsrdb_cli.backends.builtin import BuiltinRunner
from vsrdb_cli.cluster import distribution
from vsrdb_cli.cluster.agreement import require_same
from vsrdb_cli.cluster.connection import silent_stderr
from vsrdb_cli.cluster.executor import RayExecutor
from vsrdb_cli.cluster.worker import Delivery, Network, Worker
from vsrdb_cli.errors import BackendError, OptionError
from vsrdb_cli.jobs.events import TileShrunk
from vsrdb_cli.jobs.journal import identity
from vsrdb_cli.jobs.plan import Plan, plan_segments
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.jobs.segments import Job
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.pipeline.spec import RestoreSpec
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.reading.excerpt import excerpts_of
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.writing.output import resolve_output

HTTP2_SETTINGS = 4  # the type of the frame that a server of HTTP/2 sends first


@contextmanager
def answering(answer):
    """A server that gives one answer to whatever it is sent; yields its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1024)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class TwoNodes:
    """A cluster whose head has no CPUs to offer, and its nodes."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        small = {"include_dashboard": False, "object_store_memory": 80 << 20, "memory": 4 << 30}
        self.cluster.add_node(num_cpus=0, **small)
        self.nodes = [self.cluster.add_node(num_cpus=1, **small) for _ in range(2)]


@pytest.fixture(scope="module")
def two_nodes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = pytest.importorskip("ray")
        nodes = TwoNodes()
        ray.init(nodes.cluster.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
        ray.shutdown()
        nodes.cluster.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return clips.make(tmp_path_factory.mktemp("source") / "in.mp4", frames=65, height=24, width=32)


@pytest.fixture(scope="module")
def options(tiny):
    lossless = EncoderOptions(codec="ffv1")
    return replace(OPTIONS, weights=tiny, precision="float32", ray="auto", encoder=lossless)


@pytest.fixture
def unbroken(source, options, tmp_path):
    """The frames of a run in one piece, on one machine; with one thread, as a node's one CPU."""
    target = tmp_path / "whole.mkv"
    restore_video(source, target, replace(options, ray=None, segment_seconds=60))
    return pixels(target)


def segments_of(source, options):
    with open_source(source) as reader:
        seconds = options.segment_seconds
        return plan_segments(reader, segment_seconds=seconds, scene_cuts=True, reach=1).segments


def idle(ray):
    """Whether all CPUs are free again, within a while."""
    for _ in range(100):
        if ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.linux
@pytest.mark.slow
class TestOnTwoNodes:
    """In this order: the last test kills a node."""

    @pytest.mark.parametrize("shared", [True, False], ids=["source is there", "source is sent"])
    def test_frames_are_those_of_one_machine(
        self, two_nodes, tmp_path, source, options, unbroken, shared
    ):
        watch = Watch()
        with RayExecutor(options, shared=shared) as executor:
            report = watch.restore(source, tmp_path / "out.mkv", options, executor=executor)
        assert pixels(tmp_path / "out.mkv") == unbroken
        assert len(report.nodes) == 2
        made = sorted(index for node in report.nodes for index in node.segments)
        assert made == list(range(len(segments_of(source, options))))
        assert watch.told[-1].frames == 65

    def test_stopped_it_leaves_no_work_behind_and_goes_on_without_the_cluster(
        self, two_nodes, tmp_path, source, options, unbroken
    ):
        import ray

        target = tmp_path / "out.mkv"
        with RayExecutor(options) as executor, pytest.raises(StoppedError):
            Watch(stop_after=35).restore(source, target, options, executor=executor)
        assert idle(ray)
        assert '"made_by": {"' in (work_folder(target) / "journal.json").read_text()
        report = Watch().restore(source, target, replace(options, ray=None))
        assert report.resumed >= 10
        assert pixels(target) == unbroken

    @pytest.mark.parametrize("ray", ["auto", None], ids=["on the cluster", "without it"])
    def test_killed_with_minus_nine_it_goes_on_with_what_is_finished(
        self, two_nodes, tmp_path, source, options, unbroken, ray
    ):
        target = tmp_path / "out.mkv"
        command = [
            sys.executable, "-m", "vsrdb_cli", "restore", str(source), str(target),
            "--weights", options.weights, "--precision", "float32", "--codec", "ffv1",
            "--segment-seconds", str(options.segment_seconds), "--progress", "json",
            "--ray", two_nodes.cluster.address,
        ]  # fmt: skip
        journal = work_folder(target) / "journal.json"
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as driver:
            for _ in driver.stderr:
                if journal.exists() and json.loads(journal.read_text())["finished"]:
                    driver.kill()
        assert driver.returncode == -signal.SIGKILL
        finished = json.loads(journal.read_text())["finished"]
        with RayExecutor(options) if ray else nullcontext() as executor:
            report = restore_video(source, target, replace(options, ray=ray), executor=executor)
        segments = segments_of(source, options)
        kept = [segments[int(index)] for index in finished]
        assert report.resumed == sum((one.last or 65) - one.first for one in kept)
        assert pixels(target) == unbroken

    def test_a_segment_that_fails_three_times_ends_the_run_and_others_are_kept(
        self, two_nodes, tmp_path, source, options, monkeypatch
    ):
        fourth = segments_of(source, options)[3]

        class Damaged:
            def __init__(self, reader):
                self.whole = excerpts_of(reader)

            def excerpt(self, first, last):
                excerpt = self.whole.excerpt(first, last)
                is_fourth = first < fourth.first < fourth.last < last
                return replace(excerpt, packets=()) if is_fourth else excerpt

        monkeypatch.setattr(distribution, "excerpts_of", Damaged)
        target, watch = tmp_path / "out.mkv", Watch()
        failing = pytest.raises(BackendError, match="segment 4 failed 3 times")
        with RayExecutor(options, shared=False) as executor, failing:
            watch.restore(source, target, options, executor=executor)
        assert sum("segment 4 failed on" in notice for notice in watch.notices) == 2
        assert list(work_folder(target).glob("segment-0000*.mkv"))

    def test_what_a_killed_node_had_is_done_by_the_other(
        self, two_nodes, tmp_path, source, options, unbroken
    ):
        target, watch = tmp_path / "out.mkv", Watch()
        on_progress = watch.on_progress

        def kill(progress):
            on_progress(progress)
            if len(watch.told) == 15:
                two_nodes.cluster.remove_node(two_nodes.nodes[1], allow_graceful=False)

        watch.on_progress = kill
        with RayExecutor(options) as executor:
            report = watch.restore(source, target, options, executor=executor)
        assert any("is lost" in notice for notice in watch.notices)
        assert pixels(target) == unbroken
        assert (report.frames, watch.told[-1].frames) == (65, 65)


def test_ray_and_devices_exclude_each_other():
    with pytest.raises(OptionError, match="ray and devices cannot be used together"):
        RestoreOptions(ray="auto", devices=("cpu",))


@pytest.mark.parametrize("address", ["", "somewhere", "ray://head:10001", "head:port"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(OptionError, match="is not valid"):
        RestoreOptions(ray=address)


def test_without_ray_one_line_says_how_to_get_it(tmp_path, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match="not installed") as error:
        restore_video(source, tmp_path / "out.mp4", replace(OPTIONS, ray="local"))
    assert error.value.hint == "pip install 'vsrdb[ray]'"


def test_where_no_cluster_answers_one_line_says_so(tmp_path, source):
    pytest.importorskip("ray")
    with pytest.raises(BackendError, match=r"nothing answers at 127\.0\.0\.1:1"):
        restore_video(source, tmp_path / "out.mp4", replace(OPTIONS, ray="127.0.0.1:1"))
    assert not (tmp_path / "out.mp4.vsrdb").exists()


def test_a_cluster_that_asks_for_a_token_is_told_from_none(tmp_path, source, monkeypatch):
    ray = pytest.importorskip("ray")

    def refused(*arguments, **settings):
        raise ConnectionError("Failed to connect") from RuntimeError("RPC error: InvalidAuthToken")

    monkeypatch.setattr(ray, "init", refused)
    with (
        answering(bytes((0, 0, 0, HTTP2_SETTINGS, 0, 0, 0, 0, 0))) as address,
        pytest.raises(BackendError, match="asks for a token") as error,
    ):
        restore_video(source, tmp_path / "out.mp4", replace(OPTIONS, ray=address))
    assert "RAY_AUTH_MODE=token" in error.value.hint


def test_where_something_else_answers_one_line_says_so_at_once(tmp_path, source):
    pytest.importorskip("ray")
    with (
        answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as address,
        pytest.raises(BackendError, match=rf"the program at {address} is not a Ray cluster"),
    ):
        restore_video(source, tmp_path / "out.mp4", replace(OPTIONS, ray=address))


def test_what_ray_writes_while_it_looks_for_a_cluster_is_not_heard(capfd):
    with silent_stderr():
        os.write(2, b"not heard")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.slow
def test_nothing_else_imports_ray():
    code = "import sys, vsrdb_cli.restore, vsrdb_cli.cluster.executor; print('ray' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_node_that_differs_is_named_with_what_helps():
    ours = {"vsrdb": "1.2", "torch": "2.13.0", "weights": "sha256 abc"}
    require_same("this machine", ours, "attic", dict(ours))
    with pytest.raises(BackendError) as error:
        require_same("this machine", ours, "attic", ours | {"vsrdb": "1.1"})
    assert str(error.value) == "attic differs from this machine: vsrdb is 1.1, on this machine 1.2"
    assert "pip install vsrdb==1.2" in error.value.hint
    with pytest.raises(BackendError, match=r"weights is sha256 def, on this machine sha256 abc"):
        require_same("this machine", ours, "attic", ours | {"weights": "sha256 def"})


class Hungry(BuiltinRunner):
    """Runs out of memory where pictures are wider than 110 pixels."""

    def __init__(self, weights, **_):
        super().__init__(weights)

    def restore(self, window):
        if window[0].shape[3] > 110:
            raise RuntimeError("can't allocate memory")
        return super().restore(window)


def test_a_worker_whose_memory_ran_out_stays_with_smaller_tiles(tmp_path):
    source = clips.make(tmp_path / "in.mp4", frames=6, height=90, width=160)
    plan = Plan((0, 3, 6), frozenset({0}), (0, 0), 1)
    worker = Worker(load=Hungry)
    worker.load(Network("nearest", None, "cpu", "float32"))
    with open_source(source) as reader:
        output = resolve_output(tmp_path / "out.mp4", reader.info, 4)
    spec = RestoreSpec.of_output(OPTIONS, output)
    worker.accept(Job(reader.info, output, spec, None, plan), identity(source))
    first, second = (list(worker.restore(segment, None)) for segment in plan.segments)
    assert [event.tile for event in first if isinstance(event, TileShrunk)] == [106]
    assert not any(isinstance(event, TileShrunk) for event in second)
    assert all(isinstance(messages[-1], Delivery) for messages in (first, second))
    assert first[-1].files[""]
