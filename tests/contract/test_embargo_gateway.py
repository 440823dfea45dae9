"""Hidden scopes, on the Rucio in memory: out of every answer, and of every question."""

from __future__ import annotations

import pytest
from fake_gateway import FakeGateway

from CTARucioDIRAC.domain import errors
from CTARucioDIRAC.domain.embargo import hidden_scopes, parse_embargo
from CTARucioDIRAC.domain.identifiers import Did
from CTARucioDIRAC.domain.metadata_query import parse_query
from CTARucioDIRAC.gateway.embargo import hidden, hide
from CTARucioDIRAC.gateway.protocol import FileRecord, ReplicaState, RucioGateway

SEEN, SECRET = Did("seen", "/ctao/seen/f"), Did("secret", "/ctao/secret/f")
MIXED, CLOSED = Did("seen", "/ctao/seen/set"), Did("secret", "/ctao/secret/set")


@pytest.fixture
def fake() -> FakeGateway:
    fake = FakeGateway()
    for did in (SEEN, SECRET):
        fake.add_scope(did.scope)
        fake.add_replicas("PIC-DISK", [FileRecord(did, 5, adler32="00000001", guid=f"{len(did.scope):032x}")])
        fake.add_rule([did], "PIC-DISK")
        fake.set_metadata({did: {"obs_id": 1}})
    fake.add_datasets([MIXED, CLOSED])
    fake.attach({MIXED: [SEEN, SECRET], CLOSED: [SEEN, SECRET]})
    return fake


@pytest.fixture
def outside(fake: FakeGateway) -> RucioGateway:
    return hide(fake, frozenset({"secret"}), "ctao_user")


def test_it_is_a_gateway_and_without_an_embargo_the_very_same(fake: FakeGateway, outside: RucioGateway) -> None:
    assert isinstance(outside, RucioGateway)
    assert outside.account == "ctaoprod"
    assert hide(fake, frozenset(), "x") is fake
    assert hidden(outside) == {"secret"}
    assert hidden(fake) == frozenset()


def test_no_answer_has_a_hidden_name(outside: RucioGateway) -> None:
    both = [SEEN, SECRET]
    assert outside.list_scopes() == ["root", "seen"]
    assert "secret" not in outside.list_scope_owners()
    assert set(outside.get_dids(iter(both))) == {SEEN}
    assert set(outside.list_replicas(both, all_states=True)) == {SEEN}
    assert outside.get_metadata(both) == {SEEN: {"obs_id": 1}}
    assert [item.did for item in outside.list_content(MIXED)] == [SEEN]
    assert [item.did for item in outside.list_files(MIXED)] == [SEEN]
    assert [file.did for file in outside.list_collection_replicas(MIXED)] == [SEEN]
    assert [item.did for item in outside.list_parents(SEEN)] == [MIXED]
    assert {rule.did for rule in outside.list_rules()} == {SEEN}
    assert list(outside.find_names("secret", "/")) == []
    assert list(outside.find_dids("secret", parse_query({"obs_id": 1}))) == []
    assert list(outside.find_dids("seen", parse_query({"obs_id": 1}))) == [SEEN]
    assert outside.has_metadata("secret", ["obs_id"]) is False
    assert list(outside.list_rules(scope="secret")) == list(outside.list_rules(did=SECRET)) == []
    for look in (outside.list_content, outside.list_parents, outside.list_rules_on_file):
        with pytest.raises(errors.NotFound):
            look(SECRET)


def test_nothing_is_written_there(fake: FakeGateway, outside: RucioGateway) -> None:
    before = (dict(fake.records), dict(fake.rules), dict(fake.metadata), {k: set(v) for k, v in fake.contents.items()})
    record = FileRecord(Did("secret", "/ctao/secret/new"), 5, adler32="00000001")
    for write in (
        lambda: outside.add_scope("secret"),
        lambda: outside.add_replicas("PIC-DISK", [record]),
        lambda: outside.add_rule([SEEN, SECRET], "CNAF-DISK"),
        lambda: outside.add_datasets([Did("secret", "/ctao/secret/other")]),
        lambda: outside.attach({MIXED: [SECRET]}),
        lambda: outside.attach({CLOSED: [SEEN]}),
        lambda: outside.detach(MIXED, [SECRET]),
        lambda: outside.close(CLOSED),
        lambda: outside.expire([SECRET]),
        lambda: outside.set_metadata({SEEN: {"obs_id": 2}, SECRET: {"obs_id": 2}}),
        lambda: outside.set_replica_states("PIC-DISK", {SECRET: ReplicaState.UNAVAILABLE}),
        lambda: outside.set_tombstones("PIC-DISK", [SECRET]),
    ):
        with pytest.raises(errors.NotAllowed, match="ctao_user"):
            write()
    after = (dict(fake.records), dict(fake.rules), dict(fake.metadata), {k: set(v) for k, v in fake.contents.items()})
    assert after == before


def test_whom_it_is_hidden_from() -> None:
    embargo = parse_embargo("pks = ctao_pks | ctao_prod, dark=ctao_dark")
    assert hidden_scopes(embargo, "ctao_prod") == {"dark"}
    assert hidden_scopes(embargo, "ctao_user") == {"pks", "dark"}
    assert hidden_scopes(embargo, "hosts") == frozenset()
    assert parse_embargo("") == {}
    for bad in ("pks", "pks=", "pks=a b", "=a", "pks=a,pks=b", "pks=a|"):
        with pytest.raises(errors.InvalidInput):
            parse_embargo(bad)
