"""Articles with a question that a word of theirs answers, in the columns of SQuAD."""

from __future__ import annotations

import random
import re
from typing import Any

from harness.micro.articles import article, named
from harness.micro.quiz import SUBJECTS
from harness.micro.world import World


def reading(world: World, draw: random.Random) -> dict[str, Any]:
    """One article without its headings, a question about it, and where the answer first stands in it."""
    subject = draw.choice(list(SUBJECTS.values()))
    entity = draw.choice(world.of_kind(subject.kind))
    paragraphs = [row.strip() for row in article(entity, draw) if row and not row.startswith(" =")]
    context, answer = " ".join(paragraphs), entity.facts[subject.attribute]
    found = re.search(rf"\b{re.escape(answer)}\b", context)
    assert found is not None, "an article tells every fact"
    return {
        "title": entity.name,
        "context": context,
        "question": draw.choice(subject.questions).format(n=named(entity)),
        "answers": {"text": [answer], "answer_start": [found.start()]},
    }
