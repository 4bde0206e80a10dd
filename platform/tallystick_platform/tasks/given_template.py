"""Chat templates that come with a request: a small part of jinja2, with a bound on whatever one can spend.

    source --parsed: only what is listed here may stand in it--> rewritten, so that each value is counted --> rendered in the sandbox

The one variable is `messages`. There are no macros, no imports, no names of the environment's own, and no filters or methods that make
much of little, so that what a template costs follows from what was counted. Nothing depends on a clock: a replay renders the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from tallystick.errors import RequestError
from tallystick_platform.errors import PromptRejected

PARAM: Final = "chat_template"
MAX_TEMPLATE_CHARS: Final = 16_384
MAX_NESTING: Final = 48
"""Of blocks and expressions."""
MAX_TEXT_CHARS: Final = 1_048_576
"""Of any text on the way, and of all that is written."""
MAX_WORK: Final = 100_000
"""Values that are computed, a text of many characters counting as one more for each `CHARS_PER_UNIT`."""
CHARS_PER_UNIT: Final = 256
VARIABLE: Final = "messages"

FILTERS: Final = frozenset(
    ("capitalize", "count", "d", "default", "first", "last", "length", "lower", "string", "tojson", "trim", "upper")
)  # fmt: skip
METHODS: Final = frozenset(
    ("capitalize", "endswith", "get", "lower", "lstrip", "replace", "rstrip", "startswith", "strip", "title", "upper")
)
NAMESPACE: Final = "namespace"
_COUNTED: Final = "_counted"
"""No template can say it: names that begin so are refused."""
_OPERATORS: Final = (nodes.Add, nodes.Sub, nodes.Mod, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Concat)
_UNCOUNTED: Final = (nodes.Const, nodes.TemplateData, nodes.Slice, nodes.NSRef)
_TAKEN: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.NSRef, nodes.Name, nodes.Const,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Compare,
    nodes.Operand, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, *_OPERATORS,
)  # fmt: skip


def checked_template(source: str) -> str:
    """The same source, if it is a template of the kind that is taken. Raises: RequestError, saying what in it is not."""
    if not 1 <= len(source) <= MAX_TEMPLATE_CHARS:
        raise RequestError(PARAM, f"has {len(source)} characters; 1 to {MAX_TEMPLATE_CHARS} are taken")
    try:
        parsed = _Environment(lambda _: None).parse(source)
    except (jinja2.TemplateError, RecursionError) as error:
        reason = error.message if isinstance(error, jinja2.TemplateSyntaxError) else "it nests too deeply"
        raise RequestError(PARAM, f"is no template: {reason!a:.120}") from error
    _check(parsed, {VARIABLE, NAMESPACE, *_assigned(parsed)}, MAX_NESTING)
    return source


def render(
    source: str,
    messages: Sequence[Mapping[str, object]],
    rewrite: Callable[[nodes.Template], nodes.Template] = lambda parsed: parsed,
) -> str:
    """What a template writes. `rewrite` may change what stands in it before.

    Requires: `checked_template` took it.
    Raises: PromptRejected where it spends too much, or does not take these messages.
    """
    meter = _Meter()
    environment = _Environment(meter.counted)
    written: list[str] = []
    size = 0
    try:
        parsed: nodes.Template = _Counting().visit(rewrite(environment.parse(source)))
        for piece in environment.from_string(parsed).generate({VARIABLE: list(messages)}):
            size += len(piece)
            if size > MAX_TEXT_CHARS:
                raise PromptRejected(reason=f"the chat template writes more than {MAX_TEXT_CHARS} characters")
            written.append(piece)
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        SyntaxError,
    ) as error:
        raise PromptRejected(reason=f"the chat template does not take these messages: {error!s:.120}") from error
    return "".join(written)


class _Meter:
    """What one rendering may spend."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def counted(self, value: Any) -> Any:
        """The same value, once it is paid for. Raises: PromptRejected."""
        size = len(value) if isinstance(value, str | list | tuple | dict) else 0
        self._left -= 1 + size // CHARS_PER_UNIT
        if self._left < 0 or size > MAX_TEXT_CHARS:
            raise PromptRejected(
                reason="the chat template does more than is taken: it loops too much, or its texts grow too long"
            )
        return value


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in the options that chat templates are written for."""

    intercepted_binops = frozenset(("+", "-", "%"))

    def __init__(self, counted: Callable[[Any], Any]) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, autoescape=False, cache_size=0)
        self.globals = {NAMESPACE: self.globals[NAMESPACE], _COUNTED: counted}
        self.filters["tojson"] = _to_json

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Numbers are computed with, and texts and lists put together; a text is no pattern to be filled in."""
        if operator != "+" and not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TypeError(f"{operator} takes numbers")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, function: Any, *arguments: Any, **named: Any) -> Any:
        text = getattr(function, "__self__", None)
        if getattr(function, "__name__", "") == "replace" and isinstance(text, str) and len(arguments) > 1:
            old, new = arguments[:2]
            if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT_CHARS:
                raise PromptRejected(reason=f"the chat template makes a text of more than {MAX_TEXT_CHARS} characters")
        return super().call(context, function, *arguments, **named)


class _Counting(NodeTransformer):
    """Puts each value that is computed through the meter, and joins texts two by two, so that none grows past its bound unseen."""

    def generic_visit(self, node: nodes.Node, *arguments: Any, **named: Any) -> nodes.Node:
        """Below first, then the node. A method is called where it is found."""
        called = node.node if isinstance(node, nodes.Call) else None
        node = super().generic_visit(node, *arguments, **named)
        if isinstance(node, nodes.Call) and called is not None:
            node.node = called
        if isinstance(node, nodes.Concat):
            return reduce(lambda left, right: _counted(nodes.Concat([left, right], lineno=node.lineno)), node.nodes)
        if isinstance(node, nodes.For):
            node.body.insert(0, nodes.ExprStmt(_counted(nodes.Const(0, lineno=node.lineno)), lineno=node.lineno))
        if isinstance(node, _UNCOUNTED) or not isinstance(node, nodes.Expr) or getattr(node, "ctx", "load") != "load":
            return node
        return _counted(node)


def _counted(node: nodes.Expr) -> nodes.Expr:
    name = nodes.Name(_COUNTED, "load", lineno=node.lineno)
    return nodes.Call(name, [node], [], None, None, lineno=node.lineno)


def _check(node: nodes.Node, names: set[str], room: int) -> None:
    """Raises: RequestError for whatever a template may not hold."""
    if room == 0:
        raise RequestError(PARAM, f"nests deeper than {MAX_NESTING}")
    refused = f"a {type(node).__name__.lower()}" if not isinstance(node, _TAKEN) else _refused_in(node, names)
    if refused is not None:
        raise RequestError(PARAM, f"holds in line {node.lineno} {refused}, which is not taken")
    names = names | {"loop"} if isinstance(node, nodes.For) else names
    for child in node.iter_child_nodes():
        _check(child, names, room - 1)


def _refused_in(node: nodes.Node, names: set[str]) -> str | None:
    """What of a node is not taken; None where all of it is."""
    match node:
        case nodes.Name(name=name) | nodes.NSRef(name=name) if name.startswith("_") or name not in names:
            return f"the name {name!a:.60}: the one variable is {VARIABLE}"
        case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):
            return f"the attribute {name!a:.60}"
        case nodes.Call() | nodes.Filter() | nodes.Test() if node.dyn_args or node.dyn_kwargs:
            return "arguments out of a list"
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"the filter {name!a:.60}"
        case nodes.For(recursive=True):
            return "a loop that calls itself"
        case nodes.Call(node=nodes.Getattr(attr=name)) if name in METHODS:
            return None
        case nodes.Call(node=nodes.Name(name=name)) if name == NAMESPACE:
            return None
        case nodes.Call():
            return "a call of something else than a method of texts"
    return None


def _assigned(parsed: nodes.Template) -> Iterable[str]:
    """The names that a template gives."""
    return (one.name for one in parsed.find_all(nodes.Name) if one.ctx == "store")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(max(indent, 0), 8))
