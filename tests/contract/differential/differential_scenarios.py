"""The same calls on both catalogues: ``differential_scenarios.py TOP`` prints what each answered, as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from differential_client import catalogues, declare_fields, description, plain

Step = tuple[str, str, tuple[Any, ...]]


def steps(top: str, number: int) -> list[Step]:
    """Name, method and arguments of each call, in their order."""
    one, two, three, four = (f"{top}/{name}" for name in ("a/f1", "a/f2", "b/f3", "b/f4"))
    no, a, b = f"{top}/a/no", f"{top}/a", f"{top}/b"
    files = {lfn: description(number + i) for i, lfn in enumerate((one, two, three))}
    guid = files[two]["GUID"]
    unknown = "FFFFFFFF-BBBB-CCCC-DDDD-000000000001"
    dataset = f"{top}/ds{number}"
    odd, other = f"{top}-odd/f4", f"{top}-odd/f5"  # what the two disagree about stays out of the way of the rest
    return [
        # files
        ("addFile", "addFile", (files,)),
        ("addFile again", "addFile", ({one: files[one]},)),
        ("addFile other content", "addFile", ({one: files[one] | {"Checksum": "ffffffff"}},)),
        ("addFile elsewhere", "addFile", ({other: description(number + 4)},)),
        ("addFile other SE", "addFile", ({other: description(number + 4, SE="CNAF-DISK")},)),
        ("addFile unknown SE", "addFile", ({odd: description(number + 3, SE="NOSUCH-DISK")},)),
        ("addFile incomplete", "addFile", ({four: {"SE": "PIC-DISK"}},)),
        ("exists", "exists", ([one, a, no],)),
        ("exists by GUID", "exists", ({no: guid, one: files[one]["GUID"]},)),
        ("isFile", "isFile", ([one, a, no],)),
        ("isDirectory", "isDirectory", ([one, a, no],)),
        ("getFileMetadata", "getFileMetadata", ([one, no],)),
        ("getFileSize", "getFileSize", ([one, two, no],)),
        ("getLFNForGUID", "getLFNForGUID", ([guid, unknown],)),
        # copies
        ("addReplica", "addReplica", ({one: {"SE": "CNAF-DISK", "PFN": ""}, no: {"SE": "CNAF-DISK", "PFN": ""}},)),
        ("addReplica again", "addReplica", ({one: {"SE": "CNAF-DISK", "PFN": ""}},)),
        ("getReplicas", "getReplicas", ([one, three, no],)),
        ("getReplicaStatus", "getReplicaStatus", ({one: "PIC-DISK", two: "LAPALMA-DISK", no: "PIC-DISK"},)),
        ("setReplicaStatus", "setReplicaStatus", ({one: {"SE": "CNAF-DISK", "Status": "Probing"}},)),
        ("setReplicaStatus wrong", "setReplicaStatus", ({one: {"SE": "PIC-DISK", "Status": "Fine"}, no: {"SE": "x"}},)),
        ("setReplicaStatus no copy", "setReplicaStatus", ({one: {"SE": "LAPALMA-DISK", "Status": "Trash"}},)),
        ("getReplicaStatus after", "getReplicaStatus", ({one: "CNAF-DISK"},)),
        ("getReplicas of what is kept back", "getReplicas", (one,)),
        ("getReplicas all", "getReplicas", (one, True)),
        ("setReplicaProblematic", "setReplicaProblematic", ({one: {"CNAF-DISK": "", "LAPALMA-DISK": ""}},)),
        ("setReplicaProblematic back", "setReplicaProblematic", ({one: {"CNAF-DISK": ""}}, True)),
        ("setReplicaHost", "setReplicaHost", ({other: {"SE": "PIC-DISK", "NewSE": "LAPALMA-DISK"}},)),
        ("setReplicaHost wrong", "setReplicaHost", ({one: {"SE": "PIC-DISK"}, no: {"SE": "x", "NewSE": "y"}},)),
        # directories
        ("createDirectory", "createDirectory", ([f"{top}/empty", a],)),
        ("listDirectory", "listDirectory", ([a, no],)),
        ("listDirectory above", "listDirectory", (top,)),
        ("listDirectory verbose", "listDirectory", (a, True)),
        ("getDirectoryMetadata", "getDirectoryMetadata", ([a, no],)),
        ("getDirectoryReplicas", "getDirectoryReplicas", ([a],)),
        ("getDirectorySize", "getDirectorySize", ([a, top],)),
        ("getDirectorySize long", "getDirectorySize", (a, True)),
        ("getDirectoryDump", "getDirectoryDump", (top,)),
        ("getPathPermissions", "getPathPermissions", ([one, a],)),
        ("hasAccess", "hasAccess", ([one], "removeFile")),
        # ancestors, statuses
        ("addFileAncestors", "addFileAncestors", ({two: {"Ancestors": [one]}, no: {"Ancestors": [one]}},)),
        ("addFileAncestors next", "addFileAncestors", ({three: {"Ancestors": [two]}},)),
        ("addFileAncestors again", "addFileAncestors", ({three: {"Ancestors": [two]}},)),
        ("addFileAncestors missing", "addFileAncestors", ({three: {"Ancestors": [no]}},)),
        ("getFileAncestors", "getFileAncestors", ([three, one], [1, 2])),
        ("getFileAncestors of one generation", "getFileAncestors", ([three], 2)),
        ("getFileAncestors of what is missing", "getFileAncestors", ([three, no], 1)),
        ("getFileDescendents", "getFileDescendents", ([one, three], [1, 2])),
        ("setFileStatus", "setFileStatus", ({two: "Nonsense", no: "Trash"},)),
        ("setFileStatus good", "setFileStatus", ({two: "AprioriGood"},)),
        # metadata
        ("setMetadata", "setMetadata", (a, {"difflevel": "5", "diffsite": "north"})),
        ("setMetadataBulk", "setMetadataBulk", ({b: {"difflevel": 6}, one: {"diffn": 1, "diffx": "1.5"}},)),
        ("setMetadata time", "setMetadata", (three, {"diffn": 2, "difft": "2026-05-01 10:00:00"})),
        ("setMetadata missing", "setMetadata", (no, {"diffn": 1})),
        ("setMetadata not of the type", "setMetadata", (one, {"diffn": "many"})),
        ("getFileUserMetadata", "getFileUserMetadata", (one,)),
        ("getFileUserMetadata time", "getFileUserMetadata", (three,)),
        ("getFileUserMetadata missing", "getFileUserMetadata", (no,)),
        ("getDirectoryUserMetadata", "getDirectoryUserMetadata", (a,)),
        *[(f"find {query}", "findFilesByMetadata", (query, top)) for query in QUERIES],
        ("find below", "findFilesByMetadata", ({"difflevel": "Any"}, a)),
        ("find unknown key", "findFilesByMetadata", ({"nosuchkey": 5}, top)),
        ("find unknown operator", "findFilesByMetadata", ({"difflevel": {"~": 5}}, top)),
        ("findDirectoriesByMetadata", "findDirectoriesByMetadata", ({"difflevel": {">": 4}}, top)),
        ("findFilesByMetadataDetailed", "findFilesByMetadataDetailed", ({"diffn": 1}, top)),
        ("findFilesByMetadataDetailed none", "findFilesByMetadataDetailed", ({"difflevel": 55}, top)),
        ("findFilesByMetadataWeb", "findFilesByMetadataWeb", ({"difflevel": 5}, top, 0, 1)),
        ("getReplicasByMetadata", "getReplicasByMetadata", ({"diffn": 1}, top)),
        ("getReplicasByMetadata none", "getReplicasByMetadata", ({"difflevel": 55}, top)),
        ("getCompatibleMetadata", "getCompatibleMetadata", ({"difflevel": 5}, top)),
        ("getCompatibleMetadata none", "getCompatibleMetadata", ({"difflevel": 55}, top)),
        ("addMetadataField other type", "addMetadataField", ("difflevel", "float", "-d")),
        ("addMetadataField of the other kind", "addMetadataField", ("difflevel", "int", "-f")),
        ("addMetadataField wrong kind", "addMetadataField", ("diffother", "int", "-x")),
        ("removeMetadata", "removeMetadata", ({one: ["diffx"], a: ["diffsite", "nosuchkey"]},)),
        ("getFileUserMetadata after", "getFileUserMetadata", (one,)),
        ("getMetadataSet none", "getMetadataSet", ("nosuchset", False)),
        # datasets
        ("addDataset", "addDataset", ({dataset: {"difflevel": 5, "Path": top}},)),
        ("addDataset short name", "addDataset", ({"short": {"difflevel": 5}},)),
        ("getDatasetParameters", "getDatasetParameters", ({dataset: "", no: ""},)),
        ("getDatasets", "getDatasets", ({f"ds{number}": "", "nosuchds": ""},)),
        ("getDatasetFiles", "getDatasetFiles", ({dataset: ""},)),
        ("addDatasetAnnotation", "addDatasetAnnotation", ({dataset: "words", no: "words"},)),
        ("getDatasetAnnotation", "getDatasetAnnotation", ({dataset: ""},)),
        ("listDirectory with a dataset", "listDirectory", (top,)),
        ("checkDataset", "checkDataset", ({f"ds{number}": ""},)),
        ("freezeDataset", "freezeDataset", ({f"ds{number}": ""},)),
        ("change of what is frozen", "setMetadata", (b, {"difflevel": 5})),
        ("getDatasetFiles frozen", "getDatasetFiles", ({dataset: ""},)),
        ("checkDataset changed", "checkDataset", ({f"ds{number}": ""},)),
        ("releaseDataset", "releaseDataset", ({f"ds{number}": ""},)),
        ("updateDataset", "updateDataset", ({f"ds{number}": ""},)),
        ("getDatasetFiles released", "getDatasetFiles", ({dataset: ""},)),
        ("removeDataset", "removeDataset", ({f"ds{number}": ""},)),
        # removal
        ("removeDirectory not empty", "removeDirectory", (b,)),
        ("removeFile", "removeFile", ([two, three],)),
        ("removeFile missing", "removeFile", ([no],)),
        ("exists after removal", "exists", ([one, two, three],)),
        ("listDirectory after removal", "listDirectory", (a,)),
        ("find after removal", "findFilesByMetadata", ({"difflevel": "Any"}, top)),
        ("removeDirectory", "removeDirectory", (f"{top}/empty",)),
        ("isDirectory after removal", "isDirectory", (f"{top}/empty",)),
        # what Rucio has no place for
        ("changePathOwner", "changePathOwner", ({one: "nobody", no: "nobody"},)),
        ("changePathGroup", "changePathGroup", ({one: "nogroup"},)),
        ("changePathMode", "changePathMode", ({one: 0o640},)),
    ]


QUERIES: list[dict[str, Any]] = [
    {},
    {"difflevel": 5},
    {"difflevel": {">": 5}},
    {"difflevel": {">=": 5, "<": 6}},
    {"difflevel": [5, 6]},
    {"difflevel": {"in": [5]}},
    {"difflevel": {"nin": [5]}},
    {"difflevel": {"!=": 5}},
    {"difflevel": "Any"},
    {"difflevel": "Missing"},
    {"diffn": {"!=": 1}},
    {"diffn": "Missing"},
    {"diffx": {"<": 1.6}},
    {"diffsite": "north"},
    {"diffsite": {"!=": "south"}},
    {"difflevel": 5, "diffn": 1},
    {"difft": {">": "2026-05-01 09:00:00"}},
    {"difft": "2026-05-01 10:00:00"},
    {"SE": "CNAF-DISK"},
    {"Size": {">": 5}},
    {"FileName": "f?"},
    {"Name": "f1", "difflevel": 5},
]


def call(catalogue: Any, method: str, arguments: tuple[Any, ...]) -> Any:
    """A result: the value, or what kind of failure it is."""
    try:
        result = getattr(catalogue, method)(*json.loads(json.dumps(arguments)))
    except Exception as error:  # what it raises is the result to compare
        return {"raised": type(error).__name__}
    if not result["OK"]:
        return {"failed": True}
    others = {key: result[key] for key in ("MetadataOwner", "MetadataType") if key in result}
    return {"value": plain(result["Value"]), **plain(others)}


def main() -> None:
    """Do all steps on both catalogues, and print the answers."""
    top = sys.argv[1]
    both = catalogues()
    for catalogue in both.values():
        declare_fields(catalogue)
    answers = {
        step: {name: call(catalogue, method, arguments) for name, catalogue in both.items()}
        for step, method, arguments in steps(top, os.getpid() * 10)
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
