"""Who may do what, as far as it is decided without a server."""

import pytest

from CTARucioDIRAC.domain import accounts
from CTARucioDIRAC.domain.accounts import Privileges, is_open, may_write

ADMIN = Privileges(admin=True, manager=True, owners_decide=True)
MANAGER = Privileges(admin=False, manager=True, owners_decide=True)
OWNER = Privileges(admin=False, manager=False, owners_decide=True)
GENERIC = Privileges(admin=False, manager=False, owners_decide=False)


@pytest.mark.parametrize("operation", ["addFile", "addReplica", "removeReplica", "removeFile", "setMetadata"])
def test_owners_and_managers_write(operation):
    for privileges in (ADMIN, MANAGER):
        assert may_write(operation, privileges, owns=False, can_register=False)
    assert may_write(operation, OWNER, owns=True, can_register=True)
    for privileges in (OWNER, GENERIC):
        assert not may_write(operation, privileges, owns=False, can_register=True)


def test_an_owner_needs_a_place_to_register_and_the_right_to_let_go():
    assert not may_write("addFile", OWNER, owns=True, can_register=False)
    assert not may_write("removeReplica", GENERIC, owns=True, can_register=True)
    assert may_write("createDirectory", GENERIC, owns=True, can_register=False)


def test_which_storage_is_open():
    assert is_open("PIC-DISK", OWNER, {"PIC-DISK"})
    assert not is_open("PIC-TAPE", OWNER, {"PIC-DISK"})
    assert not is_open("PIC-DISK", GENERIC, {"PIC-DISK"})
    assert is_open("PIC-SCRATCHDISK", GENERIC, ())
    assert is_open("PIC-TAPE", MANAGER, ())


@pytest.mark.default_column
def test_the_policy_package_is_ctaos_but_for_permissions():
    pytest.importorskip("rucio.db", reason="the policy runs inside Rucio's server")
    import bdms_rucio_policy
    import bdms_rucio_policy.schema as theirs

    import CTARucioDIRAC.rucio_policy as ours
    import CTARucioDIRAC.rucio_policy.schema as schema
    from CTARucioDIRAC.rucio_policy import lfn2pfn, scope

    assert ours.get_algorithms() == bdms_rucio_policy.get_algorithms()
    assert ours.SUPPORTED_VERSION == bdms_rucio_policy.SUPPORTED_VERSION
    names = [name for name in vars(theirs) if not name.startswith("_")]
    assert "SCHEMAS" in names
    assert "SCOPE_NAME_REGEXP" in names
    assert all(getattr(schema, name) is getattr(theirs, name) for name in names)
    assert lfn2pfn.lfn2pfn("scope", "/ctao/x", "RSE", {}, {}) == "/ctao/x"
    assert scope.scope("/ctao/user/a/alice/f", None) == ("user.alice", "/ctao/user/a/alice/f")


@pytest.mark.default_column
def test_both_sides_use_the_same_words():
    pytest.importorskip("rucio.db", reason="the policy runs inside Rucio's server")
    import CTARucioDIRAC.rucio_policy as policy
    from CTARucioDIRAC.testbed import rucio_setup

    assert policy.MANAGER == accounts.MANAGER
    assert policy.OPEN_TO_OWNERS == accounts.OPEN_TO_OWNERS == rucio_setup.OWNERS_ATTRIBUTE
    assert rucio_setup.account_attributes("ctaoprod", "overlay") == {accounts.MANAGER}
    assert rucio_setup.account_attributes("ctaoprod", "ctao") == {"admin"}
    assert rucio_setup.account_attributes("ctaouser", "ctao") == set()


@pytest.mark.default_column
@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        ('{"rse": "R", "files": [{"scope": "a", "name": "/x"}, {"scope": "b", "name": "/y"}]}', {"a", "b"}),
        ('{"replicas": [{"scope": "a", "name": "/x"}], "pfns": [{"scope": "b", "name": "/y"}]}', {"a", "b"}),
        ('{"replicas": ["root://host//x"]}', set()),
        ('{"files": [{"scope": "a", "name": "/x"}], "replicas": ["root://host//x"]}', set()),
        ('{"files": [{"name": "/x"}]}', set()),
        ('["a"]', set()),
        ("", set()),
    ],
)
def test_files_of_a_request_are_all_known_or_none_is(body, scopes):
    pytest.importorskip("rucio.db", reason="the policy runs inside Rucio's server")
    import flask

    from CTARucioDIRAC.rucio_policy.request import scopes_of_request

    with flask.Flask("x").test_request_context("/replicas", method="POST", data=body):
        assert scopes_of_request() == scopes
    assert scopes_of_request() == set()


def test_no_library_code_changes_the_environment():
    """What serves several users in one process can't keep a credential, or anything else, in what they share."""
    import ast
    from pathlib import Path

    import CTARucioDIRAC

    root = Path(CTARucioDIRAC.__file__).parent
    libraries = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ("testbed", "demo")]
    assert len(libraries) > 40
    changing = {"update", "setdefault", "pop", "clear", "popitem", "__setitem__"}
    for path in libraries:
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Subscript | ast.Attribute) else ""
            if isinstance(node, ast.Subscript) and text.startswith("os.environ["):
                assert isinstance(node.ctx, ast.Load), f"{path}: {text}"
            assert text not in {f"os.environ.{name}" for name in changing} | {"os.putenv", "os.unsetenv"}, path


def test_storage_lets_the_embargos_readers_in_and_nobody_else():
    from CTARucioDIRAC.testbed import xrootd

    lines = xrootd.authorisation("a").splitlines()
    open_to_all = {line.split()[1] for line in lines if line.split()[2:] == ["/", "a"]}
    closed = {line.split()[1] for line in lines if line.split()[2:] == ["/ctao/embargoed", "-a", "/", "a"]}
    assert open_to_all == {"pprod", "pdata", "padmin", "ddmrobot", "host"}
    assert closed == {"puser", "panalyst", "ppilot"}
    assert len(lines) == len(open_to_all) + len(closed)
