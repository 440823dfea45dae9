"""What DIRAC's storage plugins must not do to files that Rucio has registered.

DIRAC's DataManager deletes bytes before it tells the catalogue, and writes without asking it. On storage that Rucio
manages, deleting belongs to Rucio's reaper: only it knows whether a rule still needs the copy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from DIRAC import S_OK
from DIRAC.Resources.Storage.Utilities import checkArgumentFormat

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import guarding_gateway
from CTARucioDIRAC.Core.Utilities.Checksums import digest
from CTARucioDIRAC.Core.Utilities.RucioPermissions import check_upload
from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, InvalidInput
from CTARucioDIRAC.gateway.protocol import FileRecord, RucioGateway
from CTARucioDIRAC.usecases.bulk import NO_SUCH_FILE
from CTARucioDIRAC.usecases.stored import StoredCopy, check_may_write, stored_copies

#: DataManager takes an answer with this text for "nothing is left to delete here", and goes on to the catalogue.
_LEFT_TO_RUCIO = f"left to Rucio, which has registered it; for DIRAC: {NO_SUCH_FILE}"
#: Characters for a reason: DIRAC's requests have room for 255, and each of two protocols gives one.
_ROOM = 70


@dataclass
class _Sorted:
    """Addresses by what may be done with them."""

    free: list[str] = field(default_factory=list)
    registered: dict[str, StoredCopy] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class CTARucioStorageGuard:
    """Put before one of DIRAC's gfal2 plugins, keeps it from deleting or replacing what Rucio has registered.

    - ``removeFile``: a file of which Rucio has a copy at this RSE is left alone. The answer is Failed, with DIRAC's text
      ``No such file or directory`` in the reason: DataManager goes on to the catalogue, which lets go of the copy, and
      whoever asked the storage alone isn't told that the bytes are gone. Other files are deleted.
    - ``removeDirectory``: leftovers are deleted, the directory too if nothing stays. It fails where a copy stays that is
      still wanted; copies whose files were removed may stay until Rucio comes by.
    - ``putFile``: refused where Rucio has a copy, unless that is missing and the local file has its content, and where
      whoever acts couldn't register the file.
    - If Rucio can't be asked, nothing is deleted or written.

    The storage element must have the RSE's name.
    """

    #: Gives the gateway to Rucio for whoever acts; nothing is asked before the first deletion.
    gateway: Callable[[], RucioGateway] = staticmethod(guarding_gateway)

    # DIRAC's plugin, which comes behind this class.
    getURLBase: Any
    _listSingleDirectory: Any
    protocolParameters: dict[str, Any]
    name: str
    se: Any
    log: Any
    ctx: Any

    def removeFile(self, path: Any) -> dict[str, Any]:
        """Delete files that Rucio doesn't have at this RSE."""
        given = checkArgumentFormat(path)
        if not given["OK"]:
            return dict(given)
        found = self._sort(given["Value"])
        failed = found.refused | dict.fromkeys(found.registered, _LEFT_TO_RUCIO)
        for url in found.registered:
            self.log.verbose("A registered copy is left to Rucio", url)
        return self._merge(super().removeFile, found.free, failed)  # type: ignore[misc]

    def putFile(self, path: Any, sourceSize: int = 0) -> dict[str, Any]:
        """Write files where Rucio has no copy at this RSE, or one that is missing and has this content."""
        given = checkArgumentFormat(path)
        if not given["OK"]:
            return dict(given)
        sources: Mapping[str, str] = given["Value"]
        found = self._sort(sources)
        allowed = self._registrable(found)
        for url, copy in found.registered.items():
            try:
                check_may_write(copy, _content(copy, sources[url]), self.rse)
                allowed.append(url)
            except CtaRucioError as error:
                found.refused[url] = str(error)

        def put(urls: dict[str, str]) -> Any:
            return super(CTARucioStorageGuard, self).putFile(urls, sourceSize=sourceSize)  # type: ignore[misc]

        return self._merge(put, {url: sources[url] for url in allowed}, found.refused)

    def _registrable(self, found: _Sorted) -> list[str]:
        """New files that the account could register here; the others are refused, so that no unknown bytes are left."""
        if not found.free:
            return []
        lfns = {self._lfn(url): url for url in found.free}
        try:
            answers = check_upload(self.gateway(), "", lfns, self.rse)
        except CtaRucioError as error:
            found.refused |= dict.fromkeys(found.free, _refusal(error))
            return []
        found.refused |= {lfns[lfn]: str(error) for lfn, error in answers.failed.items()}
        return [lfns[lfn] for lfn in answers.done]

    def _removeSingleDirectory(self, path: str, recursive: bool = False) -> dict[str, Any]:
        """What DIRAC's ``removeDirectory`` does for each directory; raises if anything stays that is still wanted."""
        done = self._empty(path, recursive)
        if done["Wanted"]:
            raise Conflict(f"{len(done['Wanted'])} files stay below {path}, such as {done['Wanted'][0]}")
        return {"AllRemoved": True, "FilesRemoved": done["Files"], "SizeRemoved": done["Size"]}

    def _empty(self, path: str, recursive: bool) -> dict[str, Any]:
        listing = self._listSingleDirectory(path, internalCall=True)
        done: dict[str, Any] = {"Files": 0, "Size": 0, "Wanted": [], "Stays": False}
        if not recursive:
            done["Wanted"] += [f"{url} (a directory)" for url in listing["SubDirs"]]
        else:
            for url in listing["SubDirs"]:
                below = self._empty(url, recursive)
                done = {key: value + below[key] for key, value in done.items()}
        found = self._sort(listing["Files"])
        result = self._merge(super().removeFile, found.free, found.refused)  # type: ignore[misc]
        if not result["OK"]:
            raise Conflict(f"files in {path} can't be deleted: {result['Message']}")
        for url in result["Value"]["Successful"]:
            done["Files"] += 1
            done["Size"] += listing["Files"][url]["Size"]
        done["Wanted"] += [f"{url} ({reason})" for url, reason in result["Value"]["Failed"].items()]
        done["Wanted"] += [f"{url} (registered in Rucio)" for url, copy in found.registered.items() if not copy.leaving]
        done["Stays"] = done["Stays"] or bool(found.registered) or bool(done["Wanted"])
        if not done["Stays"]:
            self.ctx.rmdir(path)
        return done

    # ---------------------------------------------------------------- inside

    @property
    def rse(self) -> str:
        """Name of the RSE: that of the storage element, whichever other one its options come from."""
        return str(self.se.name if self.se is not None else self.name)

    def _sort(self, urls: Iterable[str]) -> _Sorted:
        """Ask Rucio, once for all; what can't be asked for is refused."""
        found = _Sorted()
        lfns: dict[str, str] = {}
        for url in urls:
            try:
                lfns[url] = self._lfn(url)
            except InvalidInput as error:
                found.refused[url] = _refusal(error)
        if not lfns:
            return found
        try:
            answers = stored_copies(self.gateway(), lfns.values(), self.rse)
        except CtaRucioError as error:
            self.log.error("Rucio can't be asked: nothing is deleted or written", str(error))
            found.refused |= dict.fromkeys(lfns, _refusal(error))
            return found
        for url, lfn in lfns.items():
            if lfn in answers.failed:
                found.refused[url] = _refusal(answers.failed[lfn])
            elif (copy := answers.done[lfn]) is not None:
                found.registered[url] = copy
            else:
                found.free.append(url)
        return found

    def _lfn(self, url: str) -> str:
        """Path below the storage element's own."""
        base = self.getURLBase(withWSUrl=True)
        if not base["OK"]:
            raise InvalidInput(f"{url}: the storage element has no address: {base['Message']}")
        start, address = _plain(base["Value"]).rstrip("/") + "/", _plain(url)
        if not address.startswith(start):
            raise InvalidInput(f"{url} isn't below {start}: whether Rucio has it can't be asked")
        return "/" + address.removeprefix(start)

    def _merge(self, act: Callable[[Any], Any], urls: Collection[str], failed: Mapping[str, str]) -> dict[str, Any]:
        """Answer of DIRAC's plugin for some addresses, with what was decided here for the others."""
        result = act(urls) if urls else S_OK({"Successful": {}, "Failed": {}})
        if not result["OK"]:
            if not failed:
                return dict(result)
            result = S_OK({"Successful": {}, "Failed": dict.fromkeys(urls, result["Message"])})
        protocol = self.protocolParameters["Protocol"]  # each of a storage element's protocols is tried, and says so
        result["Value"]["Failed"].update({url: f"{protocol}: {reason}" for url, reason in failed.items()})
        return dict(result)


def _plain(url: str) -> str:
    """Address without the user that DIRAC puts in for XRootD, options, and repeated slashes."""
    protocol, _, rest = url.partition("://")
    rest = re.sub(r"/{2,}", "/", re.sub(r"^[^/@]*@", "", rest).partition("?")[0])
    return f"{protocol}://{rest}"


def _refusal(error: CtaRucioError) -> str:
    """Reason in which DataManager doesn't read that there is nothing to delete."""
    reason = str(error).replace(NO_SUCH_FILE, "no such file")
    return f"refused, as Rucio can't be asked: {reason if len(reason) < _ROOM else reason[:_ROOM] + '…'}"


def _content(copy: StoredCopy, source: str) -> FileRecord | None:
    """Content of a local file, with the kind of checksum that is registered; None for a source elsewhere."""
    if not source or urlparse(source).scheme not in ("", "file"):
        return None
    read = digest(Path(source.removeprefix("file://")), md5=copy.record.adler32 is None)
    return FileRecord(copy.record.did, read.size, adler32=read.adler32, md5=read.md5)
