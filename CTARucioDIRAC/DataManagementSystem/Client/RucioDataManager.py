"""Data management through Rucio: upload and register as one unit, download with verification, stage by rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import DIRAC
from DIRAC import gLogger
from DIRAC.DataManagementSystem.Utilities.DMSHelpers import DMSHelpers
from DIRAC.Resources.Storage.StorageElement import StorageElement

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.Core.Utilities.Checksums import Digest, digest, same_adler32
from CTARucioDIRAC.Core.Utilities.RucioReturns import bulk_result, ok_result, returns
from CTARucioDIRAC.domain.errors import (
    Conflict,
    CtaRucioError,
    DifferentContent,
    InvalidInput,
    NotFound,
    Unavailable,
)
from CTARucioDIRAC.domain.identifiers import did_of, lfn_of
from CTARucioDIRAC.domain.placement import reading_order
from CTARucioDIRAC.gateway.protocol import FileRecord, FileReplicas, ReplicaState, RseType, RucioGateway
from CTARucioDIRAC.gateway.replicas import check_same_content
from CTARucioDIRAC.usecases import files, register, rules
from CTARucioDIRAC.usecases.bulk import Bulk

Result = dict[str, Any]


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
        """
        did = did_of(lfn)
        content = digest(Path(path))
        if content.size == 0:
            raise InvalidInput(f"{path} is empty: it isn't registered as {lfn}")
        gateway = self._gateway()
        record = FileRecord(did, content.size, adler32=content.adler32, guid=guid, meta=dict(metadata or {}))
        uploaded = self._has_to_upload(gateway, record, storage)
        if uploaded:
            self._upload(lfn, Path(path), storage, content)
        self._register(gateway, lfn, record, storage)
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

    def _upload(self, lfn: str, path: Path, storage: str, content: Digest) -> None:
        element = self._element(storage)
        if self._stored(element, lfn, content):
            self._log.info("The storage has the very same file already", f"{lfn} at {storage}")
            return
        result = element.putFile({lfn: str(path)})
        reason = result.get("Message") if not result["OK"] else result["Value"]["Failed"].get(lfn)
        if reason:
            raise Unavailable(f"{path} can't be uploaded to {storage} as {lfn}: {reason}")
        if not self._stored(element, lfn, content):
            raise DifferentContent(
                f"{lfn} at {storage} differs from {path} ({content.size} bytes, adler32 {content.adler32}) after its upload"
            )

    def _element(self, storage: str) -> Any:
        element = self._storage(storage)
        valid = element.isValid()
        if not valid["OK"]:
            raise Unavailable(f"storage element {storage} can't be used: {valid['Message']}")
        return element

    def _stored(self, element: Any, lfn: str, content: Digest) -> bool:
        """Whether the storage has exactly this content; the checksum is the storage's own."""
        result = element.getFileMetadata(lfn)
        if not result["OK"]:
            raise Unavailable(f"storage element {element.name} can't be asked for {lfn}: {result['Message']}")
        found = result["Value"]["Successful"].get(lfn)
        if found is None or int(found.get("Size", -1)) != content.size:
            return False
        if not found.get("Checksum"):
            raise InvalidInput(
                f"storage element {element.name} gives no checksum of {lfn}: set "
                "/Resources/StorageElements/ChecksumType = ADLER32"
            )
        return same_adler32(str(found["Checksum"]), content.adler32)

    def _register(self, gateway: RucioGateway, lfn: str, record: FileRecord, storage: str) -> None:
        answers = register.add_files(gateway, [register.NewFile(lfn, record, storage)])
        for error in answers.failed.values():
            raise error

    def _verify_registered(self, gateway: RucioGateway, lfn: str, storage: str, content: Digest) -> None:
        """Look once more: another job may have put other bytes under the same name between our look and our claim."""
        if self._stored(self._element(storage), lfn, content):
            return
        gateway.set_replica_states(storage, {did_of(lfn): ReplicaState.BAD})
        raise Conflict(
            f"{lfn} at {storage} was overwritten while it was being registered: the copy is marked as bad; find out who "
            "else writes this name, remove the file and upload it again"
        )

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
            S_OK with Successful (local path by name) and Failed (reason by name).
        """
        wanted = [lfn] if isinstance(lfn, str) else list(lfn)
        gateway = self._gateway()
        found = files.replicas(gateway, wanted)
        tapes = {rse.name for rse in gateway.list_rses() if rse.type is RseType.TAPE} if found.done else set()
        local = DMSHelpers(self._vo).getSEsAtSite(DIRAC.siteName()).get("Value") or []
        answers: Bulk[str] = Bulk(failed=dict(found.failed))
        for name, file in found.done.items():
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
        target = directory.resolve() / lfn.rsplit("/", 1)[-1]
        reasons = []
        for rse in order:
            result = self._storage(rse).getFile(lfn_of(file.did), localPath=str(target.parent))
            reason = result.get("Message") if not result["OK"] else result["Value"]["Failed"].get(lfn_of(file.did))
            if not reason:
                reason = _difference(file, target)
            if not reason:
                return str(target)
            target.unlink(missing_ok=True)
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
