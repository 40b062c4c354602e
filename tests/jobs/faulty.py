"""Loads everything once, then forks a process for each run, in which one system call fails.

A line on stdin is the JSON of what to restore and which call fails (faults.c); the answer is what
became of it. The library of faults is loaded before this program is.
"""

import ctypes
import json
import os
import sys
import traceback
from pathlib import Path

import torch

from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs import run  # noqa: F401 - loaded before the forks
from vsrdb_cli.names import reachable
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

faults = ctypes.CDLL(os.environ["LD_PRELOAD"])


def restore(request):
    torch.set_num_threads(1)
    options = RestoreOptions(**request["options"])
    call, path, at, error = request["fault"]
    faults.faults_arm(call.encode(), path.encode(), at, error)
    try:
        with reachable():
            report = restore_video(Path(request["source"]), Path(request["target"]), options)
        answer = {"ended": "whole", "said": list(report.damage)}
    except VsrdbError as error:
        answer = {"ended": "refused", "said": [str(error), error.hint]}
    except BaseException:
        answer = {"ended": "broken", "said": [traceback.format_exc()]}
    answer["seen"] = faults.faults_seen()
    faults.faults_arm(b"", b"", 0, 0)
    return answer


for line in sys.stdin:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, json.dumps(restore(json.loads(line))).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        print(answer.read().decode() or '{"ended": "broken", "said": ["killed"]}', flush=True)
    os.waitpid(child, 0)
