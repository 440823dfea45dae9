"""How DIRAC's DataManager removes a file, and what the catalogue makes of it: all of it, or nothing.

``DataManager.removeFile`` asks the catalogue for access to remove files, lists their copies, removes one after the other
(on the storage, then here), and removes the names at last. Taken one by one, the last copy would be refused, and where a
rule forbids the removal, the first copies would be gone by then. So when files are about to be removed as a whole, their
copies are left for ``removeFile``, which decides once.

This is told from the order of calls, which is the same in DIRAC 9.1.9 and 9.1.22; ``DataManager.removeReplica`` asks for
other access, and before it lists. Whoever calls in another order gets what ``removeReplica`` says on its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable, Mapping
from enum import Enum
from typing import Any

from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import validate_lfn

#: Seconds after which a removal that was begun counts no more.
_FORGOTTEN = 3600.0
#: So many files may be on their way to removal in one process.
_MOST = 200_000


class _Phase(Enum):
    ASKED = 1  #: access to remove the file was asked for
    LISTED = 2  #: and then its copies: they are removed now, and then the name


class Removals:
    """Files that somebody is removing as a whole; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: dict[tuple[Hashable, str], tuple[_Phase, float]] = {}

    def asked(self, caller: Hashable, names: Iterable[str], operation: str) -> None:
        """Somebody asks whether an operation is allowed."""
        for name in names:
            if operation == "removeFile":
                self._set(caller, name, _Phase.ASKED)
            elif self._get(caller, name) is _Phase.ASKED:
                self.over(caller, [name])

    def listed(self, caller: Hashable, names: Iterable[str]) -> None:
        """Somebody lists all copies: the second time, that begins something else."""
        for name in names:
            if self._get(caller, name) is _Phase.ASKED:
                self._set(caller, name, _Phase.LISTED)
            else:
                self.over(caller, [name])

    def over(self, caller: Hashable, names: Iterable[str]) -> None:
        """Files are removed, or something else is done with them."""
        with self._lock:
            for name in names:
                self._phases.pop((caller, name), None)

    def under_way(self, caller: Hashable, name: str) -> bool:
        """Whether a file is being removed as a whole."""
        return self._get(caller, name) is _Phase.LISTED

    def _get(self, caller: Hashable, name: str) -> _Phase | None:
        with self._lock:
            phase, since = self._phases.get((caller, name), (None, 0.0))
        return phase if time.monotonic() - since < _FORGOTTEN else None

    def _set(self, caller: Hashable, name: str, phase: _Phase) -> None:
        with self._lock:
            if len(self._phases) >= _MOST:
                self._phases.clear()
            self._phases[caller, name] = (phase, time.monotonic())


_removals = Removals()


class WholeFileRemoval:
    """Put before a catalogue, leaves the copies of files that are removed as a whole for ``removeFile``."""

    def _caller(self) -> Hashable:
        """Who makes a sequence of calls: this object, in one thread."""
        return id(self), threading.get_ident()

    def hasAccess(self, paths: Any, opType: str, **options: Any) -> dict[str, Any]:
        """Whether an operation, named after its method, is allowed on each path."""
        _removals.asked(self._caller(), _names(paths), opType)
        return dict(super().hasAccess(paths, opType, **options))  # type: ignore[misc]

    def getReplicas(self, lfns: Any, allStatus: bool = False, **options: Any) -> dict[str, Any]:
        """Storage elements with a readable copy (with any, for ``allStatus``), and its address there."""
        if allStatus:
            _removals.listed(self._caller(), _names(lfns))
        return dict(super().getReplicas(lfns, allStatus, **options))  # type: ignore[misc]

    def removeReplica(self, lfns: Any, **options: Any) -> dict[str, Any]:
        """Let go of copies; those of files that are removed as a whole wait for ``removeFile``, which comes next."""
        later: list[str] = []
        if isinstance(lfns, Mapping):
            caller = self._caller()
            later = [lfn for lfn in lfns if any(_removals.under_way(caller, name) for name in _names([lfn]))]
            lfns = {lfn: info for lfn, info in lfns.items() if lfn not in set(later)}
            if not lfns:
                return {"OK": True, "Value": {"Successful": dict.fromkeys(later, True), "Failed": {}}}
        result = dict(super().removeReplica(lfns, **options))  # type: ignore[misc]
        if result["OK"]:
            result["Value"]["Successful"].update(dict.fromkeys(later, True))
        return result

    def removeFile(self, lfns: Any, **options: Any) -> dict[str, Any]:
        """Remove files for good. Refused where a rule on a dataset holds one."""
        _removals.over(self._caller(), _names(lfns))
        return dict(super().removeFile(lfns, **options))  # type: ignore[misc]


def _names(lfns: Any) -> list[str]:
    """Names as they are kept; what can't be one is left to the method that is called."""
    names = []
    for lfn in [lfns] if isinstance(lfns, str) else lfns if isinstance(lfns, Iterable) else []:
        try:
            names.append(validate_lfn(lfn))
        except InvalidInput:
            names.append(str(lfn))
    return names
