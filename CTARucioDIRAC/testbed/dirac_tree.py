"""DIRAC configuration as nested dictionaries, and as DIRAC's text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

#: A section: options are texts or lists of texts, sections are dictionaries.
Tree = dict[str, Union[str, list[str], "Tree"]]


def merged(*trees: Tree) -> Tree:
    """One tree with the content of all; where two have the same option, the later one's value."""
    result: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            present = result.get(key)
            if isinstance(value, dict):
                result[key] = merged(present if isinstance(present, dict) else {}, value)
            else:
                result[key] = list(value) if isinstance(value, list) else value
    return result


def text(tree: Tree) -> str:
    """The tree as a DIRAC configuration file; options come before sections, in the order in which they were put."""
    return "\n".join(_lines(tree, "")) + "\n"


def _lines(tree: Tree, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if not isinstance(value, dict):
            yield f"{indent}{key} = {', '.join(value) if isinstance(value, list) else value}".rstrip()
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{indent}{key}"
            yield f"{indent}{{"
            yield from _lines(value, indent + "  ")
            yield f"{indent}}}"
