"""Walking the whole journal and naming whatever does not fit: `tallystick-server journal check`.

Every row's MAC is recomputed: it finds any change of a column, unless whoever made it has the operator's key. The inventory says which rows
there should be, each in its newest version: it finds what was deleted, a dropped tail, a revoked token put back. The other checks hold even
against someone who has the key, and narrow a finding down to the columns that contradict each other: numbers without gaps, one record
for each admission, leaves from sealed bytes, promises and receipts signed by the log's writer, batch roots and heads from leaves.

A journal replaced as a whole by an older copy of itself, or by an empty one, fits together. Only the chain tells: where it was asked, it is
compared with what the journal holds.
"""

from tallystick_platform.store.check.finding import ChainStanding, Checked
from tallystick_platform.store.check.walk import check_journal

__all__ = ["ChainStanding", "Checked", "Finding", "check_journal"]
