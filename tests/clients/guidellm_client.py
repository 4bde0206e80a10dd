import json
import os
import subprocess
import sys
from pathlib import Path

import feature

folder = Path(feature.FOLDER) / "guidellm"
folder.mkdir(parents=True, exist_ok=True)


def measured(kind: str) -> None:
    """A short benchmark in which every request is answered."""
    out = folder / f"{kind}.json"
    texts = folder / "texts.jsonl"
    texts.write_text("".join(json.dumps({"prompt": f"{feature.QUESTION} ({number})"}) + "\n" for number in range(4)))
    root = feature.BASE_URL.removesuffix("/v1")
    backend = {"api_key": feature.API_KEY, "extras": {"body": {"max_tokens": 20}}, "verify": False}
    command = [
        *(
            str(Path(sys.executable).with_name("guidellm")),
            "benchmark",
            "run",
            "--target",
            root,
            "--model",
            feature.CHAT_MODEL,
        ),
        *("--request-type", kind, "--backend-kwargs", json.dumps(backend), "--profile", "synchronous"),
        *(
            "--max-requests",
            "3",
            "--data",
            str(texts),
            "--processor",
            os.environ["CLIENT_TOKENIZER"],
            "--output-path",
            str(out),
        ),
        "--disable-console",
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode != 0:
        raise AssertionError((ended.stderr or ended.stdout)[-300:])
    requests = json.loads(out.read_text())["benchmarks"][0]["requests"]
    if len(requests["successful"]) != 3 or requests["errored"]:
        raise AssertionError(
            f"{len(requests['successful'])} of 3 requests were answered: {str(requests['errored'])[:200]}"
        )


feature.run({"stream": lambda: measured("chat_completions"), "completion": lambda: measured("text_completions")})
