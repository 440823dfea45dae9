"""A transfer service that speaks the part of the FTS3 REST interface that Rucio and DIRAC use; it moves real bytes.

It is FTS3-compatible, not FTS3: no such server can be installed here. Arrows point one way::

    __main__ → rest → submission → store → model
             → engine → pool, store, failures → model          transfer_process (a process of its own: gfal2)

* :mod:`.model`: jobs, transfers, and the rules of their states; pure.
* :mod:`.failures`: which errors are worth another attempt; pure.
* :mod:`.submission`: from the body of a request to a job; pure.
* :mod:`.store`: SQLite, the only memory; whoever is killed, it goes on from there.
* :mod:`.pool`, :mod:`.transfer_process`: worker processes, each with one task and a deadline at a time.
* :mod:`.engine`: decides what to start next, and what an answer of a worker means.
* :mod:`.rest`: HTTPS with client certificates or proxies.
"""
