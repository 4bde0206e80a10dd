"""What is signed about a log, as EIP-712: the writer's receipts, admissions, heads, erasures and bundles, and a sender's requests.

- `messages`: the structs and the 32 bytes that are signed for each.
- `signed`: a message with its domain and signature, its JSON form, and who signed it.
- `members`: the strict reading of that JSON form.
"""
