"""Try real clients against a running server, and write docs/clients.md. By hand, not in CI: it installs a dozen packages and their own.

    tallystick-server serve                       # in another terminal, with a chat model and an embedding model
    python scripts/client_matrix.py --key-file ~/.tallystick/keys/client.json --embedding-model demo-embedding

Each client gets an environment of its own below `--work`, and runs its program from tests/clients. A feature that a client has and that
does not work is a red cell with the reason; the exit code says whether there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "clients"
FEATURES = ("chat", "stream", "history", "embeddings", "completion")
INSTALL_LIMIT_S = 1_800
PROGRAM_LIMIT_S = 900


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client. `packages[0]` gives the version that is shown; `lacks` says why a feature is not there to be tried."""

    name: str
    program: str
    packages: tuple[str, ...]
    lacks: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def in_python(self) -> bool:
        """Whether it comes from PyPI; else from npm."""
        return self.program.endswith(".py")


_ONE_QUESTION = {
    "history": "one command asks one question",
    "embeddings": "it has none",
    "completion": "it asks chat models only",
}
_AI = ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")

CLIENTS = (
    Client(name="openai (Python)", program="openai_python.py", packages=("openai",)),
    Client(name="openai (JavaScript)", program="openai_javascript.mjs", packages=("openai",)),
    Client(name="langchain-openai", program="langchain_openai_client.py", packages=("langchain-openai",)),
    Client(
        name="llama-index",
        program="llama_index_client.py",
        packages=("llama-index-llms-openai-like", "llama-index-embeddings-openai"),
    ),
    Client(name="litellm", program="litellm_client.py", packages=("litellm",)),
    Client(
        name="llm",
        program="llm_client.py",
        packages=("llm",),
        lacks={"embeddings": "its embedding models for OpenAI's API have fixed names and address"},
    ),
    Client(name="AI SDK, openai-compatible", program="vercel_ai.mjs", packages=_AI),
    Client(name="AI SDK, openai", program="vercel_ai.mjs", packages=_AI, arguments=("openai",)),
    Client(
        name="pydantic-ai",
        program="pydantic_ai_client.py",
        packages=("pydantic-ai-slim[openai]",),
        lacks={"completion": "it asks chat models only"},
    ),
    Client(name="aider", program="aider_client.py", packages=("aider-chat",), lacks=_ONE_QUESTION),
    Client(
        name="guidellm",
        program="guidellm_client.py",
        packages=("guidellm",),
        lacks={
            "chat": "it measures streams",
            "history": "it sends prompts that do not depend on answers",
        },
    ),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How one feature of one client went."""

    mark: str
    reason: str = ""


def main() -> int:
    """Install, run, write. The exit code is 1 where something does not work that the client has."""
    options = _options()
    served = _served(options)
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for client in CLIENTS:
        if options.only and not any(word in client.name.lower() for word in options.only):
            continue
        print(f"{client.name}: installing", file=sys.stderr, flush=True)
        version, cells = _tried(client, work, served)
        print(
            f"{client.name} {version}: " + ", ".join(f"{name} {cell.mark}" for name, cell in cells.items()), flush=True
        )
        rows.append((client, version, cells))
    if not options.only:
        options.out.write_text(_page(rows))
        print(f"written: {options.out}", file=sys.stderr)
    return int(any(cell.mark == "no" for _, _, cells in rows for cell in cells.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8080/v1", help="the server's, with /v1")
    parser.add_argument("--key-file", type=Path, required=True, help="keys/client.json of the server's folder")
    parser.add_argument("--chat-model", help="by default the first chat model that the server lists")
    parser.add_argument("--embedding-model", help="by default the first embedding model that it lists")
    parser.add_argument("--tokenizer", help="folder of the chat model's tokenizer; guidellm counts with it")
    parser.add_argument(
        "--work", type=Path, default=Path.home() / ".cache" / "tallystick-clients", help="where to install"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "clients.md")
    parser.add_argument(
        "--only", nargs="*", help="clients whose name holds one of these words; then nothing is written"
    )
    return parser.parse_args()


def _served(options: argparse.Namespace) -> dict[str, str]:
    """What the programs are told of the server."""
    key = json.loads(options.key_file.read_text())["token"]
    with urlopen(
        Request(f"{options.base_url}/models", headers={"Authorization": f"Bearer {key}"}), timeout=30
    ) as answer:
        models = json.load(answer)["data"]

    def first(task: str) -> str:
        found = [model["id"] for model in models if model["task"] == task]
        if not found:
            sys.exit(f"the server lists no model for the task {task}; register one, or name it")
        return str(found[0])

    return {
        "CLIENT_BASE_URL": options.base_url,
        "CLIENT_API_KEY": key,
        "CLIENT_CHAT_MODEL": options.chat_model or first("chat"),
        "CLIENT_EMBEDDING_MODEL": options.embedding_model or first("embedding"),
        "CLIENT_TOKENIZER": options.tokenizer or "",
    }


def _tried(client: Client, work: Path, served: dict[str, str]) -> tuple[str, dict[str, Cell]]:
    folder = work / client.packages[0].partition("[")[0].replace("@", "").replace("/", "-")
    folder = folder.with_name(folder.name + ("-python" if client.in_python else "-node"))
    try:
        command, version = _python(client, folder) if client.in_python else _node(client, folder)
    except subprocess.CalledProcessError as error:
        reason = f"not installed: {error.stderr.strip().splitlines()[-1] if error.stderr else error}"
        return "", {name: Cell(mark="no", reason=reason) for name in FEATURES if name not in client.lacks}
    environment = {**os.environ, **served, "CLIENT_FOLDER": str(folder / "home")}
    ended = subprocess.run(
        [*command, *client.arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PROGRAM_LIMIT_S,
        check=False,
    )
    (folder / "stderr.log").write_text(ended.stderr)
    outcomes = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"feature"')]
    cells = {name: Cell(mark="-", reason=reason) for name, reason in client.lacks.items()}
    cells |= {one["feature"]: Cell(mark="yes" if one["ok"] else "no", reason=one["detail"]) for one in outcomes}
    for name in FEATURES:
        cells.setdefault(name, Cell(mark="no", reason=ended.stderr.strip()[-200:] or "its program said nothing"))
    return version, {name: cells[name] for name in FEATURES}


def _python(client: Client, folder: Path) -> tuple[list[str], str]:
    """The command that runs the client's program in an environment of its own, and the client's version."""
    python = folder / "bin" / "python"
    if not (folder / ".stamp").exists():
        venv.create(folder, with_pip=True, clear=True)
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *client.packages])
        (folder / ".stamp").touch()
    name = client.packages[0].partition("[")[0]
    asked = f"from importlib.metadata import version; print(version({name!r}))"
    version = _run([str(python), "-c", asked]).strip()
    return [str(python), str(PROGRAMS / client.program)], version


def _node(client: Client, folder: Path) -> tuple[list[str], str]:
    """The same for JavaScript; the program is copied, since Node looks for packages beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".stamp").exists():
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        _run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", *client.packages], folder)
        (folder / ".stamp").touch()
    for name in ("feature.mjs", client.program):
        shutil.copy(PROGRAMS / name, folder / name)
    installed = json.loads((folder / "node_modules" / client.packages[0] / "package.json").read_text())
    return ["node", client.program], str(installed["version"])


def _run(command: list[str], folder: Path | None = None) -> str:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=True
    ).stdout


def _page(rows: list[tuple[Client, str, dict[str, Cell]]]) -> str:
    lines = [
        "# Clients",
        "",
        "What real clients do against this server, each installed from its registry and run with the programs of `tests/clients`.",
        "Written by `scripts/client_matrix.py`; run it to see it with the versions of today.",
        "",
        "| client | version | " + " | ".join(FEATURES) + " |",
        "|---|---|" + "---|" * len(FEATURES),
    ]
    notes = []
    for client, version, cells in rows:
        lines.append(f"| {client.name} | {version} | " + " | ".join(cells[name].mark for name in FEATURES) + " |")
        notes += [f"- {client.name}, {name}: {cell.reason}" for name, cell in cells.items() if cell.mark != "yes"]
    meaning = (
        "`chat` is an answer sent whole, `stream` one that comes in pieces, `history` an answer that is sent back with the next question "
        "as the client itself spells it, `embeddings` two texts in one request, `completion` a prompt without roles."
    )
    return "\n".join([*lines, "", meaning, "", "What is not `yes`, and why:", "", *notes, ""])


if __name__ == "__main__":
    sys.exit(main())
