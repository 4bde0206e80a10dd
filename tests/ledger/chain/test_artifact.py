import json

import pytest

from tallystick.chain import artifact
from tallystick.chain.artifact import load_artifact
from tallystick.chain.wire import MalformedAnswer
from tallystick.hashing import keccak256
from tests.support.chains import ROOT


def test_the_artifact_is_the_one_of_the_contract():
    document = json.loads((ROOT / "contracts/abi/InferenceLedger.json").read_text())
    loaded = load_artifact()
    assert loaded.bytecode.hex() == document["bytecode"].removeprefix("0x")
    assert list(loaded.abi) == document["abi"]


def test_the_code_hash_is_of_the_deployed_code():
    assert load_artifact().code_hash == keccak256(load_artifact().deployed_bytecode)


@pytest.mark.parametrize(
    "change", [{"bytecode": None}, {"deployedBytecode": "0xzz"}, {"abi": {}}, {"abi": [1]}, {"compiler": 5}]
)
def test_a_file_that_is_no_artifact_is_refused(change, monkeypatch, tmp_path):
    document = {"abi": [], "bytecode": "0x", "deployedBytecode": "0x", "compiler": "solc"} | change
    (tmp_path / "InferenceLedger.json").write_text(json.dumps(document))
    monkeypatch.setattr(artifact, "files", lambda _: tmp_path)
    with pytest.raises(MalformedAnswer):
        artifact.load_artifact.__wrapped__()
