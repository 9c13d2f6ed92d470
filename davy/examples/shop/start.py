"""Runs a program once ports answer: `python -m davy.examples.shop.start 8081,8082 haproxy -f ...`; ends with its parent."""

from __future__ import annotations

import os
import socket
import sys
import time

from davy.supervisor import die_with_parent

POLL_S = 0.1
WAIT_S = 60.0


def answers(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Wait at most `WAIT_S`, then become the program."""
    die_with_parent()
    ports, *command = sys.argv[1:]
    deadline = time.monotonic() + WAIT_S
    for port in map(int, filter(None, ports.split(","))):
        while not answers(port) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
