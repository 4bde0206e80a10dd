"""The Tallystick ledger: records, seals, trees, receipts and evidence, and how to check them all."""
