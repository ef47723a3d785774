"""Any local text: perplexity of it, and language-model tuning on it. Protocols `text/<name of the file or folder>/...`:
docs/protocols/perplexity.md."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from harness.fields import identity
from harness.tasks.base import TASKS
from harness.tasks.perplexity.documents import Document, as_they_are
from harness.tasks.perplexity.local_text import LocalText
from harness.tasks.perplexity.task import PerplexityTask
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet


@TASKS.register("text")
class LocalTexts(PerplexityTask):
    """Your own text: `data` is a file (.txt, .jsonl, .parquet ...) or a folder with one per split. For decoders."""

    column: str = identity("text", description="column that holds the text; a .txt has no columns")

    def dataset(self) -> DataSet:
        return DataSet(name="text", hub="", config="", columns=(Text(self.column),), micro="wikitext")

    def source(self) -> LocalText:
        return LocalText(self.dataset(), self.data)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def text_name(self) -> str:
        """`text/`, what the file or folder is called, and a hash of what is evaluated: numbers on two texts are never comparable."""
        if self.data == "micro":
            return "text"
        content = hashlib.sha256(b"".join(path.read_bytes() for path in self.source().files("test"))).hexdigest()
        return f"text/{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(self.data).stem)}@{content[:8]}"

    def between(self, split: str) -> str:
        return "\n" if self._of_lines(split) else "\n\n"

    def documents(self, texts: list[str]) -> list[Document]:
        """Rows; of a .txt, whose rows are lines, the whole."""
        return as_they_are(["\n".join(texts)] if self._of_lines("test") else texts)

    def _of_lines(self, split: str) -> bool:
        return self.source().files(split)[0].suffix.lower() == ".txt"
