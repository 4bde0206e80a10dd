"""What a person reads when the service is ready, and the same as one JSON object."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

QUESTION = "Why do people keep receipts?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where everything is."""

    base_url: str
    schema_url: str
    rpc_url: str
    contract: str
    log_id: str
    writer: str
    mode: str
    model: str | None
    keys_dir: str
    client_file: str | None


def as_json(ready: Ready) -> str:
    """One line for programs."""
    return json.dumps({"ready": True, **asdict(ready), "curl": curl_line(ready)})


def as_text(ready: Ready) -> str:
    """Lines for people."""
    rows = [
        ("API", ready.base_url + "/v1"),
        ("OpenAPI page", ready.schema_url),
        ("chain RPC", ready.rpc_url),
        ("contract", ready.contract),
        ("log id", ready.log_id),
        ("writer", ready.writer),
        ("keys", ready.keys_dir),
    ]
    if ready.client_file is not None:
        rows.append(("client", ready.client_file))
    lines = "".join(f"  {name:<13} {value}\n" for name, value in rows)
    verify = f"tallystick verify --rpc {ready.rpc_url} --contract {ready.contract} --log {ready.log_id}"
    if ready.client_file is not None:
        verify += f" --auditor-key {shlex.quote(str(Path(ready.keys_dir) / 'auditor.key'))}"
    return f"Tallystick is ready ({ready.mode} mode).\n{lines}\nAsk:\n\n{curl_line(ready)}\n\nVerify:\n\n{verify}\n"


def curl_line(ready: Ready) -> str:
    """A line that works when it is pasted into a shell; the token is read from its file, not shown."""
    if ready.client_file is None:
        token = "$TALLYSTICK_TOKEN"  # noqa: S105  (a name for the shell to fill in)
    else:
        pattern = r's/.*"token": *"\([^"]*\)".*/\1/p'
        token = f"$(sed -n {shlex.quote(pattern)} {shlex.quote(ready.client_file)})"
    body = json.dumps(
        {"model": ready.model or "MODEL", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 60}
    )
    return (
        f'curl -s {ready.base_url}/v1/chat/completions -H "Authorization: Bearer {token}" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
