"""Compression of records: zstd with a dictionary that is frozen with the format.

A chat record of a few hundred bytes is mostly names and common values, which a compressor would have to send anew in each record.
The dictionary holds them once. It is part of version 1: changing one byte of it makes old records unreadable, and a test freezes its hash.
"""

from __future__ import annotations

import threading
from typing import Final

import zstandard

from tallystick.errors import OpenError

LEVEL: Final = 3
MAX_FRAME_BYTES: Final = 64 * 1_048_576
"""No caller may ask for more: a frame names its size before anything is allocated."""

# zstd finds matches best near the end of a dictionary, so what every record holds stands last, in the record's own byte order.
DICTIONARY_V1: Final = (
    b"You are a helpful assistant. Answer the question. Please write a short summary of the following text. What is the "
    b"difference between the two? How do I use this? Explain why and how it works, step by step, with an example. "
    b"The answer is: I'm sorry, but I cannot help with that. Sure, here is an example of the code:\n```python\ndef "
    b"return import from print\n```\nFor example, in the first case there are many ways to do that, such as the use of "
    b"this and other information. It is important to note that there is no one that would have been able to make it. "
    b"NVIDIA H100 80GB HBM3 NVIDIA H200 NVIDIA A100-SXM4-80GB NVIDIA L40S NVIDIA GeForce RTX 4090 AMD EPYC Intel(R) "
    b"Xeon(R) Processor CPU @ GHz GPU-00000000-0000-0000-0000-000000000000 CUDA 13.0 550.54.15 cuda:0 cuda cpu "
    b"bfloat16 float16 float32 int8 int4 Q4_K_M Q8_0 F16 transformers torch vllm llama.cpp upstream constant "
    b"meta-llama/Llama-3.1-8B-Instruct Qwen/Qwen2.5-7B-Instruct mistralai/Mistral-7B-Instruct "
    b"failed cancelled timed_out interrupted worker_died engine_failed context_length_exceeded deadline_exceeded "
    b"chat completion embedding rerank classification transcription speech image translation predict export "
    b"POST GET /v1/embeddings /v1/completions EUR USD signature statistical reproducible "
    b"\xb4aav\x01bid\x50\x01\x9a"
    b"cgpu\xa6dkindcgpudnamednamedkindccpudnameddriver\xf6duuid\xf6ecount\x01fdriver\xf6lmemory_bytes\x1b\x00\x00\x00"
    b"dhttp\xa5dpath\x74/v1/chat/completionsfmethoddPOSThstreamed\xf4hstreamed\xf5lrequest_hashX mresponse_hashX "
    b"dtaskdchatdtime\xa3jstarted_at\x1b\x00\x06kadmitted_at\x1b\x00\x06kfinished_at\x1b\x00\x06"
    b"eerror\xf6eerror\xa2dcodegmessageemodel\xa8bidesmollm2-135m-instructfdevicecpueengineetorchedtypehfloat32"
    b"fengineetorchgversiongenginequantisation\xf6lquantisation\xf6nengine_versionfweights_digestX nweights_digestX "
    b"eprice\xa4hcurrencycUSDmcharge_micros\x18ndevice_time_us\x1a\x00oper_hour_micros\x1a\x00\x07\xa1 "
    b"estateicompletedeusage\xa2linput_tokens\x18moutput_tokens\x18"
    b"fpromptfprompt\xa1hmessages\x81\xa2droleduserdrolefsystemdroleiassistantgcontentx"
    b"fsender\xa4eproofetokengaddressThtoken_idx$isignature\xf6"
    b"hprovider\xa3bidelocaldnamenLocal providergaddressT"
    b"hresponse\xa1gchoices\x81\xa3dtextxeindex\x00mfinish_reasondstopmfinish_reasonflength"
    b"jparameters\xa7dseed\x1adstop\x80dstop\xf6etop_k\x00etop_p\xf9\x3c\x00jmax_tokens\x18ktemperature\xf9\x00\x00"
    b"jsender_seq\x01linstructions\xf6linstructions\xa3fsystem\xf6mchat_template\xf6tchat_template_digestX "
    b"madmission_seq\x19pproof_of_compute\xa2eclassdnoneeclasslreproducibleftoploc\xf6"
)

_DICTIONARY = zstandard.ZstdCompressionDict(DICTIONARY_V1, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_DICTIONARY.precompute_compress(level=LEVEL)


class _PerThread(threading.local):
    # One compressor may not be used by two threads at once, and making one costs more than using it.
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(
            level=LEVEL, dict_data=_DICTIONARY, write_content_size=True, write_checksum=False, write_dict_id=False
        )
        self.decompressor = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)


_local = _PerThread()


def compress(data: bytes) -> bytes:
    """One zstd frame that names its content's size. Source: SPEC 4."""
    return _local.compressor.compress(data)


def decompress(frame: bytes, max_size: int) -> bytes:
    """The content of exactly one frame.

    Requires: `max_size` is checked against the size that the frame names, before anything is allocated.
    Raises: OpenError for a damaged, oversized, unsized or followed frame.
    """
    try:
        size = zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise OpenError("the plaintext is not a zstd frame") from error
    if not 0 <= size <= min(max_size, MAX_FRAME_BYTES):
        raise OpenError(f"the zstd frame names {size} bytes of content; at most {max_size} are allowed")
    reader = _local.decompressor.decompressobj()
    try:
        data = reader.decompress(frame)
    except zstandard.ZstdError as error:
        raise OpenError("the zstd frame is damaged") from error
    if not reader.eof or reader.unused_data or len(data) != size:
        raise OpenError("the zstd frame is cut short, or bytes follow it")
    return data
