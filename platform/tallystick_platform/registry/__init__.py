"""Models: registered, versioned, named by what their files are.

- `names`, `entries`: what a model, a version and a reference are; `lookup` finds them, `registry` holds them.
- `sources`, `hub`, `copying`: where models come from; each puts plain files into a staging folder. `conversion` looks at them there.
- `intake`, `folders`, `keeping`: how a staged folder becomes a version, in one piece; `folders` has the order.
- `uploads` (`upload_entries`, `upload_rows`): models from clients, in parts. `registrations`: from a hub at a client's word.
- `signatures`: who vouches for the files. `rows`: the database's side. `desk`: all of it, as the HTTP side asks it.
"""
