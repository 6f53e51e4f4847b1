"""The picture in the documentation is the one that the present definitions make."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import dagster as dg

from dagster_project.picture import draw
from precedent.settings import project_root


def test_the_picture_of_the_documentation_is_of_these_definitions(definitions: dg.Definitions) -> None:
    found = draw(definitions)
    names = {text.text for text in ET.fromstring(found).iter("{http://www.w3.org/2000/svg}text")}
    assert {"decisions", "int_entities_daily_activity", "entity_features", "knowledge_snapshots", "decision_embeddings"} <= names
    assert (project_root() / "docs/lineage.svg").read_text() == found, "draw it again: python -m dagster_project.picture > docs/lineage.svg"
