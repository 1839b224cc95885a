"""A model host without a process, for tests that need none."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import evaluate
from feeder import Channel


class HostInThread:
    """Stands in for subprocess.Popen on a model host, and saves it the import of torch. Each loads train.py as a
    module of its own, so that what the model keeps in it is as separate as between processes."""

    pid = os.getpid()  # whose CPU time is the host's

    def __init__(self, command: list[str], **_: object) -> None:
        at = command.index("--host")
        self.run_dir = Path(command[at - 1])
        self.channel = Channel(socket.socket(fileno=os.dup(int(command[at + 1]))))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        self.speak()
        self.channel.socket.close()  # as the end of a process does

    def speak(self) -> None:
        evaluate.serve_model(self.run_dir, self.channel)

    def kill(self) -> None:
        pass

    def wait(self) -> int:
        return 0
