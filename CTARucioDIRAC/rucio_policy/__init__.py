"""A policy package for Rucio's server: CTAO's own, with least-privilege permissions instead of Rucio's generic ones.

In ``rucio.cfg`` of server and daemons::

    [policy]
    package = CTARucioDIRAC.rucio_policy

Schema, lfn2pfn and scope algorithms are those of CTAO's ``bdms_rucio_policy``; only :mod:`.permission` differs. It needs
Rucio and that package, and neither DIRAC nor the rest of this one: install with ``--no-deps`` beside the server.
"""

from bdms_rucio_policy import SUPPORTED_VERSION, __version__, get_algorithms

__all__ = ["MANAGER", "OPEN_TO_OWNERS", "SUPPORTED_VERSION", "__version__", "get_algorithms"]

#: Account attribute of data managers. As with Rucio's ``admin``, what counts is that it's there.
MANAGER = "data-manager"
#: RSE attribute: owners of scopes may register copies there.
OPEN_TO_OWNERS = "owners_add_replicas"
