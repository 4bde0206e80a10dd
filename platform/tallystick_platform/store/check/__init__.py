"""Walking the whole journal and naming whatever does not fit: `tallystick-server journal check`.

Every row's MAC is recomputed, which finds any change of any column by anyone without the operator's key. The other checks hold even
against someone who has it, and narrow a finding down to the columns that contradict each other: numbers without gaps, one record for
each admission, leaves from sealed bytes, receipts signed by the log's writer, batch roots and heads from leaves.

What this cannot find: a journal replaced as a whole by an older copy of itself. The chain tells that (`tallystick verify`).
"""

from tallystick_platform.store.check.finding import Checked, Finding
from tallystick_platform.store.check.walk import check_journal

__all__ = ["Checked", "Finding", "check_journal"]
