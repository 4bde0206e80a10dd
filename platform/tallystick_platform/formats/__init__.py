"""What a model file or folder really is, read from its headers without loading it."""
