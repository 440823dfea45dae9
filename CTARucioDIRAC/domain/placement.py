"""Which copies may be made, and from where a file is best read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .identifiers import Did


def unsafe_to_pin(
    copies: Mapping[Did, Collection[str]], held: Mapping[Did, Collection[str]], rses: Collection[str]
) -> list[Did]:
    """Files that a rule with a lifetime must not cover.

    A copy that no rule holds is never deleted by Rucio; one that a rule has held and let go is. So a rule with an end,
    over an RSE where a file has a copy that nothing holds, makes that copy deletable when it ends: a permanent rule has
    to hold the copy first.

    Parameters
    ----------
    copies : mapping
        RSEs with a copy, by file.
    held : mapping
        RSEs where a rule holds a copy, by file.
    rses : collection
        RSEs that the rule could use.
    """
    return sorted(name for name, places in copies.items() if (set(places) & set(rses)) - set(held.get(name, ())))


def reading_order(
    rses: Iterable[str], *, preferred: Collection[str] = (), local: Collection[str] = (), tapes: Collection[str] = ()
) -> list[str]:
    """Storage elements in the order in which to try them: preferred, local, others; tapes last of all."""
    return sorted(rses, key=lambda rse: (rse in tapes, rse not in preferred, rse not in local, rse))
