"""Compression of records: zstd with a dictionary that is frozen with the format.

A chat record is mostly names, common values and hashes. The dictionary holds the names and values once, in the order and with the
heads of the encoding (SPEC 1), so that a record costs little more than what is its own. It is part of version 2: changing one byte of
it makes old records unreadable, and a test freezes its hash.
"""

from __future__ import annotations

import threading
from typing import Final

import zstandard

from tallystick.errors import OpenError

LEVEL: Final = 5
"""Above it a short record gains nothing; below it every record costs some thirty bytes of calldata more."""
LONG_LEVEL: Final = 12
"""A long prompt gains a tenth by it, for three milliseconds."""
LONG_BYTES: Final = 8_192
MAX_LONG_BYTES: Final = 131_072
"""What is longer stands in a blob, hardly ever on the chain, and would hold up the service for too long."""
MAX_FRAME_BYTES: Final = 64 * 1_048_576
"""No caller may ask for more: a frame names its size before anything is allocated."""

# Matches near the end are cheapest, so words come first, then a record as it is less often, last the record as it mostly is.
DICTIONARY_V2: Final = (
    b"Answer the question. Please write a short summary of the following text. What is the "
    b"difference between the two? How do I use this? Explain why and how it works, step by step, with an example. "
    b"The answer is: I'm sorry, but I cannot help with that. Sure, here is an example of the code:\n```python\ndef "
    b"return import from print\n```\nFor example, in the first case there are many ways to do that, such as the use of "
    b"this and other information. It is important to note that there is no one that would have been able to make it. "
    b"NVIDIA H200 NVIDIA A100-SXM4-80GB NVIDIA L40S NVIDIA GeForce RTX 4090 Intel(R) Xeon(R) Processor CPU @ GHz "
    b"float16 int8 int4 Q8_0 F16 transformers vllm upstream constant meta-llama/Llama-3.1-8B-Instruct "
    b"Qwen/Qwen2.5-7B-Instruct mistralai/Mistral-7B-Instruct failed timed_out interrupted accepted engine_failed "
    b"context_length_exceeded deadline_exceeded embedding rerank classification transcription speech image translation "
    b"GET /v1/embeddings /v1/completions EUR tokens fixed images audio_us vectors none repetition_penalty min_p "
    b"export/tallystick/1 download/tallystick/1 application/octet-stream multipart/form-data; boundary= "
    b'vector labels scores media tensor document dtype shape digest label score \\n\\n \\" \\u201 '
    # a request on a processor, signed by its sender and sent with spaces in its JSON, that was cancelled
    b"\xb6av\x02bidP\x01cgpu\xa6dkindccpudnamehAMD EPYCduuid\xf6ecount\x01fdriver\xf6lmemory_bytes\x1b\x00\x00\x00\x03\xe0\x00\x00\x00"
    b"dhttp\xa3dpatht/v1/chat/completionsfmethoddPOSThstreamed\xf4dtaskdchat"
    b"dtime\xa4fdue_by\xf6jstarted_at\xf6kadmitted_at\x1b\x00\x06kfinished_at\x1b\x00\x06eerror\xa2dcodekworker_diedgmessagekThe worker "
    b"emodel\xa8bidx\x1aQwen2.5-7B-Instruct-Q4_K_Medtypegfloat32fdeviceccpufenginepllama.cpp server"
    b"gversiona1lquantisationqQ8_0, dequantisednengine_versione5.0.0nweights_digestX "
    b"eprice\xa6ebasisftokenserates\xa2linput_tokens\x1a\x00moutput_tokens\x1a\x00hcurrencycUSD"
    b"mcharge_micros\x18\xacndevice_time_us\x1a\x00\x12\xd6\x87oper_hour_micros\x1a\x00\x07\xa1 "
    b"estateicancelledeusage\xf6fprompt\xa1hmessages\x82\xa2droledusergcontentgHow do "
    b"\xa2droleiassistantgcontentbI fsender\xa4eproofisignaturegaddressThtoken_id\xf6isignature\xa3enonceX hdeadline\x1aiisignatureXA"
    b'gfollows\xf6grequest\xa5dbodyX{"model": "Qwen2.5-7B-Instruct", "messages": [{"role": "system", "content": "You are '
    b'"}, {"role": "user", "content": "How do "}, {"role": "assistant", "content": "I '
    b'"}], "temperature": 0, "max_tokens": 100, "top_p": 1, "stream": false, "stop": null, "seed": 0, "n": 1, '
    b'"tools": [{"type": "function", "function": {"name": "get_", "description": "", "parameters": {"type": "object", '
    b'"properties": {"type": "string", "required": [""]}}}], "response_format": {"type": "json_object"}, "tool_choice": "auto"}'
    b"dsaltPfreadermchat/openai/1ftargett/v1/chat/completionslcontent_typex\x1fapplication/json; charset=utf-8"
    b"hprovider\xa3bidelocaldnamenLocal providergaddressT"
    b"hresponse\xa1goutputs\x81\xa4dkinddtextgcontenteI am hlogprobs\xf6mfinish_reasonflength"
    b"\xa4dkindgmessagegcontent\xa3droleiassistantgcontent\xf6jtool_calls\x81\xa3bidicall_dnamedget_"
    b'iarguments{"location":"hlogprobs\xf6mfinish_reasonjtool_calls'
    b"jparameters\xa7dseed\x00dstop\x81a\nduserduseretop_k\x182etop_p\xfb?\xec\xcc\xcc\xcc\xcc\xcc\xcdjmax_tokens\x10"
    b"ktemperature\xf9\x00\x00jsender_seq\x01linstructions\xa3fsystem\xf6mchat_template\xf6tchat_template_digestX "
    b"madmission_seq\x19\x01,pproof_of_compute\xa2eclasskstatisticalftoploc\xf6"
    # a request on a graphics processor, with a token, that was completed
    b"\xb6av\x02bidP\x01cgpu\xa6dkindcgpudnameuNVIDIA H100 80GB HBM3duuidx(GPU-00000000-0000-0000-0000-000000000000ecount\x01"
    b"fdriveri550.54.15lmemory_bytes\x1b\x00\x00\x00\x13\xe9p\x00\x00"
    b"dhttp\xa3dpatht/v1/chat/completionsfmethoddPOSThstreamed\xf5dtaskdchat"
    b"dtime\xa4fdue_by\xf6jstarted_at\x1b\x00\x06kadmitted_at\x1b\x00\x06kfinished_at\x1b\x00\x06eerror\xf6"
    b"emodel\xa8bidusmollm2-135m-instructedtypehbfloat16fdevicefcuda:0fengineptallystick-audit"
    b"gversionllquantisation\xf6nengine_versiont1 (torch 2.13.0+cpu)nweights_digestX "
    b"eprice\xa6ebasiskdevice-timeerates\xf6hcurrencycUSD"
    b"mcharge_micros\x18\xacndevice_time_us\x1a\x00\x12\xd6\x87oper_hour_micros\x1a\x00\x07\xa1 "
    b"estateicompletedeusage\xa2linput_tokens\x184moutput_tokens\x18b"
    b"fprompt\xa1hmessages\x82\xa2drolefsystemgcontentx\x1cYou are a helpful assistant.\xa2droledusergcontentlWhat is the "
    b"fsender\xa4eproofetokengaddressThtoken_idx$isignature\xf6gfollows\xf6"
    b'grequest\xa5dbodyX{"model":"smollm2-135m-instruct","messages":[{"role":"system","content":"You are a helpful assistant."},'
    b'{"role":"user","content":"What is the "},{"role":"assistant","content":"The "}],"max_tokens":256,"seed":1,"temperature":0.7,'
    b'"top_p":0.9,"stream":true,"stream_options":{"include_usage":true}}'
    b"dsaltPfreadermchat/openai/1ftargett/v1/chat/completionslcontent_typepapplication/json"
    b"hprovider\xa3bidelocaldnamenLocal providergaddressT"
    b"hresponse\xa1goutputs\x81\xa4dkindgmessagegcontent\xa3droleiassistantgcontentdThe jtool_calls\x80hlogprobs\xf6mfinish_reasondstop"
    b"jparameters\xa6dseed\x1adstop\x80etop_k\x00etop_p\xf9<\x00jmax_tokens\x19\x01\x00ktemperature\xfb?\xe6ffffff"
    b"jsender_seq\x01linstructions\xa3fsystemx\x1cYou are a helpful assistant.mchat_template\xf6tchat_template_digestX "
    b"madmission_seq\x19\x01,pproof_of_compute\xa2eclasslreproducibleftoploc\xf6"
)


def _prepared(level: int) -> zstandard.ZstdCompressionDict:
    dictionary = zstandard.ZstdCompressionDict(DICTIONARY_V2, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=level)
    return dictionary


_DICTIONARIES = {level: _prepared(level) for level in (LEVEL, LONG_LEVEL)}

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
# In the byte after it (RFC 8878 3.1.1.1): a reserved bit, a checksum's, and two of a dictionary id's size.
_FLAGS_NOT_WRITTEN: Final = 0x0F


class _PerThread(threading.local):
    # One compressor may not be used by two threads at once, and making one costs more than using it.
    def __init__(self) -> None:
        self.compressor = _compressor(LEVEL)
        self.long_compressor = _compressor(LONG_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=_DICTIONARIES[LEVEL])


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(
        level=level,
        dict_data=_DICTIONARIES[level],
        write_content_size=True,
        write_checksum=False,
        write_dict_id=False,
    )


_local = _PerThread()


def compress(data: bytes) -> bytes:
    """One zstd frame that names its content's size. Source: SPEC 4."""
    if LONG_BYTES < len(data) <= MAX_LONG_BYTES:
        return _local.long_compressor.compress(data)
    return _local.compressor.compress(data)


def decompress(frame: bytes, max_size: int) -> bytes:
    """The content of exactly one frame, which names its size.

    Requires: `max_size` bounds what is allocated, whatever the frame holds.
    Raises: OpenError for a damaged, oversized, unsized or followed frame.
    """
    if not frame.startswith(_MAGIC):
        raise OpenError("the plaintext is not a zstd frame")
    try:
        size = zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise OpenError("the plaintext is not a zstd frame") from error
    most = min(max_size, MAX_FRAME_BYTES)
    if not 0 < size <= most:  # -1 stands for a frame that names no size
        raise OpenError(f"the zstd frame names {size} bytes of content; 1 to {most} are allowed")
    if frame[len(_MAGIC)] & _FLAGS_NOT_WRITTEN:
        raise OpenError("the zstd frame has a dictionary id or a checksum, which the format does not write")
    try:
        # In one shot, into a buffer of the size that the frame names. A stream would be decoded to its end before its size is
        # compared, and a hundred kilobytes can hold the blocks of gigabytes.
        return _local.decompressor.decompress(frame, max_output_size=0, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise OpenError(f"the zstd frame is damaged: {error!s:.80}") from error
