"""`python -m asyncwds.testing FOLDER`: a folder as a bucket, with a first-byte delay and a cap for each connection."""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import sys
import threading

from asyncwds.testing.fault_profile import FaultProfile
from asyncwds.testing.server import FaultServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m asyncwds.testing", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--first-byte-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--bytes-per-second", type=float, metavar="RATE", help="cap of each connection, such as 40e6")
    profile = 'arguments of FaultProfile: {"reset": 0.01, …}'
    parser.add_argument("--weather", type=json.loads, default={}, metavar="JSON", help=profile)
    return parser.parse_args()


def _ending() -> threading.Event:
    """Set by SIGTERM and Ctrl-C, and when whoever started us through a pipe has gone."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_until_end_of_input, args=(ended,), daemon=True).start()
    return ended


def _until_end_of_input(ended: threading.Event) -> None:
    # Not through sys.stdin: a thread that waits there holds a lock that the interpreter wants at its end.
    while os.read(0, 1 << 16):
        pass
    ended.set()


def main() -> None:
    arguments = _arguments()
    ended = _ending()  # before the URL is out: whoever has read it may end us
    with FaultServer(
        arguments.folder,
        first_byte_delay=arguments.first_byte_delay,
        bytes_per_second=arguments.bytes_per_second,
        weather=FaultProfile(**arguments.weather),
        host=arguments.host,
        port=arguments.port,
    ) as server:
        sys.stdout.write(server.url() + "\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
