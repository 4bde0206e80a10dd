import pytest
from click.testing import CliRunner

from tallystick.cli.program import program
from tallystick.keys import write_secret_file
from tests.support.synthetic_log import AUDITOR, CONTRACT, LOG, SyntheticLog
from tests.support.synthetic_server import served


@pytest.fixture(scope="session")
def log():
    """Two batches in two epochs."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.open_epoch()
    log.append_requests(2)
    return log


@pytest.fixture(scope="session")
def url(log):
    """A node that serves the log."""
    with served(log.node()) as url:
        yield url


@pytest.fixture
def key_file(tmp_path):
    """The auditor's key."""
    path = tmp_path / "auditor.key"
    write_secret_file(path, AUDITOR.to_text())
    return path


VARIABLES = (
    "TALLYSTICK_RPC",
    "TALLYSTICK_CONTRACT",
    "TALLYSTICK_LOG",
    "TALLYSTICK_AUDITOR_KEY",
    "TALLYSTICK_SERVICE",
)


@pytest.fixture
def trust_file(tmp_path):
    """Where the command keeps the trusted logs."""
    return tmp_path / "config" / "trust.toml"


@pytest.fixture
def run(trust_file):
    """Run the command; no variable of the environment reaches it, and it trusts nothing but what the test lets it."""

    def run(*arguments, env=None, typed=None):
        cleared = {**dict.fromkeys(VARIABLES), "TALLYSTICK_TRUST_FILE": str(trust_file)}
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(program, words, input=typed, env={**cleared, **(env or {})})

    return run


@pytest.fixture
def trusted(run, node):
    """The log is trusted under the name work."""
    assert run("trust", "add", "work", *node, "--yes").exit_code == 0


@pytest.fixture
def node(url):
    """The options that name the log."""
    return ["--rpc", url, "--contract", "0x" + CONTRACT.hex(), "--log", "0x" + LOG.hex()]


@pytest.fixture
def environment(url, key_file):
    """The same in the environment."""
    return {
        "TALLYSTICK_RPC": url,
        "TALLYSTICK_CONTRACT": "0x" + CONTRACT.hex(),
        "TALLYSTICK_LOG": "0x" + LOG.hex(),
        "TALLYSTICK_AUDITOR_KEY": str(key_file),
    }


@pytest.fixture
def bundle_file(log, tmp_path):
    """The evidence of record 3, with its secret."""
    path = tmp_path / "evidence.json"
    path.write_bytes(log.bundle(3).to_bytes())
    return path
