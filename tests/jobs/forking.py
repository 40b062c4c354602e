"""Loads everything once, then forks a process for each run asked for on stdin.

A line is the JSON of what to restore, and after how many seconds to kill it (null: not at all); the
status it ended with is printed. So a test may kill many runs without waiting for each to load.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import torch

from vsrdb_cli.jobs import run  # noqa: F401 - loaded before the forks
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video


def restore(request):
    torch.set_num_threads(1)
    options = RestoreOptions(**request["options"], encoder=EncoderOptions(**request["encoder"]))
    report = restore_video(Path(request["source"]), Path(request["target"]), options)
    Path(request["told"]).write_text(json.dumps({"resumed": report.resumed}))


for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            restore(request)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    end = math.inf if request["kill_after"] is None else time.monotonic() + request["kill_after"]
    while (ended := os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
        if time.monotonic() >= end:
            break
        time.sleep(0.005)
    if ended is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
