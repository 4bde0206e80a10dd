"""The keys of the service, and sealing under them.

- `keyring`: the operator's wallet, the auditors' public keys, the development client; where they come from in which mode.
- `epoch_keys`: one file per epoch key that the server still holds.
- `sealer`: seals records and drafts for the journal's writer, and signs for the log's writer.
"""

from tallystick_platform.sealing.epoch_keys import EpochKeyFiles
from tallystick_platform.sealing.keyring import Keyring, ensure_client, open_keyring
from tallystick_platform.sealing.sealer import LedgerSealer

__all__ = ["EpochKeyFiles", "Keyring", "LedgerSealer", "ensure_client", "open_keyring"]
