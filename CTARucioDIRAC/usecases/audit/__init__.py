"""Audit of a whole installation: whether Rucio and DIRAC agree, and whether all data are where both can use them.

Each check is a function that yields findings, in the registry :data:`~.model.CHECKS`; importing this package fills it.
"""

from . import access, data, endpoints, storage
from .model import CHECKS, Audit, Credential, Finding, Member, Severity, Site, StorageElement, StoredFile, run

__all__ = [
    "CHECKS",
    "Audit",
    "Credential",
    "Finding",
    "Member",
    "Severity",
    "Site",
    "StorageElement",
    "StoredFile",
    "access",
    "data",
    "endpoints",
    "run",
    "storage",
]
