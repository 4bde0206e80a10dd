"""A writer with the log's real key who lies about one thing, what its clients keep, and the auditor's command line that judges.

    log = begun()
    log.append([replace(log.request(), prompt={"messages": []})])
    auditor.judge(log).proves("request-binding", against=WRITER, saying="prompt")

`writers` makes the log and the lies (`contracts` on a real contract), `clients` what came with the answers, `auditors` runs
`tallystick verify` over a served node.
"""
