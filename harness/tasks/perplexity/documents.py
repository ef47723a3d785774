"""Documents as lm-evaluation-harness scores them: WikiText's pages put together again, and its text made readable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """text: what the model reads. original: the text whose words and bytes are counted."""

    text: str
    original: str

    @property
    def words(self) -> int:
        """Pieces between runs of blanks, as lm-eval counts them: blanks at either end of the original make one more each."""
        return len(re.split(r"\s+", self.original))

    @property
    def utf8_bytes(self) -> int:
        """Bytes of the original in UTF-8."""
        return len(self.original.encode())


def as_they_are(texts: Iterable[str]) -> list[Document]:
    """Every text a document, nothing changed in it."""
    return [Document(text, text) for text in texts]


def readable(texts: Iterable[str]) -> list[Document]:
    """Every text a document that the model reads detokenized."""
    return [Document(detokenized(text), text) for text in texts]


def wikitext_pages(rows: Iterable[str]) -> list[str]:
    """The pages of line-wise WikiText, as the hub's data set `EleutherAI/wikitext_document_level` has them.

    Rows are the file's lines; the hub's `Salesforce/wikitext` made a row without text of each line that is one blank. A page begins at
    a line that begins with `= ` and ends in ` =` (after `= = =` is read as `===` and `= =` as `==`), which some formulas do too: the
    test split has 62 pages for 60 articles.
    """
    text = "".join((row or " ").removesuffix("\n") + "\n" for row in rows)
    pages: list[str] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if _begins_page(line):
            pages.append("\n".join(lines))
            lines = []
        lines.append(line)
    return [page for page in pages if page.strip()] + ["\n".join(lines)]


def _begins_page(line: str) -> bool:
    heading = line.replace("= = =", "===").replace("= =", "==").strip()
    return heading.startswith("= ") and heading.endswith(" =")


def detokenized(text: str) -> str:
    """WikiText's text with the blanks around punctuation taken out again; the steps are lm-eval's, in its order and with its slips.

    Source: lm-evaluation-harness, tasks `wikitext` and `c4`.
    """
    for pattern, replacement in _STEPS:
        text = text.replace(pattern, replacement) if isinstance(pattern, str) else pattern.sub(replacement, text)
    return text


_STEPS: tuple[tuple[str | re.Pattern[str], str], ...] = (
    ("s '", "s'"),
    (re.compile(r"/' [0-9]/"), "/'[0-9]/"),
    *((f" @{mark}@ ", mark) for mark in "-,."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
    (re.compile(r"\(\s*([^\)]*?)\s*\)"), r"(\1)"),
    (re.compile(r"\[\s*([^\]]*?)\s*\]"), r"[\1]"),
    (re.compile(r"{\s*([^}]*?)\s*}"), r"{\1}"),
    (re.compile(r"\"\s*([^\"]*?)\s*\""), r'"\1"'),
    (re.compile(r"'\s*([^']*?)\s*'"), r"'\1'"),
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (" ° ", "°"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)
