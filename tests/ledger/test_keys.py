import os
import stat
import threading

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from eth_account import Account

from tallystick import keys
from tallystick.errors import KeyFileError, KeyFormatError, OpenError, SignatureError
from tallystick.hashing import keccak256
from tallystick.ids import LogId, checksum_address
from tallystick.keys import (
    KEY_ID_BYTES,
    WRAP_BYTES,
    AuditorKey,
    AuditorPublicKey,
    EpochKey,
    Wallet,
    hkdf_expand,
    hkdf_extract,
    read_public_file,
    read_secret_file,
    recover,
    unwrap_epoch_key,
    wrap_epoch_key,
    write_secret_file,
)
from tests.support import xwing_vector
from tests.support.reference_hpke import decapsulate, open_hpke
from tests.support.vectors.cast import AUDITOR, EPOCH_KEY, LOG_ID, WRITER, flipped

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DIGEST = keccak256(b"digest")
OTHER_AUDITOR = AuditorKey(keccak256(b"another auditor"))


# Wallets and signatures


def test_a_wallet_has_the_address_that_ethereum_gives_its_key():
    assert checksum_address(WRITER.address) == Account.from_key(WRITER.secret).address


def test_a_signature_is_ethereums_and_leads_back_to_the_wallet():
    signature = WRITER.sign_digest(DIGEST)
    assert signature == Account.unsafe_sign_hash(DIGEST, WRITER.secret).signature
    assert signature == WRITER.sign_digest(DIGEST)
    assert recover(DIGEST, signature) == WRITER.address


def test_every_changed_byte_of_a_signature_gives_another_signer_or_none():
    signature = WRITER.sign_digest(DIGEST)
    for at in range(len(signature)):
        try:
            assert recover(DIGEST, flipped(signature, at)) != WRITER.address
        except SignatureError:
            continue


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (bytes(64), "65 bytes"),
        (bytes(66), "65 bytes"),
        (bytes(65), "v is 0"),
        (bytes(64) + b"\x01", "v is 1"),
        (bytes(64) + b"\x1d", "v is 29"),
        (bytes(64) + b"\x1b", "no key"),
        (b"\xff" * 32 + b"\x01" * 32 + b"\x1b", "no key"),
    ],
)
def test_a_signature_of_another_form_is_refused(signature, reason):
    with pytest.raises(SignatureError, match=reason):
        recover(DIGEST, signature)


def test_the_same_signature_with_a_high_s_is_refused():
    signature = WRITER.sign_digest(DIGEST)
    high = ORDER - int.from_bytes(signature[32:64], "big")
    with pytest.raises(SignatureError, match="upper half"):
        recover(DIGEST, signature[:32] + high.to_bytes(32, "big") + bytes((55 - signature[64],)))


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), bytes(33), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_a_private_key_outside_the_group_is_refused(secret):
    with pytest.raises(KeyFormatError):
        Wallet(secret)


def test_the_smallest_and_the_largest_private_key_are_taken():
    assert Wallet((1).to_bytes(32, "big")).address != Wallet((ORDER - 1).to_bytes(32, "big")).address


def test_new_keys_differ():
    assert Wallet.generate().secret != Wallet.generate().secret
    assert AuditorKey.generate().seed != AuditorKey.generate().seed
    assert EpochKey.generate(LOG_ID, 1).secret != EpochKey.generate(LOG_ID, 1).secret


# Texts


def test_keys_are_read_back_from_their_lines():
    assert Wallet.from_text(WRITER.to_text()).secret == WRITER.secret
    assert AuditorKey.from_text(AUDITOR.to_text() + "\n") == AUDITOR
    assert AuditorPublicKey.from_text(AUDITOR.public.to_text()) == AUDITOR.public
    assert AUDITOR.key_id == AUDITOR.public.key_id
    assert len(AUDITOR.key_id) == KEY_ID_BYTES


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Wallet, ""),
        (Wallet, "tallystick-wallet-v2"),
        (Wallet, "tallystick-wallet-v3:" + "11" * 32),
        (Wallet, "tallystick-wallet-v2:" + "11" * 31),
        (Wallet, "tallystick-wallet-v2:" + "1 " * 32),
        (Wallet, "tallystick-wallet-v2:" + "zz" * 32),
        (Wallet, "tallystick-wallet-v2:" + "00" * 32),
        (AuditorKey, "tallystick-auditor-pub-v2:AAAA"),
        (AuditorKey, "tallystick-auditor-key-v2:AAAA"),
        (AuditorKey, "tallystick-auditor-key-v2:!!!!"),
        (AuditorKey, "tallystick-auditor-key-v2:" + "A" * 128),  # 96 bytes: the seed's expansion
        (AuditorPublicKey, AUDITOR.public.to_text()[:-3] + "h=="),  # the same bytes, with a bit set behind them
        (AuditorPublicKey, "tallystick-auditor-pub-v2:AAAA"),
        (AuditorPublicKey, "tallystick-auditor-pub-v2:" + "//////" * 270 + "//4="),
    ],
)
def test_a_line_that_is_no_key_is_refused_without_showing_it(kind, text):
    with pytest.raises(KeyFormatError) as caught:
        kind.from_text(text)
    value = text.partition(":")[2]
    assert not value or value not in str(caught.value)


def test_a_public_key_that_ml_kem_cannot_use_is_refused():
    with pytest.raises(KeyFormatError, match="ML-KEM"):
        AuditorPublicKey(b"\xff" * keys.MLKEM_PUBLIC_BYTES, bytes(32))


@pytest.mark.parametrize("show", [repr, str])
def test_no_text_form_shows_a_secret(show):
    key = EpochKey(LOG_ID, 3, b"\xa7" * 32)
    shown = show([WRITER, AUDITOR, key])
    secrets = [WRITER.secret, AUDITOR.seed, key.secret, key.extracted, key.nonce_key]
    for secret in secrets:
        assert secret.hex() not in shown.lower()
        assert repr(secret)[2:-1] not in shown


# Derivation and wraps


@pytest.mark.parametrize("info", [b"", b"tallystick/v2/record" + bytes(8)])
def test_hkdf_is_the_one_of_rfc_5869(info):
    whole = HKDF(hashes.SHA256(), 32, salt=LOG_ID, info=info).derive(EPOCH_KEY.secret)
    assert hkdf_expand(hkdf_extract(EPOCH_KEY.secret, LOG_ID), info) == whole
    assert EPOCH_KEY.extracted == hkdf_extract(EPOCH_KEY.secret, LOG_ID)
    assert hkdf_expand(EPOCH_KEY.secret, info) == HKDFExpand(hashes.SHA256(), 32, info).derive(EPOCH_KEY.secret)


def test_the_key_of_record_nonces_is_derived_as_the_specification_says():
    whole = HKDF(hashes.SHA256(), 32, salt=LOG_ID, info=b"tallystick/v2/nonce").derive(EPOCH_KEY.secret)
    assert EPOCH_KEY.nonce_key == whole


@pytest.mark.parametrize(
    ("log_id", "epoch", "secret"), [(LOG_ID[:31], 1, 32), (LOG_ID, 0, 32), (LOG_ID, 2**32, 32), (LOG_ID, 1, 31)]
)
def test_an_epoch_key_of_impossible_parts_is_refused(log_id, epoch, secret):
    with pytest.raises(KeyFormatError):
        EpochKey(LogId(log_id), epoch, bytes(secret))


def test_a_wrap_opens_for_its_auditor_alone():
    wrap = wrap_epoch_key(EPOCH_KEY, AUDITOR.public)
    assert len(wrap) == WRAP_BYTES
    assert wrap.startswith(AUDITOR.key_id)
    assert unwrap_epoch_key(wrap, AUDITOR, LOG_ID, 3) == EPOCH_KEY
    with pytest.raises(OpenError, match="is for key"):
        unwrap_epoch_key(wrap, OTHER_AUDITOR, LOG_ID, 3)
    with pytest.raises(OpenError, match="does not open"):
        unwrap_epoch_key(OTHER_AUDITOR.key_id + wrap[KEY_ID_BYTES:], OTHER_AUDITOR, LOG_ID, 3)


def test_a_wrap_opens_for_its_log_and_epoch_alone():
    wrap = wrap_epoch_key(EPOCH_KEY, AUDITOR.public)
    for log_id, epoch in ((LogId(keccak256(b"other")), 3), (LOG_ID, 4)):
        with pytest.raises(OpenError):
            unwrap_epoch_key(wrap, AUDITOR, log_id, epoch)


def test_two_wraps_of_one_key_differ():
    assert wrap_epoch_key(EPOCH_KEY, AUDITOR.public) != wrap_epoch_key(EPOCH_KEY, AUDITOR.public)


@pytest.mark.parametrize("at", [0, 7, 8, 500, 8 + 1088, 8 + 1119, 8 + 1120, WRAP_BYTES - 1])
def test_a_wrap_with_one_bit_changed_does_not_open(at):
    wrap = wrap_epoch_key(EPOCH_KEY, AUDITOR.public)
    with pytest.raises(OpenError):
        unwrap_epoch_key(flipped(wrap, at), AUDITOR, LOG_ID, 3)


@pytest.mark.parametrize("size", [0, WRAP_BYTES - 1, WRAP_BYTES + 1])
def test_a_wrap_of_another_size_is_refused(size):
    with pytest.raises(OpenError, match=str(WRAP_BYTES)):
        unwrap_epoch_key(bytes(size), AUDITOR, LOG_ID, 3)


def test_the_wrap_is_x_wing_in_hpke_as_the_specification_says():
    wrap = wrap_epoch_key(EPOCH_KEY, AUDITOR.public)
    info = b"tallystick/v2/epoch" + LOG_ID + (3).to_bytes(4, "big")
    assert open_hpke(wrap[KEY_ID_BYTES:], AUDITOR.seed, info) == EPOCH_KEY.secret


def test_a_key_pair_follows_from_its_seed_as_in_the_vector_of_x_wing():
    public = AuditorKey(xwing_vector.SEED).public
    assert public.mlkem.startswith(xwing_vector.PUBLIC_KEY_STARTS)
    assert public.x25519 == xwing_vector.PUBLIC_KEY_ENDS
    assert decapsulate(xwing_vector.ENCAPSULATION, xwing_vector.SEED) == xwing_vector.SHARED_SECRET


@pytest.mark.parametrize("size", [0, 31, 33, 96])
def test_a_seed_of_another_size_is_refused(size):
    with pytest.raises(KeyFormatError, match="has not 32 bytes"):
        AuditorKey(bytes(size))


# Files


def test_a_secret_file_is_for_its_owner_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        write_secret_file(tmp_path / "keys" / "wallet.key", "secret")
    finally:
        os.umask(before)
    path = tmp_path / "keys" / "wallet.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes() == b"secret\n"
    assert read_secret_file(path) == "secret"
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_file_is_never_overwritten(tmp_path):
    path = tmp_path / "wallet.key"
    write_secret_file(path, "first")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_secret_file(path, "second")
    assert read_secret_file(path) == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_not_written_through_a_link(tmp_path):
    (tmp_path / "wallet.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        write_secret_file(tmp_path / "wallet.key", "secret")
    assert not (tmp_path / "elsewhere").exists()


def test_of_many_writers_one_wins_and_its_secret_stands(tmp_path):
    path, won = tmp_path / "wallet.key", []

    def write(number: int) -> None:
        try:
            write_secret_file(path, f"secret {number}")
        except KeyFileError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_secret_file(path)] == [f"secret {number}" for number in won]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        write_secret_file(tmp_path / "wallet.key", "secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666, 0o610])
def test_a_secret_file_that_others_may_touch_is_refused_with_the_remedy(tmp_path, mode):
    path = tmp_path / "wallet.key"
    write_secret_file(path, "hunter2")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600") as caught:
        read_secret_file(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_an_auditors_public_key_in_the_place_of_a_private_one_is_called_so(tmp_path, mode):
    path = tmp_path / "auditor.pub"
    path.write_text(AuditorKey.generate().public.to_text() + "\n")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="is an auditor's public key, and a private one is needed here") as caught:
        read_secret_file(path)
    assert "chmod" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_secret_file_may_be_read_only(tmp_path, mode):
    path = tmp_path / "wallet.key"
    write_secret_file(path, "secret")
    path.chmod(mode)
    assert read_secret_file(path) == "secret"


def test_a_mounted_secret_is_read_through_its_link_and_its_mode_is_the_files(tmp_path):
    write_secret_file(tmp_path / "data", "secret")
    (tmp_path / "wallet.key").symlink_to(tmp_path / "data")
    assert read_secret_file(tmp_path / "wallet.key") == "secret"
    (tmp_path / "data").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod"):
        read_secret_file(tmp_path / "wallet.key")


def test_a_pipe_or_folder_is_no_key_file(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(KeyFileError):
            read_secret_file(path)


@pytest.mark.parametrize("read", [read_secret_file, read_public_file])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "one line"), (b"a\nb\n", "one line"), (b"\xff", "not a key file"), (b"x" * 8193, "longer")],
)
def test_a_file_that_is_not_one_line_is_refused(tmp_path, read, content, reason):
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=reason):
        read(path)


@pytest.mark.parametrize("read", [read_secret_file, read_public_file])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(KeyFileError, match="No such file") as caught:
        read(tmp_path / "none.key")
    assert caught.value.path.endswith("none.key")


def test_a_public_file_may_be_read_by_all(tmp_path):
    path = tmp_path / "auditor.pub"
    path.write_text(AUDITOR.public.to_text() + "\n")
    path.chmod(0o644)
    assert AuditorPublicKey.from_text(read_public_file(path)) == AUDITOR.public
