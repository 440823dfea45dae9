"""A policy package for Rucio's server: CTAO's own, with least-privilege permissions instead of Rucio's generic ones.

In ``rucio.cfg`` of server and daemons::

    [policy]
    package = CTARucioDIRAC.rucio_policy

Schema, lfn2pfn and scope algorithms are those of CTAO's ``bdms_rucio_policy``; only :mod:`.permission` differs. It needs
Rucio and that package, and neither DIRAC nor the rest of this one: install with ``--no-deps`` beside the server.
"""

from bdms_rucio_policy import SUPPORTED_VERSION, __version__, get_algorithms

__all__ = ["SUPPORTED_VERSION", "__version__", "get_algorithms"]
