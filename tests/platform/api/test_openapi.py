"""The description is made from what handlers declare; each of its parts stands for one thing."""

from __future__ import annotations

import msgspec
import pytest
from litestar.types import ASGIApp

from tallystick_platform.api.endpoint import Endpoint
from tallystick_platform.api.openapi import Shapes, document
from tallystick_platform.api.replies import json_reply
from tallystick_platform.errors import Overloaded, PlatformError
from tests.support.api import HANDLERS

FIRST = msgspec.defstruct("Shown", [("a", int)])
SECOND = msgspec.defstruct("Shown", [("b", int)])


class Gone(PlatformError, status=410, code="gone"):
    """What was there is no more.

    A second paragraph is for whoever reads the code.
    """


@Endpoint("GET", "/things/{number:str}", "One thing", {200: FIRST, 304: None}, errors=(Gone, Overloaded), public=True)
async def get_thing(number: str) -> ASGIApp:
    return json_reply(number)


def described() -> dict:
    return document([*HANDLERS, get_thing])["paths"]["/things/{number}"]["get"]


def test_two_shapes_of_one_name_are_refused() -> None:
    shapes = Shapes()
    shapes.content(FIRST)
    with pytest.raises(ValueError, match="two shapes are called Shown"):
        shapes.content(SECOND)


def test_refusals_are_described_by_their_classes() -> None:
    responses = described()["responses"]
    assert responses["410"]["description"] == "`gone`: What was there is no more."
    assert "`overloaded`: A bound is reached" in responses["429"]["description"]
    assert "`too_many_requests`: " in responses["429"]["description"], "a subclass of what is declared"
    assert "`backlogged`: " in responses["503"]["description"], "with a status of its own"


def test_what_is_public_asks_for_no_token_and_refuses_none() -> None:
    operation = described()
    assert operation["security"] == []
    assert {"401", "403"}.isdisjoint(operation["responses"])


def test_an_answer_without_content_has_none() -> None:
    assert "content" not in described()["responses"]["304"]
    assert described()["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Shown")


def test_the_parts_of_an_address_are_described() -> None:
    [number] = described()["parameters"]
    assert (number["in"], number["required"], number["schema"]["minimum"]) == ("path", True, 0)
