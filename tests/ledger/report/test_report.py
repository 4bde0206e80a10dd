import json
from dataclasses import replace

import pytest
from rich.console import Console

from tallystick.errors import Party, PriceArithmeticError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.record import FIELD_NAMES, BlobRef, ProofOfCompute
from tallystick.report.documents import record_document, shown_fields_document, verdict_document
from tallystick.report.lines import MAX_ROWS
from tallystick.report.printable import printable
from tallystick.report.summary import ranges, remedies, summary
from tallystick.report.text import MAX_SHOWN_TEXT, render_record, render_verdict
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.verdict import Outcome, Status
from tallystick.verify.vouching import Vouch
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.synthetic_log import AUDITOR, SyntheticLog, synthetic_record


@pytest.fixture(scope="module")
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    return log


def page(verdict):
    return render_verdict(verdict, version="9.9", checked_at_s=1_760_000_000).plain


def with_failures(verdict, count, found_count=None):
    failures = tuple(PriceArithmeticError(f"record {n}", "one charge", "another\x1b[2J") for n in range(count))
    first = replace(verdict.checks[15], failed=count, status=Status.FAIL)
    checks = (*verdict.checks[:15], first, *verdict.checks[16:])
    total = found_count or count
    return replace(
        verdict, checks=checks, failures=failures, failures_found=total, proven_found=((Party.WRITER, total),)
    )


def test_the_page_says_who_checked_what_against_what(log):
    text = page(verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR])))
    for part in (
        "chain 73571",
        "contract 0xC0C0",
        "code hash 0x",
        f"log 0x{log.reader().log_id.hex()}",
        "3 records in 1 batch, 2 entries, head 0x",
        "promises 3600 s",
        f"auditor key {AUDITOR.key_id.hex()}",
        "checked by tallystick 9.9 at 2025-10-09T08:53:20.000Z",
        f"to block {log.blocks[-1].number} (0x{log.blocks[-1].hash.hex()}",
    ):
        assert part in text


def test_each_check_stands_on_the_page_with_its_count_or_its_reason(log):
    lines = page(verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR]))).splitlines()
    rows = {line[:2].strip(): line for line in lines if line[:2].strip().isdigit()}
    assert set(rows) == {str(number) for number in range(1, 18)}
    assert rows["3"].split() == ["3", "leaves", "pass", "3", "leaves"]
    assert rows["8"].endswith("skipped     no receipt was given")
    assert rows["17"].split()[2:6] == ["not", "covered", "3", "sender"]


def test_checks_that_were_not_asked_for_for_one_reason_share_a_line(log):
    text = page(verify_log(log.reader(), VerifyOptions()))
    assert " 9 decryption to 17 sender-proof: skipped\n" in text
    assert "no auditor's key was given" in text


def test_the_summary_never_leaves_out_what_was_not_covered(log):
    closed = summary(verify_log(log.reader(), VerifyOptions()))
    assert closed.startswith(
        f"Proven as of block {log.blocks[-1].number}: all that was asked for was checked and holds"
    )
    assert closed.endswith("Not asked for: 8 to 17.")
    offline = summary(verify_bundle(log.bundle(1), vouch=Vouch(how="here", log_known=True)))
    assert offline.startswith("Proven offline, without a chain node:")
    assert "Not covered: 17 sender-proof." in offline


def test_what_could_not_be_checked_is_named_with_what_would_make_it_possible(log):
    verdict = verify_bundle(log.bundle(1))
    text = page(verdict)
    assert summary(verdict).startswith("Could not check all that was asked for: 6 authorship.")
    (remedy,) = remedies(verdict)
    assert f"what would make the rest possible:\n  {remedy}\n" in text


@pytest.mark.parametrize(
    ("numbers", "words"), [([], ""), ([3], "3"), ([1, 2], "1 to 2"), ([1, 3, 4, 5, 9], "1, 3 to 5, 9")]
)
def test_numbers_are_told_in_few_words(numbers, words):
    assert ranges(numbers) == words


def test_failures_are_shown_with_expected_found_and_who_and_what_is_left_out_is_counted(log):
    verdict = with_failures(verify_log(log.reader(), VerifyOptions()), 2, found_count=7)
    text = page(verdict)
    failure = "check 16 price-arithmetic: record 0\n  expected one charge\n  found    another\\x1b[2J\n"
    assert f"{failure}  accuses  the log's writer\n" in text
    assert "and 5 more" in text
    told = "Proven wrong: the log's writer (7 failures) contradicted itself, in 16 price-arithmetic."
    assert summary(verdict).startswith(told)


def test_failures_that_prove_nothing_accuse_nobody(log):
    verdict = replace(with_failures(verify_log(log.reader(), VerifyOptions()), 1), proven_found=())
    assert verdict.outcome is Outcome.UNCHECKED
    assert "accuses  the log's writer (not proven)" in page(verdict)
    assert "ask another one" in summary(verdict)


def test_a_verdict_in_which_nothing_held_claims_nothing(log):
    verdict = verify_log(log.reader(), VerifyOptions())
    nothing = replace(
        verdict, checks=tuple(replace(check, held=0, status=Status.NOT_COVERED) for check in verdict.checks)
    )
    assert nothing.outcome is Outcome.UNCHECKED
    assert summary(nothing).startswith("Nothing could be checked.")


def test_the_document_of_a_verdict_is_json_and_says_the_same(log):
    verdict = with_failures(verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR])), 1)
    document = json.loads(json.dumps(verdict_document(verdict, version="9.9", checked_at_s=5)))
    assert document["outcome"] == "proven wrong"
    assert document["checked_by"] == "tallystick 9.9"
    assert [check["number"] for check in document["checks"]] == list(range(1, 18))
    assert document["failures"] == [
        {
            "check": 16,
            "name": "price-arithmetic",
            "where": "record 0",
            "expected": "one charge",
            "found": "another\x1b[2J",
            "accused": "the log's writer",
            "rests_on_times": False,
        }
    ]
    assert document["accused"] == [{"party": "the log's writer", "failures": 1}]
    assert document["subject"]["kind"] == "log"
    assert document["subject"]["opened"] == {"from": 0, "to": None}


def test_colour_is_the_console_s_business_and_plain_when_piped(log, capsys):
    Console(file=None, soft_wrap=True).print(
        render_verdict(verify_log(log.reader(), VerifyOptions()), version="1", checked_at_s=0)
    )
    assert "\x1b" not in capsys.readouterr().out


def test_a_record_is_shown_field_by_field_in_json():
    record = replace(
        synthetic_record(1),
        prompt=BlobRef(digest=b"\x01" * 32, length=30_000, sealed_digest=b"\x02" * 32),
        proof_of_compute=ProofOfCompute(class_="statistical", toploc=b"\x03"),
    )
    document = json.loads(json.dumps(record_document(record)))
    assert set(document) == set(FIELD_NAMES)
    assert document["prompt"] == {
        "blob": {"digest": "0x" + "01" * 32, "length": 30_000, "sealed_digest": "0x" + "02" * 32}
    }
    assert document["proof_of_compute"] == {"class": "statistical", "toploc": "0x03"}
    assert document["id"].count("-") == 4
    assert json.loads(document["request"]["body"])["seed"] == 1
    assert document["follows"] is None
    assert set(shown_fields_document(record, ["price", "gpu"])) == {"price", "gpu"}


def test_what_a_record_holds_cannot_steer_the_terminal():
    record = synthetic_record(1, answer="\x1b[2J safe \u202e")
    text = render_record(record_document(record)).plain
    assert "\x1b" not in text
    assert "\\x1b[2J safe \\u202e" in text


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\x7f", "\x9b", "\r", "\u200f", "\u202e", "\u2066", "\u2028", "\ud800"]
)
def test_characters_that_steer_or_reorder_are_escaped(character):
    assert printable(f"a{character}b") not in (f"a{character}b", "ab")


@pytest.mark.parametrize("text", ["a\tb\nc", "Grüße, 世界", "🙂", "שלום"])
def test_ordinary_text_stays_as_it_is(text):
    assert printable(text) == text


def test_a_text_longer_than_the_bound_is_cut_and_says_so():
    text = render_record({"response": "x" * (MAX_SHOWN_TEXT + 7)}).plain
    assert text.endswith("... (7 more characters)")
    assert "more" not in render_record({"response": "x" * MAX_SHOWN_TEXT}).plain


def test_a_time_beyond_the_calendar_is_still_shown():
    record = synthetic_record(1)
    text = render_record(record_document(replace(record, time=replace(record.time, finished_at=2**53 - 1)))).plain
    assert "finished_at 9007199254740991 us" in text
    assert "0199" not in render_record({"block_time": 2**60}).plain


def test_a_request_that_is_no_text_is_shown_in_hex():
    record = synthetic_record(1)
    document = record_document(replace(record, request=replace(record.request, body=b"\xff\x00")))
    assert document["request"]["body"] == "0xff00"


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([{"label": "good", "score": 0.75}, {"label": "b\x1bad", "score": 0.25}], ["0.7500  good", "0.2500  b\\x1bad"]),
        ([{"index": 3, "score": 0.5}, {"index": 0, "score": -1.0}], ["0.5000  document 3", "-1.0000  document 0"]),
        ([{"entity": "PER", "score": 0.5, "start": 0, "end": 3, "word": "Ann"}], ["0.5000  PER  Ann  (0 to 3)"]),
        (
            [
                {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []},
                {
                    "token": "\n",
                    "bytes": [10],
                    "logprob": -1.25,
                    "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -0.75}],
                },
            ],
            ["-0.5000  'a'", "-1.2500  '\\n'  beside 'b' -0.7500"],
        ),
    ],
)
def test_labels_ranks_and_entities_are_lines(parts: list[dict[str, object]], lines: list[str]) -> None:
    page = str(render_record({"content": parts}))
    assert page == "\n  ".join(["content", *lines])


def test_a_transcript_is_shown_with_its_times():
    said = [{"start_ms": 0, "end_ms": 2500, "text": "One"}, {"start_ms": 3_661_001, "end_ms": 3_662_000, "text": "two"}]
    page = str(render_record({"segments": said}))
    assert page == "segments\n  0:00:00.000 - 0:00:02.500  One\n  1:01:01.001 - 1:01:02.000  two"


def test_tokens_of_a_completion_are_lines_with_their_probabilities():
    shown = {"tokens": ["a", " b"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {" b": -0.5, "c": -2.0}]}
    page = str(render_record({"logprobs": shown | {"text_offset": [0, 1]}}))
    assert page == "logprobs\n  -  'a'\n  -0.5000  ' b'  beside 'c' -2.0000"


def test_predictions_are_shown_as_a_table():
    likely = {"predictions": ["ash", "oak"], "classes": ["ash", "oak"], "probabilities": [[0.75, 0.25], [0.0, 1]]}
    page = str(render_record({"content": likely}))
    assert page == "content\n  prediction  ash     oak\n  ash         0.7500  0.2500\n  oak         0.0000  1"
    many = str(render_record({"content": {"predictions": list(range(MAX_ROWS + 2))}}))
    assert many.endswith("\n  99\n  and 2 more rows")


def test_bytes_beyond_a_signature_are_shown_by_their_size_and_digest():
    data = bytes(range(129))
    digest = to_hex(keccak256(data))
    assert str(render_record({"content": to_hex(data)})) == f"content 129 bytes, keccak256 {digest}"
    assert str(render_record({"content": to_hex(data[1:])})) == f"content {to_hex(data[1:])}"
