"""The steps, oldest first, named by their number."""
