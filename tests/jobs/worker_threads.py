"""Workers of a `ProcessExecutor` in threads of the test's own process."""

import multiprocessing
import threading

from vsrdb_cli.jobs.worker import serve


class ThreadAsProcess(threading.Thread):
    pid, exitcode = 1, None

    def join(self, timeout=None):
        """It ends with the connection, which its parent closes last."""

    def is_alive(self):
        return False

    def terminate(self):
        pass


def start_worker_thread(executor):
    """Start a worker; return what `start_process` would."""
    ours, theirs = multiprocessing.Pipe()
    worker = ThreadAsProcess(target=serve, args=(theirs, executor), daemon=True)
    worker.start()
    return worker, ours
