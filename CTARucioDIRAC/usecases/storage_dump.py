"""What is at a storage element, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import chunks, lfn_of
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway

#: Files whose copies are asked for together.
CHUNK = 1000


def files_at(gateway: RucioGateway, rses: Collection[str]) -> Iterator[tuple[str, str, str, int]]:
    """All files with a readable copy at some RSEs.

    N files in Rucio cost about N / 1000 requests: there is no question for the files of an RSE alone.

    Yields
    ------
    tuple
        RSE, name, checksum (adler32, else md5, else empty) and size in bytes.

    Raises
    ------
    NotFound
        Naming the RSEs that don't exist, before anything else is asked.
    """
    unknown = sorted(set(rses) - {rse.name for rse in gateway.list_rses()})
    if unknown:
        raise NotFound(f"no storage endpoint of Rucio has the name {', '.join(unknown)}")
    expression = "|".join(sorted(rses))
    for scope in gateway.list_scopes():
        for some in chunks(gateway.find_names(scope, "", {DidType.FILE}), CHUNK):
            found = gateway.list_replicas([item.did for item in some], rse_expression=expression)
            for did, file in sorted(found.items()):
                for replica in file.replicas:
                    if replica.rse in rses:
                        yield replica.rse, lfn_of(did), file.adler32 or file.md5 or "", file.size
