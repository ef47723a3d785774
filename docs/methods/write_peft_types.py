"""Rewrites the table at the end of peft.md for the installed PEFT: python docs/methods/write_peft_types.py."""

from importlib.metadata import version
from pathlib import Path

from harness.methods.any_peft import OUT_OF_REACH, OWN_METHODS
from harness.methods.peft_fields import config_fields, peft_types

PAGE = Path(__file__).parent / "peft.md"
HEADING = "## Types of the installed PEFT"


def row(kind: str) -> str:
    """A type's name, its class, and its fields with their defaults; or why it cannot be given."""
    _, config_class = peft_types()[kind]
    if kind in OWN_METHODS:
        return f"| `{kind}` | `{config_class}` | a method of its own here: [{OWN_METHODS[kind]}]({OWN_METHODS[kind]}.md) |"
    if kind in OUT_OF_REACH:
        return f"| `{kind}` | `{config_class}` | refused: {OUT_OF_REACH[kind]} |"
    fields = (f"`{name}` {declared.default!r}" for name, declared in config_fields(config_class).items())
    return f"| `{kind}` | `{config_class}` | {', '.join(fields)} |"


def main() -> None:
    """Keeps what stands above the heading."""
    above = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    head = f"{HEADING}\n\npeft {version('peft')}; every field with its default. Written by `write_peft_types.py`.\n\n| type | class | fields |\n|---|---|---|\n"
    PAGE.write_text(above + head + "\n".join(map(row, peft_types())) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
