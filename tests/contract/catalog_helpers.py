"""What tests of the catalogue plugin share."""

from __future__ import annotations

from typing import Any

OPTIONS = {"RucioHost": "https://rucio.example.org", "VO": "ctao"}
FILE = "/ctao/lst/run1/f1"
MISSING = "No such file or directory"


def description(**changes: Any) -> dict[str, Any]:
    guid = "AAAAAAAA-BBBB-CCCC-DDDD-000000000001"
    return {"PFN": "", "Size": 5, "SE": "PIC-DISK", "GUID": guid, "Checksum": "0000ABCD"} | changes


def value(result: dict[str, Any]) -> Any:
    assert result["OK"], result.get("Message")
    return result["Value"]


def successful(result: dict[str, Any]) -> dict[str, Any]:
    assert value(result)["Failed"] == {}
    return dict(value(result)["Successful"])


def failed(result: dict[str, Any]) -> dict[str, Any]:
    assert value(result)["Successful"] == {}
    return dict(value(result)["Failed"])
