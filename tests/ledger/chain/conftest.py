import pytest

from tests.support.chains import deployed_ledger


@pytest.fixture
def ledger():
    with deployed_ledger() as deployed:
        yield deployed
