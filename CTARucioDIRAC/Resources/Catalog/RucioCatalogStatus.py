"""Methods of the Rucio catalogue on statuses, ancestors, GUIDs and owners of files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from CTARucioDIRAC.Core.Utilities.RucioReturns import as_names, bulk_result, returns, takes_lfns
from CTARucioDIRAC.Core.Utilities.RucioShapes import DIRECTORY_MODE, FILE_MODE, ownership
from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, InvalidInput
from CTARucioDIRAC.usecases import ancestors, files, status
from CTARucioDIRAC.usecases import guids as _guids  # a method's argument has the module's name
from CTARucioDIRAC.usecases.bulk import Bulk
from CTARucioDIRAC.usecases.status import ReplicaStatus

from .RucioCatalogBase import Result, RucioCatalogBase, forget, storage_elements


class RucioCatalogStatus(RucioCatalogBase):
    """See :class:`~.RucioFileCatalogClient.RucioFileCatalogClient`."""

    READ: ClassVar[list[str]] = ["getReplicaStatus", "getFileAncestors", "getFileDescendents", "getLFNForGUID"]
    WRITE: ClassVar[list[str]] = [
        "setFileStatus",
        "addFileAncestors",
        "setReplicaStatus",
        "setReplicaProblematic",
        "setReplicaHost",
        "changePathOwner",
        "changePathGroup",
        "changePathMode",
        "rebuildDirectoryUsage",
        "repairCatalog",
    ]
    #: These take no names of files first.
    WITHOUT_LFNS: ClassVar[list[str]] = ["getLFNForGUID", "rebuildDirectoryUsage", "repairCatalog"]

    @takes_lfns
    def setFileStatus(self, lfns: Mapping[str, Any]) -> Result:
        """Set DIRAC's status of files: ``{lfn: "Trash"}``."""
        answers = status.set_file_statuses(self._gateway(), lfns)
        forget()
        return bulk_result(answers)

    @takes_lfns
    def getReplicaStatus(self, lfns: Mapping[str, Any]) -> Result:
        """Status of the copy of each file at the storage element given for it."""
        wanted, answers = storage_elements(lfns)
        found = files.replica_states(self._gateway(), wanted)
        stat = files.stat_files(self._gateway(), found.done)
        dids = {lfn: record.did for lfn, record in stat.done.items()}
        words = status.replica_words(self._gateway(), {dids[lfn]: found.done[lfn] for lfn in dids})
        done = {lfn: words[did] for lfn, did in dids.items()}
        return bulk_result(Bulk(done, answers.failed | found.failed | stat.failed))

    @takes_lfns
    def setReplicaStatus(self, lfns: Mapping[str, Any]) -> Result:
        """Keep copies back from use, or release them: ``{lfn: {SE, Status}}``."""
        wanted: dict[str, ReplicaStatus] = {}
        answers: Bulk[bool] = Bulk()
        for lfn, info in lfns.items():
            missing = [key for key in ("SE", "Status") if not isinstance(info, Mapping) or not info.get(key)]
            if missing:
                answers.failed[lfn] = InvalidInput(f"Missing '{missing[0]}' parameter")
            else:
                wanted[lfn] = ReplicaStatus(str(info["SE"]), str(info["Status"]))
        done = status.set_replica_statuses(self._gateway(), wanted)
        return bulk_result(Bulk(done.done, answers.failed | done.failed))

    @takes_lfns
    def setReplicaProblematic(self, lfns: Mapping[str, Any], revert: bool = False) -> Result:
        """Keep several copies of each file back from use, or release them: ``{lfn: {SE: PFN, …}}``."""
        word = status.GOOD if revert else "Trash"
        waiting = {lfn: as_names(places) for lfn, places in lfns.items()}
        done: dict[str, list[str]] = {lfn: [] for lfn, places in waiting.items() if not places}
        failed: dict[str, dict[str, str]] = {}
        while any(waiting.values()):
            batch = {lfn: ReplicaStatus(places.pop(), word) for lfn, places in waiting.items() if places}
            answers = status.set_replica_statuses(self._gateway(), batch)
            for lfn in answers.done:
                done.setdefault(lfn, []).append(batch[lfn].rse)
            for lfn, error in answers.failed.items():
                failed.setdefault(lfn, {})[batch[lfn].rse] = str(error)
        return {"OK": True, "Value": {"Successful": done, "Failed": failed}}

    @takes_lfns
    def setReplicaHost(self, lfns: Mapping[str, Any]) -> Result:
        """Say that copies are at another storage element: ``{lfn: {SE, NewSE}}``. Rucio knows where its copies are."""
        answers: Bulk[bool] = Bulk()
        stat = files.stat_files(self._gateway(), lfns)
        for lfn, info in lfns.items():
            missing = [key for key in ("SE", "NewSE") if not isinstance(info, Mapping) or not info.get(key)]
            if lfn in stat.failed:
                answers.failed[lfn] = stat.failed[lfn]
            elif missing:
                answers.failed[lfn] = InvalidInput(f"Missing '{missing[0]}' parameter")
            elif info["SE"] == info["NewSE"]:
                answers.done[lfn] = True
            else:
                answers.failed[lfn] = Conflict(
                    f"the copy of {stat.done[lfn].did} at {info['SE']} can't be called one at {info['NewSE']}: if its "
                    "bytes are there, register them with addReplica, and let go of the other with removeReplica"
                )
        return bulk_result(answers)

    # ---------------------------------------------------------------- ancestors, GUIDs

    @takes_lfns
    def addFileAncestors(self, lfns: Mapping[str, Any]) -> Result:
        """Say what files were made from: ``{lfn: {"Ancestors": [lfn, …], "AncestorDepth": 1}}``."""
        answers: Bulk[bool] = Bulk()
        wanted: dict[str, dict[str, int]] = {}
        for lfn, info in lfns.items():
            try:
                wanted[lfn] = ancestors_in(lfn, info)
            except CtaRucioError as error:
                answers.failed[lfn] = error
        added = ancestors.add_ancestors(self._gateway(), wanted)
        return bulk_result(Bulk(added.done, answers.failed | added.failed))

    @takes_lfns
    def getFileAncestors(self, lfns: Mapping[str, Any], depths: Any) -> Result:
        """Files that each file was made from, with their generation, of the generations asked for (all for none)."""
        return bulk_result(ancestors.ancestors_of_files(self._gateway(), lfns, _generations(depths)))

    @takes_lfns
    def getFileDescendents(self, lfns: Mapping[str, Any], depths: Any) -> Result:
        """Files that were made from each file, with their generation, of the generations asked for (all for none)."""
        return bulk_result(ancestors.descendents_of_files(self._gateway(), lfns, _generations(depths)))

    @returns
    def getLFNForGUID(self, guids: Any) -> Result:
        """Names of files by GUID."""
        return bulk_result(_guids.find(self._gateway(), as_names(guids)))

    # ---------------------------------------------------------------- what Rucio has no place for

    @takes_lfns
    def changePathOwner(self, lfns: Mapping[str, Any], recursive: bool = False) -> Result:  # noqa: ARG002
        """Succeeds where the owner is that one already: Rucio's owners are the accounts that registered."""
        return self._unchangeable(lfns, "Owner", "the account that registers a name owns it")

    @takes_lfns
    def changePathGroup(self, lfns: Mapping[str, Any], recursive: bool = False) -> Result:  # noqa: ARG002
        """Succeeds where the group is that one already: it follows from Rucio's account."""
        return self._unchangeable(lfns, "OwnerGroup", "it is the DIRAC group of the account that registered the name")

    @takes_lfns
    def changePathMode(self, lfns: Mapping[str, Any], recursive: bool = False) -> Result:  # noqa: ARG002
        """Succeeds where the mode is that one already: Rucio has none."""
        return self._unchangeable(lfns, "Mode", "who may read and write follows from the scope and Rucio's policy")

    def _unchangeable(self, lfns: Mapping[str, Any], what: str, reason: str) -> Result:
        answers: Bulk[bool] = Bulk()
        gateway = self._gateway()
        stat = files.stat_files(gateway, lfns)
        directories = files.stat_directories(gateway, list(stat.failed), self._vo) if stat.failed else Bulk()
        answers.failed = dict(directories.failed)
        for lfn, record in (stat.done | directories.done).items():
            if what == "Mode":
                now: Any = FILE_MODE if lfn in stat.done else DIRECTORY_MODE
            else:
                now = ownership(record.account if record else "root", record.did.name if record else lfn)[what]
            if lfns[lfn] == now:
                answers.done[lfn] = True
            else:
                answers.failed[lfn] = Conflict(f"{what} of {lfn} stays {now!r}, and can't be {lfns[lfn]!r}: {reason}")
        return bulk_result(answers)

    @returns
    def rebuildDirectoryUsage(self) -> Result:
        """Nothing to do: sizes of directories are counted when they are asked for."""
        return {"OK": True, "Value": None}

    @returns
    def repairCatalog(self) -> Result:
        """Always an error: nothing in Rucio is repaired from here."""
        raise InvalidInput("repairCatalog mends tables that Rucio doesn't have: cta-rucio-check finds what is wrong")


def ancestors_in(lfn: str, info: Any) -> dict[str, int]:
    """Ancestors in the description of a file, with their generation; raises InvalidInput."""
    if not isinstance(info, Mapping):
        raise InvalidInput(f"{lfn}: a dictionary with Ancestors is needed, not {type(info).__name__}")
    names = info.get("Ancestors") or []
    names = [names] if isinstance(names, str) else names
    depth = info.get("AncestorDepth", 1)
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"{lfn}: Ancestors are names of files")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise InvalidInput(f"{lfn}: AncestorDepth {depth!r} is no number of generations")
    return dict.fromkeys(names, depth)


def _generations(depths: Any) -> list[int]:
    if not isinstance(depths, (int, list, tuple, set, range)):
        raise InvalidInput(f"{depths!r} are no numbers of generations")
    wanted = [depths] if isinstance(depths, int) else list(depths)
    if any(isinstance(depth, bool) or not isinstance(depth, int) or depth < 1 for depth in wanted):
        raise InvalidInput(f"{depths!r} are no numbers of generations")
    return wanted
