"""Names for control tokens that nobody outside of this process knows, and the two places that use them.

A chat template writes control tokens as text, such as `<|im_end|>`, and the tokenizer turns that text into the token whoever wrote it. Here
the template is compiled once more so that it writes secret marks in their place, and the tokenizer is copied so that it knows the marks
and not the text. Whatever a message holds is text to that pair.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping

from jinja2 import nodes
from tokenizers import AddedToken, Tokenizer

MARK_BYTES = 16
_FIRST, _LAST = (
    "\ue000",
    "\ue001",
)  # letters for private use: no filter of a template strips them, no normaliser changes them
_SEPARATES = frozenset({"default", "d", "join"})  # filters whose arguments reach the output as they are
_TOLD = frozenset({"raise_exception", "strftime_now"})


class ControlMarks:
    """A secret mark for each control token. `random(n)` gives n unpredictable bytes."""

    __slots__ = ("_found", "_marks", "_spelled")

    def __init__(self, controls: Iterable[str], random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        secret = random(MARK_BYTES).hex()
        self._marks = {text: f"{_FIRST}{secret}.{at}{_LAST}" for at, text in enumerate(sorted(set(controls) - {""}))}
        longest_first = sorted(self._marks, key=lambda text: (-len(text), text))
        self._spelled = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._found = re.compile("|".join(map(re.escape, self._marks.values())) or r"(?!)")

    def mark(self, text: str) -> str:
        """A text of the model's own, with marks for its control tokens."""
        return self._spelled.sub(lambda match: self._marks[match[0]], text)

    def unmark(self, text: str) -> str:
        """What the text would be without marks."""
        texts = {mark: control for control, mark in self._marks.items()}
        return self._found.sub(lambda match: texts[match[0]], text)

    def tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        """A copy that knows control tokens by their marks alone, under the same ids.

        Raises: ValueError where this cannot be done for such a tokenizer.
        """
        state = json.loads(tokenizer.to_str())
        model = state["model"]
        for added in state["added_tokens"]:
            added["content"] = self._marks.get(added["content"], added["content"])
        vocabulary = model.get("vocab")
        if isinstance(vocabulary, dict):
            model["vocab"] = {self._marks.get(piece, piece): token_id for piece, token_id in vocabulary.items()}
        elif isinstance(vocabulary, list):
            model["vocab"] = [[self._marks.get(piece, piece), score] for piece, score in vocabulary]
        if model.get("unk_token") in self._marks:
            model["unk_token"] = self._marks[model["unk_token"]]
        try:
            copy = Tokenizer.from_str(json.dumps(state))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"the tokenizer cannot be copied: {error}") from error
        known = {added["content"] for added in state["added_tokens"]}
        # Pieces of the vocabulary proper, such as an end token that nobody declared: known by their mark as one token all the same.
        copy.add_special_tokens(
            [AddedToken(mark, normalized=False) for mark in self._marks.values() if mark not in known]
        )
        for control, mark in self._marks.items():
            if copy.token_to_id(mark) != tokenizer.token_to_id(control):
                raise ValueError(f"the tokenizer's copy has another id for {control!r:.80}")
        return copy

    def template(self, template: nodes.Template) -> nodes.Template:
        """The same template with marks in whatever text it writes, changed in place. What it compares and looks for stays."""
        self._walk(template, writes=True)
        return template

    def _walk(self, node: nodes.Node, *, writes: bool) -> None:
        if isinstance(node, nodes.TemplateData):
            node.data = self.mark(node.data)
        elif isinstance(node, nodes.Const):
            if writes and isinstance(node.value, str):
                node.value = self.mark(node.value)
        else:
            for field, value in node.iter_fields():
                below = writes and not _looks(node, field)
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, nodes.Node):
                        self._walk(child, writes=below)


def _looks(node: nodes.Node, field: str) -> bool:
    """Whether what stands in this place is looked at or looked for, and not written."""
    if isinstance(node, nodes.Compare | nodes.Test):
        return True
    if isinstance(node, nodes.If | nodes.CondExpr):
        return field == "test"
    if isinstance(node, nodes.Getitem):
        return field == "arg"
    if isinstance(node, nodes.Pair):
        return field == "key"
    if isinstance(node, nodes.Filter):
        return field != "node" and node.name not in _SEPARATES
    if isinstance(
        node, nodes.Call
    ):  # macros and `namespace` take what they will write; methods of texts what they look for
        written = isinstance(node.node, nodes.Name) and node.node.name not in _TOLD
        return field != "node" and not written
    return False


def marked_names(names: Mapping[str, str], marks: ControlMarks) -> dict[str, str]:
    """The special tokens that a template knows by name, by their marks."""
    return {name: marks.mark(text) for name, text in names.items()}
