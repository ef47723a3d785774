"""Secrets are planted in the environment and where Hugging Face keeps them; no file and no output of any command may hold one."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import harness_command, harness_environment, write_model, write_suite

from harness.outside import REDACTED, printable, redacted
from harness.runs.log import LOG, redact_log

SECRETS = {
    "HF_TOKEN": "hf_QwErTyUiOpAsDfGhJkLzXcVbNm123456",
    "HUGGING_FACE_HUB_TOKEN": "old-style/t0ken+with=signs",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "AWS_SECRET_ACCESS_KEY": 'wJalrXUtnFEMI/K7MDENG"bPxRfiCYEXAMPLEKEY',
    "HTTPS_PROXY": "https://someone:pr0xy-pass-w0rd@proxy.example:3128",
}
IN_A_FILE = "hf_fRoMaFiLeZyXwVuTsRqPoNmLkJiHgFeD"
WORDS = [*(value for name, value in SECRETS.items() if name != "HTTPS_PROXY"), "pr0xy-pass-w0rd", IN_A_FILE]


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Hugging Face's files, with a token in it."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    home = tmp_path / "hf-home"
    home.mkdir()
    (home / "token").write_text(IN_A_FILE + "\n")
    (home / "stored_tokens").write_text(f"[work]\nhf_token = {IN_A_FILE[::-1]}\n")
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    return home


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may have more than a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def leaks(content: bytes) -> list[str]:
    """The planted words in these bytes, as they are or as JSON and URLs write them."""
    return [word for word in WORDS if any(form.encode() in content for form in (word, json.dumps(word)[1:-1], quote(word, safe="")))]


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file; of a compressed one, and of a table, what is in it as well."""
    data = path.read_bytes()
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if path.suffix == ".parquet":
        import pyarrow.parquet

        yield json.dumps(pyarrow.parquet.read_table(path).to_pylist(), default=str).encode()
        yield repr(pyarrow.parquet.read_schema(path).metadata).encode()


COMMANDS = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
from harness.cli.app import app
run, suite, out = sys.argv[1:]
ok = next(path.stem for path in Path(run, "records").glob("*.json") if json.loads(path.read_text())["outcome"]["status"] == "ok")
for line in (
    f"plan {suite} --json --device cpu", f"plan {suite} --device cpu", f"report {run} --format md --format html --format csv --format json --format latex --format plots", f"report {run} --out {out}/report",
    f"claims {run}", f"card {run} --cell {ok}", f"card {run} --cell {ok} --out {out}/card.md", f"export {run} --to lm-eval --out {out}/lm-eval", f"export {run} --to peft-method-comparison --out {out}/peft",
    f"history add {run} {out}/history.sqlite", f"trend {out}/history.sqlite --metric timing.total", f"compare {run} {run} --format json", f"compare {run} {run} --format junit", f"compare {run} {run} --format github",
    f"compare {run} {run}", f"doctor --json", f"doctor {suite}", f"doctor --record {out}/trace.jsonl --seconds 0.1", f"cache list", f"baseline save {run} nightly", f"list models",
):
    done = CliRunner().invoke(app, line.split())
    print("$", line, done.exit_code, done.output, getattr(done, "stderr", ""), repr(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit) or type(done.exception).__module__ == "harness.errors", (line, done.exception)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # a run, and 22 commands, on a machine that may be busy
def test_no_planted_secret_is_in_any_file_or_output(planted: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    model = write_model(tmp_path / "model")
    suite = write_suite(
        tmp_path, model, [{"task": "counting", "name": "a"}], ["nothing", "tell"], title=f"Run by {SECRETS['HF_TOKEN']}", description=f"see https://me:{SECRETS['WANDB_API_KEY']}@host",
        claims=[{"id": "c", "source": SECRETS["WANDB_API_KEY"], "text": IN_A_FILE, "left": {"metric": "timing.total"}, "relation": ">", "right": 0}],
    )  # fmt: skip
    out, run = tmp_path / "out", tmp_path / "run"
    out.mkdir()
    place = harness_environment() | {"HARNESS_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(harness_command("run", suite, "--out", run, "--device", "cpu"), capture_output=True, env=place, cwd=tmp_path, check=False)
    assert ran.returncode == 1, ran.stderr
    read = subprocess.run([sys.executable, "-c", COMMANDS, str(run), str(suite), str(out)], capture_output=True, env=place, cwd=out, check=False)
    assert read.returncode == 0, read.stderr[-2000:]
    suite.unlink()  # it held secrets from the start
    files = [path for folder in (run, out, tmp_path / "cache") for path in folder.rglob("*") if path.is_file()]
    found = {str(path): words for path in files for content in contents(path) if (words := leaks(content))}
    found |= {name: words for name, text in (("run", ran.stdout + ran.stderr), ("commands", read.stdout + read.stderr)) if (words := leaks(text))}
    assert not found
    message = next(json.loads(path.read_text())["outcome"]["message"] for path in (run / "records").glob("*.json") if '"failed"' in path.read_text())
    assert message == f"ConnectionError: 401 Client Error for https://{REDACTED}@host/api?token={REDACTED}", "what is left still says what went wrong"
    (log,) = [path for path in run.rglob(LOG) if REDACTED.encode() in path.read_bytes()]
    assert log.stat().st_mode & 0o077 == 0
    ledger(area="hostile input", check="secrets planted in six places, looked for in every file and output of 22 commands", tried=len(files) + 2, survived=len(files) + 2)


@pytest.mark.usefixtures("planted")
def test_a_secret_is_taken_out_in_every_form_and_the_rest_stays() -> None:
    text = f'{{"a": {json.dumps(SECRETS["AWS_SECRET_ACCESS_KEY"])}, "b": 40, "path": "{os.environ["HF_HOME"]}", "url": "https://hub/?t={quote(SECRETS["HUGGING_FACE_HUB_TOKEN"], safe="")}"}}'
    clean = redacted(text)
    assert json.loads(clean) == {"a": REDACTED, "b": 40, "path": os.environ["HF_HOME"], "url": f"https://hub/?t={REDACTED}"}
    assert redacted(IN_A_FILE) == REDACTED == redacted(IN_A_FILE[::-1])
    assert redacted("git clone https://x-access-token:ghx_1@github.com/a/b and see https://example.org/@me") == f"git clone https://{REDACTED}@github.com/a/b and see https://example.org/@me"
    for token in ("ghp_" + "a1" * 18, "github_pat_" + "b2" * 20, "glpat-" + "c3" * 10, "AKIA" + "D4" * 8, "xoxb-" + "5" * 12, "sk-" + "e6" * 20, "hf_" + "f7" * 17):
        assert redacted(f"a {token}, b") == f"a {REDACTED}, b"
    assert redacted(b"\xff" + IN_A_FILE.encode()) == b"\xff" + REDACTED.encode()


@pytest.mark.parametrize(("name", "value"), [("MY_TOKEN", "benchmark"), ("MAX_TOKENS", "12345678"), ("TOKENIZERS_PARALLELISM", "false"), ("SSH_AUTH_SOCK", "/"), ("PWD", "some-folder-7"), ("DB_PASSWORD", "short")])
def test_words_numbers_and_places_are_no_secrets(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert redacted(f"x {value} y") == f"x {value} y"


@pytest.mark.usefixtures("planted")
def test_a_log_is_cleaned_line_by_line_and_goes_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.log.BLOCK_BYTES", 2**12)
    log = tmp_path / LOG
    log.write_text("nothing here\n")
    assert redact_log(tmp_path) is None
    log.write_bytes(b"\xfe before\n" + b"x" * 2**13 + IN_A_FILE.encode() + b"\nafter")
    assert redact_log(tmp_path) == f"a secret was in {LOG} and is {REDACTED} there"
    assert log.read_bytes().endswith(b"x" + REDACTED.encode() + b"\nafter")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [LOG]
    log.write_text(IN_A_FILE)
    with no_room():
        assert redact_log(tmp_path) == f"{LOG} held a secret and was removed, because a clean one could not be written: File too large"
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert printable("a\x1b[31mb\x00\u202ec\ud800\x9b\ufeffd\te\nf é 你 👍") == "a\\x1b[31mb\\x00\\u202ec\\ud800\\x9b\\ufeffd\te\nf é 你 👍"
    assert printable(printable("\x1b")) == "\\x1b"
