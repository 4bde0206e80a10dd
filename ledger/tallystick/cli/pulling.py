"""`tallystick pull`: a model's files, fetched and checked: an export, or what was registered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import click

from tallystick.cli.options import json_option, path_option
from tallystick.cli.output import progress, put_json
from tallystick.errors import KeyFileError, PullUnavailable
from tallystick.ids import to_hex
from tallystick.keys import read_secret_file
from tallystick.pull import Pulled, Server
from tallystick.pull import pull as fetch

TOKEN_FILE_ENV: Final = "TALLYSTICK_TOKEN_FILE"  # noqa: S105 - the name of a variable
EXPORTS_PATH: Final = "/v1/exports/"
MODELS_PATH: Final = "/v1/models/"
FILES_PATH: Final = "/files"
EXAMPLES: Final = """\b
Examples:
  tallystick pull https://host/v1/exports/EXPORT ./model --token-file token.txt
  tallystick pull EXPORT ./model --client client.json
  tallystick pull --original acme/mine@3f9c1b2a ./model --client client.json
  tallystick verify --model ./model evidence.json --replay
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What a client file says: where its server is, and the token for it."""

    base_url: str
    token: str


@click.command(epilog=EXAMPLES, short_help="Fetch an export of a model, or the model's own files.")
@click.argument("named", metavar="EXPORT")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@path_option(
    "--token-file",
    envvar=TOKEN_FILE_ENV,
    show_envvar=True,
    help="A file that holds the API token and nothing else.",
)
@path_option(
    "--client",
    "client_file",
    help="A client file as `make run` writes one: server and token. EXPORT may then be the export's id alone.",
)
@click.option(
    "--original",
    is_flag=True,
    help="EXPORT is a model, or MODEL@VERSION: fetch the files that it was registered with, which are what answered.",
)
@json_option
def pull(
    named: str, folder: Path, token_file: Path | None, client_file: Path | None, original: bool, as_json: bool
) -> None:
    """Fetch an export into a new folder, and check every file and the digest of all.

    EXPORT is the export's address, https://host/v1/exports/ID, or that of a model's own files, https://host/v1/models/MODEL/files. DIR
    appears once everything is there and proven to be what the server listed. Until then the files gather beside it, and the same command
    goes on where an earlier one was stopped.
    """
    if token_file is not None and client_file is not None:
        raise click.UsageError("--token-file and --client both name a token: give one of them")
    client = None if client_file is None else _client(client_file)
    url = _address(named, client, original=original)
    token = client.token if client is not None else None if token_file is None else read_secret_file(token_file)
    server = Server(url, token)
    click.get_current_context().call_on_close(server.close)
    if server.in_clear and token is not None:
        click.echo("the address is not https: whoever is on the way can read the token", err=True)
    try:
        with progress("pulling", in_bytes=True) as tell:
            pulled = fetch(server, folder.absolute(), tell)
    except (KeyboardInterrupt, PullUnavailable):
        click.echo("what has come is kept beside the folder; the same command goes on from there", err=True)
        raise
    _put(pulled, folder, as_json=as_json)


def _address(named: str, client: Client | None, *, original: bool) -> str:
    """The URL of the files; a client's token goes to the client's own server and nowhere else."""
    if "://" in named:
        if client is not None and _origin(named) != _origin(client.base_url):
            raise click.UsageError(f"the client file is for {client.base_url}, and {named} lies elsewhere")
        is_list = urlsplit(named).path.rstrip("/").endswith(FILES_PATH)
        return named.rstrip("/") + FILES_PATH if original and not is_list else named
    if client is None:
        raise click.UsageError(f"{named} is a name alone, which needs --client to say where; or give its whole address")
    if not original and "/" in named:
        raise click.UsageError(f"{named} is no export's id: a model's own files are fetched with --original")
    below = f"{MODELS_PATH}{quote(named, safe='/@')}{FILES_PATH}" if original else EXPORTS_PATH + quote(named, safe="")
    return client.base_url.rstrip("/") + below


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"{url} is no address: {error}") from error
    return parts.scheme, parts.hostname, port


def _client(path: Path) -> Client:
    try:
        document = json.loads(read_secret_file(path))
        base_url, token = document["base_url"], document["token"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyFileError(str(path), "is not a client file") from error
    if not isinstance(base_url, str) or not isinstance(token, str):
        raise KeyFileError(str(path), "is not a client file")
    return Client(base_url=base_url, token=token)


def _put(pulled: Pulled, folder: Path, *, as_json: bool) -> None:
    if as_json:
        put_json(
            {
                "folder": str(folder),
                "manifest_digest": to_hex(pulled.digest),
                "files": pulled.files,
                "bytes": pulled.size,
                "received_bytes": pulled.received,
                "export_record": pulled.export_record,
                "records": list(pulled.records),
            }
        )
        return
    received = "nothing was missing" if not pulled.received else f"{pulled.received} of {pulled.size} bytes fetched now"
    click.echo(f"{folder}: {pulled.files} files, digest {to_hex(pulled.digest)}; {received}")
    if pulled.export_record is not None:
        click.echo(f"made by record {pulled.export_record}, whose evidence tallystick verify --model can be given")
    if pulled.records:
        click.echo(f"fetched as {', '.join(pulled.records[:3])}{' ...' if len(pulled.records) > 3 else ''}")
