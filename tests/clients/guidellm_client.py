import json
import os
import subprocess
import sys
from pathlib import Path

import feature

folder = Path(feature.FOLDER) / "guidellm"
folder.mkdir(parents=True, exist_ok=True)


def measured(address: str, model: str, bound: str = ",max_tokens=20") -> None:
    """A short benchmark in which every request is answered."""
    out, texts = folder / "report.json", folder / "texts.jsonl"
    texts.write_text("".join(json.dumps({"prompt": f"{feature.QUESTION} ({number})"}) + "\n" for number in range(4)))
    where = f"target={feature.BASE_URL.removesuffix('/v1')},model={model},api_key={feature.API_KEY}"
    command = [
        *(str(Path(sys.executable).with_name("guidellm")), "run", "--disable-console"),
        *("--backend", f"kind=openai_http,{where},request_format={address},validate_backend=false{bound}"),
        *("--profile", "kind=synchronous", "--constraint", "kind=max_requests,count=3"),
        *(
            "--data",
            f"kind=json_file,path={texts}",
            "--tokenizer",
            f"kind=hf_auto,model={os.environ['CLIENT_TOKENIZER']}",
        ),
        *("--output", f"kind=json,path={out}"),
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode != 0:
        raise AssertionError((ended.stderr or ended.stdout)[-300:])
    requests = json.loads(out.read_text())["benchmarks"][0]["requests"]
    if len(requests["successful"]) != 3 or requests["errored"]:
        raise AssertionError(
            f"{len(requests['successful'])} of 3 requests were answered: {str(requests['errored'])[-200:]}"
        )


feature.run(
    {
        "stream": lambda: measured("/v1/chat/completions", feature.CHAT_MODEL),
        "embeddings": lambda: measured("/v1/embeddings", feature.EMBEDDING_MODEL, ""),
        "completion": lambda: measured("/v1/completions", feature.CHAT_MODEL),
    }
)
