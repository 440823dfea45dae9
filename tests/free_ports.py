"""Print the first port of a range that is free for a stack."""

import socket
import sys

from CTARucioDIRAC.testbed.layout import PORT_SPAN


def free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


for base in range(24000, 31000, 100):
    if all(free(base + offset) for offset in range(PORT_SPAN)):
        print(base)
        sys.exit(0)
sys.exit("no range of free ports between 24000 and 31000")
