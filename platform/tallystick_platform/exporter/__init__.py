"""Models in formats that run elsewhere, written and checked in a process of their own."""
