"""Verdicts and records for people and for programs.

`documents` makes the JSON of `--json`, `text` the page on a terminal; both take what they say from the same `summary`, and from the verdict
alone. `lines` has what of an answer a person reads as a line. `printable` keeps what a record holds from steering the terminal that shows
it.
"""
