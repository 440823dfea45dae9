"""Methods of the Rucio catalogue on metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from CTARucioDIRAC.Core.Utilities.RucioReturns import (
    as_mapping,
    as_name,
    as_names,
    bulk_result,
    ok_result,
    returns,
    takes_lfns,
)
from CTARucioDIRAC.Core.Utilities.RucioShapes import file_metadata
from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, validate_lfn
from CTARucioDIRAC.domain.metadata_query import parse_query
from CTARucioDIRAC.usecases import files, find, metadata
from CTARucioDIRAC.usecases.bulk import Bulk
from CTARucioDIRAC.usecases.resolve import lfns_of

from .RucioCatalogBase import Result, RucioCatalogBase, addresses, forget

_KINDS = {"-d": False, "-f": True}


class RucioCatalogMetadata(RucioCatalogBase):
    """See :class:`~.RucioFileCatalogClient.RucioFileCatalogClient`."""

    READ: ClassVar[list[str]] = [
        "getFileUserMetadata",
        "getFileUserMetadataBulk",
        "getDirectoryUserMetadata",
        "getFileDetails",
        "findFilesByMetadata",
        "findFilesByMetadataDetailed",
        "findFilesByMetadataWeb",
        "findDirectoriesByMetadata",
        "getReplicasByMetadata",
        "getCompatibleMetadata",
        "getMetadataFields",
        "getMetadataSet",
    ]
    WRITE: ClassVar[list[str]] = [
        "setMetadata",
        "setMetadataBulk",
        "removeMetadata",
        "addMetadataField",
        "deleteMetadataField",
        "addMetadataSet",
    ]
    #: These take no names of files first, but one path, a query, or the name of a key.
    WITHOUT_LFNS: ClassVar[list[str]] = [
        *(name for name in READ if name not in ("getFileUserMetadataBulk", "getFileDetails")),
        *WRITE,
    ]

    @returns
    def getFileUserMetadata(self, path: str) -> Result:
        """Metadata of a file, with those of the directories above it."""
        return ok_result(metadata.of_file(self._gateway(), as_name(path), self._kinds()))

    @takes_lfns
    def getFileUserMetadataBulk(self, lfns: Mapping[str, Any]) -> Result:
        """Metadata of files, with those of the directories above them."""
        return bulk_result(metadata.of_files(self._gateway(), lfns, self._kinds()))

    @returns
    def getDirectoryUserMetadata(self, path: str) -> Result:
        """Metadata of a directory, with those of the directories above it; which is whose, beside the value."""
        kinds = self._kinds()
        values, origins = metadata.of_directory(self._gateway(), as_name(path), self._vo, kinds)
        own = did_of(path).name
        result = ok_result(values)
        result["MetadataOwner"] = {key: "OwnMetadata" if o == own else "ParentMetadata" for key, o in origins.items()}
        result["MetadataType"] = metadata.types_of(values, kinds)
        return result

    @returns
    def getFileDetails(self, lfns: Any, LFNChecking: bool = True) -> Result:  # noqa: ARG002 - the names stay as they are
        """All that is known of files that exist, with their own metadata, by name."""
        return ok_result(self._details(as_names(lfns)))

    def _details(self, lfns: Collection[str]) -> dict[str, dict[str, Any]]:
        found = metadata.details(self._gateway(), lfns, self._kinds()).done
        words = self._statuses(record for record, _ in found.values())
        return {
            lfn: file_metadata(record, words.get(record.did)) | {"Metadata": values}
            for lfn, (record, values) in found.items()
        }

    # ---------------------------------------------------------------- searching

    @returns
    def findFilesByMetadata(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """Files below a path whose metadata, or those of the directories above them, fulfil a query."""
        return ok_result(self._find(metaDict, path))

    @returns
    def findFilesByMetadataDetailed(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """The same, with all that is known of each file."""
        return ok_result(self._details(self._find(metaDict, path)))

    @returns
    def findFilesByMetadataWeb(self, metaDict: Mapping[str, Any], path: str, startItem: int, maxItems: int) -> Result:
        """A page of the same, in the order of the names, and how many there are in all."""
        found = self._find(metaDict, path)
        if not all(isinstance(n, int) and n >= 0 for n in (startItem, maxItems)) or startItem > len(found):
            raise InvalidInput(f"Requested files out of existing range: {startItem} of {len(found)}")
        page = self._details(found[startItem : startItem + maxItems])
        return ok_result({"TotalRecords": len(found), "Records": page})

    @returns
    def findDirectoriesByMetadata(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """Directories below a path whose metadata, or those of the directories above them, fulfil a query."""
        gateway, (known, sets) = self._gateway(), self._declarations()
        query = parse_query(metadata.typed_query(metaDict, known, sets))
        found = self._without_datasets(find.find_directories(gateway, query, validate_lfn(path), self._vo))
        return ok_result(dict(enumerate(sorted(lfns_of(gateway, found).values()), start=1)))

    @returns
    def getReplicasByMetadata(self, metaDict: Mapping[str, Any], path: str = "/", allStatus: bool = False) -> Result:
        """Copies of the files that fulfil a query."""
        found = self._find(metaDict, path)
        if not found:
            return ok_result({"Successful": {}, "Failed": {}})
        return bulk_result(files.replicas(self._gateway(), found, all_states=bool(allStatus)), addresses)

    @returns
    def getCompatibleMetadata(self, metaDict: Mapping[str, Any], path: str = "/") -> Result:
        """Values that each key has in the directories that fulfil a query."""
        known, sets = self._declarations()
        query = parse_query(metadata.typed_query(metaDict, known, sets))
        return ok_result(metadata.compatible(self._gateway(), query, validate_lfn(path), self._vo, known.kinds))

    # ---------------------------------------------------------------- writing

    @returns
    def setMetadata(self, path: str, metadatadict: Mapping[str, Any]) -> Result:
        """Set metadata of a file or directory."""
        values = {as_name(path): as_mapping(metadatadict, f"metadata of {path}")}
        metadata.set_all(self._gateway(), values, self._kinds())
        return ok_result()

    @returns
    def setMetadataBulk(self, pathMetadataDict: Mapping[str, Mapping[str, Any]]) -> Result:
        """Set metadata of files and directories: ``{path: {key: value}}``.

        All callers only look whether it is S_OK: it is if all was set; else S_ERROR, which names what wasn't.
        """
        values = {
            path: as_mapping(meta, f"metadata of {path}")
            for path, meta in as_mapping(pathMetadataDict, "metadata by path").items()
        }
        metadata.set_all(self._gateway(), values, self._kinds())
        return bulk_result(Bulk(dict.fromkeys(values, True)))

    @returns
    def removeMetadata(self, pathMetadataDict: Mapping[str, Any]) -> Result:
        """Remove keys of files and directories: ``{path: [key, …]}``; S_OK if all are gone."""
        keys = {
            path: dict.fromkeys(as_names(some))
            for path, some in as_mapping(pathMetadataDict, "metadata keys by path").items()
        }
        metadata.set_all(self._gateway(), keys, {})
        return bulk_result(Bulk(dict.fromkeys(keys, True)))

    # ---------------------------------------------------------------- fields

    @returns
    def getMetadataFields(self) -> Result:
        """Metadata keys with their types: those declared, and those found in use within the last minutes."""
        fields = self._fields()
        return ok_result({"DirectoryMetaFields": fields.directories, "FileMetaFields": fields.files})

    @returns
    def addMetadataField(self, fieldName: str, fieldType: str, metaType: str = "-d") -> Result:
        """Declare a metadata key of directories (``-d``) or of files (``-f``)."""
        if str(metaType).lower() not in _KINDS:
            raise InvalidInput(f"Unknown metadata type {metaType}")
        of_files = _KINDS[str(metaType).lower()]
        forget()
        known = self._declarations()[0]
        new = metadata.add_field(self._gateway(), self._vo, known, fieldName, fieldType, of_files=of_files)
        forget()
        return ok_result(f"Added new metadata: {fieldName}" if new else "Already exists")

    @returns
    def deleteMetadataField(self, fieldName: str) -> Result:
        """Take the declaration of a metadata key back; refused while anything has it."""
        metadata.delete_field(self._gateway(), self._vo, fieldName)
        forget()
        return ok_result()

    @returns
    def addMetadataSet(self, setName: str, setDict: Mapping[str, Any]) -> Result:
        """Declare a set of values of metadata by a name."""
        values = as_mapping(setDict, f"metadata set {setName}")
        metadata.add_set(self._gateway(), self._vo, self._declarations()[0], setName, values)
        forget()
        return ok_result()

    @returns
    def getMetadataSet(self, setName: str, expandFlag: bool = False) -> Result:
        """Values of a set; with ``expandFlag``, those of sets in it as well."""
        known, sets = self._declarations()
        return ok_result(metadata.read_set(setName, sets, known, expand=bool(expandFlag)))
