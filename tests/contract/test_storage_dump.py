"""What is at a storage element, over the gateway in memory."""

from __future__ import annotations

import pytest
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import FileRecord
from CTARucioDIRAC.usecases import register
from CTARucioDIRAC.usecases.storage_dump import files_at


def test_all_files_at_an_endpoint_in_a_thousandth_of_the_requests():
    gateway = FakeGateway()
    names = [f"/ctao/lst/run{i % 3}/f{i:04}" for i in range(2500)]
    new = [register.NewFile(lfn, FileRecord(did_of(lfn), 5, adler32="0000abcd"), "PIC-DISK") for lfn in names]
    assert not register.add_files(gateway, new).failed
    assert not register.add_copies(gateway, dict.fromkeys(names[:2], "CNAF-DISK")).failed
    before = gateway.requests
    found = list(files_at(gateway, ["PIC-DISK"]))
    assert sorted(found) == [("PIC-DISK", lfn, "0000abcd", 5) for lfn in sorted(names)]
    assert gateway.requests - before <= 3 + 2 + 2  # copies, names of both scopes, scopes and endpoints
    both = list(files_at(gateway, ["PIC-DISK", "CNAF-DISK"]))
    assert len(both) == 2502


def test_an_unknown_endpoint_is_named():
    with pytest.raises(NotFound, match="NOPE"):
        next(files_at(FakeGateway(), ["PIC-DISK", "NOPE"]))
