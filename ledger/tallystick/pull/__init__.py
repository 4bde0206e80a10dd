"""Fetching a model's files, of an export or as they were registered: resumable, checked by digest, in its place only when it is whole.

A tour. `pull` in `pulling` is the whole of it: ask for the list of files, fetch each into a folder beside the target, check every
byte against the list's SHA-256, rename. `listing` reads the list and believes none of its names; `server` speaks HTTP; `staging` is the
folder beside the target, which survives a kill and lets the same command go on. `blobs` fetches the large fields of a record.
"""

from tallystick.pull.blobs import BlobFolder, Fetched, fetch_blobs
from tallystick.pull.pulling import Pulled, pull
from tallystick.pull.server import Server

__all__ = ["pull", "Pulled", "Server", "BlobFolder", "Fetched", "fetch_blobs"]
