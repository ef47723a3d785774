"""Says what pip-audit has found, and whether that is a reason to stop.

    python ci/audited.py found.json     # what `pip-audit --format json --output found.json` has written, if it could

Exit code 1 where a dependency has a known vulnerability, else 0: a service that cannot be reached stops nobody's work, but is said.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def verdict(found: Path) -> tuple[int, list[str]]:
    """The exit code, and the lines to print."""
    if not found.exists():
        return 0, ["not audited: pip-audit could not be installed, or could ask nobody"]
    dependencies = json.loads(found.read_text(encoding="utf-8"))["dependencies"]
    skipped = [each for each in dependencies if "skip_reason" in each]
    lines = [
        f"{each['name']} {each['version']}: {known['id']}" + (f", mended in {', '.join(known['fix_versions'])}" if known["fix_versions"] else "")
        for each in dependencies
        for known in each.get("vulns", ())
    ]
    if skipped:
        lines.append(f"not audited: {len(skipped)} of {len(dependencies)}, the first because: {skipped[0]['skip_reason']}")
    findings = len(lines) - bool(skipped)
    return int(findings > 0), [*lines, f"{len(dependencies) - len(skipped)} dependencies audited, {findings} known vulnerabilities"]


def main() -> None:
    """Prints the verdict on the file that the command line names."""
    code, lines = verdict(Path(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(code)


if __name__ == "__main__":
    main()
