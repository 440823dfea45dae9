"""What the XRootD servers are told."""

import pytest

from CTARucioDIRAC.testbed import tape, xrootd
from CTARucioDIRAC.testbed.layout import HOST_DN, ROLES, RSES, TAPE, Layout


@pytest.fixture
def layout(tmp_path):
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    return Layout(tmp_path, 20000, tmp_path / "prefix", tmp_path / "software", tape_drives=3, tape_latency=1.5)


def test_there_is_a_server_for_each_rse_and_a_robot(layout):
    services = {service.name: service for service in xrootd.services(layout)}
    assert set(services) == {f"xrootd-{rse}" for rse in RSES} | {"tape-robot"}
    for rse in RSES:
        service = services[f"xrootd-{rse}"]
        assert list(service.ports) == [layout.port(rse)]
        assert service.env["X509_CERT_DIR"] == str(layout.ca)
        assert "loopback" in service.env["LD_PRELOAD"]
    words = services["tape-robot"].argv
    assert words[words.index("--drives") + 1] == "3"
    assert words[words.index("--latency") + 1] == "1.5"


def test_everybody_is_mapped(layout):
    assert set(xrootd.identities()) == {role.dn for role in ROLES.values()} | {HOST_DN}
    xrootd.prepare(layout, "PIC-DISK")
    home = layout.root / "xrootd"
    assert f'"{ROLES["data"].dn}" pdata\n' in (home / "grid-mapfile").read_text()
    assert "u pdata / a\n" in (home / "authdb-disk").read_text()
    assert (home / "macaroon.key").stat().st_mode & 0o777 == 0o400


def test_preparing_twice_changes_nothing(layout):
    xrootd.prepare(layout, TAPE)
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()}
    assert any(path.suffix == ".so" for path in before)
    xrootd.prepare(layout, TAPE)
    assert {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()} == before


def test_only_the_tape_stages_and_does_not_rename(layout):
    for rse in RSES:
        text = xrootd.configuration(layout, rse)
        assert (rse == TAPE) == ("ofs.preplib" in text) == ("oss.statlib" in text)
        assert f"xrd.port {layout.port(rse)}\n" in text
    assert "n" not in xrootd.TAPE_PRIVILEGES
    assert "authdb-tape" in xrootd.configuration(layout, TAPE)


def test_totals_count_what_the_journal_says(layout):
    assert tape.totals(layout)["recall"] == 0
    journal = layout.root / "tape" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text(
        '{"time": 1.0, "event": "recall", "name": "a", "bytes": 10}\n'
        '{"time": 2.0, "event": "recall", "name": "b", "bytes": 20}\n'
        '{"time": 2.0, "event": "mount", "drive": 0}\n'
        '{"time": 3.0, "event": "rec'
    )
    assert tape.totals(layout) == {"recall": 2, "recall_bytes": 30, "archive": 0, "archive_bytes": 0, "mount": 1}
    assert tape.totals(layout, since=2.0)["recall_bytes"] == 20
