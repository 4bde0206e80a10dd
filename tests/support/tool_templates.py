"""Chat templates that tell a model of tools, in the ways of three families: as much of them as the tests need."""

from __future__ import annotations

HERMES = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    'Write <tool_call>\n{"name": <name>, "arguments": <arguments>}\n</tool_call><|im_end|>\n{% endif %}'
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    '{% for call in message.tool_calls %}<tool_call>\n{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}'
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = HERMES.replace("<tool_call>\n", "").replace("\n</tool_call>", "").replace('"arguments":', '"parameters":')
MISTRAL = HERMES.replace("<tool_call>\n", "[TOOL_CALLS] [").replace("\n</tool_call>", "]")
TEMPLATES = {"hermes": HERMES, "llama3": LLAMA3, "mistral": MISTRAL}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a town.",
        "parameters": {
            "type": "object",
            "properties": {
                "town": {"enum": ["Bern", "Basel"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 3},
            },
            "required": ["town", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


def written(form: str, *calls: tuple[str, str]) -> str:
    """Calls as a model of this family writes them."""
    if form == "hermes":
        return "\n".join(
            f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>' for name, arguments in calls
        )
    if form == "llama3":
        return "; ".join(f'{{"name": "{name}", "parameters": {arguments}}}' for name, arguments in calls)
    return (
        "[TOOL_CALLS]["
        + ", ".join(f'{{"name": "{name}", "arguments": {arguments}}}' for name, arguments in calls)
        + "]"
    )
