"""Models: registered, versioned, named by what their files are.

`names` and `entries` say what a model, a version and a reference are; `registry` holds them; `rows` is their place in the
database and `folders` on disk; `sources` bring models in, `uploads` from clients, in parts; `signatures` says who vouches for them.
"""
