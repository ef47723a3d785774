"""Reading a suite: shorthands, types from the schema, and every mistake at its line with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites_for_tests import Load, Problems

from harness.errors import RequestError, UnknownName
from harness.needs import Machine
from harness.suite.load import find_suite, load_suite
from harness.suite.plan import make_plan


def test_shorthands_get_ids_derived_from_what_they_name(load: Load) -> None:
    suite = load(
        models="[hub:FacebookAI/roberta-large, micro:encoder, random:llama-7b, path:models/mine]",
        quantization="[none, bnb-int8]", methods="[full, {method: lora, r: 4}, {id: none}]", tasks="[glue/rte, wikitext2]",
    )  # fmt: skip
    assert [entry.id for entry in suite.models] == ["roberta-large", "micro-encoder", "random-llama-7b", "mine"]
    assert [entry.id for entry in suite.quantization] == ["none", "bnb-int8"]
    assert [entry.id for entry in suite.methods] == ["full", "lora", "none"]
    assert [entry.id for entry in suite.tasks] == ["glue/rte", "wikitext2"]


def test_an_id_without_a_kind_is_the_registered_name(load: Load) -> None:
    suite = load(methods="[{id: lora, r: 16}]")
    assert suite.methods[0].config.method == "lora"
    assert suite.methods[0].config.model_dump()["r"] == 16


def test_quantization_and_seeds_have_a_default(load: Load) -> None:
    suite = load(quantization=None, seeds=None)
    assert [entry.id for entry in suite.quantization] == ["none"]
    assert suite.seeds == [0]


def test_a_field_of_text_gets_a_number_as_it_was_written(load: Load) -> None:
    revisions = ["1234567", "12345e7", "0012", "1.10"]
    for revision in revisions:
        suite = load(models=f"[{{id: m, source: hub:a/b, revision: {revision}}}]")
        assert suite.models[0].config.revision == revision


def test_numbers_and_booleans_are_what_the_schema_says(load: Load) -> None:
    suite = load("train: {learning_rate: 1e-4, num_train_epochs: 2, bf16: true}")
    assert (suite.train.learning_rate, suite.train.num_train_epochs, suite.train.bf16) == (1e-4, 2.0, True)


def test_folders_are_relative_to_the_file_that_names_them(load: Load, tmp_path: Path) -> None:
    suite = load(
        models="[path:models/mine, {id: abs, source: path:/models/other}]",
        tasks="[{id: a, task: glue/rte, data: ../rte}, {id: b, task: glue/rte, data: micro}, {id: c, task: glue/rte, data: hub:x/y}]",
    )
    assert [entry.config.source for entry in suite.models] == [f"path:{tmp_path}/models/mine", "path:/models/other"]
    assert [entry.config.data for entry in suite.tasks] == [str(tmp_path.parent / "rte"), "micro", "hub:x/y"]


def test_a_typo_names_file_line_column_key_and_the_nearest_name(problems: Problems) -> None:
    found = problems("methods:\n  - none\n  - {id: lora-r8, method: lora, r: 8,\n     lora_aplha: 16}", methods=None)
    assert found == ["s.yaml:9:6: methods[1].lora_aplha: unknown key; did you mean lora_alpha?"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("titel: x", "s.yaml:7:1: titel: unknown key; did you mean title?"),
        ("xyzzy: x", "s.yaml:7:1: xyzzy: unknown key; known: claims, defaults, description, deterministic, exclude"),
        ("train: {lerning_rate: 1}", "s.yaml:7:9: train.lerning_rate: unknown key: neither a setting of ours"),
        ("train: {max_lenght: 1}", "did you mean max_length?"),
        ("train: {output_dir: x}", "s.yaml:7:9: train.output_dir: decided by the harness: the run directory"),
        ("train: {max_steps: 1.5}", "s.yaml:7:20: train.max_steps: expected an integer, found 1.5"),
        ("train: {bf16: yes}", "s.yaml:7:15: train.bf16: expected true or false, found the text 'yes'"),
        ("train: {bf16: 1}", "s.yaml:7:15: train.bf16: expected true or false, found 1"),
        ("train: {learning_rate: '1e-4'}", "train.learning_rate: expected a number, found the text '1e-4'"),
        ("train: {learning_rate: -1}", "train.learning_rate: expected at least 0"),
        ("train: {adam_beta1: high}", "s.yaml:7:9: train.adam_beta1: expected a number, found 'high'"),
        ("train: [1]", "s.yaml:7:8: train: expected a mapping, found a list"),
        ("measure: {latency: {batch_size: [1]}}", "measure.latency.batch_size: unknown key; did you mean batch_sizes?"),
        ("measure: {latency: {batch_sizes: [one]}}", "measure.latency.batch_sizes[0]: expected an integer, found the text 'one'"),
        ("limits: {phase_seconds: {trian: 3}}", "limits.phase_seconds.trian"),
        ("exclude: [{methd: full}]", "s.yaml:7:12: exclude[0].methd: unknown axis 'methd'; did you mean method?"),
        ("exclude: {method: full}", "s.yaml:7:10: exclude: expected a list, found a mapping"),
        ("report: {tables: [{rows: [metod], metric: accuracy}]}", "report.tables[0].rows[0]: unknown axis 'metod'; did you mean method?"),
        ("report: {tables: [{rows: [method], metric: acuracy}]}", "unknown metric or quantity 'acuracy'; did you mean accuracy?"),
        ("report: {plots: [{kind: paretto, x: timing.total, y: accuracy}]}", "report.plots[0].kind: expected pareto, found the text 'paretto'"),
        ("report: {plots: [{kind: pareto, x: parameters.total, y: accuracy}]}", "report.plots[0].x: parameters.total has no better way, and a plot's front needs one on both axes"),
        ("report: {tables: [{rows: [method], metric: accuracy, reference: qlora.table3_glue}]}", "'qlora' is not among the suite's references"),
        ("references: [qlorra]", "s.yaml:7:14: references[0]: unknown reference 'qlorra'; did you mean qlora?"),
        ("references: [qlora]\nreport: {tables: [{rows: [method], metric: accuracy, reference: qlora.table3_gleu}]}", "did you mean table3_glue?"),
        ("claims: [{id: a, source: s, left: {metric: accuracy}, relation: =<, right: 1}]", "claims[0].relation: expected <, <=, >, >=, within or ratio"),
        ("claims: [{id: a, source: s, left: {metric: acuracy}, relation: <, right: 1}]", "claims[0].left.metric: unknown metric"),
        ("claims: [{id: a, source: s, left: {metric: f1, where: {modle: x}}, relation: <, right: 1}]", "claims[0].left.where.modle: unknown axis"),
        ("claims: [{id: a, source: s, left: {metric: f1}, relation: ratio, right: 1}]", "relation ratio needs `factor`; ratio: what left / right should be"),
        ("claims: [{id: a, source: s, left: {metric: f1}, relation: increases, over: methd.r}]", "unknown axis 'methd.r'"),
        ("claims: [{id: a, source: s, left: {metric: f1}, relation: increases}]", "relation increases needs `over`"),
        ("profiles: [a]", "s.yaml:7:11: profiles: expected a mapping of profiles by name, found a list"),
        ("profiles: {p: {profiles: {}}}", "profiles.p.profiles: a profile cannot hold profiles"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_section_is_named(problems: Problems, extra: str, message: str) -> None:
    assert any(message in found for found in problems(extra)), problems(extra)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"name": "a b"}, "s.yaml:1:7: name: 'a b' cannot be an id: letters, digits and . _ - + = are allowed"),
        ({"name": None}, "s.yaml:1:1: the key name is missing"),
        ({"tasks": "[glue/rt]"}, "s.yaml:5:9: tasks[0]: unknown task 'glue/rt'; did you mean glue/rte?"),
        ({"quantization": "[bnb-nf3]"}, "quantization[0]: unknown scheme 'bnb-nf3'; did you mean bnb-nf4?"),
        ({"methods": "[{id: x, method: lorra}]"}, "s.yaml:4:27: methods[0].method: unknown method 'lorra'; did you mean lora?"),
        ({"methods": "[{id: lora-r8, r: 8}]"}, "s.yaml:4:16: methods[0].id: unknown method 'lora-r8'"),
        ({"methods": "[8]"}, "methods[0]: expected a name or a mapping with method, found 8"),
        ({"methods": "[{r: 8}]"}, "methods[0]: the key method (or an id that is its name) is missing"),
        ({"methods": "lora"}, "s.yaml:4:10: methods: expected a list of entries, found the text 'lora'"),
        ({"methods": "[{id: [a], method: full}]"}, "methods[0].id: expected text, found a list"),
        ({"methods": "[{method: lora, r: eight}]"}, "s.yaml:4:29: methods[0].r: expected an integer, found the text 'eight'"),
        ({"methods": "[{method: lora, target_modules: {a: b}}]"}, "methods[0].target_modules: expected a list or text, found a mapping"),
        ({"methods": "[{method: lora, bias: nine}]"}, "methods[0].bias: expected none, all or lora_only, found the text 'nine'; did you mean none?"),
        ({"models": "[roberta]"}, "models[0].source: expected hub:<owner>/<name>, path:<folder>, micro:<name> or random:<shape>, found 'roberta'"),
        ({"models": "[{id: x}]"}, "models[0]: the key source is missing"),
        ({"models": "[{source: hub:a/b, dtype: bf16}]"}, "expected auto, float32, bfloat16 or float16, found the text 'bf16'"),
        ({"seeds": "[0, 1, 0]"}, "s.yaml:6:15: seeds[2]: the seed 0 is given twice, first at seeds[0]"),
        ({"seeds": "[-1]"}, "seeds[0]: expected at least 0, found -1"),
        ({"seeds": "3"}, "seeds: expected a list, found 3"),
    ],
)  # fmt: skip
def test_a_mistake_on_an_axis_is_named(problems: Problems, sections: dict[str, str], message: str) -> None:
    assert any(message in found for found in problems(**sections)), problems(**sections)


@pytest.mark.parametrize("axis", ["models", "quantization", "methods", "tasks"])
@pytest.mark.parametrize("nothing", ["[]", ""])
def test_an_empty_axis_is_an_error(problems: Problems, axis: str, nothing: str) -> None:
    found = problems(**{axis: nothing})
    assert len(found) == 1
    assert f": {axis}: an empty axis: there is nothing to run" in found[0]


@pytest.mark.parametrize("axis", ["models", "methods", "tasks"])
def test_a_missing_axis_is_an_error(problems: Problems, axis: str) -> None:
    assert problems(**{axis: None}) == [f"s.yaml:1:1: the key {axis} is missing: a list with at least one entry"]


def test_a_duplicate_id_names_both_places(problems: Problems) -> None:
    assert problems(methods="[{id: x, method: full}, {id: x, method: lora}]") == [
        "s.yaml:4:39: methods[1].id: the id x is already that of methods[0] (s.yaml:4:11); give one of them another id"
    ]


@pytest.mark.parametrize("id_", ["a b", "a/b", "..", "a..b", ".hidden", "-x", "ü", "a*", "x" * 81, "''"])
def test_an_unsafe_id_is_refused(problems: Problems, id_: str) -> None:
    assert "cannot be an id" in problems(methods=f"[{{id: {id_}, method: full}}]")[0]


@pytest.mark.parametrize("id_", ["../x", "/x", "x/", "a//b"])
def test_an_unsafe_task_id_is_refused(problems: Problems, id_: str) -> None:
    assert "cannot be an id" in problems(tasks=f"[{{id: {id_}, task: wikitext2}}]")[0]


def test_all_problems_are_collected_in_the_order_of_the_file(problems: Problems) -> None:
    found = problems("titel: x\ntrain: {lr: 1, seed: 2, max_steps: many}", methods="[fulll, {method: lora, r: 0}]", seeds="[a]")
    places = [tuple(map(int, line.split(":")[1:3])) for line in found]
    assert places == sorted(places)
    assert len(found) == 7


def test_trust_in_remote_code_and_pickles_must_be_given_as_booleans(load: Load, problems: Problems) -> None:
    config = load().models[0].config
    assert (config.trust_remote_code, config.allow_pickle) == (False, False)
    assert "expected true or false" in problems(models="[{source: hub:a/b, trust_remote_code: 'true'}]")[0]


def test_a_cross_beyond_all_sense_is_refused_with_the_count_per_axis(problems: Problems) -> None:
    seeds = str(list(range(1001)))
    found = problems("sweep: {train.weight_decay: [0, 0.1], train.max_steps: " + str(list(range(1, 61))) + "}", seeds=seeds)
    assert found[0].endswith(
        "120,120 cells (1 models x 1 quantization x 1 methods x 1 tasks x 1,001 seeds x 2 train.weight_decay x "
        "60 train.max_steps); a suite has at most 100,000 before `exclude`: shorten seeds, or make several suites of it"
    )


def test_a_claim_may_compare_with_a_plain_number(load: Load) -> None:
    claim = "{id: %s, source: s, left: {metric: perplexity}, relation: <, right: %s}"
    suite = load(f"claims: [{claim % ('a', '20')}, {claim % ('b', '{value: 20.5}')}]")
    assert [each.right.value for each in suite.claims] == [20.0, 20.5]


def test_nothing_in_a_suite_is_evaluated(load: Load) -> None:
    assert load("title: \"__import__('os').getcwd()\"").title == "__import__('os').getcwd()"


def test_a_suite_is_found_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    mine = tmp_path / "suites" / "mine.yaml"
    mine.write_text("name: mine")
    assert find_suite("mine").resolve() == mine
    assert find_suite(str(mine)) == mine
    assert find_suite("quickstart").name == "quickstart.yaml"
    with pytest.raises(UnknownName, match="did you mean quickstart"):
        find_suite("quikstart")
    with pytest.raises(RequestError, match=r"there is no suite file suites/none\.yaml"):
        find_suite("suites/none.yaml")
    with pytest.raises(RequestError, match="is a folder"):
        find_suite("suites")


CONTRACT = """
name: qlora_vs_lora
title: QLoRA against LoRA and full fine-tuning
references: [qlora]                     # suites/references/qlora.yaml
models:
  - id: roberta-large
    source: hub:FacebookAI/roberta-large   # hub:..., path:..., micro:..., random:<shape>
    revision: main
    dtype: bfloat16
quantization: [none, bnb-int8, bnb-fp4, {id: nf4, scheme: bnb-nf4, double_quant: true}]
methods:
  - full
  - {id: lora-r8, method: lora, r: 8, lora_alpha: 16, target_modules: all-linear}
tasks: [glue/rte, {id: mrpc, task: glue/mrpc, max_train_samples: 500}]
seeds: [0, 1, 2]
sweep: {train.learning_rate: [1e-4, 3e-4]}        # optional further axes
train: {num_train_epochs: 3, per_device_train_batch_size: 16, gradient_accumulation_steps: 1, optim: adamw_torch, max_length: 256}
measure: {warmup_steps: 5, sample_ms: 10, latency: {batch_sizes: [1, 8], prompt_tokens: 64, new_tokens: 64}}
exclude:
  - {method: full, quantization: "bnb-*"}         # globs on ids; a list means any of
profiles:
  smoke:                                           # deep-merged over the suite; lists replace
    models: [{id: micro-encoder, source: micro:encoder}]
    seeds: [0]
    train: {max_steps: 30}
report:
  tables:
    - {rows: [method, quantization], columns: [task], metric: accuracy, reference: qlora.table3_glue}
  plots: [{kind: pareto, x: memory.peak_vram, y: accuracy}]
claims:
  - id: nf4_matches_bf16
    source: "QLoRA, table 3"
    left: {metric: accuracy, where: {quantization: nf4}}
    relation: within                               # <, <=, >, >=, within, ratio
    right: {metric: accuracy, where: {quantization: none, method: lora-r8}}
    margin: 1.0
"""


def test_the_contract_of_the_design_loads_and_plans(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(CONTRACT)
    suite = load_suite(path)
    assert suite.models[0].config.revision == "main"
    assert suite.sweep == {"train.learning_rate": [1e-4, 3e-4]}
    assert suite.claims[0].margin == 1.0
    plan = make_plan(suite, Machine())
    assert len(plan.cells) == (4 * 2 - 2) * 2 * 3 * 2  # (schemes x methods less the excluded) x tasks x seeds x rates
    smoke = make_plan(load_suite(path, "smoke"), Machine())
    assert {(cell.labels.model, cell.labels.seed, cell.config.train.max_steps) for cell in smoke.cells} == {("micro-encoder", 0, 30)}


@pytest.mark.parametrize("name", ["quickstart", "qlora_vs_lora"])
def test_the_suites_that_ship_load(name: str) -> None:
    assert load_suite(find_suite(name)).name == name
