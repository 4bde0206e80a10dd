"""`tallystick verify answer.wav --headers headers.txt`: answers whose body is no JSON."""

import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from tallystick.record import Response
from tallystick.tasks.media import media_outputs
from tests.support.synthetic_log import SyntheticLog, synthetic_record

SOUND = b"RIFF any bytes WAVE"


@pytest.fixture
def spoken():
    """A log with one record, of a sound."""
    log = SyntheticLog()
    log.open_epoch()
    log.append([replace(synthetic_record(1), response=Response(outputs=media_outputs("audio/wav", [SOUND])))])
    return log


@pytest.fixture
def headed(spoken, tmp_path):
    """The sound, and the headers that came with it as curl writes them."""
    record, sealed = spoken.records[0], spoken.sealed[0]

    def in_header(document):
        return urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    headers = {
        "Content-Type": "audio/wav",
        "X-Tallystick-Receipt": in_header(spoken.receipts[0].to_json()),
        "X-Tallystick-Admission": in_header(spoken.admission(record).to_json()),
        "X-Tallystick-Request-Salt": "0x" + record.request.salt.hex(),
        "X-Tallystick-Record-Secret": "0x" + sealed.secret.hex(),
    }
    lines = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
    (tmp_path / "answer.wav").write_bytes(SOUND)
    (tmp_path / "headers.txt").write_text(lines + "\r\n", newline="")
    return tmp_path / "answer.wav", tmp_path / "headers.txt"


def response_check(result):
    return next(one for one in json.loads(result.stdout)["checks"] if one["number"] == 13)


def test_a_sound_is_what_its_receipt_was_signed_for(run, headed):
    sound, headers = headed
    assert response_check(run("verify", sound, "--headers", headers, "--json"))["held"] == 1


def test_a_sound_that_was_changed_is_not_what_was_signed(run, headed):
    sound, headers = headed
    sound.write_bytes(SOUND + b"!")
    result = run("verify", sound, "--headers", headers, "--json")
    assert response_check(result)["failed"] == 1


def test_a_sound_alone_is_nothing_that_can_be_verified(run, headed):
    sound, _ = headed
    assert run("verify", sound).exit_code == 2


@pytest.mark.parametrize("content", ["", "no headers", "HTTP/1.1 200 OK\r\n\r\n", "é"])
def test_headers_that_prove_nothing_are_refused(run, headed, content):
    sound, headers = headed
    headers.write_text(content)
    result = run("verify", sound, "--headers", headers)
    assert (result.exit_code, result.stdout) == (2, "")


def test_headers_are_for_a_saved_answer(run, node, headed):
    _, headers = headed
    assert "--headers is for a saved answer" in run("verify", *node, "--headers", headers).stderr
