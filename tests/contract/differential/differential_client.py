"""DIRAC's own catalogue and Rucio's, each as a client sees it: ``FileCatalog(catalogs=[...])``. Runs as a DIRAC client."""

from __future__ import annotations

import datetime as dt
from typing import Any

import DIRAC

DFC, OURS = "FileCatalog", "RucioFileCatalog"
#: Fields of directories and of files that both catalogues must know.
FIELDS = {
    "-d": {"difflevel": "int", "diffsite": "VARCHAR(32)", "diffunused": "float"},
    "-f": {"diffn": "int", "diffx": "float", "difft": "datetime"},
}
DIRAC.initialize()


def catalogues() -> dict[str, Any]:
    """Both catalogues, each alone and as the master; the configuration of this process is changed for that."""
    from DIRAC.ConfigurationSystem.Client.ConfigurationData import gConfigurationData
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    section = "/Operations/Defaults/Services/Catalogs"
    gConfigurationData.setOptionInCFG(f"{section}/CatalogList", f"{OURS}, {DFC}")
    found = {}
    for name in (DFC, OURS):
        gConfigurationData.setOptionInCFG(f"{section}/{name}/Master", "True")
        found[name] = FileCatalog(catalogs=[name])
        assert found[name].isOK(), name
    return found


def declare_fields(catalogue: Any) -> None:
    """Declare the fields, unless they are."""
    for kind, fields in FIELDS.items():
        for name, its_type in fields.items():
            result = catalogue.addMetadataField(name, its_type, kind)
            if not result["OK"]:
                known = catalogue.getMetadataFields()["Value"]
                section = "DirectoryMetaFields" if kind == "-d" else "FileMetaFields"
                assert known[section][name] == its_type, result["Message"]


def plain(value: Any) -> Any:
    """A result as JSON can hold it: times by their kind, names of one catalogue gone."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in (DFC, OURS):
            return plain(next(iter(value.values())))
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return "<time>" if value.tzinfo is None else "<time with zone>"
    return value


def description(number: int, **changes: Any) -> dict[str, Any]:
    """A file to register."""
    guid = f"AAAAAAAA-BBBB-CCCC-DDDD-{number:012d}"
    return {"PFN": "", "Size": 5 + number, "SE": "PIC-DISK", "GUID": guid, "Checksum": f"{number + 1:08x}"} | changes
