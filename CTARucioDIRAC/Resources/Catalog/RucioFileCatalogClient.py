"""Rucio as a file catalogue of DIRAC.

Enabled in ``/Resources/FileCatalogs/RucioFileCatalog`` (see ``dirac.cfg.example``), and used through ``FileCatalog()``.
What is written in DIRAC's own file catalogue as ``<vo>`` tree is in Rucio a scope for each second component, a dataset for
each directory with files and a container for each other one; but directories are read by name, so that data which plain
Rucio brought in is there as well.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from DIRAC.Core.Security.ProxyInfo import getVOfromProxyGroup

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import (
    CATALOGUES,
    read_catalogue_settings,
    settings_in_use,
)
from CTARucioDIRAC.Core.Utilities.RucioPermissions import allowed, readable, scope_owner
from CTARucioDIRAC.Core.Utilities.RucioReturns import (
    as_names,
    bulk_result,
    ok_result,
    registration_result,
    returns,
    takes_lfns,
)
from CTARucioDIRAC.Core.Utilities.RucioShapes import (
    dataset_listing,
    directory_dump,
    directory_metadata,
    directory_size,
    file_metadata,
    new_file,
    plain_listing,
    verbose_listing,
)
from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, explicit_did, scope_of
from CTARucioDIRAC.domain.settings import CatalogueSettings
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.usecases import directories, files, guids, register, remove
from CTARucioDIRAC.usecases.ancestors import add_ancestors
from CTARucioDIRAC.usecases.bulk import Bulk
from CTARucioDIRAC.usecases.storage_dump import files_at

from .RucioCatalogBase import Result, addresses, storage_elements
from .RucioCatalogDatasets import RucioCatalogDatasets
from .RucioCatalogMetadata import RucioCatalogMetadata
from .RucioCatalogStatus import RucioCatalogStatus, ancestors_in


class RucioFileCatalogClient(RucioCatalogMetadata, RucioCatalogDatasets, RucioCatalogStatus):
    """File catalogue plugin; the methods have the signatures and shapes of DIRAC's own ``FileCatalogClient``.

    Parameters
    ----------
    **options
        Options of the catalogue's section, as DIRAC's factory passes them (``url`` among them); read from the
        configuration at the first call, unless given. Nothing is sent here.

    Raises
    ------
    InvalidSettings
        Naming each option that is unknown or wrong.
    """

    READ_METHODS: ClassVar[list[str]] = [
        "exists",
        "hasAccess",
        "getPathPermissions",
        "isFile",
        "isDirectory",
        "getFileMetadata",
        "getFileSize",
        "getReplicas",
        "listDirectory",
        "getDirectoryDump",
        "getDirectoryReplicas",
        "getDirectorySize",
        "getDirectoryMetadata",
        "getSEDump",
        *RucioCatalogStatus.READ,
        *RucioCatalogMetadata.READ,
        *RucioCatalogDatasets.READ,
    ]
    WRITE_METHODS: ClassVar[list[str]] = [
        "addFile",
        "addReplica",
        "removeReplica",
        "removeFile",
        "createDirectory",
        "removeDirectory",
        *RucioCatalogStatus.WRITE,
        *RucioCatalogMetadata.WRITE,
        *RucioCatalogDatasets.WRITE,
    ]
    NO_LFN_METHODS: ClassVar[list[str]] = [
        *RucioCatalogStatus.WITHOUT_LFNS,
        *RucioCatalogMetadata.WITHOUT_LFNS,
        "getSEDump",
    ]

    def __init__(self, **options: Any) -> None:
        options.pop("url", None)
        self._settings = settings_in_use(options, f"{CATALOGUES}/RucioFileCatalog") if options else None

    @classmethod
    def getInterfaceMethods(cls) -> tuple[list[str], list[str], list[str]]:
        """Names of the methods that read, that write, and that don't take names of files first."""
        return cls.READ_METHODS, cls.WRITE_METHODS, cls.NO_LFN_METHODS

    @classmethod
    def hasCatalogMethod(cls, methodName: str) -> bool:
        """Whether the catalogue has a method."""
        return methodName in {*cls.READ_METHODS, *cls.WRITE_METHODS, *cls.NO_LFN_METHODS}

    @returns
    def isOK(self) -> Result:
        """S_OK if Rucio answers and knows who we are; S_ERROR with the cause otherwise."""
        self._gateway().whoami()
        return ok_result(True)

    def _configuration(self) -> CatalogueSettings:
        if self._settings is None:
            self._settings = read_catalogue_settings()
        return self._settings

    def _gateway(self) -> RucioGateway:
        return current_gateway(self._configuration())

    @property
    def _vo(self) -> str:
        return self._configuration().VO or getVOfromProxyGroup().get("Value", "")

    # ---------------------------------------------------------------- what there is

    @takes_lfns
    def exists(self, lfns: Mapping[str, Any]) -> Result:
        """The name itself if there is such a file or directory, else False.

        For a name that isn't there, given with a GUID (``{lfn: guid}`` or ``{lfn: {GUID}}``): the name of the file in the
        same scope that has it.
        """
        answers = files.kinds(self._gateway(), lfns, self._vo)
        found: dict[str, str | bool] = {lfn: lfn if kind else False for lfn, kind in answers.done.items()}
        given = {lfn: _guid(lfns[lfn]) for lfn, kind in answers.done.items() if kind is None}
        wanted = {lfn: guid for lfn, guid in given.items() if guid}
        return bulk_result(Bulk(found | (guids.elsewhere(self._gateway(), wanted) if wanted else {}), answers.failed))

    @takes_lfns
    def isFile(self, lfns: Mapping[str, Any]) -> Result:
        """The name itself if there is such a file, else False."""
        answers = files.stat_files(self._gateway(), lfns)
        invalid: dict[str, CtaRucioError] = {
            lfn: error for lfn, error in answers.failed.items() if isinstance(error, InvalidInput)
        }
        return bulk_result(
            Bulk({lfn: lfn if lfn in answers.done else False for lfn in lfns if lfn not in invalid}, invalid)
        )

    @takes_lfns
    def isDirectory(self, lfns: Mapping[str, Any]) -> Result:
        """Whether there is such a directory."""
        return bulk_result(files.kinds(self._gateway(), lfns, self._vo), lambda kind: kind == "directory")

    @takes_lfns
    def hasAccess(self, paths: Mapping[str, Any], opType: str) -> Result:
        """Whether an operation, named after its method, is allowed on each path."""
        if opType in self.READ_METHODS:
            return bulk_result(readable(self._gateway(), paths))
        if opType not in self.WRITE_METHODS:
            raise InvalidInput(f"{opType!r} is no operation of the Rucio catalogue")
        return bulk_result(allowed(self._gateway(), self._configuration().RucioHost, paths, opType))

    @takes_lfns
    def getPathPermissions(self, lfns: Mapping[str, Any]) -> Result:
        """Whether each path may be read, as all may but what is under an embargo, and written."""
        reading = readable(self._gateway(), lfns)
        writing = allowed(self._gateway(), self._configuration().RucioHost, lfns, "addFile").done
        answers = {lfn: {"Read": may, "Write": writing[lfn], "Execute": may} for lfn, may in reading.done.items()}
        return bulk_result(Bulk(answers, reading.failed))

    @takes_lfns
    def getFileMetadata(self, lfns: Mapping[str, Any]) -> Result:
        """Size, checksum, owner, dates … of files."""
        answers = files.stat_files(self._gateway(), lfns)
        words = self._statuses(answers.done.values())
        return bulk_result(answers, lambda record: file_metadata(record, words.get(record.did)))

    @takes_lfns
    def getFileSize(self, lfns: Mapping[str, Any]) -> Result:
        """Sizes in bytes."""
        return bulk_result(files.stat_files(self._gateway(), lfns), lambda record: record.size or 0)

    @takes_lfns
    def getReplicas(self, lfns: Mapping[str, Any], allStatus: bool = False) -> Result:
        """Storage elements with a readable copy (with any, for ``allStatus``), and its address there."""
        return bulk_result(files.replicas(self._gateway(), lfns, all_states=bool(allStatus)), addresses)

    # ---------------------------------------------------------------- directories

    @takes_lfns
    def listDirectory(self, lfns: Mapping[str, Any], verbose: bool = False) -> Result:
        """What is directly in each directory."""
        answers = directories.list_all(self._gateway(), lfns, self._vo, details=bool(verbose))
        listings: dict[str, Any] = {}
        for lfn, entries in answers.done.items():
            did = did_of(lfn)
            # names directly below /<vo> are in scopes of their own: none of these is looked into
            one_scope = explicit_did(lfn) is not None or scope_of(f"{did.name}/x") == did.scope
            found = self._datasets_in(did, entries.directories) if one_scope else []
            for dataset in found:
                del entries.directories[dataset.record.did.name]
            listing = verbose_listing(entries) if verbose else plain_listing(entries)
            listings[lfn] = listing | {"Datasets": dataset_listing(found, verbose=bool(verbose))}
        return bulk_result(Bulk(listings, answers.failed))

    @takes_lfns
    def getDirectoryDump(self, lfns: Mapping[str, Any]) -> Result:
        """All files below each directory, with size and date, and all directories."""
        return bulk_result(directories.dump_all(self._gateway(), lfns, self._vo), directory_dump)

    @takes_lfns
    def getDirectoryReplicas(self, lfns: Mapping[str, Any], allStatus: bool = False) -> Result:
        """Copies of the files directly in each directory."""
        answers = directories.replicas_in(self._gateway(), lfns, self._vo, all_states=bool(allStatus))
        return bulk_result(answers, lambda found: {lfn: addresses(file) for lfn, file in found.items()})

    @takes_lfns
    def getDirectorySize(
        self, lfns: Mapping[str, Any], longOut: bool = False, fromFiles: bool = False, recursiveSum: bool = True
    ) -> Result:
        """Number and bytes of the files of each directory; with ``longOut``, at each storage element, too."""
        answers = directories.sizes(
            self._gateway(), lfns, self._vo, copies=bool(longOut), recursive=bool(recursiveSum or fromFiles)
        )
        return bulk_result(answers, directory_size)

    @takes_lfns
    def getDirectoryMetadata(self, lfns: Mapping[str, Any]) -> Result:
        """Owner, group, dates … of directories; those that only names below them imply are their scope's owner's."""
        gateway, server = self._gateway(), self._configuration().RucioHost
        answers = files.stat_directories(gateway, lfns, self._vo)
        found = {
            lfn: directory_metadata(record, lfn, "" if record else scope_owner(gateway, server, lfn))
            for lfn, record in answers.done.items()
        }
        return bulk_result(Bulk(found, answers.failed))

    @returns
    def getSEDump(self, seNames: Any, outputFilename: str) -> Result:
        """Write ``SE|LFN|checksum|size`` of all files with a copy at storage elements into a file."""
        names = seNames.split(",") if isinstance(seNames, str) else as_names(seNames)
        with Path(outputFilename).open("w", encoding="utf-8", newline="") as output:
            csv.writer(output, delimiter="|").writerows(files_at(self._gateway(), names))
        return ok_result()

    # ---------------------------------------------------------------- writing

    @takes_lfns
    def addFile(self, lfns: Mapping[str, Any]) -> Result:
        """Register files with their copies: ``{lfn: {PFN, Size, SE, GUID, Checksum}}``.

        A file that is registered with the same content gets the copy in addition. ``Ancestors`` are added as
        :meth:`addFileAncestors` does.
        """
        answers: Bulk[bool] = Bulk()
        wanted = []
        made_from: dict[str, dict[str, int]] = {}
        for lfn, info in lfns.items():
            try:
                wanted.append(new_file(lfn, info))
                if info.get("Ancestors"):
                    made_from[lfn] = ancestors_in(lfn, info)
            except CtaRucioError as error:
                answers.failed[lfn] = error
        added = register.add_files(self._gateway(), wanted)
        with_ancestors = {lfn: made_from[lfn] for lfn in made_from if lfn in added.done}
        if with_ancestors:
            linked = add_ancestors(self._gateway(), with_ancestors)
            for lfn, error in linked.failed.items():
                added.failed[lfn] = error
                del added.done[lfn]
        return registration_result(Bulk(added.done, answers.failed | added.failed))

    @takes_lfns
    def addReplica(self, lfns: Mapping[str, Any]) -> Result:
        """Register further copies of files: ``{lfn: {SE, PFN}}``."""
        wanted, answers = storage_elements(lfns)
        added = register.add_copies(self._gateway(), wanted)
        return registration_result(Bulk(added.done, answers.failed | added.failed))

    @takes_lfns
    def removeReplica(self, lfns: Mapping[str, Any]) -> Result:
        """Let go of copies: ``{lfn: {SE, PFN}}``. Refused where any other rule holds the copy."""
        wanted, answers = storage_elements(lfns)
        removed = remove.remove_copies(self._gateway(), wanted)
        return bulk_result(Bulk(removed.done, answers.failed | removed.failed))

    @takes_lfns
    def removeFile(self, lfns: Mapping[str, Any]) -> Result:
        """Remove files for good. Refused where a rule on a dataset holds one."""
        return bulk_result(remove.remove_files(self._gateway(), lfns))

    @takes_lfns
    def createDirectory(self, lfns: Mapping[str, Any]) -> Result:
        """Create directories; existing ones are fine."""
        return bulk_result(register.add_directories(self._gateway(), lfns))

    @takes_lfns
    def removeDirectory(self, lfns: Mapping[str, Any], recursive: bool = False) -> Result:
        """Remove directories without files; with ``recursive``, those that hold empty directories, too."""
        return bulk_result(remove.remove_directories(self._gateway(), lfns, self._vo, recursive=bool(recursive)))


def _guid(given: Any) -> str:
    guid = given.get("GUID") if isinstance(given, Mapping) else given
    return guid if isinstance(guid, str) else ""
