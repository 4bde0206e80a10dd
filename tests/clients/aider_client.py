import os
import subprocess
import sys
from pathlib import Path

import feature

folder = Path(feature.FOLDER) / "aider"
folder.mkdir(parents=True, exist_ok=True)


def asked(*options: str) -> str:
    """What the command answers to one question, in a folder without a repository."""
    command = [
        *(str(Path(sys.executable).with_name("aider")), "--model", f"openai/{feature.CHAT_MODEL}"),
        *("--openai-api-base", feature.BASE_URL, "--openai-api-key", feature.API_KEY, "--chat-mode", "ask"),
        *("--no-git", "--yes-always", "--no-check-update", "--no-analytics", "--no-pretty", "--no-show-model-warnings"),
        *("--map-tokens", "0", *options, "--message", feature.QUESTION),
    ]
    ended = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    said, counted, _ = ended.stdout.partition(
        "Tokens:"
    )  # before it, beside the answer, that prices could not be looked up
    if not counted:
        raise AssertionError(ended.stdout[-300:])
    return said


feature.run({"chat": lambda: feature.told(asked("--no-stream")), "stream": lambda: feature.told(asked("--stream"))})
