"""What lm-eval's names and folders of one's own may be: said before anything runs, without lm-eval imported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lm_eval_tasks import CHOICE, lm_eval_task, write_tasks
from pydantic import ValidationError

from harness.errors import DataError, UnknownName, Unsupported
from harness.needs import Machine, ModelFacts, Needs
from harness.suite.identity import Identities
from harness.suite.json_schema import suite_schema
from harness.tasks.base import TASKS
from harness.tasks.lm_eval import LmEval
from harness.tasks.lm_eval_harness.names import names_in, shipped_names

DECODER = ModelFacts("llama", "decoder")


@pytest.mark.parametrize("name", ["hellaswag", "wikitext", "gsm8k", "mmlu", "mmlu_anatomy", "blimp", "ai2_arc", "squadv2", "scrolls_quality", "leaderboard"])
def test_tasks_groups_tags_and_tasks_in_python_are_known(name: str) -> None:
    lm_eval_task(name).check_data()


def test_a_name_that_lm_eval_does_not_have_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no task, group or tag 'helaswag' in the installed lm-eval; did you mean lm-eval:hellaswag\?"):
        lm_eval_task("helaswag").check_data()
    folder = write_tasks(tmp_path / "mine", my_choice=CHOICE)
    with pytest.raises(DataError, match=r"did you mean lm-eval:my_choice\?"):
        lm_eval_task("my_choise", folder).check_data()
    lm_eval_task("hellaswag", folder).check_data()
    with pytest.raises(UnknownName, match=r"did you mean lm-eval:\*"):
        TASKS.get("lm-eval:")


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        lm_eval_task("mine", tmp_path / "absent").check_data()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no yaml file"):
        lm_eval_task("mine", tmp_path / "empty").check_data()
    broken = write_tasks(tmp_path / "broken", my_choice=CHOICE)
    (broken / "other.yaml").write_text("task: other\ndoc_to_text: {{question}}: x\n")
    with pytest.raises(DataError, match=r"other\.yaml: not readable as YAML: .*line 2"):
        lm_eval_task("my_choice", broken).check_data()
    with pytest.raises(DataError, match="is a file"):
        lm_eval_task("my_choice", broken / "other.yaml").local_files()


def test_names_are_read_as_lm_eval_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('"tag": ["first", second]\n"task": "quoted"  # a comment\ninclude: _template\n')
    (tmp_path / "_template").write_text("tag:\n  - third\n- fourth\ntask: null\ndoc_to_text: x\n")
    (tmp_path / "b.yaml").write_text("group: all\ngroup_alias: everything\ntask:\n  - quoted\n  - group: inner\n    task: [quoted]\n")
    (tmp_path / "notes.md").write_text("task: no\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.yaml").write_text("task: hidden\n")
    names = names_in(tmp_path)
    assert names.tasks == {"quoted": tmp_path / "a.yaml"}
    assert names.gathered == {"first", "second", "third", "fourth", "all"}


@pytest.mark.slow
def test_every_name_of_lm_evals_own_index_is_known() -> None:
    from lm_eval.tasks import TaskManager

    index, names = TaskManager().task_index, shipped_names()
    assert not [name for name in index if name not in names]
    alone = {name for name, entry in index.items() if entry.kind.name in ("TASK", "PY_TASK")}
    assert set(names.tasks) == alone
    assert not [name for name in alone if index[name].yaml_path != names.tasks[name]]


@pytest.mark.slow
def test_a_group_of_ones_own_may_gather_lm_evals_tasks(tmp_path: Path) -> None:
    from harness.tasks.lm_eval_harness.loading import loaded

    folder = write_tasks(tmp_path / "mine", my_choice=CHOICE)
    (folder / "group.yaml").write_text("group: my_group\ntask: [my_choice, {group: inner, task: [arc_easy]}]\n")
    with pytest.raises(DataError, match=r"my_group cannot be loaded: .*allenai/ai2_arc"):  # found, and its data is not here
        loaded("my_group", folder, None, None)


def test_the_content_of_the_folder_is_part_of_the_id_and_where_it_lies_is_not(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "here", my_choice=CHOICE)
    moved = Path(shutil.copytree(folder, tmp_path / "there"))
    assert Identities().text(lm_eval_task("my_choice", folder)) == Identities().text(lm_eval_task("my_choice", moved))
    (moved / "rows.json").write_text("{}\n")
    assert Identities().text(lm_eval_task("my_choice", folder)) != Identities().text(lm_eval_task("my_choice", moved))
    assert Identities().text(lm_eval_task("my_choice", folder)) != Identities().text(lm_eval_task("my_choice", folder, num_fewshot=1))


def test_data_and_training_fields_are_refused() -> None:
    for field, value in {"data": "micro", "data_revision": "main", "max_train_samples": 4}.items():
        with pytest.raises(ValidationError, match=f"{field}: lm-eval's tasks say themselves where their data is"):
            lm_eval_task("hellaswag", **{field: value})


def test_it_needs_lm_eval_and_a_model_that_writes() -> None:
    assert LmEval.needs.unmet(Machine(), DECODER) is None
    assert "is a(n) encoder" in str(LmEval.needs.unmet(Machine(), ModelFacts("bert", "encoder")))
    absent = Needs(packages=("no_such_package",), extra=LmEval.needs.extra)
    assert absent.unmet(Machine(), DECODER) == "needs the package no_such_package, which is not installed: pip install 'harness[lm-eval]'"
    assert not LmEval.trainable
    assert lm_eval_task("hellaswag").head(ModelFacts("t5", "encoder-decoder")).kind == "seq2seq-lm"
    assert lm_eval_task("hellaswag").with_shots(3).num_fewshot == 3


def test_the_schema_of_suites_takes_every_name_of_the_family() -> None:
    task = suite_schema()["$defs"]["task-LmEval"]["properties"]["task"]
    assert re.search(task["pattern"], "lm-eval:hellaswag")
    assert not re.search(task["pattern"], "lm-eval:")


def test_a_plan_with_lm_evals_tasks_imports_neither_torch_nor_lm_eval(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "mine", my_choice=CHOICE)
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: t\nmodels: [micro:decoder]\nmethods: [none]\nseeds: [0]\n"
        f"tasks: [{{task: 'lm-eval:my_choice', include_path: {folder.name}}}, 'lm-eval:hellaswag', {{task: wikitext2, data: micro, also: ['lm-eval:mmlu']}}]\n"
    )
    code = (
        "import sys\nfrom harness.cli import app\n"
        f"sys.argv = ['harness', 'plan', {str(suite)!r}]\n"
        "try:\n    app.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "loaded = {'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules)\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "3 to run" in done.stdout
    assert "lm-eval/my_choice" in done.stdout


def test_a_task_in_a_suite_that_lacks_a_package_says_which(tmp_path: Path) -> None:
    from harness.tasks.lm_eval_harness.loading import loaded

    folder = write_tasks(tmp_path / "mine", my_choice=CHOICE | {"process_docs": "FUNCTION"})
    path = folder / "my_choice.yaml"
    path.write_text(path.read_text().replace("FUNCTION", "!function own.prepared"))
    (folder / "own.py").write_text("import a_package_nobody_has\n\n\ndef prepared(documents):\n    return documents\n")
    with pytest.raises(Unsupported, match="needs the package a_package_nobody_has"):
        loaded("my_choice", folder, None, None)
