"""DIRAC's own file catalogue as the source of a migration, and the Rucio catalogue's datasets as its target."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient

from CTARucioDIRAC.domain.errors import CtaRucioError, NotFound, Unavailable
from CTARucioDIRAC.domain.identifiers import chunks
from CTARucioDIRAC.Resources.Catalog.RucioFileCatalogClient import RucioFileCatalogClient
from CTARucioDIRAC.usecases.migration_datasets import Known
from CTARucioDIRAC.usecases.migration_source import OldCopy, OldDataset, OldDirectory, OldFile

GOOD = "AprioriGood"
#: Files whose metadata are asked for together.
CHUNK = 1000
#: Seconds for one answer: of a large directory it takes DIRAC's catalogue minutes.
TIMEOUT = 900
#: Numbers of the catalogue's table of states whose datasets don't change by themselves, beside their names.
_FROZEN = ("Frozen", "Static")


class DFCSource:
    """Reads through DIRAC's service, as whoever has the proxy; see :class:`~.migration_source.Source`.

    A directory of N files costs 2 + 2 ⌈N / 1000⌉ requests.

    Parameters
    ----------
    service : str
        Name or address of the service.
    """

    def __init__(self, service: str = "DataManagement/FileCatalog") -> None:
        self._service = service
        self._client = FileCatalogClient(service)

    def directory(self, path: str) -> OldDirectory:
        """Read a directory; raises NotFound, or Unavailable where the service gives no answer."""
        answer = self._ask("listDirectory", path, True, timeout=TIMEOUT)
        listing = answer["Successful"].get(path)
        if listing is None:
            raise NotFound(f"{self._service} has no directory {path}: {answer['Failed'].get(path)}")
        files = dict(listing["Files"])
        metadata, ancestors = self._metadata(list(files)), self._ancestors(list(files))
        return OldDirectory(
            path=path,
            files=tuple(_file(lfn, files[lfn], metadata.get(lfn, {}), ancestors.get(lfn, ())) for lfn in sorted(files)),
            directories=tuple(listing["SubDirs"]),
            datasets=tuple(self._dataset(path, name, listing["Datasets"][name]) for name in listing["Datasets"]),
            metadata=self._own_metadata(path),
        )

    def count(self, paths: list[str]) -> int:
        """Number of files below some directories."""
        answer = self._ask("getDirectorySize", paths, timeout=TIMEOUT)
        return sum(int(size.get("LogicalFiles", 0)) for size in answer["Successful"].values())

    def _metadata(self, lfns: list[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for some in chunks(lfns, CHUNK):
            # its decorator expects Successful and Failed, which this answer doesn't have
            details = self._ask("getFileDetails", some, timeout=TIMEOUT, LFNChecking=False)
            found |= {lfn: values["Metadata"] for lfn, values in details.items()}
        return found

    def _ancestors(self, lfns: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for some in chunks(lfns, CHUNK):
            answer = self._ask("getFileAncestors", some, [1], timeout=TIMEOUT)["Successful"]
            found |= {lfn: sorted(relatives) for lfn, relatives in answer.items() if relatives}
        return found

    def _own_metadata(self, path: str) -> dict[str, Any]:
        if path == "/":
            return {}
        result = self._client.getDirectoryUserMetadata(path, timeout=TIMEOUT)
        values = self._value("getDirectoryUserMetadata", result)
        owners = result.get("MetadataOwner", {})
        return {key: value for key, value in values.items() if str(owners.get(key, "")).startswith("Own")}

    def _dataset(self, directory: str, name: str, entry: Mapping[str, Any]) -> OldDataset:
        path = f"{directory.rstrip('/')}/{name.rpartition('/')[2]}"
        query = entry["Metadata"]["MetaQuery"]
        found = self._ask("getDatasetParameters", path, timeout=TIMEOUT)["Successful"].get(path, {})
        return OldDataset(
            name=path,
            query=ast.literal_eval(query) if isinstance(query, str) else dict(query),
            frozen=found.get("Status") in _FROZEN,
        )

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._value(method, getattr(self._client, method)(*arguments, **options))

    def _value(self, method: str, result: Mapping[str, Any]) -> Any:
        if not result["OK"]:
            remedy = "repeat this; if the service runs, use a proxy of a group with the property FileCatalogManagement"
            raise Unavailable(f"{self._service} doesn't answer {method}: {result['Message']} ({remedy})")
        return result["Value"]


class RucioDatasets:
    """Datasets through the Rucio catalogue; see :class:`~.migration_datasets.Datasets`."""

    def __init__(self) -> None:
        self._catalogue = RucioFileCatalogClient()

    def find(self, name: str) -> Known | None:
        """Look a dataset up; None if there is none."""
        found, _ = self._call("getDatasetParameters", {name: True}, name)
        return Known(dict(found["MetaQuery"]), found["Status"] in _FROZEN) if found else None

    def add(self, name: str, query: Mapping[str, Any]) -> None:
        """Make a dataset."""
        self._do("addDataset", {name: dict(query)}, name)

    def freeze(self, name: str) -> None:
        """Keep its content as it is."""
        self._do("freezeDataset", {name: True}, name)

    def _do(self, method: str, argument: dict[str, Any], name: str) -> None:
        _, reason = self._call(method, argument, name)
        if reason is not None:
            raise CtaRucioError(f"{method} of {name}: {reason}")

    def _call(self, method: str, argument: dict[str, Any], name: str) -> tuple[Any, str | None]:
        result = getattr(self._catalogue, method)(argument)
        if not result["OK"]:
            raise CtaRucioError(f"{method} of {name}: {result['Message']}")
        return result["Value"]["Successful"].get(name), result["Value"]["Failed"].get(name)


def _file(lfn: str, entry: Mapping[str, Any], metadata: Mapping[str, Any], ancestors: Iterable[str]) -> OldFile:
    record = entry["MetaData"]
    copies = entry.get("Replicas", {})
    return OldFile(
        lfn=lfn,
        size=int(record["Size"]),
        checksum=str(record.get("Checksum") or ""),
        owner=str(record.get("Owner", "")),
        group=str(record.get("OwnerGroup", "")),
        guid=str(record.get("GUID") or ""),
        good=record.get("Status") == GOOD,
        copies=tuple(_copy(element, copies[element]) for element in sorted(copies)),
        metadata=dict(metadata),
        ancestors=tuple(ancestors),
    )


def _copy(element: str, entry: Mapping[str, Any]) -> OldCopy:
    pfn = str(entry.get("PFN") or "")
    return OldCopy(element, good=entry.get("Status") == GOOD, pfn=pfn if "://" in pfn else "")
