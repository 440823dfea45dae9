"""Entry point: ``python -m CTARucioDIRAC.testbed.transfer_service --directory … --port … …``."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path

from .delegation import Delegations
from .engine import Engine, Limits
from .rest import Api, Server
from .store import Store


def main() -> None:
    """Serve until a signal; transfers under way are done again at the next start."""
    parser = argparse.ArgumentParser(description="FTS3-compatible transfer service.")
    for option in ("directory", "certificate", "key", "authority", "proxy"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--vo", required=True)
    parser.add_argument("--copies", type=int, default=Limits.copies)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    store = Store(options.directory / "transfers.sqlite")
    delegations = Delegations(options.directory / "delegated", store, options.proxy)
    engine = Engine(store, delegations.credential, Limits(copies=options.copies))
    server = Server(options.port, options.certificate, options.key, options.authority)
    server.api = Api(store, engine, delegations, options.vo)
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    try:
        engine.run()
    finally:
        server.shutdown()
        store.close()
        os._exit(0)  # threads in a TLS handshake would hold the process


if __name__ == "__main__":
    main()
