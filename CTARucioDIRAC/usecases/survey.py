"""What there is below a path, in a scope or in a collection, by directory: what is to be adopted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from CTARucioDIRAC.domain.errors import InvalidInput, NotFound
from CTARucioDIRAC.domain.identifiers import (
    Did,
    explicit_did,
    is_foreign,
    is_path,
    parent_of,
    scope_of,
    validate_lfn,
    validate_scope,
)
from CTARucioDIRAC.gateway.protocol import Content, DidType, RucioGateway

from . import resolve, tree
from .files import alive
from .tree import FILES_DATASET


@dataclass
class Survey:
    """What is there to adopt.

    Attributes
    ----------
    files : dict
        Scopes with files directly in it, by directory.
    number : int
        Number of files.
    odd : list
        Files whose names are no paths.
    collections : set
        Paths of collections that the rules find.
    """

    files: dict[str, set[str]] = field(default_factory=dict)
    number: int = 0
    odd: list[Did] = field(default_factory=list)
    collections: set[str] = field(default_factory=set)

    def add(self, item: Content) -> None:
        """Note a name."""
        if item.type is DidType.FILE:
            self.number += 1
            if is_path(item.did.name):
                self.files.setdefault(parent_of(item.did.name), set()).add(item.did.scope)
            else:
                self.odd.append(item.did)
        elif is_path(item.did.name) and not is_foreign(item.did) and not item.did.name.endswith(f"/{FILES_DATASET}"):
            self.collections.add(item.did.name)


def survey(gateway: RucioGateway, what: str, vo: str) -> Survey:
    """See what there is below a path, in a scope (``scope:``), or in a collection (``scope:name``).

    Costs a request for each scope, and keeps directories in mind, not files.

    Raises
    ------
    InvalidInput, NotFound
        There is no such thing.
    """
    found = Survey()
    for item in _names(gateway, what, vo):
        found.add(item)
    if not (found.files or found.odd or found.collections):
        raise NotFound(f"there is nothing to adopt in {what}: no such names in Rucio")
    return found


def _names(gateway: RucioGateway, what: str, vo: str) -> Iterator[Content]:
    if what.endswith(":"):
        yield from gateway.find_names(validate_scope(what.rstrip(":").removeprefix("/")), "")
        return
    did = explicit_did(what)
    if did is not None:
        yield from gateway.list_files(did)
        return
    path = validate_lfn(what)
    if path == "/":
        raise InvalidInput(f"/ can't be adopted as a whole: say what, such as /{vo} or lst:")
    own = Did(scope_of(path), path)
    record = alive(gateway, [own]).get(own)
    if record is not None and record.type is not DidType.FILE:
        yield Content(own, record.type)
    places = dict(tree.scopes_below(gateway, path, vo))
    places |= {scope: f"{path}/" for scope in resolve.scopes_with(gateway, f"{path}/") if scope not in places}
    for scope, prefix in places.items():
        yield from gateway.find_names(scope, prefix)
