"""OpenAPI 3.1: bodies are read by hand, so their schemas are named here; every route can answer a problem.

`python -m api.openapi` writes the committed copy, which a test compares: a change of the contract shows in the review.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import openapi_parts
from api.models import ProblemAnswer
from precedent import __version__

_BODIES: list[type[BaseModel]] = []
_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)\}")
COPY = Path(__file__).with_name("openapi.json")
# What is told without a token; of /metrics, to this machine alone.
OPEN = frozenset({"/health", "/ready", "/.well-known/authzen-configuration"})
OPEN_TO_THIS_MACHINE = frozenset({"/metrics"})


def body_of(model: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route whose body has the shape of `model`."""
    return bodies_of({"application/json": model}, is_required=is_required)


def bodies_of(models: Mapping[str, type[BaseModel]], *, is_required: bool = True) -> dict[str, Any]:
    """The same of a route that takes several media types, each with its own shape."""
    _BODIES.extend(model for model in models.values() if model not in _BODIES)
    content = {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}} for media_type, model in models.items()}
    return {"requestBody": {"required": is_required, "content": content}}


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
    components |= openapi_parts.components()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "internal": {"type": "apiKey", "in": "header", "name": "x-internal-token"},
    }
    document["security"] = [{"token": []}]
    examples = openapi_parts.read_examples()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in OPEN:
                operation["security"] = []
            elif path in OPEN_TO_THIS_MACHINE:
                operation["security"] = [{}, {"token": []}]
            elif path.startswith("/jobs/"):
                operation["security"] = [{"internal": []}]
            operation["responses"].pop("422", None)
            openapi_parts.complete(method, path, operation, examples.get(f"{method.upper()} {path}", {}))
    document["paths"] = _merged(document["paths"])
    app.openapi_schema = document
    return document


def template_of(path: str, paths: Iterable[str]) -> str:
    """The path under which an operation is described: those that differ in the names of parameters alone are one to OpenAPI, and
    have both names."""
    shape = _PARAMETER.sub("{}", path)
    names: list[list[str]] = []
    for same in (other for other in paths if _PARAMETER.sub("{}", other) == shape):
        for at, name in enumerate(_PARAMETER.findall(same)):
            if at == len(names):
                names.append([])
            names[at] += [name] if name not in names[at] else []
    joined = iter("_or_".join(sorted(alike)) for alike in names)
    return _PARAMETER.sub(lambda _: f"{{{next(joined)}}}", path)


def _merged(paths: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path, operations in paths.items():
        template = template_of(path, paths)
        renamed = dict(zip(_PARAMETER.findall(path), _PARAMETER.findall(template), strict=True))
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter.get("in") == "path":
                    parameter["name"] = renamed[parameter["name"]]
        merged[template] = merged.get(template, {}) | operations
    return merged


def copy_text(app: FastAPI) -> str:
    """The committed copy, as it should be."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    from api.app import create_app  # it imports this module

    COPY.write_text(copy_text(create_app()), encoding="utf-8")


if __name__ == "__main__":
    main()
