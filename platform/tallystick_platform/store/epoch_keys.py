"""Epoch keys as files: `keys/epochs/<n>.key`, mode 0600, for as long as the server needs them and no longer."""

from __future__ import annotations

import os
from pathlib import Path

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch, LogId
from tallystick.keys import EpochKey, read_secret_file, sync_folder, write_secret_file

KIND = "tallystick-epoch-key-v2"


class EpochKeyFiles:
    """The folder of one log's epoch keys."""

    def __init__(self, folder: Path, log_id: LogId) -> None:
        self._folder = folder
        self._log_id = log_id

    def create(self, epoch: Epoch) -> EpochKey:
        """The key of a new epoch, durable on return. One that a crash left unused is taken up.

        Raises: KeyFileError
        """
        known = self.load(epoch)
        if known is not None:
            return known
        key = EpochKey.generate(self._log_id, epoch)
        write_secret_file(self._path(epoch), f"{KIND}:{self._log_id.hex()}:{epoch}:{key.secret.hex()}")
        return key

    def load(self, epoch: Epoch) -> EpochKey | None:
        """The key of an epoch, if it is held.

        Raises: KeyFileError if there is a file and it is not that key.
        """
        path = self._path(epoch)
        if not path.exists():
            return None
        parts = read_secret_file(path).split(":")
        if len(parts) != 4 or parts[0] != KIND:
            raise KeyFileError(str(path), f"is not one line of {KIND}")
        if parts[1:3] != [self._log_id.hex(), str(epoch)]:
            raise KeyFileError(str(path), f"is a key of epoch {parts[2]} of log 0x{parts[1]}")
        try:
            return EpochKey(self._log_id, epoch, bytes.fromhex(parts[3]))
        except ValueError as error:
            raise KeyFileError(str(path), "does not hold 32 bytes of hex") from error

    def held(self) -> list[Epoch]:
        """The epochs whose keys are in the folder, ascending."""
        names = (path.stem for path in self._folder.glob("*.key"))
        return sorted(Epoch(int(name)) for name in names if name.isdecimal())

    def erase(self, epoch: Epoch) -> None:
        """Overwrite and remove a key; durable on return. On a copy-on-write disk the old bytes may stay until they are reused.

        Raises: KeyFileError
        """
        path = self._path(epoch)
        try:
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            sync_folder(self._folder)
        except OSError as error:
            raise KeyFileError(str(path), error.strerror or str(error)) from error

    def _path(self, epoch: Epoch) -> Path:
        return self._folder / f"{epoch}.key"
