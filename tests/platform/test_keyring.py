"""Where keys come from in which mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_keyfile import create_keyfile_json

from tallystick.errors import KeyFileError
from tallystick.ids import checksum_address, parse_address, parse_hex
from tallystick.keys import AuditorKey, Wallet, write_secret_file
from tallystick_platform.auth import Authenticator
from tallystick_platform.errors import SettingsError
from tallystick_platform.keyring import ensure_client, open_keyring
from tallystick_platform.settings import Settings, load_settings, redacted
from tallystick_platform.store.database import Database
from tallystick_platform.store.tokens import TokenStore
from tests.support.clocks import FixedClock
from tests.support.journals import Setting

URL = "http://127.0.0.1:8000"
CLOCK = FixedClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database.open(settings.paths.journal_path)
    yield database
    database.close()


@pytest.fixture
def tokens(database: Database, tmp_path: Path) -> TokenStore:
    return TokenStore(database, Setting(tmp_path).macs)


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}


def test_development_makes_what_is_missing_for_the_owner_alone(settings: Settings) -> None:
    open_keyring(settings)
    names = ("operator.key", "keeper.key", "auditor.key", "auditor.pub")
    assert files(settings.paths.keys_dir) == dict.fromkeys(names, 0o600)
    assert settings.paths.keys_dir.stat().st_mode & 0o777 == 0o700


def test_development_finds_its_keys_again(settings: Settings) -> None:
    first, second = open_keyring(settings), open_keyring(settings)
    assert first.operator.address == second.operator.address != first.keeper == second.keeper
    assert first.auditors == second.auditors


def test_a_crash_between_the_two_auditor_files_is_mended(settings: Settings) -> None:
    before = open_keyring(settings)
    settings.paths.auditor_public.unlink()
    assert open_keyring(settings).auditors == before.auditors


def test_keys_that_the_settings_name_are_used_and_none_is_made(settings: Settings, tmp_path: Path) -> None:
    own = own_keys(tmp_path)
    keyring = open_keyring(load_settings(home=settings.home, log_keeper="0x" + "33" * 20, **own))
    assert keyring.operator.address == Wallet(b"\x22" * 32).address
    assert keyring.keeper == b"\x33" * 20
    assert len(keyring.auditors) == 2
    assert not settings.paths.keys_dir.exists()


def own_keys(folder: Path) -> dict[str, object]:
    """Keys as an operator brings them."""
    write_secret_file(folder / "own.key", Wallet(b"\x22" * 32).to_text())
    for name in ("a.pub", "b.pub"):
        (folder / name).write_text(AuditorKey.generate().public.to_text())
    return {"operator_key_file": folder / "own.key", "auditor_public_keys": f"{folder / 'a.pub'},{folder / 'b.pub'}"}


def test_production_runs_with_keys_that_were_made_elsewhere(settings: Settings, tmp_path: Path) -> None:
    keyring = open_keyring(load_settings(home=settings.home, mode="production", **own_keys(tmp_path)))
    assert len(keyring.auditors) == 2


@pytest.mark.parametrize(
    ("setting", "generated"),
    [("operator_key_file", "operator.key"), ("auditor_public_keys", "auditor.pub")],
)
def test_production_refuses_a_generated_key_even_when_a_setting_names_it(
    settings: Settings, tmp_path: Path, setting: str, generated: str
) -> None:
    open_keyring(settings)
    given = own_keys(tmp_path) | {setting: settings.paths.keys_dir / generated}
    if setting == "auditor_public_keys":
        given[setting] = str(given[setting])
    with pytest.raises(SettingsError) as refused:
        open_keyring(load_settings(home=settings.home, mode="production", **given))
    assert refused.value.setting == f"TALLYSTICK_{setting.upper()}"


@pytest.mark.parametrize(("setting", "nothing"), [("operator_key_file", None), ("auditor_public_keys", ())])
def test_production_never_makes_a_key_of_its_own(
    settings: Settings, tmp_path: Path, setting: str, nothing: object
) -> None:
    given = load_settings(home=settings.home, mode="production", **own_keys(tmp_path))
    with pytest.raises(SettingsError) as refused:
        open_keyring(given.model_copy(update={setting: nothing}))
    assert refused.value.setting == f"TALLYSTICK_{setting.upper()}"
    assert not settings.paths.keys_dir.exists()


def test_production_runs_beside_keys_that_it_does_not_use(settings: Settings, tmp_path: Path) -> None:
    open_keyring(settings)
    keyring = open_keyring(load_settings(home=settings.home, mode="production", **own_keys(tmp_path)))
    assert keyring.operator.address == Wallet(b"\x22" * 32).address


def test_production_refuses_a_copy_of_the_generated_wallet(settings: Settings, tmp_path: Path) -> None:
    open_keyring(settings)
    write_secret_file(tmp_path / "copy.key", settings.paths.operator_key.read_text().strip())
    given = own_keys(tmp_path) | {"operator_key_file": tmp_path / "copy.key"}
    with pytest.raises(SettingsError, match="keys new wallet"):
        open_keyring(load_settings(home=settings.home, mode="production", **given))


def test_production_refuses_a_home_with_a_development_client(
    settings: Settings, tmp_path: Path, tokens: TokenStore
) -> None:
    ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK)
    with pytest.raises(SettingsError, match="development client"):
        open_keyring(load_settings(home=settings.home, mode="production", **own_keys(tmp_path)))


def test_more_auditors_than_a_log_takes_are_refused_before_any_is_read(settings: Settings, tmp_path: Path) -> None:
    named = settings.model_copy(update={"auditor_public_keys": tuple(tmp_path / str(n) for n in range(65))})
    with pytest.raises(SettingsError, match="names 65 keys, a log takes 64"):
        open_keyring(named)
    with pytest.raises(KeyFileError):
        open_keyring(settings.model_copy(update={"auditor_public_keys": named.auditor_public_keys[:64]}))


def test_one_auditor_named_twice_is_refused(settings: Settings, tmp_path: Path) -> None:
    own_keys(tmp_path)
    twice = f"{tmp_path / 'a.pub'},{tmp_path / 'a.pub'}"
    with pytest.raises(SettingsError, match="twice"):
        open_keyring(load_settings(home=settings.home, auditor_public_keys=twice))


@pytest.mark.parametrize("name", ["operator.key", "auditor.pub"])
def test_a_key_file_that_holds_something_else_is_named(settings: Settings, name: str) -> None:
    open_keyring(settings)
    (settings.paths.keys_dir / name).write_text("something else\n")
    with pytest.raises(KeyFileError, match=name):
        open_keyring(settings)


async def test_the_development_client_can_sign_in_and_owns_its_address(settings: Settings, tokens: TokenStore) -> None:
    path = ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK)
    client = json.loads(path.read_text())
    assert set(client) == {"base_url", "token", "private_key", "address"}
    assert client["base_url"] == URL
    assert path.stat().st_mode & 0o777 == 0o600
    principal = await Authenticator(tokens, CLOCK).authenticate(client["token"])
    assert principal.address == parse_address(client["address"])
    assert principal.address == Wallet(parse_hex(client["private_key"], 32)).address


def test_the_development_client_stays_the_same(settings: Settings, tokens: TokenStore) -> None:
    first = ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text()
    assert ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text() == first
    assert len(tokens.tokens()) == 1


def test_the_development_client_follows_the_url(settings: Settings, tokens: TokenStore) -> None:
    before = json.loads(ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text())
    path = ensure_client(settings.paths, base_url="http://127.0.0.1:9000", tokens=tokens, clock=CLOCK)
    assert json.loads(path.read_text()) == before | {"base_url": "http://127.0.0.1:9000"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(tokens.tokens()) == 1


def test_a_client_whose_token_no_longer_works_is_replaced(settings: Settings, tokens: TokenStore) -> None:
    before = json.loads(ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text())
    tokens.revoke(tokens.tokens()[0].id, now_us=CLOCK.now_us())
    after = json.loads(ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text())
    assert after["token"] != before["token"]


@pytest.mark.parametrize("text", ["{", "[]", '{"token": 1}', "{}"])
def test_a_client_file_that_is_no_client_is_replaced(settings: Settings, tokens: TokenStore, text: str) -> None:
    write_secret_file(settings.paths.client_file, text)
    client = json.loads(ensure_client(settings.paths, base_url=URL, tokens=tokens, clock=CLOCK).read_text())
    assert client["base_url"] == URL


def test_the_operator_s_key_may_be_a_keystore(tmp_path: Path) -> None:
    wallet = Wallet(b"\x21" * 32)
    keystore, password = tmp_path / "UTC--key", tmp_path / "password"
    keystore.write_text(json.dumps(create_keyfile_json(wallet.secret, b"horse", iterations=2)))
    write_secret_file(password, "horse")
    settings = load_settings(home=tmp_path / "home", operator_key_file=keystore, operator_password_file=password)
    assert open_keyring(settings).operator.address == wallet.address
    assert not settings.paths.operator_key.exists()


def test_the_operator_s_key_may_stand_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = Wallet(b"\x21" * 32)
    monkeypatch.setenv("TALLYSTICK_OPERATOR_KEY", "0x" + wallet.secret.hex())
    settings = load_settings(home=tmp_path / "home")
    assert open_keyring(settings).operator.address == wallet.address
    assert wallet.secret.hex() not in str(redacted(settings))


def test_the_keeper_is_whom_the_settings_name_and_nobody_in_production_where_they_do_not(tmp_path: Path) -> None:
    keeper = Wallet(b"\x22" * 32).address
    named = load_settings(home=tmp_path / "home", log_keeper=checksum_address(keeper))
    assert open_keyring(named).keeper == keeper
    assert not named.paths.keeper_key.exists()
    auditor = AuditorKey.generate()
    public = tmp_path / "auditor.pub"
    public.write_text(auditor.public.to_text())
    production = load_settings(
        home=tmp_path / "other",
        mode="production",
        operator_key=(b"\x23" * 32).hex(),
        auditor_public_keys=(public,),
    )
    assert open_keyring(production).keeper is None
    assert not production.paths.keeper_key.exists()


@pytest.mark.parametrize(
    ("lost", "setting"),
    [("operator_key", "TALLYSTICK_OPERATOR_KEY_FILE"), ("auditor_public", "TALLYSTICK_AUDITOR_PUBLIC_KEYS")],
)
def test_no_key_is_made_in_a_home_whose_journal_knows_others(settings: Settings, lost: str, setting: str) -> None:
    open_keyring(settings)
    settings.paths.journal_path.parent.mkdir()
    settings.paths.journal_path.touch()
    open_keyring(settings)
    path = getattr(settings.paths, lost)
    path.unlink()
    with pytest.raises(SettingsError, match="set what its server runs with") as refused:
        open_keyring(settings)
    assert refused.value.setting == setting
    assert not path.exists()
