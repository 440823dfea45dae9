"""The Rucio catalogue under a name that DIRAC can't confuse with its own: ``CatalogType = CTARucioFileCatalog``.

DIRAC has a ``RucioFileCatalogClient`` itself. Its ObjectLoader looks for a name in the extension with the highest
priority first, but only until the central configuration has been loaded: ``reloadRootModules`` then turns the order
around (seen in DIRAC 9.1.9 and 9.1.22), so that commands, jobs, services and agents would get DIRAC's own class.
"""

from __future__ import annotations

from CTARucioDIRAC.Resources.Catalog.RucioFileCatalogClient import RucioFileCatalogClient
from CTARucioDIRAC.Resources.Catalog.WholeFileRemoval import WholeFileRemoval


class CTARucioFileCatalogClient(WholeFileRemoval, RucioFileCatalogClient):  # type: ignore[misc]
    """See :class:`~CTARucioDIRAC.Resources.Catalog.RucioFileCatalogClient.RucioFileCatalogClient`; the copies of files that
    DIRAC's DataManager removes as a whole wait for ``removeFile``.
    """
