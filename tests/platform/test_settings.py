"""Settings: read once, refused by name, documented, redacted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick_platform.errors import SettingsError
from tallystick_platform.settings import (
    EMBEDDED_CHAIN_ID,
    Mode,
    Settings,
    load_settings,
    redacted,
    render_settings_table,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TALLYSTICK_{name.upper()}", raising=False)


def test_the_defaults_are_a_development_server_on_an_embedded_chain() -> None:
    settings = load_settings()
    assert settings.mode is Mode.DEVELOPMENT
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.embedded_chain
    assert (settings.chain_id, settings.confirmations) == (EMBEDDED_CHAIN_ID, 0)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_PORT", "9000")
    monkeypatch.setenv("TALLYSTICK_AUDITOR_PUBLIC_KEYS", "a.pub, b.pub")
    monkeypatch.setenv("TALLYSTICK_CHAIN_RPC", "")
    settings = load_settings()
    assert settings.port == 9000
    assert settings.auditor_public_keys == (Path("a.pub"), Path("b.pub"))
    assert settings.chain_rpc is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "http"),
        ("MODE", "staging"),
        ("EPOCH_SECONDS", "0"),
        ("BATCH_MAX_BYTES", "131072"),
        ("CHAIN_RPC", "ws://node"),
        ("CONTRACT", "0x12"),
        ("LOG_ID", "0x12"),
        ("PRICE_CURRENCY", "dollars"),
        ("REQUEST_TIMEOUT_S", "0"),
        ("LOG_PROMISE_S", "59"),
        ("LOG_PROMISE_S", "2592001"),
        ("LOG_SKEW_S", "3601"),
        ("LOG_KEEPER", "0x12"),
        ("EXPORT_LIMIT_S", "59"),
        ("EXPORT_LIMIT_S", "2592001"),
        ("MAX_BODY_BYTES", "1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TALLYSTICK_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.setting == f"TALLYSTICK_{name}"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(colour="blue")
    assert refused.value.setting == "TALLYSTICK_COLOUR"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("TALLYSTICK_PROT", "TALLYSTICK_PORT"),
        ("TALLYSTICK_MAX_BODY_BYTE", "TALLYSTICK_MAX_BODY_BYTES"),
        ("TALLYSTICK_CHAINRPC", "TALLYSTICK_CHAIN_RPC"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_setting_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    monkeypatch.setenv(misspelt, "1")
    with pytest.raises(SettingsError, match=f"{misspelt}: .*{meant}"):
        load_settings()


@pytest.mark.parametrize(
    "name",
    [
        "AUDITOR_KEY",
        "RPC",
        "LOG",
        "TOKEN",
        "TOKEN_FILE",
        "FAULT_ROUNDS",
        "FAULT_SEED",
        "BENCH_MODELS",
        "NO_NODE",
        "TEST_CACHE",
    ],
)
def test_the_variables_of_other_commands_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TALLYSTICK_{name}", "1")
    load_settings()


def test_a_remote_chain_waits_for_confirmations_unless_told_otherwise() -> None:
    assert load_settings(chain_rpc="https://node.example").confirmations == 12
    assert load_settings(chain_rpc="https://node.example", confirmations=3).confirmations == 3


def test_a_request_that_might_outlast_the_promise_is_refused_with_the_time_that_it_may_take() -> None:
    assert load_settings(log_promise_s=240).request_timeout_s == 120
    with pytest.raises(SettingsError, match=r"request_timeout_s is 120, .* within 238 s .* 119 s at most"):
        load_settings(log_promise_s=238)


def test_the_promise_of_a_log_that_is_there_already_counts_like_the_setting() -> None:
    settings = load_settings()
    settings.check_promise(240)
    with pytest.raises(ValueError, match="119 s at most"):
        settings.check_promise(239)


def test_a_log_without_its_contract_is_refused() -> None:
    with pytest.raises(SettingsError, match="TALLYSTICK_CONTRACT"):
        load_settings(log_id="0x" + "11" * 32)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "TALLYSTICK_OPERATOR_KEY_FILE"),
        ({"operator_key_file": "operator.key"}, "TALLYSTICK_AUDITOR_PUBLIC_KEYS"),
    ],
)
def test_production_says_which_key_to_set(given: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        load_settings(mode="production", **given)


@pytest.mark.parametrize(
    "name",
    [name for name, field in Settings.model_fields.items() if field.annotation in {int, float}],
)
@pytest.mark.parametrize("value", [10**30, -1, float("inf"), float("nan")])
def test_every_number_has_bounds(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{name.upper()}"):
        load_settings(**{name: value})


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_paths_lie_under_the_home_folder(tmp_path: Path) -> None:
    paths = load_settings(home=tmp_path).paths
    for path in (paths.epoch_keys_dir, paths.client_file, paths.journal_path, paths.chain_path, paths.run_dir):
        assert path.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@node.example:8545/v3/key?x=1", "https://node.example:8545/[redacted]"),
        ("https://node.example/v3/key", "https://node.example/[redacted]"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_key(url: str, shown: str) -> None:
    assert redacted(load_settings(chain_rpc=url))["chain_rpc"] == shown


def test_every_setting_is_shown_and_described() -> None:
    assert redacted(load_settings()).keys() == Settings.model_fields.keys()
    assert all(field.description for field in Settings.model_fields.values())


def test_the_page_of_settings_is_the_code(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert render_settings_table() in page


def test_a_key_is_never_shown_and_a_signer_s_address_only_in_part() -> None:
    key = "ab" * 32
    shown = redacted(load_settings(operator_key=key, signer_url="https://user:secret@signer.example:9000/path"))
    assert shown["operator_key"] == "[redacted]"
    assert shown["signer_url"] == "https://signer.example:9000/[redacted]"
    assert key not in str(shown)


def test_two_keys_of_one_writer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set one of them"):
        load_settings(operator_key="ab" * 32, operator_key_file=tmp_path / "key")


def test_a_signer_is_reached_over_http() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(signer_url="ipc:///signer")
    assert caught.value.setting == "TALLYSTICK_SIGNER_URL"


@pytest.mark.parametrize(
    "text", ["https://app.example/", "app.example", "null", "https://APP.example", "ftp://a.example"]
)
def test_what_is_no_origin_of_a_page_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TALLYSTICK_CORS_ORIGINS", f"https://good.example, {text}")
    with pytest.raises(SettingsError, match="TALLYSTICK_CORS_ORIGINS"):
        load_settings()


def test_origins_of_pages_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().cors_origins == ()
    monkeypatch.setenv("TALLYSTICK_CORS_ORIGINS", "https://a.example, http://localhost:3000,*")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:3000", "*")
