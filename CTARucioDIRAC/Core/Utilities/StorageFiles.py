"""Single files on DIRAC's storage elements, with errors that say what to do; absent and unknown are kept apart."""

from __future__ import annotations

import contextlib
import errno
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from CTARucioDIRAC.domain.errors import AlreadyExists, InvalidInput, Unavailable
from CTARucioDIRAC.domain.identifiers import is_path, same_address

from .Checksums import Digest, same_adler32

_PART = re.compile(r".\.[0-9a-f]{32}\.part$")
#: What storages answer that don't rename, or not for us.
_NO_RENAMING = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)


def check_usable(element: Any) -> None:
    """Raise Unavailable if a storage element isn't configured, or is banned."""
    valid = element.isValid()
    if not valid["OK"]:
        raise Unavailable(f"storage element {element.name} can't be used: {valid['Message']}")


def find(element: Any, lfn: str) -> dict[str, Any] | None:
    """Metadata of a file on a storage element; None only if the storage says that there is no such file.

    Raises
    ------
    Unavailable
        The storage gives no answer, or another error.
    """
    found, reason = _answer(element.getFileMetadata(lfn), lfn)
    if reason is None:
        return dict(found)
    there, trouble = _answer(element.exists(lfn), lfn)
    if trouble is None and there is False:
        return None
    raise Unavailable(f"storage element {element.name} can't be asked for {lfn}: {trouble or reason}")


def has_content(element: Any, lfn: str, content: Digest) -> bool:
    """Whether a storage element has exactly this content; the checksum is the storage's own.

    Raises
    ------
    Unavailable
        The storage gives no answer.
    InvalidInput
        It gives no checksum.
    """
    found = find(element, lfn)
    if found is None or int(found.get("Size", -1)) != content.size:
        return False
    if not found.get("Checksum"):
        raise InvalidInput(
            f"storage element {element.name} gives no checksum of {lfn}: set "
            "/Resources/StorageElements/ChecksumType = ADLER32"
        )
    return same_adler32(str(found["Checksum"]), content.adler32)


def upload(element: Any, path: Path, lfn: str) -> None:
    """Upload a file; one of that name is overwritten."""
    _, reason = _answer(element.putFile({lfn: str(path)}), lfn)
    if reason is not None:
        raise Unavailable(f"{path} can't be uploaded to {element.name} as {lfn}: {reason}")


def download(element: Any, lfn: str, addresses: Iterable[str], directory: str) -> str | None:
    """Download a file: from where DIRAC makes its address, or else from where it is registered.

    DIRAC makes addresses of a base and the path: copies of RSEs with another rule, or names that are no paths, are
    elsewhere.

    Parameters
    ----------
    lfn : str
        Name in Rucio, path or not.
    addresses : iterable of str
        Where the copy is registered.
    directory : str
        Where to; the file gets the last component of the name.

    Returns
    -------
    str or None
        Why it couldn't be downloaded.
    """
    reason: str | None = f"{lfn} is no path: DIRAC can make no address of it"
    if is_path(lfn):
        _, reason = _answer(element.getFile(lfn, localPath=directory), lfn)
    for url in addresses if reason is not None and element.isValid()["OK"] else ():
        for plugin in element.storages.values():
            if plugin.protocolParameters["Protocol"] != url.partition(":")[0] or _makes(plugin, lfn, url):
                continue
            _, trouble = _answer(plugin.getFile(url, localPath=directory), url)
            if trouble is None:
                Path(directory, url.rpartition("/")[2]).replace(Path(directory, lfn.rpartition("/")[2]))
                return None
            reason = f"{reason}; at the registered address {url}: {trouble}"
    return reason


def _makes(plugin: Any, lfn: str, url: str) -> bool:
    """Whether an address is what a plugin makes of a name, and was tried before."""
    made = plugin.constructURLFromLFN(lfn, withWSUrl=False) if is_path(lfn) else {"OK": False}
    return bool(made["OK"]) and same_address(str(made["Value"]), url)


def remove(element: Any, lfn: str) -> str | None:
    """Remove a file, if it's there; returns the reason if that fails."""
    return _answer(element.removeFile(lfn), lfn)[1]


def renames(element: Any) -> bool:
    """Whether files can be put under a temporary name first: nearline storage would begin to archive those."""
    return not element.status()["TapeSE"] and any(_renaming(element))


def rename(element: Any, source: str, target: str) -> bool:
    """Rename a file within a storage element; DIRAC has no call for it, so gfal2 is asked through DIRAC's plugins.

    XRootD replaces a target that is there, over root:// and davs://; other storages refuse.

    Returns
    -------
    bool
        False if no protocol of the storage element lets us.

    Raises
    ------
    AlreadyExists
        The target is there, and the storage refuses to replace it.
    Unavailable
        Anything else; the renaming may have been done.
    """
    import gfal2

    for plugin in _renaming(element):
        urls = [plugin.constructURLFromLFN(lfn, withWSUrl=True) for lfn in (source, target)]
        if not all(url["OK"] for url in urls):
            continue
        try:
            plugin.ctx.rename(*(str(url["Value"]) for url in urls))
            return True
        except gfal2.GError as error:
            if error.code == errno.EEXIST:
                raise AlreadyExists(f"{target} is on {element.name} already: {error}") from error
            if error.code not in _NO_RENAMING:
                raise Unavailable(f"{source} can't be renamed to {target} on {element.name}: {error}") from error
    return False


def part_of(lfn: str) -> str:
    """A name of its own for one attempt to upload a file."""
    return f"{lfn}.{uuid.uuid4().hex}.part"


def parts(element: Any, directory: str) -> dict[str, float]:
    """What attempts to upload have left directly in a directory, or are about to fill: age in seconds by name.

    Raises
    ------
    Unavailable
        The storage gives no answer.
    """
    import gfal2

    for plugin in _renaming(element):
        url = plugin.constructURLFromLFN(directory, withWSUrl=True)
        if not url["OK"]:
            continue
        found = {}
        try:
            names = [name for name in plugin.ctx.listdir(str(url["Value"])) if _PART.search(name)]
        except gfal2.GError as error:
            if error.code == errno.ENOENT:
                return {}
            raise Unavailable(f"{directory} can't be listed on {element.name}: {error}") from error
        for name in names:
            with contextlib.suppress(gfal2.GError):  # it's gone: its attempt has ended
                written = plugin.ctx.stat(f"{url['Value']}/{name}").st_mtime
                found[f"{directory}/{name}"] = max(0.0, time.time() - written)
        return found
    return {}


def _renaming(element: Any) -> Iterator[Any]:
    """DIRAC's gfal2 plugins of a storage element, in the order in which it writes."""
    for protocol in element.localWriteProtocolList:
        for plugin in element.storages.values():
            if plugin.protocolParameters["Protocol"] == protocol and hasattr(plugin, "ctx"):
                yield plugin


def _answer(result: dict[str, Any], lfn: str) -> tuple[Any, str | None]:
    """What a storage element answers for a file: the value, or why there is none."""
    if not result["OK"]:
        return None, str(result["Message"])
    if lfn in result["Value"]["Successful"]:
        return result["Value"]["Successful"][lfn], None
    return None, str(result["Value"]["Failed"].get(lfn) or "no answer for this file")
