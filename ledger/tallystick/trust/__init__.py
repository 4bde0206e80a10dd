"""The logs that a reader trusts, in a file of the reader's own: a bundle names its log itself, so the trust must come from elsewhere.

Besides whose log it is, an entry remembers the last head that was verified: a log that does not pass through it any more is proven wrong.

- `logs`: the set of trusted logs, and what may stand in it.
- `file`: where it is kept (SPEC 10), how it is read and replaced, and who may have written to it.
"""

from tallystick.trust.file import MAX_FILE_BYTES, change_trust, default_path, read_trust, trust_text
from tallystick.trust.logs import MAX_HOW_CHARS, MAX_LOGS, MAX_NAME_CHARS, MAX_WRITERS, SeenHead, Trust, TrustedLog

__all__ = [
    "Trust",
    "TrustedLog",
    "SeenHead",
    "default_path",
    "read_trust",
    "change_trust",
    "trust_text",
    "MAX_FILE_BYTES",
    "MAX_HOW_CHARS",
    "MAX_LOGS",
    "MAX_NAME_CHARS",
    "MAX_WRITERS",
]
