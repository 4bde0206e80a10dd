import hashlib
import json
import os

import pytest

from tallystick_platform.engine import weights_digest
from tallystick_platform.engine.weights_digest import DigestCache, compute
from tallystick_platform.errors import ModelUnusable


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "extra").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"weights" * 1_000)
    (folder / "extra" / "a.txt").write_bytes(b"a")
    return folder


def change_behind_its_times(path):
    status, data = path.stat(), bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_digest_can_be_computed_with_nothing_but_sha256(folder):
    names = ["config.json", "extra/a.txt", "model.safetensors"]
    listed = [
        {"algorithm": "sha256", "digest": hashlib.sha256((folder / name).read_bytes()).hexdigest(), "name": name}
        for name in names
    ]
    expected = hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).digest()
    assert compute(folder).digest == expected
    assert list(compute(folder).resources) == names


def test_the_listed_files_are_those_of_a_model_signing_signature(folder, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import signing

    key = tmp_path / "key.pem"
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    signature = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, signature)
    import base64

    payload = json.loads(base64.b64decode(json.loads(signature.read_text())["dsseEnvelope"]["payload"]))
    signed = {entry["name"]: bytes.fromhex(entry["digest"]) for entry in payload["predicate"]["resources"]}
    assert signed == compute(folder).resources
    assert weights_digest.combine(signed) == compute(folder).digest


def test_the_folders_own_name_does_not_matter(folder):
    before = compute(folder).digest
    assert compute(folder.rename(folder.with_name("other"))).digest == before


@pytest.mark.parametrize("change", ["content", "rename", "add", "remove", "move"])
def test_every_change_changes_the_digest(folder, change):
    before, path = compute(folder).digest, folder / "config.json"
    if change == "content":
        path.write_bytes(b"[]")
    elif change == "rename":
        path.rename(folder / "config.json5")  # keeps the order of the files: only the name tells
    elif change == "add":
        (folder / "new").write_bytes(b"")
    elif change == "remove":
        path.unlink()
    else:
        path.rename(folder / "extra" / "config.json")
    assert compute(folder).digest != before


def test_a_symbolic_link_is_refused(folder):
    (folder / "link").symlink_to(folder / "config.json")
    with pytest.raises(ModelUnusable):
        compute(folder)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnusable, match="there are no files"):
        compute(tmp_path / "empty")


def test_a_verified_folder_is_recalled_until_it_is_touched(folder, tmp_path):
    cache = DigestCache(tmp_path / "digests")
    assert cache.recall(folder) is None
    found = cache.verify(folder)
    assert cache.recall(folder) == found.digest == compute(folder).digest
    (folder / "config.json").write_bytes(b"[1]")
    assert cache.recall(folder) is None
    assert cache.verify(folder).digest != found.digest


def test_a_change_behind_the_files_times_is_refused(folder, tmp_path):
    cache = DigestCache(tmp_path / "digests")
    cache.verify(folder)
    change_behind_its_times(folder / "model.safetensors")
    with pytest.raises(ModelUnusable, match="changed without a trace"):
        cache.verify(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stamps": {}}', '{"stamps": 1, "digest": "zz"}'])
def test_a_damaged_cache_entry_is_as_good_as_none(folder, tmp_path, content):
    cache = DigestCache(tmp_path / "digests")
    cache.verify(folder)
    (entry,) = (tmp_path / "digests").iterdir()
    entry.write_text(content)
    assert cache.recall(folder) is None


def test_a_cache_entry_beyond_its_bound_is_not_read(folder, tmp_path, monkeypatch):
    cache = DigestCache(tmp_path / "digests")
    cache.verify(folder)
    assert cache.recall(folder) is not None
    monkeypatch.setattr(weights_digest, "MAX_CACHE_BYTES", 10)
    assert cache.recall(folder) is None
