"""The registry: which models there are, in which versions, whose, and where their files lie."""
