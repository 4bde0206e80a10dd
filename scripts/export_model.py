"""Export a model in a format that runs elsewhere, and fetch it.

    python scripts/export_model.py MODEL DIR --format gguf --quantization Q8_0 --client .tallystick/keys/client.json
    python scripts/export_model.py FOLDER DIR --format onnx --local

Without `--local` a server exports the registered MODEL (or MODEL@VERSION), and the result is pulled and checked. With it the model in
FOLDER is exported here, without a server: no record, no receipt. Exit status 0 only if DIR holds a complete, checked export.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tallystick.cli.program import program
from tallystick.manifest import hash_folder

POLL_S = 0.5
ANSWER_LIMIT_S = 30
UNFINISHED = {"queued", "running"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a registered model, or with --local a model folder")
    parser.add_argument("target", type=Path, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument("--format", choices=("safetensors", "onnx", "gguf"), required=True)
    parser.add_argument("--quantization", help="such as F16, Q8_0, int4, int8; unset: what the format keeps best")
    parser.add_argument("--base", type=Path, help="with --local, where FOLDER is an adapter: the folder of its base")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--client", type=Path, help="a client file as `make run` writes one: server and token")
    where.add_argument("--local", action="store_true", help="export here, without a server")
    arguments = parser.parse_args()
    if arguments.local:
        return local(Path(arguments.model), arguments.base, arguments.target, arguments.format, arguments.quantization)
    return remote(arguments.model, arguments.target, arguments.format, arguments.quantization, arguments.client)


def remote(model: str, target: Path, kind: str, quantization: str | None, client: Path) -> int:
    """Have a server export, then pull."""
    try:
        known = json.loads(client.read_text())
        base_url, headers = known["base_url"].rstrip("/"), {"Authorization": f"Bearer {known['token']}"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{client} is no client file: {error}", file=sys.stderr)
        return 2
    body = json.dumps({"format": kind, "quantization": quantization}).encode()
    try:
        export = ask(f"{base_url}/v1/models/{quote(model, safe='/@')}/exports", headers, body)
        print(f"export {export['id']}, record {export['record']}", file=sys.stderr)
        while export["state"] in UNFINISHED:
            time.sleep(POLL_S)
            export = ask(f"{base_url}/v1/exports/{export['id']}", headers)
            tell(export["stage"] or export["state"], export["progress"])
    except urllib.error.HTTPError as error:
        print(f"the server refused: {error.read().decode(errors='replace')}", file=sys.stderr)
        return 2
    except urllib.error.URLError as error:
        print(f"the server does not answer: {error.reason}", file=sys.stderr)
        return 2
    if export["state"] != "finished":
        print(f"the export {export['state']}: {export['error']['message']}", file=sys.stderr)
        return 1
    program.main(["pull", f"{base_url}/v1/exports/{export['id']}", str(target), "--client", str(client)])
    return 0


def local(source: Path, base: Path | None, target: Path, kind: Any, quantization: str | None) -> int:
    """Export a folder in this process."""
    from tallystick_platform.errors import PlatformError
    from tallystick_platform.exporter.run import run
    from tallystick_platform.exporter.spec import ExportSpec
    from tallystick_platform.formats.folder import inspect_folder

    try:
        report = inspect_folder(source)
        digest = hash_folder(source).digest
        spec = ExportSpec(
            source=source,
            source_digest=digest,
            model=source.resolve().name,
            version=digest.hex()[:12],
            task=report.task,
            format=kind,
            quantization=quantization,
            target=target,
            licence=report.licence,
            command=f"export_model.py {source.name} --format {kind}"
            + (f" --quantization {quantization}" if quantization else ""),
            base=base,
            base_digest=None if base is None else hash_folder(base).digest,
        )
        result = run(spec, tell)
    except PlatformError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(json.dumps({"folder": str(target), **result.to_dict()}))
    return 0


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    """One question to the server."""
    if body is not None:
        headers = headers | {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S) as reply:
        return dict(json.load(reply))


def tell(stage: str, fraction: float) -> None:
    """One line on a terminal, overwritten as the work goes on."""
    if sys.stderr.isatty():
        print(f"\r{stage:<40.40} {fraction:4.0%}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
