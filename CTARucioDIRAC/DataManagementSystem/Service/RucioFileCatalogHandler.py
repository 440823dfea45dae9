"""DIRAC's file catalogue service, answered from Rucio: what ``FileCatalogClient`` calls finds its answers here.

Runs as ``DataManagement/RucioFileCatalog``, beside or instead of ``DataManagement/FileCatalog`` (then that one's address in
``/Systems/DataManagement/URLs`` is this one's). The methods, their arguments and the types that they are checked against
are those of the installed DIRAC's own service; each is answered by the method of that name of this package's catalogue.

Who calls is checked by DIRAC as for any service; what is asked is then done as the Rucio account of the caller's group,
so that nobody may do through the service what that account may not. The service enters all these accounts with its own
certificate, whose DN must be among their identities in Rucio.
"""

from __future__ import annotations

import csv
import errno
import inspect
import io
import json
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar

from DIRAC import S_ERROR
from DIRAC.Core.DISET.RequestHandler import RequestHandler
from DIRAC.DataManagementSystem.Service.FileCatalogHandler import FileCatalogHandlerMixin
from DIRAC.Resources.Catalog.FileCatalogClient import FileCatalogClient

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import (
    acting_as,
    current_gateway,
    current_identity,
    remote_identity,
)
from CTARucioDIRAC.Core.Utilities.CatalogueComparison import Comparison
from CTARucioDIRAC.Core.Utilities.RucioReturns import error_result, returns
from CTARucioDIRAC.domain.errors import CtaRucioError, InvalidInput
from CTARucioDIRAC.domain.identifiers import chunks
from CTARucioDIRAC.Resources.Catalog.RucioFileCatalogClient import RucioFileCatalogClient
from CTARucioDIRAC.Resources.Catalog.WholeFileRemoval import WholeFileRemoval
from CTARucioDIRAC.usecases.storage_dump import files_at

Result = dict[str, Any]
EXPORT = "export_"
#: Entries of an answer, unless ``MaxEntries`` says other: each takes the service about 1 kB.
MAX_ENTRIES = 500_000
#: Lines of a dump that are sent together.
LINES = 5000
#: Why there will be no answer to some of the protocol's methods.
REASONS = dict.fromkeys(
    ("addUser", "deleteUser", "addGroup", "deleteGroup"),
    "users and groups are those of /Registry, and accounts those of Rucio",
)


class _ServedCatalogue(WholeFileRemoval, RucioFileCatalogClient):  # type: ignore[misc]
    """The catalogue; a DataManager on the other side, which removes a file in several calls, is known by its user."""

    def _caller(self) -> Hashable:
        identity = current_identity()
        return identity.name, identity.group


class RucioFileCatalogHandler(RequestHandler):  # type: ignore[misc]
    """The service; its methods are made from those of DIRAC's own (see :func:`protocol`).

    Options of ``/Systems/DataManagement/Services/RucioFileCatalog``: ``MaxEntries``, beyond which an answer is refused;
    ``CompareWith``, the address of DIRAC's own service, whose answers are compared with Rucio's where it's given, with
    ``DifferencesFile`` and ``Fraction`` as in :class:`~.CatalogueComparison.Comparison`.
    """

    max_entries: ClassVar[int] = MAX_ENTRIES
    comparison: ClassVar[Comparison | None] = None

    @classmethod
    def initializeHandler(cls, serviceInfo: dict[str, Any]) -> Result:  # noqa: ARG003
        """Read the options; no connection is made before the first call."""
        cls.max_entries = int(cls.srv_getCSOption("MaxEntries", MAX_ENTRIES))
        other = str(cls.srv_getCSOption("CompareWith", ""))
        if other:
            file, fraction = cls.srv_getCSOption("DifferencesFile", ""), cls.srv_getCSOption("Fraction", 1.0)
            cls.comparison = Comparison("RucioFileCatalog", other, str(file), float(fraction))
        return {"OK": True, "Value": None}

    @returns
    def _answer(self, method: str, arguments: dict[str, Any]) -> Result:
        """Let the catalogue answer, as who asks."""
        with acting_as(remote_identity(self.getRemoteCredentials())):
            result = call(_ServedCatalogue(), method, arguments)
        if self.comparison is not None and method in RucioFileCatalogClient.READ_METHODS:
            other = FileCatalogClient(self.comparison.shadow)
            self.comparison.compare(method, result, lambda: call(other, method, arguments))
        count = entries(result.get("Value")) if result["OK"] else 0
        if count > self.max_entries:
            raise InvalidInput(
                f"the answer of {method} has {count} entries, more than this service sends ({self.max_entries}): ask for "
                "less (fewer files, a longer path), or use FileCatalog(), which asks Rucio itself"
            )
        return result

    def transfer_toClient(self, fileId: str, token: str, fileHelper: Any) -> Result:  # noqa: ARG002
        """Send all files with a copy at storage elements, as lines ``SE|LFN|checksum|size``: ``getSEDump``.

        The lines are sent while they are found, so that any number of files takes little memory.
        """
        try:
            with acting_as(remote_identity(self.getRemoteCredentials())):
                for text in dump_texts(str(fileId)):
                    sent = fileHelper.sendData(text)
                    if not sent["OK"] or sent.get("AbortTransfer"):
                        return dict(sent)
            return dict(fileHelper.sendEOF())
        except CtaRucioError as error:
            self.log.warn("dump of storage elements failed:", str(error))
            fileHelper.sendError(str(error))
            return error_result(error)


def protocol() -> dict[str, tuple[list[str], list[Any]]]:
    """Methods of DIRAC's own service: names of their arguments, and the types of the mandatory ones."""
    found = {}
    for name, function in inspect.getmembers(FileCatalogHandlerMixin, callable):
        if name.startswith(EXPORT):
            method = name.removeprefix(EXPORT)
            parameters = [item for item in inspect.signature(function).parameters if item != "self"]
            found[method] = (parameters, list(getattr(FileCatalogHandlerMixin, f"types_{method}")))
    return found


def call(catalogue: Any, method: str, arguments: dict[str, Any]) -> Result:
    """Call a method of a catalogue with the arguments of the protocol, by name but for the first.

    A method that the catalogue doesn't have is S_ERROR with ENOSYS, which says why.
    """
    function = getattr(catalogue, method, None)
    if function is None:
        reason = REASONS.get(method, "the Rucio catalogue has no such method")
        return dict(S_ERROR(errno.ENOSYS, f"{method} isn't answered from Rucio: {reason}"))
    if method == "hasAccess" and isinstance(arguments["paths"], str) and not arguments["paths"].startswith("/"):
        # the order of the arguments of very old clients, which DIRAC's service takes, too
        arguments = {"paths": arguments["opType"], "opType": arguments["paths"]}
    if not arguments:
        return dict(function())
    first, *others = arguments
    return dict(function(arguments[first], **{name: arguments[name] for name in others}))


def entries(value: Any) -> int:
    """Number of names or records in an answer, whatever its shape."""
    if isinstance(value, dict):
        inner = [item for item in value.values() if isinstance(item, dict | list)]
        return max(len(value), sum(entries(item) for item in inner))
    return len(value) if isinstance(value, list) else 0


def dump_texts(names: str) -> Iterator[str]:
    """Lines of a dump, some thousand at a time; ``names`` is a JSON list of storage elements.

    Raises
    ------
    InvalidInput
        It isn't.
    """
    try:
        rses = json.loads(names)
    except ValueError:
        rses = None
    if not isinstance(rses, list) or not rses or not all(isinstance(rse, str) for rse in rses):
        raise InvalidInput(f"{names!r} is no list of storage elements")
    for some in chunks(files_at(current_gateway(), rses), LINES):
        text = io.StringIO()
        csv.writer(text, delimiter="|").writerows(some)
        yield text.getvalue()


def _exported(method: str, parameters: list[str]) -> Callable[..., Result]:
    def export(self: RucioFileCatalogHandler, *arguments: Any) -> Result:
        if len(arguments) > len(parameters):
            return error_result(InvalidInput(f"{method} takes {', '.join(parameters)}: {len(arguments)} were given"))
        return dict(self._answer(method, dict(zip(parameters, arguments, strict=False))))

    export.__name__ = f"{EXPORT}{method}"
    export.__doc__ = f"``{method}`` of DIRAC's file catalogue, answered from Rucio."
    return export


for _method, (_parameters, _types) in protocol().items():
    setattr(RucioFileCatalogHandler, f"{EXPORT}{_method}", _exported(_method, _parameters))
    setattr(RucioFileCatalogHandler, f"types_{_method}", _types)
