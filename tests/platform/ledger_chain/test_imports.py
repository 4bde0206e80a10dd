"""What is imported when: a production install has no EVM, and nobody waits for web3.py before it is used."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_EVM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"eth", "eth_bloom", "trie", "py_evm"} or name.startswith("tallystick_platform.embedded_chain"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Absent())
"""


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_server_imports_and_signs_without_the_packages_of_the_embedded_chain():
    told = ran(
        WITHOUT_EVM
        + "import tallystick_platform.app.serving, tallystick_platform.app.service, tallystick_platform.cli.journal\n"
        "import tallystick_platform.cli.logs, tallystick_platform.cli.doctor\n"
        "from tallystick.keys import Wallet\n"
        "from tallystick_platform.ledger_chain.client import LedgerClient\n"
        "from tallystick_platform.ledger_chain.signers import Fees, KeySigner\n"
        "client = LedgerClient(None, KeySigner(Wallet(bytes([1]) * 32)), 1)\n"
        "client.build_deploy(0, fees=Fees(max_fee_per_gas=1, max_priority_fee_per_gas=1))\n"
        "print('eth' in sys.modules)"
    )
    assert told == "False"


def test_without_the_embedded_chain_and_without_a_node_the_service_says_what_to_install():
    told = ran(
        "import asyncio, importlib.util, pathlib\n"
        "from tallystick_platform.app import chain_process\n"
        "from tallystick_platform.app.chain_process import ChainNotInstalled\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'eth' else real(name)\n"
        "chain = chain_process.ChainProcess(path=pathlib.Path('x'), port=0, chain_id=1, prefund=[])\n"
        "try:\n    asyncio.run(chain.start())\n"
        "except ChainNotInstalled as error:\n    print(error)"
    )
    assert "TALLYSTICK_CHAIN_RPC" in told
    assert "tallystick[devchain]" in told


def test_web3_is_not_imported_before_a_client_is_used():
    told = ran(
        "import sys\n"
        "import tallystick_platform.app.serving, tallystick_platform.ledger_chain.client, tallystick_platform.cli\n"
        "print(sorted({'web3', 'eth_account', 'eth_keyfile'} & set(sys.modules)))"
    )
    assert told == "[]"
