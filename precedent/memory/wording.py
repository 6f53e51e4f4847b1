"""A model's wording of a snapshot, where one is configured: taken only when it holds no number that the structure lacks.

It is no authority: where the server does not answer in time, or says too much, the deterministic words stand.
"""

from __future__ import annotations

from typing import Any

import orjson

from precedent.guard.redact import FAILED, redact_fields, redact_text
from precedent.memory.snapshot import Writer, by_template
from precedent.memory.words import MAX_CHARACTERS, foreign_numbers

# In the pipeline; nobody waits for it.
TIMEOUT_SECONDS = 20.0
MAX_TOKENS = 400
INSTRUCTION = (
    "Describe this day of decisions in at most eight plain sentences for a risk officer. Use only what the JSON holds. Write numbers as "
    "digits, exactly as they stand; members whose names end in _bp are basis points: write them as percent. Name no cause."
)


def model_writer(api_key: str, base_url: str | None, model: str, **options: Any) -> Writer:
    """Words by the model, else by the template; whoever wrote them is named. `options` go to the client."""
    from openai import OpenAI, OpenAIError

    client = OpenAI(api_key=api_key, base_url=base_url, **{"timeout": TIMEOUT_SECONDS, "max_retries": 0} | options)

    def write(facts: dict[str, Any]) -> tuple[str, str]:
        sent = redact_fields({name: value for name, value in facts.items() if name != "sources"}, ())
        prompt = orjson.dumps(sent).decode()
        try:
            answer = client.chat.completions.create(
                model=model,
                messages=[{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": prompt}],
                max_completion_tokens=MAX_TOKENS,
            )
            said = redact_text((answer.choices[0].message.content or "").strip())
        except (OpenAIError, ValueError, TypeError, AttributeError, IndexError):
            return by_template(facts)
        is_fit = said and said != FAILED and len(said) <= MAX_CHARACTERS and not foreign_numbers(said, facts)
        return (said, model) if is_fit else by_template(facts)

    return write
