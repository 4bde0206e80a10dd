"""The journal: admissions and records, durable and in their order.

- `tables`: the schema. `migrations/`: how a database of an older version gets there.
- `database`: opening it, with the durability that the promises need.
- `row_macs`: a MAC over every row, so that a changed column is found and named.
- `inventory`: which rows there are, so that a missing one is found. `row_writes`: the one way in which rows are written.
- `journal`: admissions and records, through one `writer` and group commits. Start reading there. `group` and `transaction` are what one
  commit does, `counters` the numbers that it gives out, `entries` what it answers with, `rollover` the change of epochs.
- `sealer`, `epoch_keys`: sealing records and drafts, signing for the log's writer; the keys of epochs as files.
- `batches`: the anchorer's side: which records stand in which batch, and how far each batch has come.
- `adoption`: going on behind a chain that knows more, after a backup was restored.
- `settlement`: the records that the journal itself writes.
- `records`, `tokens`, `jobs`: reading records, keeping API tokens and export jobs. `work`, `kept_files`: jobs of requests, and files of
  them, encrypted by `at_rest`. `opening`: records for
  their own senders, while their epoch's key is held. `answers`: what is given again to whoever repeats a
  request. `remembered`: the database's answers, for the event loop.
- `check`: walks everything and names whatever does not fit.
"""
