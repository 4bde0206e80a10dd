"""The logs that a reader trusts, in a file of the reader's own: a bundle names its log itself, so the trust must come from elsewhere.

Besides whose log it is, an entry remembers the last head that was verified: a log that does not pass through it any more is proven wrong.

- `logs`: the set of trusted logs, and what may stand in it.
- `file`: where it is kept (SPEC 10), how it is read and replaced, and who may have written to it.
"""
