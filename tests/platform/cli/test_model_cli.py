"""Models on the operator's command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tallystick.ids import checksum_address
from tallystick.manifest import hash_folder
from tallystick_platform.cli import main
from tallystick_platform.registry import conversion
from tests.support.journals import ALICE
from tests.support.registries import FILES, facts_of_test_folder, write
from tests.support.tiny_model import write_tiny_model


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MODE", "CHAIN_RPC", "CONTRACT", "LOG_ID", "MODEL"):
        monkeypatch.delenv(f"TALLYSTICK_{name}", raising=False)
    monkeypatch.setenv("TALLYSTICK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tallystick_platform.registry.registry.Registry.__init__.__kwdefaults__", _with_test_facts())
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny model", FILES)


def _with_test_facts() -> dict[str, object]:
    from tallystick_platform.registry.registry import Registry

    defaults = dict(Registry.__init__.__kwdefaults__ or {})
    assert "looks" in defaults
    return defaults | {"looks": conversion.Looks(facts=facts_of_test_folder, numbers=lambda *_: None)}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["model", *arguments], catch_exceptions=False)


def result_of(*arguments: str) -> object:
    ran = run(*arguments, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_adding_a_model_tells_what_it_serves_and_can_be_exported_to(home: Path, tmp_path: Path) -> None:
    config = json.dumps({"task": "rerank", "model_type": "bert", "architectures": ["BertForSequenceClassification"]})
    told = run("add", str(write(tmp_path / "fits", FILES | {"config.json": config.encode()})))
    assert told.exit_code == 0, told.output
    assert "\nserves: rerank, classification\nexports: safetensors, onnx\n" in told.stdout
    unknown = run("add", str(write(tmp_path / "chess", FILES | {"config.json": b'{"task": "other"}'})))
    assert "\nserves: nothing here\n" in unknown.stdout


def test_a_folder_becomes_a_version_in_staging(home: Path, folder: Path) -> None:
    added = result_of("add", str(folder))
    digest = hash_folder(folder).digest.hex()
    assert isinstance(added, dict)
    assert (added["reference"], added["stage"], added["digest"]) == (
        f"tiny-model@{digest[:12]}",
        "staging",
        f"0x{digest}",
    )
    assert (home / "models" / "store" / digest / "config.json").read_bytes() == FILES["config.json"]


def test_what_is_odd_about_a_folder_is_said_where_it_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_HOME", str(tmp_path / "home"))
    folder = write_tiny_model(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    left = {**config, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (folder / "config.json").write_text(json.dumps(left))
    said = run("add", str(folder)).stdout
    assert "note: its config.json names a quantisation that its weights do not have" in said
    assert "note: the folder states no licence" in said


def test_everything_that_was_asked_for_stands_in_the_listing(home: Path, folder: Path) -> None:
    options = ["--name", "acme/tiny", "--owner", checksum_address(ALICE), "--private", "--licence", "apache-2.0"]
    result_of("add", str(folder), *options, "--price-per-hour", "0.25", "--currency", "EUR", "--production", "--pin")
    (listed,) = result_of("list")  # type: ignore[misc]
    wanted = {"model": "acme/tiny", "owner": checksum_address(ALICE), "visibility": "private", "licence": "apache-2.0"}
    wanted |= {"price_per_hour_micros": 250_000, "currency": "EUR", "stage": "production", "pinned": True}
    assert wanted.items() <= listed.items()


def test_a_version_goes_through_its_stages_and_out(home: Path, folder: Path) -> None:
    added = result_of("add", str(folder), "--name", "tiny")
    reference = added["reference"]  # type: ignore[index,call-overload]
    for command, stage in (("promote", "production"), ("retire", "retired")):
        assert result_of(command, reference)["stage"] == stage  # type: ignore[index,call-overload]
    assert f"{reference}: removed" in run("remove", reference).stdout
    assert run("list").stdout == "no models\n"
    assert list((home / "models" / "store").iterdir()) == []


def test_what_is_in_production_is_not_removed(home: Path, folder: Path) -> None:
    result_of("add", str(folder), "--name", "tiny", "--production")
    refused = run("remove", "tiny")
    assert refused.exit_code == 2
    assert "retire it first" in refused.stderr


def test_a_pinned_version_is_unpinned_before_it_is_retired(home: Path, folder: Path) -> None:
    result_of("add", str(folder), "--name", "tiny", "--pin")
    assert run("retire", "tiny").exit_code == 2
    assert result_of("unpin", "tiny")["pinned"] is False  # type: ignore[index,call-overload]
    assert run("retire", "tiny").exit_code == 0


def test_verify_says_what_changed_with_exit_code_1(home: Path, folder: Path) -> None:
    digest = result_of("add", str(folder), "--name", "tiny")["digest"]  # type: ignore[index,call-overload]
    assert result_of("verify", "tiny")["ok"] is True  # type: ignore[index,call-overload]
    path = home / "models" / "store" / digest.removeprefix("0x") / "config.json"
    path.chmod(0o600)
    path.write_bytes(b"{}")
    found = run("verify", "tiny")
    assert found.exit_code == 1
    assert "NOT intact: changed: config.json" in found.stdout


def test_showing_a_model_lists_its_versions_with_source_and_licence(home: Path, folder: Path) -> None:
    result_of("add", str(folder), "--name", "tiny")
    shown = run("show", "tiny").stdout
    assert "licence                mit" in shown
    assert str(folder) in shown


@pytest.mark.parametrize("command", ["show", "promote", "retire", "remove", "verify", "pin", "unpin"])
def test_an_unknown_model_cannot_be_touched(home: Path, command: str) -> None:
    ran = run(command, "nobody/knows")
    assert (ran.exit_code, ran.stderr) == (2, "error: the model 'nobody/knows' does not exist\n")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere", "there is no such file or folder"),
        ("weights.bin", "safe_serialization=True"),
        ("http://user:key@host/v1", "neither a user nor a query"),
        ("hf:../x", "OWNER/NAME"),
    ],
)
def test_a_source_that_is_none_is_refused_with_a_sentence(home: Path, tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    given = source if ":" in source else str(tmp_path / source)
    ran = run("add", given, "--name", "tiny")
    assert ran.exit_code == 2
    assert reason in ran.stderr
    assert list((home / "models" / "staging").iterdir()) == []


def test_an_upstream_is_registered_by_its_description(home: Path) -> None:
    result_of(
        "add", "https://other.example/v1/", "--name", "other", "--upstream-model", "big", "--key-variable", "OTHER_KEY"
    )
    (listed,) = result_of("list")  # type: ignore[misc]
    assert listed["format"] == "upstream"
    assert listed["source"]["base_url"] == "https://other.example/v1"
    assert result_of("verify", "other")["ok"] is True  # type: ignore[index,call-overload]
