import pytest

from tests.support.dishonest.auditors import Auditor


@pytest.fixture
def auditor(tmp_path):
    """Somebody with the auditor's key, a node, and the identifier of the log."""
    return Auditor(tmp_path)
