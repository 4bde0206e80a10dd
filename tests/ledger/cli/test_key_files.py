import json
import stat

from tallystick.ids import checksum_address
from tallystick.keys import AuditorKey, AuditorPublicKey, Wallet, read_public_file, read_secret_file


def test_a_new_auditor_has_a_secret_and_a_public_file_that_belong_together(run, tmp_path):
    result = run("keys", "new", "auditor", "--out", tmp_path / "me", "--json")
    made = json.loads(result.stdout)
    key = AuditorKey.from_text(read_secret_file(tmp_path / "me.key"))
    assert AuditorPublicKey.from_text(read_public_file(tmp_path / "me.pub")) == key.public
    assert made["key_id"] == key.key_id.hex()
    assert stat.S_IMODE((tmp_path / "me.key").stat().st_mode) == 0o600


def test_a_new_wallet_has_the_address_that_is_printed(run, tmp_path):
    result = run("keys", "new", "wallet", "--out", tmp_path / "me")
    wallet = Wallet.from_text(read_secret_file(tmp_path / "me.key"))
    assert f"address {checksum_address(wallet.address)}" in result.stdout


def test_no_secret_is_printed(run, tmp_path):
    for kind in ("auditor", "wallet"):
        result = run("keys", "new", kind, "--out", tmp_path / kind)
        secret = read_secret_file(tmp_path / f"{kind}.key").partition(":")[2]
        assert secret not in result.output


def test_existing_files_are_never_overwritten(run, tmp_path):
    for name in ("a.key", "b.pub"):
        (tmp_path / name).write_text("mine")
        result = run("keys", "new", "auditor", "--out", tmp_path / name[0])
        assert result.exit_code == 2
        assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "b.key").exists()


def test_an_unknown_kind_is_a_usage_error(run):
    assert run("keys", "new", "house").exit_code == 2
