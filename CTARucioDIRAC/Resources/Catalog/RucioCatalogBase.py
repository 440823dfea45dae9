"""What the groups of methods of the Rucio catalogue share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import metadata_fields
from CTARucioDIRAC.Core.Utilities.Kept import Kept
from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import Did, validate_lfn
from CTARucioDIRAC.domain.metadata_fields import Fields
from CTARucioDIRAC.domain.settings import CatalogueSettings
from CTARucioDIRAC.gateway.protocol import DidRecord, FileReplicas, RucioGateway
from CTARucioDIRAC.usecases import datasets, metadata, search, status
from CTARucioDIRAC.usecases.bulk import Bulk
from CTARucioDIRAC.usecases.resolve import lfns_of

Result = dict[str, Any]
Sets = dict[str, dict[str, Any]]

#: What was declared is asked for with every write and search.
_declared: Kept[tuple[Fields, Sets]] = Kept(seconds=60)
#: The transformation service asks for the fields with every file.
_in_use: Kept[Fields] = Kept(seconds=300)
#: Few files have a status of their own, and few names are datasets: which ones, in a scope, is asked for now and then.
_with_status: Kept[frozenset[Did]] = Kept(seconds=60)
_datasets: Kept[frozenset[Did]] = Kept(seconds=60)


def forget() -> None:
    """Take nothing of what was kept as known any more."""
    for kept in (_declared, _in_use, _with_status, _datasets):
        kept.clear()


class RucioCatalogBase(ABC):
    """A group of methods: has the gateway, and what is kept of its answers for a minute."""

    @abstractmethod
    def _configuration(self) -> CatalogueSettings:
        """The catalogue's settings."""

    @abstractmethod
    def _gateway(self) -> RucioGateway:
        """Gateway for who acts now."""

    @property
    @abstractmethod
    def _vo(self) -> str:
        """First component of all paths."""

    def _key(self, *more: str) -> tuple[str, ...]:
        return (self._configuration().RucioHost, self._gateway().account, *more)

    def _declarations(self) -> tuple[Fields, Sets]:
        """Declared fields, and sets of values."""
        gateway, vo = self._gateway(), self._vo
        return _declared.get(self._key(vo), lambda: metadata.declared(gateway, vo, metadata_fields(vo)))

    def _kinds(self) -> dict[str, str]:
        return self._declarations()[0].kinds

    def _fields(self) -> Fields:
        """All fields: declared ones, and those found in use within the last minutes."""
        gateway, known = self._gateway(), self._declarations()[0]
        found = _in_use.get(self._key(), lambda: metadata.fields(gateway, known))
        return Fields(found.directories | known.directories, found.files | known.files)

    def _find(self, query: Mapping[str, Any], path: str) -> list[str]:
        """Names of the files that fulfil a query, in order."""
        gateway, (known, sets) = self._gateway(), self._declarations()
        typed = metadata.typed_query(query, known, sets)
        found = search.find_files(gateway, typed, validate_lfn(path), self._vo)
        return sorted(lfns_of(gateway, found).values())

    def _statuses(self, records: Iterable[DidRecord]) -> dict[Did, str]:
        """DIRAC's statuses of files, of those that have one of their own."""
        gateway = self._gateway()
        dids = {record.did for record in records}
        marked: set[Did] = set()
        for scope in {did.scope for did in dids}:
            marked |= dids & _with_status.get(
                self._key(scope),
                lambda: status.with_status(gateway, scope),  # noqa: B023 - called at once
            )
        return status.file_statuses(gateway, marked) if marked else {}

    def _datasets_of(self, scope: str) -> frozenset[Did]:
        """Datasets of a scope that were made out of queries."""
        gateway = self._gateway()
        return _datasets.get(self._key(scope), lambda: datasets.in_scope(gateway, scope))

    def _datasets_in(self, directory: Did, names: Iterable[str]) -> list[datasets.Dataset]:
        """Those names in a directory that are datasets, not directories."""
        known = self._datasets_of(directory.scope)
        here = {did for did in known if did.name.rpartition("/")[0] == directory.name}
        wanted = here & {Did(directory.scope, name) for name in names}
        return datasets.read(self._gateway(), wanted) if wanted else []

    def _without_datasets(self, directories: Iterable[Did]) -> list[Did]:
        """Directories that aren't datasets made out of queries."""
        return [did for did in directories if did not in self._datasets_of(did.scope)]


def addresses(file: FileReplicas) -> dict[str, str]:
    """Address of each copy, by storage element."""
    return {replica.rse: replica.pfn or file.did.name for replica in file.replicas}


def storage_elements(lfns: Mapping[str, Any]) -> tuple[dict[str, str], Bulk[Any]]:
    """Storage element of each file, given as its name or as a dictionary with ``SE``."""
    answers: Bulk[Any] = Bulk()
    wanted = {}
    for lfn, info in lfns.items():
        rse = info.get("SE") if isinstance(info, Mapping) else info
        if isinstance(rse, str) and rse:
            wanted[lfn] = rse
        else:
            answers.failed[lfn] = InvalidInput("Replica info not supplied")
    return wanted, answers
