"""Data management through Rucio: upload and register as one unit, download with verification, stage by rules."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import DIRAC
from DIRAC import gLogger
from DIRAC.DataManagementSystem.Utilities.DMSHelpers import DMSHelpers
from DIRAC.Resources.Storage.StorageElement import StorageElement

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.Core.Utilities import StorageFiles
from CTARucioDIRAC.Core.Utilities.Checksums import Digest, digest, same_adler32
from CTARucioDIRAC.Core.Utilities.RucioReturns import bulk_result, ok_result, returns
from CTARucioDIRAC.domain.errors import (
    AlreadyExists,
    Conflict,
    CtaRucioError,
    DifferentContent,
    InvalidInput,
    NotFound,
    Unavailable,
)
from CTARucioDIRAC.domain.identifiers import did_of, validate_lfn
from CTARucioDIRAC.domain.placement import reading_order
from CTARucioDIRAC.gateway.protocol import FileRecord, FileReplicas, ReplicaState, RseType, RucioGateway
from CTARucioDIRAC.gateway.replicas import check_same_content
from CTARucioDIRAC.usecases import files, register, rules
from CTARucioDIRAC.usecases.bulk import Bulk

Result = dict[str, Any]
#: Seconds after which a part of an upload that nobody writes to any more is taken for abandoned.
ABANDONED = 86400.0


class RucioDataManager:
    """Moves files between here, DIRAC's storage elements and Rucio; returns S_OK and S_ERROR as DIRAC's DataManager does.

    Parameters
    ----------
    vo : str, optional
        Virtual organisation for DIRAC's storage elements; that of the proxy, unless given.
    gateway : callable, optional
        Gives the gateway to Rucio for whoever acts at that moment.
    storage : callable, optional
        Gives the storage element of a name.

    Notes
    -----
    Constructing one does nothing.
    """

    def __init__(
        self,
        vo: str | None = None,
        gateway: Callable[[], RucioGateway] = current_gateway,
        storage: Callable[[str], Any] | None = None,
    ) -> None:
        self._vo = vo
        self._gateway = gateway
        self._storage = storage or (lambda name: StorageElement(name, vo=vo))
        self._log = gLogger.getSubLogger(type(self).__name__)

    # ---------------------------------------------------------------- upload

    @returns
    def put_and_register(
        self,
        lfn: str,
        path: str | os.PathLike[str],
        storage: str,
        guid: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
    ) -> Result:
        """Upload a file, verify what the storage has, and register it: all of it, or an error; again until it's done.

        Parameters
        ----------
        lfn : str
            Name to register.
        path : path
            Local file.
        storage : str
            Storage element, which is an RSE of the same name.
        guid : str, optional
            GUID to register; Rucio gives none, unless it's given.
        metadata : mapping, optional
            Metadata to set.
        datasets : iterable of str
            Further datasets, beside that of its directory, to attach the file to; they must exist.

        Returns
        -------
        dict
            S_OK with ``Size``, ``Checksum`` and ``Uploaded`` (False if the copy was there already). S_ERROR if the name
            has other content, naming both checksums; a leftover on the storage that was never registered is replaced.

        Notes
        -----
        The file is uploaded under a name of this attempt's own, ``<lfn>.<random>.part``, verified there, and renamed when
        a last look into Rucio says that nobody has registered the name meanwhile. So an attempt that fails harms no
        other's file. XRootD's renaming replaces what is there: who loses the race between that look and the registration
        (some 0.1 s) marks the copy that it has overwritten as bad. Where a storage doesn't rename, the upload itself
        comes after the last look. What attempts that were killed have left of the same file is removed a day later, by the
        next attempt or by :meth:`clean_uploads`.
        """
        did = did_of(lfn)
        content = digest(Path(path))
        if content.size == 0:
            raise InvalidInput(f"{path} is empty: it isn't registered as {lfn}")
        gateway = self._gateway()
        record = FileRecord(did, content.size, adler32=content.adler32, guid=guid, meta=dict(metadata or {}))
        uploaded = self._has_to_upload(gateway, record, storage)
        if uploaded:
            self._upload(gateway, record, lfn, Path(path), storage, content)
        try:
            self._register(gateway, lfn, record, storage)
        except DifferentContent:
            if uploaded:
                self._disown(gateway, lfn, storage, content)
            raise
        if uploaded:
            self._verify_registered(gateway, lfn, storage, content)
        if metadata:
            gateway.set_metadata({did: metadata})
        for dataset in datasets:
            gateway.attach({did_of(dataset): [did]})
        return ok_result({"Size": content.size, "Checksum": content.adler32, "Uploaded": uploaded})

    def putAndRegister(
        self,
        lfn: str,
        fileName: str,
        diracSE: str,
        guid: str | None = None,
        path: str | None = None,
        checksum: str | None = None,
        overwrite: bool = False,
    ) -> Result:
        """As DIRAC's ``DataManager.putAndRegister``: S_OK with Successful and Failed.

        ``path`` and ``checksum`` aren't needed: names give addresses, and the checksum is computed. ``overwrite`` is
        refused for a name that has other content: remove the file first.
        """
        del path, checksum, overwrite
        result: Result = self.put_and_register(lfn, fileName, diracSE, guid)
        if not result["OK"]:
            return result
        return ok_result({"Successful": {lfn: {"put": 0.0, "register": 0.0, **result["Value"]}}, "Failed": {}})

    def _has_to_upload(self, gateway: RucioGateway, record: FileRecord, storage: str) -> bool:
        """Whether the storage lacks the copy; raises where another content has the name."""
        known = gateway.get_dids([record.did]).get(record.did)
        if known is None:
            return True
        check_same_content(record, known)
        found = gateway.list_replicas([record.did], all_states=True).get(record.did)
        states = {replica.rse: replica.state for replica in found.replicas} if found else {}
        if states.get(storage) is ReplicaState.BEING_DELETED:
            raise Unavailable(f"the copy of {record.did} at {storage} is being deleted: upload it again when it's gone")
        return states.get(storage) is not ReplicaState.AVAILABLE

    def _upload(
        self, gateway: RucioGateway, record: FileRecord, lfn: str, path: Path, storage: str, content: Digest
    ) -> None:
        element = self._element(storage)
        if StorageFiles.has_content(element, lfn, content):
            self._log.info("The storage has the very same file already", f"{lfn} at {storage}")
            return
        if not StorageFiles.renames(element):
            self._upload_as(element, path, lfn, content)
            return
        try:
            self._clean(element, lfn.rsplit("/", 1)[0], f"{lfn}.")
        except Unavailable as error:
            self._log.verbose("Not looked for what earlier attempts may have left", str(error))
        part = StorageFiles.part_of(lfn)
        try:
            self._upload_as(element, path, part, content)
            if not self._has_to_upload(gateway, record, storage):
                self._log.info("Another attempt has registered the same file meanwhile", f"{lfn} at {storage}")
            elif not self._rename(gateway, record, element, part, lfn):
                self._upload_as(element, path, lfn, content)
        finally:
            if reason := StorageFiles.remove(element, part):
                self._log.warn("A temporary file is left on the storage", f"{part} at {storage}: {reason}")

    @returns
    def clean_uploads(
        self, storage: str, directory: str, older_than: float = ABANDONED, dry_run: bool = False
    ) -> Result:
        """Remove what uploads that were killed have left directly in a directory of a storage element.

        Parameters
        ----------
        directory : str
            Path of the directory in the catalogue.
        older_than : float
            Seconds since anything was written to them: younger ones may still be filled.

        Returns
        -------
        dict
            S_OK with Successful (age in seconds by name; with ``dry_run``, nothing is removed) and Failed (reason by
            name).
        """
        removed, failed = self._clean(self._element(storage), validate_lfn(directory), "", older_than, dry_run)
        return ok_result({"Successful": removed, "Failed": failed})

    def _clean(
        self, element: Any, directory: str, beginning: str, older_than: float = ABANDONED, dry_run: bool = False
    ) -> tuple[dict[str, float], dict[str, str]]:
        removed: dict[str, float] = {}
        failed: dict[str, str] = {}
        for part, age in StorageFiles.parts(element, directory).items():
            if age >= older_than and part.startswith(beginning):
                reason = None if dry_run else StorageFiles.remove(element, part)
                if reason is None:
                    removed[part] = age
                else:
                    failed[part] = reason
                    self._log.warn("A temporary file is left on the storage", f"{part} at {element.name}: {reason}")
        return removed, failed

    def _upload_as(self, element: Any, path: Path, lfn: str, content: Digest) -> None:
        StorageFiles.upload(element, path, lfn)
        if not StorageFiles.has_content(element, lfn, content):
            raise DifferentContent(
                f"{lfn} at {element.name} differs from {path} ({content.size} bytes, adler32 {content.adler32}) after its "
                "upload"
            )

    def _rename(self, gateway: RucioGateway, record: FileRecord, element: Any, part: str, lfn: str) -> bool:
        """Move an upload into place; False if the storage doesn't rename. A leftover that is in the way is replaced."""
        try:
            return StorageFiles.rename(element, part, lfn)
        except AlreadyExists as error:
            if not self._has_to_upload(gateway, record, element.name):
                return True
            if reason := StorageFiles.remove(element, lfn):
                raise Unavailable(f"{error}, isn't registered, and can't be removed: {reason}") from error
            return StorageFiles.rename(element, part, lfn)

    def _element(self, storage: str) -> Any:
        element = self._storage(storage)
        StorageFiles.check_usable(element)
        return element

    def _register(self, gateway: RucioGateway, lfn: str, record: FileRecord, storage: str) -> None:
        answers = register.add_files(gateway, [register.NewFile(lfn, record, storage)])
        for error in answers.failed.values():
            raise error

    def _verify_registered(self, gateway: RucioGateway, lfn: str, storage: str, content: Digest) -> None:
        """Look once more: another job may have put other bytes under the same name between our look and our claim."""
        if StorageFiles.has_content(self._element(storage), lfn, content):
            return
        gateway.set_replica_states(storage, {did_of(lfn): ReplicaState.BAD})
        raise Conflict(
            f"{lfn} at {storage} was overwritten while it was being registered: the copy is marked as bad; find out who "
            "else writes this name, remove the file and upload it again"
        )

    def _disown(self, gateway: RucioGateway, lfn: str, storage: str, content: Digest) -> None:
        """Our bytes lie under a name that another job has just registered with other content."""
        did, element = did_of(lfn), self._element(storage)
        if not StorageFiles.has_content(element, lfn, content):
            return
        file = gateway.list_replicas([did], all_states=True).get(did)
        if file is not None and any(replica.rse == storage for replica in file.replicas):
            gateway.set_replica_states(storage, {did: ReplicaState.BAD})
            self._log.error("Another job's registered file was overwritten; it is marked as bad", f"{lfn} at {storage}")
        elif reason := StorageFiles.remove(element, lfn):
            self._log.warn("A file that isn't registered is left on the storage", f"{lfn} at {storage}: {reason}")

    # ---------------------------------------------------------------- download

    @returns
    def getFile(
        self,
        lfn: str | Iterable[str],
        destinationDir: str = "",
        sourceSE: str | None = None,
        diskOnly: bool = False,
        preferred: Collection[str] = (),
    ) -> Result:
        """Download files, and verify size and checksum (adler32, or md5 where only that is registered).

        Parameters
        ----------
        destinationDir : str
            Where to; the current directory, unless given.
        sourceSE : str, optional
            Take the copy there, and no other.
        diskOnly : bool
            Never read a tape.
        preferred : collection of str
            Storage elements to try first.

        Returns
        -------
        dict
            S_OK with Successful (local path by name) and Failed (reason by name). A local file of that name is replaced,
            but only by a download that is complete and verified.
        """
        wanted = [lfn] if isinstance(lfn, str) else list(lfn)
        gateway = self._gateway()
        found = files.replicas(gateway, wanted)
        tapes = {rse.name for rse in gateway.list_rses() if rse.type is RseType.TAPE} if found.done else set()
        local = DMSHelpers(self._vo).getSEsAtSite(DIRAC.siteName()).get("Value") or []
        answers: Bulk[str] = Bulk(failed=dict(found.failed))
        targets = Counter(_base_name(file.did.name) for file in found.done.values())
        for name, file in found.done.items():
            local_name = _base_name(file.did.name)
            if targets[local_name] > 1:
                answers.failed[name] = InvalidInput(
                    f"{targets[local_name]} of the files asked for have the name {local_name}: none of them is "
                    "downloaded; fetch them in separate calls, each to a directory of its own"
                )
                continue
            rses = [replica.rse for replica in file.replicas if sourceSE in (None, replica.rse)]
            if diskOnly:
                rses = [rse for rse in rses if rse not in tapes]
            order = reading_order(rses, preferred=preferred, local=local, tapes=tapes)
            try:
                answers.done[name] = self._download(name, file, order, Path(destinationDir or "."))
            except CtaRucioError as error:
                answers.failed[name] = error
        return bulk_result(answers)

    def _download(self, lfn: str, file: FileReplicas, order: list[str], directory: Path) -> str:
        if not order:
            raise NotFound(f"{lfn} has no readable copy where it may be read from; it has some at {_places(file)}")
        target = directory.resolve() / _base_name(file.did.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        reasons = []
        for rse in order:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as temporary:
                path = Path(temporary, target.name)
                addresses = [pfn for replica in file.replicas if replica.rse == rse for pfn in replica.pfns]
                reason = StorageFiles.download(self._storage(rse), file.did.name, addresses, temporary)
                if not reason:
                    reason = _difference(file, path)
                if not reason:
                    path.replace(target)
                    return str(target)
            reasons.append(f"{rse}: {reason}")
            self._log.warn("Download failed", f"{lfn} from {reasons[-1]}")
        raise Unavailable(f"{lfn} can't be downloaded: {'; '.join(reasons)}")

    # ---------------------------------------------------------------- staging

    @returns
    def stage(
        self, what: str | Iterable[str], rse: str, source: str | None = None, lifetime: float = 7 * 86400.0
    ) -> Result:
        """Bring files, or the files of a dataset, to a buffer for some time.

        Parameters
        ----------
        what : str or iterable of str
            Names of files or datasets.
        rse : str
            Where to.
        source : str, optional
            Where the bytes must come from, such as the tape's storage element.
        lifetime : float
            Seconds for which the copies are kept.

        Returns
        -------
        dict
            S_OK with the rule's id by name; S_ERROR if any can't be staged.
        """
        names = {did_of(name): name for name in ([what] if isinstance(what, str) else what)}
        placed = rules.stage(self._gateway(), names, rse, source=source, lifetime=lifetime)
        return ok_result({names[did]: rule for did, rule in placed.items()})


def _base_name(lfn: str) -> str:
    return lfn.rsplit("/", 1)[-1]


def _places(file: FileReplicas) -> str:
    return ", ".join(replica.rse for replica in file.replicas) or "no storage element"


def _difference(file: FileReplicas, path: Path) -> str | None:
    """What a local file differs in from what is registered; None if in nothing."""
    content = digest(path, md5=file.adler32 is None)
    if content.size != file.size:
        return f"it has {content.size} bytes, registered are {file.size}"
    if file.adler32 is not None and not same_adler32(content.adler32, file.adler32):
        return f"its adler32 is {content.adler32}, registered is {file.adler32}"
    if file.adler32 is None and file.md5 is not None and content.md5 != file.md5.lower():
        return f"its md5 is {content.md5}, registered is {file.md5}"
    return None
