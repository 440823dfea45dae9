"""What the request says that Rucio's server is answering at the moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import flask


def scopes_of_request() -> set[str]:
    """Scopes of the files in the request that is being answered; none if any file is named in another way."""
    if not flask.has_request_context():
        return set()
    body = json.loads(flask.request.get_data(as_text=True) or "null")
    if not isinstance(body, dict):
        return set()
    files = [file for key in ("files", "replicas", "pfns") for file in body.get(key) or []]
    if not all(isinstance(file, dict) and isinstance(file.get("scope"), str) for file in files):
        return set()
    return {file["scope"] for file in files}


def once(key: tuple[str, Any], decide: Callable[[], bool]) -> bool:
    """Decide once for each request: the server asks for each of its files."""
    if not flask.has_request_context():
        return decide()
    kept: dict[tuple[str, Any], bool] = flask.g.setdefault("ctao_policy", {})
    if key not in kept:
        kept[key] = decide()
    return kept[key]
