"""Verdicts and records for people and for programs.

`documents` makes the JSON of `--json`, `text` the page on a terminal; both take what they say from the same `summary`, and from the verdict
alone. `lines` has what of an answer a person reads as a line. `printable` keeps what a record holds from steering the terminal that shows
it.
"""

from tallystick.report.documents import found_record_document, record_document, shown_fields_document, verdict_document
from tallystick.report.printable import printable
from tallystick.report.summary import remedies, summary
from tallystick.report.text import render_record, render_verdict

__all__ = [
    "verdict_document",
    "record_document",
    "found_record_document",
    "shown_fields_document",
    "render_verdict",
    "render_record",
    "summary",
    "remedies",
    "printable",
]
