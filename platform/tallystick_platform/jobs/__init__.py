"""Work that outlives its request: exports, and what they leave to be fetched."""
