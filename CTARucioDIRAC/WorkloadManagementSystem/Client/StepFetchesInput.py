"""Input-data module for jobs whose step fetches its input itself."""

from __future__ import annotations

from typing import Any

from DIRAC import S_OK


class StepFetchesInput:
    """Leave the input where it is.

    The job wrapper would put all files into the job's directory, flat. A campaign's step needs them in ACADA's directory
    tree and apart from everything else, together with files that another job accounts for (an observation's pointing), so
    it fetches them itself. What the wrapper has done by then stays useful: it has made sure that each input has a replica.

    Parameters
    ----------
    arguments : dict
        What the job wrapper passes to each input-data module.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments

    def execute(self) -> dict[str, Any]:
        """Resolve nothing, successfully."""
        return S_OK()
