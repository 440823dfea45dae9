"""What is compared: the same operations on this catalogue, DIRAC's own Rucio client, DIRAC's file catalogue, and bare Rucio.

Each contestant is a class with one method an operation. A method takes the names it is about, and returns how many of
them the answer vouches for, so that a fast wrong answer is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

SIZE, CHECKSUM = 5, "00000001"
FIRST, SECOND = "PIC-DISK", "CNAF-DISK"
#: Ten keys for each file; ``obs_id`` is what is searched for.
METADATA = {
    "observatory": "CTAO-N",
    "data_level": 0,
    "subarray_id": 2,
    "sb_id": 17,
    "tel_ids": "1,2,3,4",
    "start_time": "2026-11-22T00:00:00",
    "end_time": "2026-11-22T00:20:00",
    "zenith": 20.5,
    "valid_fits_checksum": 1,
}
#: Operations in the order in which they are run; each finds what those before it left.
OPERATIONS = (
    "addFile",
    "exists",
    "isFile",
    "getFileSize",
    "getFileMetadata",
    "getReplicas",
    "listDirectory",
    "listDirectory verbose",
    "addReplica",
    "setMetadata",
    "getFileUserMetadata",
    "findFilesByMetadata",
    "removeReplica",
    "removeFile",
)
#: They change nothing, so the small ones are repeated.
READS = frozenset(OPERATIONS[1:8]) | {"getFileUserMetadata", "findFilesByMetadata"}


def chunks(items: Sequence[Any], size: int = 1000) -> Iterator[Sequence[Any]]:
    """Parts of a sequence."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def directories(names: Iterable[str]) -> list[str]:
    """Directories of the files."""
    return sorted({name.rpartition("/")[0] for name in names})


class _Dirac:
    """What the three catalogues of DIRAC have in common."""

    catalogue: Any

    def _good(self, result: dict[str, Any]) -> Any:
        if not result["OK"]:
            raise RuntimeError(result["Message"])
        return result["Value"]

    def _done(self, result: dict[str, Any]) -> int:
        return sum(1 for value in self._good(result)["Successful"].values() if value is not False)

    def addFile(self, names: Sequence[str]) -> int:
        info = {"PFN": "", "Size": SIZE, "SE": FIRST, "GUID": "", "Checksum": CHECKSUM}
        return self._done(self.catalogue.addFile({name: dict(info, PFN=name) for name in names}))

    def exists(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.exists(list(names)))

    def isFile(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.isFile(list(names)))

    def getFileSize(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.getFileSize(list(names)))

    def getFileMetadata(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.getFileMetadata(list(names)))

    def getReplicas(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.getReplicas(list(names)))

    def _listed(self, names: Sequence[str], verbose: bool) -> int:
        found = self._good(self.catalogue.listDirectory(directories(names), verbose))["Successful"]
        return sum(len(listing["Files"]) for listing in found.values())

    def listDirectory(self, names: Sequence[str]) -> int:
        return self._listed(names, False)

    def listDirectory_verbose(self, names: Sequence[str]) -> int:
        return self._listed(names, True)

    def addReplica(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.addReplica({name: {"SE": SECOND, "PFN": name} for name in names}))

    def setMetadata(self, names: Sequence[str]) -> int:
        self._good(self.catalogue.setMetadataBulk({name: METADATA | {"obs_id": 1} for name in names}))
        return len(names)

    def getFileUserMetadata(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.getFileUserMetadataBulk(list(names)))

    def findFilesByMetadata(self, names: Sequence[str]) -> int:
        top = "/".join(names[0].split("/")[:5])
        return len(self._good(self.catalogue.findFilesByMetadata({"obs_id": 1, "data_level": 0}, top)))

    def removeReplica(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.removeReplica({name: {"SE": SECOND, "PFN": name} for name in names}))

    def removeFile(self, names: Sequence[str]) -> int:
        return self._done(self.catalogue.removeFile(list(names)))


class Ours(_Dirac):
    """This package's catalogue."""

    def __init__(self) -> None:
        from CTARucioDIRAC.Resources.Catalog.CTARucioFileCatalogClient import CTARucioFileCatalogClient

        self.catalogue = CTARucioFileCatalogClient()


class DiracsOwn(_Dirac):
    """DIRAC's own client of Rucio, imported by its module: under its catalogue name ours would answer."""

    def __init__(self) -> None:
        from DIRAC.Resources.Catalog.RucioFileCatalogClient import RucioFileCatalogClient

        self.catalogue = RucioFileCatalogClient()


class Dfc(_Dirac):
    """DIRAC's file catalogue on MariaDB."""

    def __init__(self) -> None:
        from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient

        self.catalogue = FileCatalogClient("DataManagement/FileCatalog")

    def addFile(self, names: Sequence[str]) -> int:
        return sum(super(Dfc, self).addFile(part) for part in chunks(names))

    def addReplica(self, names: Sequence[str]) -> int:
        return sum(super(Dfc, self).addReplica(part) for part in chunks(names))

    def removeReplica(self, names: Sequence[str]) -> int:
        return sum(super(Dfc, self).removeReplica(part) for part in chunks(names))

    def removeFile(self, names: Sequence[str]) -> int:
        return sum(super(Dfc, self).removeFile(part) for part in chunks(names))

    def setMetadata(self, names: Sequence[str]) -> int:
        for name in names:
            self._good(self.catalogue.setMetadata(name, METADATA | {"obs_id": 1}))
        return len(names)

    def getFileUserMetadata(self, names: Sequence[str]) -> int:
        return sum("obs_id" in self._good(self.catalogue.getFileUserMetadata(name)) for name in names)


class Bare:
    """The fewest calls of Rucio's own client that reach the same state, or give the same answer."""

    def __init__(self) -> None:
        from rucio.client import Client

        self.client = Client()

    @staticmethod
    def _dids(names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"scope": name.split("/")[2], "name": name} for name in names]

    def _register(self, names: Sequence[str], rse: str) -> None:
        for part in chunks(names):
            files = [did | {"bytes": SIZE, "adler32": CHECKSUM} for did in self._dids(part)]
            self.client.add_replicas(rse, files)
            self.client.add_replication_rule(self._dids(part), 1, rse, grouping="NONE")

    def addFile(self, names: Sequence[str]) -> int:
        self._register(names, FIRST)
        tops = directories(names)
        self.client.add_dids([did | {"type": "DATASET"} for did in self._dids(tops)])
        for part in chunks(names):
            self.client.attach_dids_to_dids(
                [
                    {
                        "scope": top.split("/")[2],
                        "name": top,
                        "dids": self._dids([n for n in part if n.startswith(top)]),
                    }
                    for top in directories(part)
                ]
            )
        return len(names)

    def _stat(self, names: Sequence[str]) -> int:
        return sum(1 for p in chunks(names) for _ in self.client.get_metadata_bulk(self._dids(p), plugin="DID_COLUMN"))

    exists = isFile = getFileSize = getFileMetadata = _stat

    def getReplicas(self, names: Sequence[str]) -> int:
        return sum(1 for p in chunks(names) for found in self.client.list_replicas(self._dids(p)) if found["rses"])

    def listDirectory(self, names: Sequence[str]) -> int:
        tops = self._dids(directories(names))
        return sum(1 for top in tops for _ in self.client.list_content(top["scope"], top["name"]))

    def listDirectory_verbose(self, names: Sequence[str]) -> int:
        return sum(1 for top in self._dids(directories(names)) for _ in self.client.list_replicas([top]))

    def addReplica(self, names: Sequence[str]) -> int:
        self._register(names, SECOND)
        return len(names)

    def setMetadata(self, names: Sequence[str]) -> int:
        for part in chunks(names):
            self.client.set_dids_metadata_bulk([did | {"meta": METADATA | {"obs_id": 1}} for did in self._dids(part)])
        return len(names)

    def getFileUserMetadata(self, names: Sequence[str]) -> int:
        return sum(1 for p in chunks(names) for _ in self.client.get_metadata_bulk(self._dids(p), plugin="JSON"))

    def findFilesByMetadata(self, names: Sequence[str]) -> int:
        scope = names[0].split("/")[2]
        top = "/".join(names[0].split("/")[:5])
        return sum(1 for _ in self.client.list_dids(scope, {"obs_id": 1, "data_level": 0, "name": f"{top}*"}, "file"))

    def removeReplica(self, names: Sequence[str]) -> int:
        filters = {"scope": names[0].split("/")[2], "rse_expression": SECOND}
        rules = {rule["name"]: rule["id"] for rule in self.client.list_replication_rules(filters)}
        for name in names:
            self.client.update_replication_rule(rules[name], {"lifetime": 0})
        return len(names)

    def removeFile(self, names: Sequence[str]) -> int:
        for part in chunks(names):
            self.client.set_dids_metadata_bulk([did | {"meta": {"lifetime": 0}} for did in self._dids(part)])
        return len(names)


CONTESTANTS: dict[str, Callable[[], Any]] = {"ours": Ours, "dirac": DiracsOwn, "dfc": Dfc, "bare": Bare}
LABELS = {"ours": "CTARucioDIRAC", "dirac": "DIRAC's client", "dfc": "DFC", "bare": "bare Rucio"}
