"""Requests that come within a job, read and answered by the wires of the addresses that they name."""

from __future__ import annotations

from typing import Final

from tallystick.ids import Address
from tallystick_platform.api.error_table import describe, describe_recorded
from tallystick_platform.api.proofs import recorded_proof
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import JSON, encode_json
from tallystick_platform.api.services import Services
from tallystick_platform.api.wire import openai, texts
from tallystick_platform.api.wire.wire import Wire
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.jobs.asking import ReadLine
from tallystick_platform.store.work import LineAsked

CHAT: Final = openai.CHAT.routes[0]
COMPLETIONS: Final = openai.COMPLETIONS.routes[0]
WIRES: Final[dict[str, Wire]] = {
    wire.routes[0]: wire for wire in (openai.CHAT, openai.COMPLETIONS, openai.EMBEDDINGS, *texts.WIRES)
}
"""The addresses that requests of a job may name."""


class WireSpelling:
    """Implements `Spelling`."""

    def read(self, line: LineAsked) -> ReadLine:
        """What a request asks. Raises: BadRequest."""
        question = WIRES[line.path].read(line.path, [], line.body)
        if question.events is not None or question.content_type != JSON:
            raise BadRequest("Within a job, 'stream' cannot be true.", param="stream", code="unsupported_value")
        return ReadLine(
            asked=question.asked,
            reader=question.reader,
            written=lambda recorded: question.whole(recorded, recorded_proof(recorded.ticket, recorded.entry)),
        )

    def refused(self, line: LineAsked, failure: BaseException, recorded: Recorded | None) -> tuple[int, bytes]:
        """The status and the body of an error, with the proof of its record where there is one."""
        wire = WIRES[line.path]
        if recorded is None:
            return wire.error(describe(failure), None)
        proof = recorded_proof(recorded.ticket, recorded.entry)
        return wire.error(describe_recorded(failure), encode_json(proof))


async def path_of(services: Services, reference: str, address: Address) -> str:
    """Where a prompt for this model goes: to a chat, unless the model only goes on with texts. Raises: UnknownModel."""
    for model in services.exchange.models():
        if model.id.lower() == reference.partition("@")[0].lower():
            return CHAT if "chat" in model.tasks or "completion" not in model.tasks else COMPLETIONS
    version = await services.models.find(reference, address)
    return COMPLETIONS if version.task == "completion" else CHAT
