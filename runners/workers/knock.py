"""Whether a Ray cluster is where an address says, for Ray itself would try again for minutes."""

import socket
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

PATIENCE = 5  # s
# how a client of gRPC begins, and an empty frame of settings: a server answers with its own
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def refuse_silence(address: str) -> None:
    """ValueError for an address that is none, or where nobody answers; within twice the patience."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ValueError(
            f"ray.address={address}: use HOST:PORT, auto for the cluster that runs here, or null to start one"
        )
    found: SimpleQueue[str] = SimpleQueue()
    # a name server may take longer than any timeout says
    Thread(target=lambda: found.put(knock(host, int(port))), daemon=True).start()
    fault = f"nothing came within {PATIENCE} s"
    with suppress(Empty):
        fault = found.get(timeout=2 * PATIENCE)
    if fault:
        raise ValueError(
            f"ray.address={address}: nobody answers there ({fault}): does the cluster run? null starts one"
        )


def knock(host: str, port: int) -> str:
    """Why there is no server; empty: there is one."""
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=PATIENCE) as connection:
            connection.sendall(HELLO)
            return "" if connection.recv(1) else "it hangs up"
    except OSError as error:
        return str(error)
