"""Rucio as a file catalogue of DIRAC.

Enabled in ``/Resources/FileCatalogs/RucioFileCatalog`` (see ``dirac.cfg.example``), and used through ``FileCatalog()``.
What is written in DIRAC's own file catalogue as ``<vo>`` tree is in Rucio a scope for each second component, a dataset for
each directory with files and a container for each other one; but directories are read by name, so that data which plain
Rucio brought in is there as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from DIRAC.Core.Security.ProxyInfo import getVOfromProxyGroup

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.ConfigurationSystem.Client.RucioConfiguration import (
    CATALOGUES,
    read_catalogue_settings,
    settings_in_use,
)
from CTARucioDIRAC.Core.Utilities.Kept import Kept
from CTARucioDIRAC.Core.Utilities.RucioPermissions import allowed
from CTARucioDIRAC.Core.Utilities.RucioReturns import as_mapping, bulk_result, ok_result, returns, takes_lfns
from CTARucioDIRAC.Core.Utilities.RucioShapes import (
    directory_dump,
    directory_metadata,
    directory_size,
    file_metadata,
    new_file,
    plain_listing,
    replica_status,
    verbose_listing,
)
from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, validate_lfn
from CTARucioDIRAC.domain.metadata_query import parse_query
from CTARucioDIRAC.domain.settings import CatalogueSettings
from CTARucioDIRAC.gateway.protocol import FileReplicas, RucioGateway
from CTARucioDIRAC.usecases import directories, files, find, metadata, register, remove
from CTARucioDIRAC.usecases.bulk import Bulk
from CTARucioDIRAC.usecases.resolve import lfns_of, look_up_one

Result = dict[str, Any]
#: The transformation service asks for the fields with every file.
_fields: Kept[tuple[dict[str, str], dict[str, str]]] = Kept(seconds=300)


class RucioFileCatalogClient:
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
        "getReplicaStatus",
        "listDirectory",
        "getDirectoryDump",
        "getDirectoryReplicas",
        "getDirectorySize",
        "getDirectoryMetadata",
        "getFileUserMetadata",
        "getDirectoryUserMetadata",
        "findFilesByMetadata",
        "findDirectoriesByMetadata",
        "getReplicasByMetadata",
        "getMetadataFields",
    ]
    WRITE_METHODS: ClassVar[list[str]] = [
        "addFile",
        "addReplica",
        "removeReplica",
        "removeFile",
        "createDirectory",
        "removeDirectory",
        "setMetadata",
        "setMetadataBulk",
        "removeMetadata",
    ]
    NO_LFN_METHODS: ClassVar[list[str]] = [
        "getFileUserMetadata",
        "getDirectoryUserMetadata",
        "findFilesByMetadata",
        "findDirectoriesByMetadata",
        "getReplicasByMetadata",
        "getMetadataFields",
        "setMetadata",
        "setMetadataBulk",
        "removeMetadata",
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
        """The name itself if there is such a file or directory, else False."""
        answers = files.kinds(self._gateway(), lfns, self._vo)
        return bulk_result(Bulk({lfn: lfn if kind else False for lfn, kind in answers.done.items()}, answers.failed))

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
            return bulk_result(Bulk(dict.fromkeys(paths, True)))
        if opType not in self.WRITE_METHODS:
            raise InvalidInput(f"{opType!r} is no operation of the Rucio catalogue")
        return bulk_result(allowed(self._gateway(), self._configuration().RucioHost, paths, opType))

    @takes_lfns
    def getPathPermissions(self, lfns: Mapping[str, Any]) -> Result:
        """Whether each path may be read, which Rucio lets everybody, and written."""
        return bulk_result(
            allowed(self._gateway(), self._configuration().RucioHost, lfns, "addFile"),
            lambda may: {"Read": True, "Write": may},
        )

    @takes_lfns
    def getFileMetadata(self, lfns: Mapping[str, Any]) -> Result:
        """Size, checksum, owner, dates … of files."""
        return bulk_result(files.stat_files(self._gateway(), lfns), file_metadata)

    @takes_lfns
    def getFileSize(self, lfns: Mapping[str, Any]) -> Result:
        """Sizes in bytes."""
        return bulk_result(files.stat_files(self._gateway(), lfns), lambda record: record.size or 0)

    @takes_lfns
    def getReplicas(self, lfns: Mapping[str, Any], allStatus: bool = False) -> Result:
        """Storage elements with a readable copy (with any, for ``allStatus``), and its address there."""
        return bulk_result(files.replicas(self._gateway(), lfns, all_states=bool(allStatus)), _addresses)

    @takes_lfns
    def getReplicaStatus(self, lfns: Mapping[str, Any]) -> Result:
        """Status of the copy of each file at the storage element given for it."""
        wanted, answers = _storage_elements(lfns)
        found = files.replica_states(self._gateway(), wanted)
        return bulk_result(Bulk(dict(found.done), answers.failed | found.failed), replica_status)

    # ---------------------------------------------------------------- directories

    @takes_lfns
    def listDirectory(self, lfns: Mapping[str, Any], verbose: bool = False) -> Result:
        """What is directly in each directory."""
        shape = verbose_listing if verbose else plain_listing
        return bulk_result(directories.list_all(self._gateway(), lfns, self._vo, details=bool(verbose)), shape)

    @takes_lfns
    def getDirectoryDump(self, lfns: Mapping[str, Any]) -> Result:
        """All files below each directory, with size and date, and all directories."""
        return bulk_result(directories.dump_all(self._gateway(), lfns, self._vo), directory_dump)

    @takes_lfns
    def getDirectoryReplicas(self, lfns: Mapping[str, Any], allStatus: bool = False) -> Result:
        """Copies of the files directly in each directory."""
        answers = directories.replicas_in(self._gateway(), lfns, self._vo, all_states=bool(allStatus))
        return bulk_result(answers, lambda found: {lfn: _addresses(file) for lfn, file in found.items()})

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
        """Owner, group, dates … of directories."""
        answers = files.stat_directories(self._gateway(), lfns, self._vo)
        return bulk_result(Bulk({lfn: directory_metadata(r, lfn) for lfn, r in answers.done.items()}, answers.failed))

    # ---------------------------------------------------------------- metadata

    @returns
    def getFileUserMetadata(self, path: str) -> Result:
        """Metadata of a file, with those of the directories above it."""
        return ok_result(metadata.of_file(self._gateway(), path))

    @returns
    def getDirectoryUserMetadata(self, path: str) -> Result:
        """Metadata of a directory, with those of the directories above it; which is whose, beside the value."""
        values, origins = metadata.of_directory(self._gateway(), path, self._vo)
        own = did_of(path).name
        result = ok_result(values)
        result["MetadataOwner"] = {key: "OwnMetadata" if o == own else "ParentMetadata" for key, o in origins.items()}
        result["MetadataType"] = metadata.types_of(values)
        return result

    @returns
    def setMetadata(self, path: str, metadatadict: Mapping[str, Any]) -> Result:
        """Set metadata of a file or directory."""
        return dict(self.setMetadataBulk({path: metadatadict}))

    @returns
    def setMetadataBulk(self, pathMetadataDict: Mapping[str, Mapping[str, Any]]) -> Result:
        """Set metadata of files and directories."""
        values = {
            path: as_mapping(meta, f"metadata of {path}")
            for path, meta in as_mapping(pathMetadataDict, "metadata by path").items()
        }
        metadata.set_all(self._gateway(), values)
        return ok_result()

    @returns
    def removeMetadata(self, pathMetadataDict: Mapping[str, Any]) -> Result:
        """Remove keys of files and directories."""
        gateway = self._gateway()
        for path, keys in as_mapping(pathMetadataDict, "metadata keys by path").items():
            gateway.delete_metadata(look_up_one(gateway, path)[0], [keys] if isinstance(keys, str) else list(keys))
        return ok_result()

    @returns
    def findFilesByMetadata(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """Files below a path whose metadata, or those of the directories above them, fulfil a query."""
        return ok_result(self._find(metaDict, path))

    def _find(self, query: Mapping[str, Any], path: str) -> list[str]:
        gateway = self._gateway()
        conditions, rses = metadata.split_query(query)
        files_found = find.find_files(gateway, parse_query(conditions), validate_lfn(path), self._vo)
        found = list(lfns_of(gateway, files_found).values())
        if rses:
            there = files.replicas(gateway, found)
            return sorted(lfn for lfn, file in there.done.items() if any(r.rse in rses for r in file.replicas))
        return sorted(found)

    @returns
    def findDirectoriesByMetadata(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """Directories below a path whose metadata, or those of the directories above them, fulfil a query."""
        gateway = self._gateway()
        found = find.find_directories(gateway, parse_query(metaDict), validate_lfn(path), self._vo)
        return ok_result(dict(enumerate(sorted(lfns_of(gateway, found).values()), start=1)))

    @returns
    def getReplicasByMetadata(self, metaDict: Mapping[str, Any], path: str = "/", allStatus: bool = False) -> Result:
        """Copies of the files that fulfil a query."""
        found = self._find(metaDict, path)
        if not found:
            return ok_result({"Successful": {}, "Failed": {}})
        return bulk_result(files.replicas(self._gateway(), found, all_states=bool(allStatus)), _addresses)

    @returns
    def getMetadataFields(self) -> Result:
        """Metadata keys with their types: those that CTAO uses, and those found in use within the last minutes."""
        gateway = self._gateway()
        key = (self._configuration().RucioHost, gateway.account)
        of_directories, of_files = _fields.get(key, lambda: metadata.fields(gateway))
        return ok_result({"DirectoryMetaFields": dict(of_directories), "FileMetaFields": dict(of_files)})

    # ---------------------------------------------------------------- writing

    @takes_lfns
    def addFile(self, lfns: Mapping[str, Any]) -> Result:
        """Register files with their copies: ``{lfn: {PFN, Size, SE, GUID, Checksum}}``.

        A file that is registered with the same content gets the copy in addition.
        """
        answers: Bulk[bool] = Bulk()
        wanted = []
        for lfn, info in lfns.items():
            try:
                wanted.append(new_file(lfn, info))
            except CtaRucioError as error:
                answers.failed[lfn] = error
        added = register.add_files(self._gateway(), wanted)
        return bulk_result(Bulk(added.done, answers.failed | added.failed))

    @takes_lfns
    def addReplica(self, lfns: Mapping[str, Any]) -> Result:
        """Register further copies of files: ``{lfn: {SE, PFN}}``."""
        wanted, answers = _storage_elements(lfns)
        added = register.add_copies(self._gateway(), wanted)
        return bulk_result(Bulk(added.done, answers.failed | added.failed))

    @takes_lfns
    def removeReplica(self, lfns: Mapping[str, Any]) -> Result:
        """Let go of copies: ``{lfn: {SE, PFN}}``. Refused where any other rule holds the copy."""
        wanted, answers = _storage_elements(lfns)
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


def _addresses(file: FileReplicas) -> dict[str, str]:
    return {replica.rse: replica.pfn or file.did.name for replica in file.replicas}


def _storage_elements(lfns: Mapping[str, Any]) -> tuple[dict[str, str], Bulk[Any]]:
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
