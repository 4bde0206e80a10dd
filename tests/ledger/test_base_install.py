"""The auditor's tools run where nothing of the service is installed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = (
    "torch",
    "transformers",
    "litestar",
    "uvicorn",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "web3",
    "eth_account",
    "eth_abi",
    "eth_keys",
    "eth",
    "aiohttp",
    "httpx",
    "zmq",
    "pydantic",
    "msgspec",
    "numpy",
    "tallystick_platform",
)
PROGRAM = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
import tallystick
for module in pkgutil.walk_packages(tallystick.__path__, "tallystick."):
    importlib.import_module(module.name)
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.verdict import Outcome
from tallystick.verify.vouching import Vouch
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.synthetic_log import AUDITOR, SyntheticLog
log = SyntheticLog()
log.open_epoch()
log.append_requests(3)
assert verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], messages=log.receipts)).outcome is Outcome.PROVEN
vouch = Vouch(how="a test", log_known=True)
assert verify_bundle(log.bundle(1), log.node(), vouch=vouch).outcome is Outcome.PROVEN
print("proven")
"""


def test_every_module_imports_and_a_log_is_verified_without_the_service_s_packages():
    command = [sys.executable, "-c", PROGRAM, ",".join(ABSENT)]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'ledger'}"}
    result = subprocess.run(command, env=path, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "proven\n", result.stderr
