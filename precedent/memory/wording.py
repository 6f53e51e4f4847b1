"""A model's wording of a snapshot, where one is configured: taken only when it holds no number that the structure lacks.

It is no authority: where the server does not answer in time, says too much, or the day's budget is spent, the deterministic words stand.
"""

from __future__ import annotations

from typing import Any

import orjson

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable
from precedent.adapters.costs import Purpose, Usage
from precedent.adapters.meter import Call
from precedent.adapters.openai import ModelServer, most_tokens
from precedent.errors import BudgetSpent
from precedent.guard.redact import FAILED, redact_fields, redact_text
from precedent.memory.snapshot import Writer, by_template
from precedent.memory.words import MAX_CHARACTERS, foreign_numbers

# In the pipeline; nobody waits for it, and another try is not worth a minute.
TIMEOUT_SECONDS = 20.0
ATTEMPTS = 1
MAX_TOKENS = 400
INSTRUCTION = (
    "Describe this day of decisions in at most eight plain sentences for a risk officer. Use only what the JSON holds. Write numbers as "
    "digits, exactly as they stand; members whose names end in _bp are basis points: write them as percent. Name no cause."
)


def model_writer(server: ModelServer, model: str) -> Writer:
    """Words by the model, else by the template; whoever wrote them is named."""

    def write(facts: dict[str, Any]) -> tuple[str, str]:
        sent = redact_fields({name: value for name, value in facts.items() if name != "sources"}, ())
        prompt = orjson.dumps(sent).decode()
        call = Call(model, Purpose.WORDS, facts["node"], Usage(most_tokens(INSTRUCTION, prompt), MAX_TOKENS))
        try:
            answer = server.ask(
                call,
                lambda client: client.chat.completions.create(
                    model=model,
                    messages=[{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": prompt}],
                    max_completion_tokens=MAX_TOKENS,
                ),
            )
            said = redact_text((answer.choices[0].message.content or "").strip())
        except (BudgetSpent, AdapterUnavailable, AdapterRefused, ValueError, TypeError, AttributeError, IndexError):
            return by_template(facts)
        is_fit = said and said != FAILED and len(said) <= MAX_CHARACTERS and not foreign_numbers(said, facts)
        return (said, model) if is_fit else by_template(facts)

    return write
