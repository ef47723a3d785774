"""`json`: a comparison for programs: every number that was judged, in stored units."""

from __future__ import annotations

import json
from typing import Any

from harness.analysis.gate.changes import Change
from harness.analysis.gate.compare import Comparison, fails
from harness.report.gate.words import notices, verdict_line


def gate_json(found: Comparison) -> str:
    """The comparison as JSON text."""
    return json.dumps(gate_values(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def gate_values(found: Comparison) -> dict[str, Any]:
    """The comparison as plain values."""
    return {
        "verdict": found.verdict,
        "exit_code": found.exit_code,
        "summary": verdict_line(found),
        "baseline": {"name": found.left.name, "saved": found.left.saved, "devices": found.left.devices},
        "run": {"name": found.right.name, "devices": found.right.devices},
        "obstacles": [{"kind": obstacle.kind, "sentence": obstacle.sentence} for obstacle in found.obstacles],
        "regressed": found.regressed,
        "events": [{"cell": event.cell, "place": event.place, "kind": event.kind, "regression": event.regression, "sentence": event.sentence} for event in found.events],
        "changes": [_change(change, fails(change, found.gate)) for change in found.changes],
        "new": [row.record.cell.id for row in found.new],
        "moved": [{"name": fact.name, "kind": fact.kind, "before": fact.before, "now": fact.now} for fact in found.moved],
        "phases": [{"phase": move.phase, "what": move.what, "before": move.before, "now": move.now, "cells": move.cells} for move in found.phases],
        "suspects": [{"strength": suspect.strength, "sentence": suspect.sentence} for suspect in found.suspects],
        "notices": list(notices(found)),
    }


def _change(change: Change, fails_gate: bool) -> dict[str, Any]:
    quantity = change.number.quantity
    return {
        "cells": change.cells, "place": change.place, "quantity": quantity.key, "unit": quantity.unit, "protocol": change.number.protocol,
        "baseline": change.number.left.mean, "run": change.number.right.mean, "difference": change.number.difference, "relative": change.relative,
        "tolerance": change.tolerance.of(change.number.left.mean, quantity), "p": change.chance.p, "noise": change.chance.by,
        "verdict": change.verdict, "worse": change.worse, "fails": fails_gate, "sentence": change.sentence,
    }  # fmt: skip
