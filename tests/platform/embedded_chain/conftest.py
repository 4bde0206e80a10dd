import pytest

from tallystick.keys import Wallet
from tests.support.accounts import Account
from tests.support.chains import TEST_KEY, deployed_ledger, direct_chain


@pytest.fixture
def account():
    """A funded account on a chain that mines each transaction at once."""
    wallet = Wallet(TEST_KEY)
    with direct_chain(prefund=[wallet.address]) as transport:
        yield Account(transport=transport, wallet=wallet)


@pytest.fixture
def patient_account(account):
    """A funded account on a chain that mines when told."""
    account.transport.auto_mine = False
    return account


@pytest.fixture
def ledger():
    with deployed_ledger() as deployed:
        yield deployed
