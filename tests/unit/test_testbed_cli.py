"""The command line: exit codes and messages."""

import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("rucio.db", reason="the stack runs on the default column, with Rucio's server")

from CTARucioDIRAC.testbed import cli, privileges, state
from CTARucioDIRAC.testbed.layout import Layout
from CTARucioDIRAC.testbed.service import TestbedError

pytestmark = pytest.mark.default_column


@pytest.fixture
def layout(tmp_path):
    made = Layout(tmp_path, 23400, Path(sys.prefix), Path("/opt/software"))
    made.log.mkdir()
    state.save(made)
    return made


def command(*arguments):
    words = [sys.executable, "-m", "CTARucioDIRAC.testbed.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_help_teaches_with_examples():
    shown = CliRunner().invoke(cli.app, ["--help"])
    assert shown.exit_code == 0
    for word in ("up", "down", "status", "env", "logs", "reset", 'eval "$(cta-rucio-testbed env)"'):
        assert word in shown.output


@pytest.mark.parametrize("arguments", [["fly"], ["up", "--workers", "many"], ["status", "--no-such-option"]])
def test_a_wrong_command_line_ends_with_2(arguments):
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


@pytest.mark.parametrize("name", ["status", "down", "env", "logs", "reset"])
def test_without_a_stack_each_command_says_how_to_bring_one_up(name, tmp_path):
    done = command(name, "--dir", tmp_path)
    assert done.returncode == 1
    assert "holds no testbed" in done.stderr
    assert "Traceback" not in done.stderr


def test_reset_leaves_a_foreign_directory_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    assert command("reset", "--yes", "--dir", tmp_path).returncode == 1
    assert (tmp_path / "thesis.tex").exists()


def test_env_prints_lines_for_a_shell(layout):
    done = command("env", "--role", "production", "--dir", layout.root)
    assert done.returncode == 0
    assert f"export RUCIO_HOME={layout.root}/rucio/client-production" in done.stdout
    assert command("env", "--role", "boss", "--dir", layout.root).returncode == 1


def test_logs_lists_and_prints(layout):
    (layout.log / "postgres.log").write_text("one\ntwo\nthree\n")
    assert command("logs", "--dir", layout.root).stdout == "postgres\n"
    assert command("logs", "postgres", "--lines", "2", "--dir", layout.root).stdout == "two\nthree\n"
    unknown = command("logs", "mailer", "--dir", layout.root)
    assert (unknown.returncode, "There are logs of: postgres" in unknown.stderr) == (1, True)


def test_options_have_their_environment_variables(layout, monkeypatch):
    monkeypatch.setenv("CTA_RUCIO_TESTBED_DIR", str(layout.root))
    assert str(layout.root) in CliRunner().invoke(cli.app, ["env"]).output


def test_environments_have_state_directories_of_their_own(monkeypatch):
    first = cli.default_directory()
    monkeypatch.setattr(sys, "prefix", "/opt/another")
    assert cli.default_directory() != first


def test_ports_are_shown_in_few_characters():
    assert cli._ranges([18442, 18401, 18420, 18421, 18422]) == "18401 18420-18422 18442"


def test_options_from_variables_survive_the_change_of_user(monkeypatch, tmp_path):
    found = {}

    def execute(_program, arguments, variables):
        found.update(arguments=arguments, variables=variables)

    owner = pwd.getpwnam("nobody")
    monkeypatch.setattr(privileges.os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "_owner", lambda _: owner)
    monkeypatch.setattr(privileges, "_can_read", lambda *_: None)
    monkeypatch.setattr(privileges.os, "execvpe", execute)
    monkeypatch.setenv("CTA_RUCIO_TESTBED_DIR", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/stray.pem")
    privileges.leave_root(tmp_path, ["status"], [])
    assert found["variables"]["CTA_RUCIO_TESTBED_DIR"] == str(tmp_path)
    assert "SSL_CERT_FILE" not in found["variables"]
    assert f"--reuid={owner.pw_uid}" in found["arguments"]
    assert "--bounding-set=-all" in found["arguments"]


def test_an_environment_that_cannot_be_read_at_all_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(privileges, "_can_read", lambda *_: tmp_path / "closed")
    with pytest.raises(TestbedError, match=r"cannot read .*closed.*chmod o\+rx"):
        privileges._capabilities_to_read(pwd.getpwnam("nobody"), [tmp_path], False)
