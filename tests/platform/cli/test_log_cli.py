"""`log create`, `log rotate` and what the doctor says of a log, against a node over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from eth_keyfile import create_keyfile_json

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.ids import checksum_address, parse_address, parse_hash
from tallystick.keys import AuditorKey, Wallet, write_secret_file
from tallystick_platform.cli import main
from tests.support.embedded_chain import ChainProcess, running_chain

OPERATOR, KEEPER, PAYER, HEIR = (Wallet(bytes([number]) * 32) for number in (1, 2, 3, 4))
STRANGER = checksum_address(Wallet(b"\x09" * 32).address)

pytestmark = pytest.mark.xdist_group("log-cli")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainProcess]:
    """One chain for all tests here; each makes its own log, told apart by its terms."""
    funded = [OPERATOR.address, KEEPER.address, PAYER.address]
    with running_chain(tmp_path_factory.mktemp("chain"), prefund=funded) as chain:
        yield chain


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: ChainProcess) -> Path:
    write_secret_file(tmp_path / "operator.key", OPERATOR.to_text())
    write_secret_file(tmp_path / "keeper.key", KEEPER.to_text())
    auditor = tmp_path / "auditor.pub"
    auditor.write_text(AuditorKey.generate().public.to_text())
    for name, value in (
        ("HOME", tmp_path / "home"),
        ("MODE", "production"),
        ("MODEL", "constant"),
        ("PORT", "0"),
        ("OPERATOR_KEY_FILE", tmp_path / "operator.key"),
        ("AUDITOR_PUBLIC_KEYS", auditor),
        ("CHAIN_RPC", node.url),
        ("CONFIRMATIONS", "0"),
    ):
        monkeypatch.setenv(f"TALLYSTICK_{name}", str(value))
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def created(node: ChainProcess, *more: str | Path) -> dict[str, str]:
    ran = run("log", "create", "--rpc", node.url, "--keeper", checksum_address(KEEPER.address), "--json", *more)
    assert ran.exit_code == 0, ran.output
    return dict(json.loads(ran.stdout))


@contextmanager
def reading(node: ChainProcess, settings: dict[str, str]) -> Iterator[LedgerReader]:
    contract, log_id = parse_address(settings["TALLYSTICK_CONTRACT"]), parse_hash(settings["TALLYSTICK_LOG_ID"])
    with closing(HttpTransport(node.url)) as transport:
        yield LedgerReader(transport, contract, log_id)


def test_a_log_is_made_with_the_promises_that_were_asked_for_and_found_again(home, node):
    made = created(node, "--promise", "600", "--skew", "5")
    with reading(node, made) as reader:
        terms = reader.log_terms()
        assert (terms.keeper, terms.promise, terms.skew) == (KEEPER.address, 600, 5)
        assert reader.log_state().writer == OPERATOR.address
        blocks = reader.latest_block().number
        assert created(node, "--promise", "600", "--skew", "5") == made
        assert reader.latest_block().number == blocks


def test_the_printed_lines_are_settings_of_the_service(home, node):
    ran = run("log", "create", "--rpc", node.url, "--keeper", checksum_address(KEEPER.address))
    names = [line.partition("=")[0] for line in ran.stdout.splitlines()]
    assert names == ["TALLYSTICK_CHAIN_ID", "TALLYSTICK_CONTRACT", "TALLYSTICK_LOG_ID"]


def test_a_keystore_pays_for_another_writer_s_log(home, node):
    keystore, password = home / "payer.json", home / "password"
    keystore.write_text(json.dumps(create_keyfile_json(PAYER.secret, b"horse", iterations=2)))
    write_secret_file(password, "horse")
    ran = run("log", "create", "--rpc", node.url, "--keeper", STRANGER, "--key", keystore)
    assert ran.exit_code == 2
    assert "is a keystore: say with --password-file which file holds its password" in ran.stderr
    made = created(node, "--key", keystore, "--password-file", password, "--writer", checksum_address(OPERATOR.address))
    with reading(node, made) as reader:
        assert reader.log_state().writer == OPERATOR.address
        assert reader.creation().terms.creator == PAYER.address


@pytest.mark.parametrize(
    "arguments",
    [
        ("--keeper", "nonsense"),
        ("--keeper", STRANGER, "--promise", "59"),
        ("--keeper", STRANGER, "--skew", "3601"),
        ("--keeper", STRANGER, "--contract", STRANGER),
        ("--keeper", STRANGER, "--signer-url", "http://127.0.0.1:1"),
        ("--keeper", STRANGER, "--key", "/nowhere"),
        (),
    ],
    ids=["keeper", "promise", "skew", "contract", "account", "key", "no keeper"],
)
def test_what_cannot_be_made_exits_2_and_says_why(home, node, arguments):
    ran = run("log", "create", "--rpc", node.url, *arguments)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert "rror: " in ran.stderr


def test_the_doctor_looks_at_the_log_its_writer_and_whether_that_can_pay(home, node, monkeypatch):
    made = created(node)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    found = {each["what"]: each for each in json.loads(run("doctor", "--json").stdout)}
    assert found["log"]["mark"] == "good"
    assert checksum_address(OPERATOR.address) in found["log"]["detail"]
    monkeypatch.setenv("TALLYSTICK_LOG_ID", "0x" + "11" * 32)
    found = {each["what"]: each for each in json.loads(run("doctor", "--json").stdout)}
    assert found["log"]["mark"] == "bad"
    assert "has no log" in found["log"]["detail"]


def test_the_doctor_asks_the_signer_for_a_signature_that_no_chain_can_use(home, node, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_SIGNER_URL", node.url)  # a node that signs for nobody
    found = {each["what"]: each for each in json.loads(run("doctor", "--json").stdout)}
    assert found["signer"]["mark"] == "bad"
    assert "eth_signTransaction" in found["signer"]["detail"]


def test_the_keeper_names_another_writer_and_nobody_else_can(home, node, monkeypatch):
    made = created(node, "--promise", "700")
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    heir = checksum_address(HEIR.address)
    ran = run("log", "rotate", "--writer", heir, "--last-admission", "3", "--key", home / "operator.key")
    assert ran.exit_code == 2
    assert "the log's keeper is" in ran.stderr
    ran = run("log", "rotate", "--writer", heir, "--last-admission", "3", "--key", home / "keeper.key", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["last_admission"] == 3
    with reading(node, made) as reader:
        assert reader.log_state().writer == HEIR.address
        assert reader.writer_at(1).first_admission == 4


def test_without_a_number_an_empty_journal_says_that_none_was_given_out(home, node, monkeypatch):
    made = created(node, "--promise", "800")
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    heir = checksum_address(HEIR.address)
    ran = run("log", "rotate", "--writer", heir, "--key", home / "keeper.key", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["last_admission"] == 0


def test_a_journal_that_agrees_with_its_chain_has_nothing_to_adopt(home, node, monkeypatch):
    for name, value in created(node, "--promise", "900").items():
        monkeypatch.setenv(name, value)
    ran = run("journal", "adopt")
    assert ran.exit_code == 2
    assert "--restored" in ran.stderr
    ran = run("journal", "adopt", "--restored", "--margin", "7", "--json")
    assert json.loads(ran.stdout)["void"] == [[1, 7]]
    checked = json.loads(run("journal", "check", "--json").stdout)
    assert (checked["whole"], checked["chain"]) == (True, True)
