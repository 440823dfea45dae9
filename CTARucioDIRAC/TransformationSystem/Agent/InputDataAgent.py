"""DIRAC's InputDataAgent, finding files through the file catalogues that are configured.

DIRAC 9.1.9's asks DIRAC's own catalogue service, whatever is configured; since 9.1.22 it asks ``FileCatalog()`` as this one
does. With several VOs in one DIRAC 9.1.9 (option ``MultiVO``) it goes on asking the service: then put
``DataManagement/RucioFileCatalog`` in its place.
"""

from __future__ import annotations

from typing import Any

from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
from DIRAC.TransformationSystem.Agent.InputDataAgent import InputDataAgent as DiracInputDataAgent


class InputDataAgent(DiracInputDataAgent):  # type: ignore[misc]
    """See DIRAC's documentation of the agent; the options are the same."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.metadataClient = FileCatalog()
