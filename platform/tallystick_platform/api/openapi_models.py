"""The description of the model paths: what there is, what is brought, uploaded, promoted, retired and removed."""

from __future__ import annotations

from tallystick_platform.api.openapi_parts import (
    ADDRESS,
    COUNT,
    HASH,
    TEXT,
    Schema,
    error,
    in_path,
    list_of,
    maybe,
    parameter,
    read,
    ref,
    shape,
)
from tallystick_platform.registry.entries import SignatureState, Stage, Visibility
from tallystick_platform.registry.upload_entries import PART_BYTES

VISIBILITY: Schema = {"enum": [one.value for one in Visibility]}
TIME: Schema = {"type": "string", "format": "date-time"}
GAP: Schema = {
    **shape({"name": TEXT, "first": COUNT, "last": COUNT}),
    "description": "Parts `first` to `last` of a file.",
}

MODEL_SCHEMAS: dict[str, Schema] = {
    "Model": shape(
        {
            "id": TEXT,
            "object": {"const": "model"},
            "created": COUNT,
            "owned_by": TEXT,
            "task": TEXT,
            "version": TEXT,
            "weights_digest": HASH,
            "engine": {**maybe(TEXT), "description": "Null while it is not loaded."},
            "dtype": maybe(TEXT),
            "quantisation": maybe(TEXT),
            "device": maybe(TEXT),
            "context_length": maybe(COUNT),
            "defaults": {
                **maybe(
                    shape(
                        {
                            "temperature": {"type": "number"},
                            "top_p": {"type": "number"},
                            "top_k": {"type": "integer"},
                            "max_tokens": COUNT,
                            "recommended_but_not_offered": {"type": "array", "items": TEXT},
                        }
                    )
                ),
                "description": "What a request runs with that says nothing of it; null while the model is not loaded.",
            },
            "reproducibility": maybe(TEXT),
            "provider": shape(
                {"id": TEXT, "name": TEXT, "address": ADDRESS, "price_per_hour_micros": COUNT, "currency": TEXT}
            ),
            "loaded": {"type": "boolean", "description": "Whether a worker has it; else the first request loads it."},
            "exports": {
                **shape({"formats": {"type": "object"}, "refused": {"type": "object"}}),
                "description": "The formats that it can be exported to, each with its quantizations, and why not to the rest.",
            },
            "registry": {
                **maybe(ref("ModelVersion")),
                "description": "Null for what is served without being registered.",
            },
        }
    ),
    "ModelList": list_of("Model"),
    "ModelVersion": shape(
        {
            "reference": {**TEXT, "description": "`model@version`: names this very content, also in a request."},
            "model": TEXT,
            "version": {**TEXT, "description": "The first 12 digits of the digest."},
            "number": COUNT,
            "digest": {**HASH, "description": "The weights digest that stands in records."},
            "stage": {"enum": [one.value for one in Stage]},
            "pinned": {"type": "boolean"},
            "task": TEXT,
            "format": TEXT,
            "architecture": maybe(TEXT),
            "licence": maybe(TEXT),
            "dtype": maybe(TEXT),
            "parameters": maybe(COUNT),
            "context_length": maybe(COUNT),
            "size_bytes": COUNT,
            "base": {**maybe(TEXT), "description": "For an adapter: the reference of its base."},
            "source": {"type": "object"},
            "signature": {"enum": [one.value for one in SignatureState]},
            "signer": {**maybe(TEXT), "description": "SHA-256 of the signer's public key in PEM."},
            "price_per_hour_micros": maybe(COUNT),
            "currency": maybe(TEXT),
            "visibility": VISIBILITY,
            "owner": maybe(ADDRESS),
            "created_at": TIME,
        }
    ),
    "ModelVersionList": list_of("ModelVersion"),
    "ModelRemoved": shape({"object": {"const": "model.version"}, "reference": TEXT, "deleted": {"const": True}}),
    "ModelLoad": shape(
        {
            "object": {"const": "model.load"},
            "id": TEXT,
            "version": TEXT,
            "loaded": {"type": "boolean"},
            "pinned": {"type": "boolean"},
            "memory_bytes": {**maybe(COUNT), "description": "As estimated before it was loaded."},
        }
    ),
    "Registration": shape(
        {
            "id": TEXT,
            "object": {"const": "model.registration"},
            "model": TEXT,
            "state": {"enum": ["queued", "running", "finished", "failed"]},
            "stage": TEXT,
            "progress": {"type": "number", "minimum": 0, "maximum": 1},
            "version": maybe(ref("ModelVersion")),
            "error": maybe({"type": "object"}),
        }
    ),
    "Upload": shape(
        {
            "id": TEXT,
            "object": {"const": "model.upload"},
            "model": TEXT,
            "part_bytes": {**COUNT, "description": "The size of every part but a file's last."},
            "size_bytes": COUNT,
            "created_at": TIME,
            "expires_at": TIME,
            "missing_parts": COUNT,
            "missing": {"type": "array", "items": GAP},
        }
    ),
    "Part": shape({"object": {"const": "model.part"}, "part": COUNT, "size_bytes": COUNT, "sha256": TEXT}),
    "UploadList": list_of("Upload"),
    "UploadRemoved": shape({"object": {"const": "model.upload"}, "id": TEXT, "deleted": {"const": True}}),
}

_MODEL = in_path("model_id", "May hold one slash, and `@version`.")
_UPLOAD = in_path("upload_id", "From the answer that opened it.")


def registry_paths() -> Schema:
    """The paths of models and uploads."""
    one, upload = "/v1/models/{model_id}", "/v1/models/{model_id}/uploads/{upload_id}"
    return {
        "/v1/models": {"get": read("The models that you may ask now", "ModelList"), "post": _register()},
        one: {"get": read("One model", "Model", [_MODEL], missing=True), "delete": _remove()},
        f"{one}/versions": {"get": read("Its versions, newest first", "ModelVersionList", [_MODEL], missing=True)},
        f"{one}/promote": {"post": _change("Offer a version to everybody who may see the model")},
        f"{one}/retire": {"post": _change("Withdraw a version: it answers nothing new and stays on disk")},
        f"{one}/load": {"post": _load("Have a worker load it now", "`model_too_large`")},
        f"{one}/unload": {"post": _load("Give its memory back", "Malformed.")},
        f"{one}/uploads": {
            "post": _open_upload(),
            "get": read("Your uploads to this model", "UploadList", [_MODEL]),
        },
        upload: {
            "get": read("An upload, and what is missing", "Upload", [_MODEL, _UPLOAD], missing=True),
            "delete": read("Give an upload up", "UploadRemoved", [_MODEL, _UPLOAD], missing=True),
        },
        f"{upload}/files/{{name}}": {"put": _put_part()},
        f"{upload}/complete": {"post": _complete()},
        "/v1/registrations/{registration_id}": {
            "get": read(
                "A model on its way", "Registration", [in_path("registration_id", "From `Location`.")], missing=True
            )
        },
    }


def _register() -> Schema:
    taken = read("Bring a model from a hub", "Registration")
    refusals = {
        "400": "The source is no repository of a hub, or the id cannot be one.",
        "409": "`model_taken`: the id belongs to somebody else.",
        "429": "Too many models are on their way; see Retry-After.",
    }
    return _with_body(taken, "RegisterBody", "202", refusals)


def _open_upload() -> Schema:
    opened = read("Announce the files of a model, to be sent in parts", "Upload", [_MODEL])
    refusals = {
        "400": "These cannot be the files of a model.",
        "409": "`model_taken`, or `quota_exceeded`",
        "507": "`no_space`: it does not fit the disk.",
    }
    return _with_body(opened, "UploadBody", "201", refusals)


def _with_body(operation: Schema, body: str, status: str, refusals: dict[str, str]) -> Schema:
    responses = {status: operation["responses"].pop("200"), **operation["responses"]}
    return {
        **operation,
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}},
        "responses": {**responses, **{code: error(text) for code, text in refusals.items()}},
    }


def _put_part() -> Schema:
    name = in_path("name", "The file's, as announced; may hold slashes.")
    number = parameter("query", "part", {"type": "integer", "minimum": 0, "default": 0}, "From 0.")
    digest = parameter("header", "x-part-sha256", TEXT, "SHA-256 of the part in hex: checked before the part counts.")
    kept = {"description": "Durable.", "content": {"application/json": {"schema": ref("Part")}}}
    body = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    refusals = {
        "400": "The part is not what was announced, or arrived damaged.",
        "401": "No token, or one that is unknown, expired or revoked.",
        "404": "There is no such upload of yours.",
        "408": "It did not arrive in time.",
        "413": f"A part has at most {PART_BYTES} bytes.",
        "507": "The disk is full.",
    }
    return {
        "summary": "Send one part of a file; sending it again replaces it",
        "parameters": [_MODEL, _UPLOAD, name, number, digest],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": kept, **{code: error(text) for code, text in refusals.items()}},
    }


def _complete() -> Schema:
    done = read(
        "Check every digest, and make the files a version in staging", "ModelVersion", [_MODEL, _UPLOAD], missing=True
    )
    done["responses"]["400"] = error("The files are no model, or no safe one; the upload is removed.")
    done["responses"]["409"] = error(
        "`upload_incomplete`; `content_differs`: a file is to be sent again; `version_exists`, `task_differs`: the upload is removed."
    )
    return done


def _change(summary: str) -> Schema:
    changed = read(summary, "ModelVersion", [_MODEL], missing=True)
    changed["responses"]["403"] = error("`signature_refused`")
    changed["responses"]["409"] = error("`model_in_use`")
    return changed


def _load(summary: str, bad: str) -> Schema:
    state = read(summary, "ModelLoad", [_MODEL], missing=True)
    refusals = {
        "400": bad,
        "409": "`model_busy`, `model_pinned`",
        "429": "Too much at once; see Retry-After.",
        "503": "`no_room_for_model`, `model_load_failed`, `no_provider`",
        "504": "It takes longer than a request may; the load goes on.",
    }
    return {**state, "responses": {**state["responses"], **{code: error(text) for code, text in refusals.items()}}}


def _remove() -> Schema:
    removed = read("Forget a version and give its space back", "ModelRemoved", [_MODEL], missing=True)
    removed["responses"]["409"] = error("`model_in_use`: in production, pinned, loaded, or another's base.")
    return removed
