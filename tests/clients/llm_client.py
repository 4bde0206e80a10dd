import json
import os
from pathlib import Path

import feature

home = Path(feature.FOLDER) / "llm"
home.mkdir(parents=True, exist_ok=True)
os.environ["LLM_USER_PATH"] = str(home)
entry = {"model_id": "here", "model_name": feature.CHAT_MODEL, "api_base": feature.BASE_URL, "api_key_name": "here"}
text = {**entry, "model_id": "here-text", "completion": True}
(home / "extra-openai-models.yaml").write_text(json.dumps([entry, text]))  # JSON is YAML
(home / "keys.json").write_text(json.dumps({"here": feature.API_KEY}))

import llm  # noqa: E402  (it reads its folder when it is imported)


def chat() -> None:
    feature.told(llm.get_model("here").prompt(feature.QUESTION, stream=False, max_tokens=20).text())


def stream() -> None:
    feature.streamed([piece for piece in llm.get_model("here").prompt(feature.QUESTION, max_tokens=20) if piece])


def history() -> None:
    conversation = llm.get_model("here").conversation()
    feature.told(conversation.prompt(feature.QUESTION, max_tokens=20).text())
    feature.told(conversation.prompt(feature.FOLLOW_UP, max_tokens=20).text())


def completion() -> None:
    feature.told(llm.get_model("here-text").prompt(feature.BEGINNING, stream=False, max_tokens=20).text())


feature.run({"chat": chat, "stream": stream, "history": history, "completion": completion})
