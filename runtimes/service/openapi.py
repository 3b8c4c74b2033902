"""The description of the service in OpenAPI 3.1, which its page shows."""

from __future__ import annotations

from typing import Any

from ..optional import version_of
from .settings import FORMAT_NAMES, MEDIA_TYPES, Settings

_PICTURES = {kind: {"schema": {"type": "string", "format": "binary"}}
             for kind in MEDIA_TYPES.values()}  # fmt: skip
_REFUSALS = {
    "400": "The body is empty, or the head is not valid.",
    "408": "The body arrived too slowly.",
    "413": "Too many bytes or pixels.",
    "415": "Not a JPEG, PNG or WebP picture, or another Content-Type.",
    "422": "A damaged or animated picture, something that the format cannot hold, or a wrong "
    "parameter.",
    "429": "Too many pictures are waiting; try again after Retry-After seconds.",
    "503": "No replica can answer now; try again after Retry-After seconds.",
    "504": "No answer in time.",
}


def openapi(settings: Settings) -> dict[str, Any]:
    """The document, as JSON types; the limits in it are those of ``settings``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgedeblur",
            "version": version_of("edgedeblur") or "0",
            "description": "Removes motion blur from photographs.",
        },
        "paths": {
            "/v1/deblur": {"post": _deblur(settings)},
            "/v1/model": {"get": _get("The manifest of the network", "application/json")},
            "/healthz": {"get": _get("Whether the process answers", "text/plain")},
            "/readyz": {
                "get": {
                    **_get("Whether pictures would be answered now", "text/plain"),
                    "responses": {"200": {"description": "Yes."}, "503": _refused("No.")},
                }
            },
            "/metrics": {"get": _get("Counters in Prometheus' text format", "text/plain")},
        },
        "components": {"schemas": {"Problem": _problem()}},
    }


def _deblur(settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    return {
        "operationId": "deblur",
        "summary": "Deblur one picture",
        "description": "The answer has the picture's size, upright, with its EXIF and colour "
        f"profile. At most {limits.body_bytes / (1 << 20):g} MiB and {limits.pixels / 1e6:g} "
        f"megapixels; answered or refused within {limits.answer_s:g} seconds.",
        "parameters": [
            _parameter(
                "format",
                "Format of the answer; the picture's own if left out",
                {"type": "string", "enum": list(FORMAT_NAMES)},
            ),
            _parameter(
                "quality",
                "Quality of JPEG and WebP",
                {"type": "integer", "minimum": 1, "maximum": 100, "default": settings.quality},
            ),
        ],
        "requestBody": {"required": True, "content": _PICTURES},
        "responses": {
            "200": {"description": "The deblurred picture.", "content": _PICTURES},
            **{status: _refused(text) for status, text in _REFUSALS.items()},
        },
    }


def _parameter(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


def _get(text: str, media_type: str) -> dict[str, Any]:
    schema = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    content = {media_type: {"schema": schema}}
    return {"summary": text, "responses": {"200": {"description": "OK.", "content": content}}}


def _refused(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "A refusal, as RFC 9457 writes it.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
