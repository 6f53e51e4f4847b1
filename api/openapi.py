"""OpenAPI 3.1: bodies are read by hand, so their schemas are named here; every route can answer a problem."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.models import ProblemAnswer
from precedent import __version__

_BODIES: list[type[BaseModel]] = []
_REF = "#/components/schemas/{model}"


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body has the shape of `model`."""
    if model not in _BODIES:
        _BODIES.append(model)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Precedent",
        version=__version__,
        description="Decisions within authority that people wrote down, provable afterwards.",
        routes=app.routes,
    )
    models: list[type[BaseModel]] = [*_BODIES, ProblemAnswer]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "internal": {"type": "apiKey", "in": "header", "name": "x-internal-token"},
    }
    document["security"] = [{"token": []}]
    problem = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="ProblemAnswer")}}},
    }
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
    app.openapi_schema = document
    return document
