"""Is every mistake in config.yaml told in one clear line, and all of them at once?"""

import re
from copy import deepcopy
from typing import Any

import pytest
import yaml
from making import problems

from homolog.config import ConfigError, parse_config, parse_decomposition

MODEL = "models.base"
EXPERIMENT = "experiments.stability"
CONDITION = f"{EXPERIMENT}.conditions.retrained"
ABSENT = "(absent)"
SMALL = """
models:
  base:
    task: {name: digits}
    architecture: {name: mlp, widths: [48, 32, 48]}
    training: {steps: 10}
  again: {parent: {model: base, seed: 0}, reinitialise: [hidden_1]}
  wide: {parent: {model: base, seed: 0}, reinitialise: [hidden_1], widen: {hidden_1: 64}}
decompositions:
  pca: {method: pca, n_latents: 8}
  cca: {method: cca, n_latents: 8, partner: hidden_2}
  topk: {method: topk_sae, n_latents: 64, k: 4, seeds: [0, 1]}
experiments:
  stability:
    analysis: {name: stability}
    figure: stability
    hook_points: [hidden_1]
    decompositions: [pca, cca, topk]
    conditions:
      retrained: {models: [again], seeds: [0, 1]}
"""


def small(**changes: Any) -> dict[str, Any]:
    """The small configuration with values put at dotted paths, or keys taken away by ABSENT."""
    mapping: dict[str, Any] = yaml.safe_load(SMALL)
    for path, value in changes.items():
        *way, last = path.split(".")
        below = mapping
        for key in way:
            below = below[key]
        if value is ABSENT:
            del below[last]
        else:
            below[last] = value
    return mapping


def topk(**options: Any) -> dict[str, Any]:
    return {"method": "topk_sae", "n_latents": 64, "k": 4, **options}


def relu(**options: Any) -> dict[str, Any]:
    return {"method": "relu_sae", "n_latents": 64, "coefficient": 0.1, **options}


JUMPRELU = {"method": "jumprelu_sae", "n_latents": 64}
# One mistake each: path, value, and the line without its beginning "config.yaml: " (and the path, if that is the place
# that the line names); "..." is any text.
MISTAKES = [
    ("devise", "cpu", ": unknown key; allowed here: device, threads, models, ...; did you mean device?"),
    ("device", "tpu", ": the text 'tpu'; allowed: auto, cpu, cuda; ..."),
    ("threads", 0, ": 0; allowed: a whole number of at least 1 ...; raise it"),
    ("threads", True, ": true; allowed: a whole number of at least 1 ...; ...leave the key out"),
    ("threads", 2.0, ": 2.0; allowed: a whole number of at least 1 ...; write 2"),
    ("models", None, ": nothing ...; allowed: a mapping of at least one name; ..."),
    ("models", {}, ": an empty mapping; allowed: a mapping of at least one name; ..."),
    ("models.a-b", small()["models"]["base"], "models: the name 'a-b'; allowed: ...underscores...; rename it"),
    (f"{MODEL}.task", "digits", ": the text 'digits'; ...key name; write {name: digits}"),
    (f"{MODEL}.task.name", "mnist", ": the text 'mnist'; allowed: digits, fashion_mnist; ..."),
    (f"{MODEL}.task.name", ABSENT, ": missing; needed: one of digits, fashion_mnist; ..."),
    (f"{MODEL}.task.n_test", 1790, ": 1790; ...from 20 to 1777; lower it"),
    (f"{MODEL}.architecture.name", "cnn", ": the text 'cnn'; allowed: mlp, residual; take one of these"),
    (f"{MODEL}.architecture.widths", [], ": an empty list; ...at least one item..."),
    (f"{MODEL}.architecture.widths", [48, "32"], "[1]: the text '32'; ...write 32 ..."),
    (f"{MODEL}.architecture.widths", 48, ": 48; allowed: a list ...; write [48]"),
    (f"{MODEL}.training.steps", ABSENT, ": missing; needed: a whole number ...; add the key ..."),
    (f"{MODEL}.training.stepz", 3, ": unknown key; allowed here: steps, ...mean steps?"),
    (f"{MODEL}.training.steps", "1e3", ": the text '1e3'; ...; write 1000 (YAML 1.1..."),
    (f"{MODEL}.training.lr", "3e-3", ": the text '3e-3'; ...above 0; write 3.0e-3 (YAML 1.1..."),
    (f"{MODEL}.training.lr", "2.5e3", ": ...; write 2.5e+3 (YAML 1.1..."),
    (f"{MODEL}.training.lr", "fast", ": the text 'fast'; allowed: a finite number above 0; ..."),
    (f"{MODEL}.training.lr", float("nan"), ": nan; allowed: a finite number above 0; ..."),
    (f"{MODEL}.training.lr", 0, ": 0; allowed: a finite number above 0; raise it"),
    (f"{MODEL}.training.weight_decay", -1.0, ": -1.0; ...at least 0; raise it"),
    (f"{MODEL}.training.batch_size", 1298, ": 1298, of 1297 training rows; ...; lower it"),
    (f"{MODEL}.training.optimizer", "sgd", ": the text 'sgd'; allowed: adamw; ..."),
    (f"{MODEL}.activations", {"dtype": "int8"}, ".dtype: ...; allowed: float32, float16; ..."),
    (f"{MODEL}.activations", {"hook_points": []}, ".hook_points: an empty list; ... or null; ..."),
    (
        f"{MODEL}.activations",
        {"hook_points": ["hiden_0"]},
        ".hook_points: 'hiden_0' isn't a hook point of ...mean hidden_0?",
    ),
    ("models.again.parent.model", "basis", ": 'basis' isn't defined; ...: base, ...mean base?"),
    ("models.again.parent.model", "again", ": parents in a circle: again -> again; ..."),
    ("models.again.parent.seed", -1, ": -1; ...at least 0 (and below 2**31); raise it"),
    ("models.again.parent", ABSENT, ": missing; needed: a mapping with the keys model, seed; ..."),
    ("models.again.reinitialise", [], ": an empty list; ..."),
    ("models.again.reinitialise", "hidden_1", ": ...; write [hidden_1]"),
    ("models.again.reinitialise", ["hidden_1", "hidden_1"], ": 'hidden_1' stands here twice; ..."),
    ("models.again.reinitialise", ["conv"], ": 'conv' isn't a hook point of the model; it has: hidden_0, ...; ..."),
    ("models.again.task", {"name": "digits"}, ": unknown key; allowed here: parent, ..."),
    ("models.wide.widen", {"hidden_2": 64}, ".hidden_2: widened but not reinit...; ...: hidden_1; add ..."),
    ("models.wide.widen", {"hidden_9": 64}, ".hidden_9: ...can't be widened; ...hidden_0, hidden_1..."),
    ("models.wide.widen", {"logits": 64}, ".logits: ...can't be widened; those that can: hidden_0..."),
    ("models.wide.widen", {"hidden_1": 32}, ".hidden_1: 32; ...more than the parent's 32 units; ..."),
    (
        "decompositions.pca.method",
        "pc",
        ": the text 'pc'; allowed: svd, pca, cca, ..., crosscoder, given; ...mean pca?",
    ),
    ("decompositions.pca.method", ABSENT, ": missing; needed: one of svd, pca, ...; write for instance method: svd"),
    ("decompositions.pca.k", 4, ": unknown key; allowed for pca: n_latents, gauge, method, solver; correct it or ..."),
    ("decompositions.pca.solver", ["exact", "fast"], "[1]: the text 'fast'; allowed: auto, exact, randomised; ..."),
    ("decompositions.pca.n_latents", [], ": an empty list; ..."),
    ("decompositions.pca.n_latents", [8, 8], ": 8 stands here twice; ..."),
    ("decompositions.pca.gauge", "yes", ": ...; allowed: write_out_norm, none; ..."),
    ("decompositions.cca.partner", ABSENT, ": missing; ..."),
    ("decompositions.topk.k", 65, ": 65, of n_latents = 64; allowed: at most n_latents; ..."),
    ("decompositions.topk.n_latents", [64, 3], "decompositions.topk.k: 4, of n_latents = 3; ..."),
    ("decompositions.topk.aux_k", 65, ": 65, of n_latents = 64; ..."),
    ("decompositions.topk.seeds", [1, 1], ": 1 stands here twice; ..."),
    ("decompositions.topk.seeds", [], ": an empty list; ..."),
    ("decompositions.topk.lr", [0.001, "1e-4"], "[1]: the text '1e-4'; ...write 1.0e-4 ..."),
    ("decompositions.topk.lr_warmup", 1, ": 1; allowed: a finite number of at least 0 and below 1; lower it"),
    ("decompositions.topk.lr_decay", 1.5, ": 1.5; allowed: a finite number from 0 to 1; lower it"),
    ("decompositions.topk.lr_decay", [0.5, -1], "[1]: -1; allowed: a finite number from 0 to 1; raise it"),
    ("decompositions.topk.fixed_cosine", 0, ": 0; allowed: a finite number above 0 and at most 1; raise it"),
    ("decompositions.topk.fixed_cosine", 1.1, ": 1.1; allowed: a finite number above 0 and at most 1; lower it"),
    ("decompositions.topk.multi", "yes", ": the text 'yes'; allowed: true or false; give such a value"),
    ("decompositions.topk.engine", "fast", ": the text 'fast'; allowed: auto, plain; take one of these"),
    (
        "decompositions.topk.penalty",
        "l1",
        ": unknown key; allowed for topk_sae: ..., k, k_start, k_warmup, method, multi, dead; ...",
    ),
    ("decompositions.topk.k_start", 65, ": 65, of n_latents = 64; allowed: at most n_latents; lower k_start or ..."),
    (
        "decompositions.topk.k_start",
        [8, 3],
        ": 3, of k = 4; allowed: at least k, since it falls to k; raise k_start ...",
    ),
    ("decompositions.topk.k_warmup", 1.5, ": 1.5; allowed: a finite number from 0 to 1; lower it"),
    ("decompositions.topk", topk(k_start=17, multi=True), ".multi: true, of k_start = 17 and n_latents = 64; ..."),
    ("decompositions.topk.k", [4, 65], ": 65, of n_latents = 64; allowed: at most n_latents; lower k or raise ..."),
    ("decompositions.topk.dense", [0, 61], "decompositions.topk.k: 4, of n_latents - dense = 3; allowed: ..."),
    ("decompositions.topk.dense", 64, ": 64, of n_latents = 64; allowed: fewer than n_latents; lower dense or ..."),
    ("decompositions.topk.fixed", [0, 65], ": 65, of n_latents = 64; allowed: at most n_latents; lower fixed or ..."),
    ("decompositions.topk", topk(k=17, multi=[False, True]), ".multi: true, of k = 17 and n_latents = 64; ..."),
    ("decompositions.topk", topk(multi=True, dense=49), ".multi: true, of k = 4 and n_latents - dense = 15; ..."),
    ("decompositions.topk", relu(k=4), ".k: unknown key; allowed for relu_sae: ..., coefficient, penalty, ..."),
    ("decompositions.topk", relu(coefficient=0), ".coefficient: 0; allowed: a finite number above 0; raise it"),
    ("decompositions.topk", relu(penalty="l2"), ".penalty: the text 'l2'; allowed: l1, lp, tanh, sqrt; ..."),
    ("decompositions.topk", relu(p_end=0), ".p_end: 0; ...above 0 and at most 1; raise it"),
    (
        "decompositions.topk",
        relu(method="gated_sae", dead="no"),
        ".dead: the text 'no'; allowed: auxk, resample, none; ...",
    ),
    ("decompositions.topk", relu(decoder="free"), ".decoder: the text 'free'; allowed: unit_norm, norm_weighted; ..."),
    (
        "decompositions.topk",
        topk(decoder="unit"),
        ".decoder: ...; allowed: unit_norm, norm_weighted, free; ...",
    ),
    ("decompositions.topk", relu(k_start=8), ".k_start: unknown key; allowed for relu_sae: ..."),
    ("decompositions.topk", JUMPRELU, ".coefficient: missing, and so is target_l0; allowed: exactly one ...; ..."),
    ("decompositions.topk", JUMPRELU | {"coefficient": 1, "target_l0": 3}, ".target_l0: 3.0, beside coefficient; ..."),
    ("decompositions.topk", JUMPRELU | {"target_l0": [3, 65]}, ".target_l0: 65.0, of n_latents = 64; ..."),
    ("decompositions.topk", JUMPRELU | {"coefficient": "x"}, ".coefficient: the text 'x'; ..."),
    ("decompositions.topk", JUMPRELU | {"target_l0": "x", "coefficient": 1}, ".target_l0: the text 'x'; ..."),
    ("decompositions.topk", topk(method="batch_topk_sae", threshold_momentum=1), ".threshold_momentum: 1; ...lower it"),
    ("decompositions.topk", topk(method="batch_topk_sae", k=65), ".k: 65, of n_latents = 64; ..."),
    ("decompositions.topk", topk(method="matryoshka_sae", levels=[7, 8]), ".levels: 8, of ... 64; ...most 7, ..."),
    ("decompositions.topk", topk(method="matryoshka_sae", levels=2**31 - 1), ".levels: 2147483647, of n_latents..."),
    ("decompositions.topk", topk(method="matryoshka_sae", dense=1), ".dense: 1; allowed: 0; write this"),
    ("decompositions.topk", topk(method="matryoshka_sae", dense="0"), ".dense: the text '0'; allowed: 0; write this"),
    ("decompositions.topk", topk(method="matching_pursuit_sae", dead="auxk"), ".dead: ...allowed: resample, none; ..."),
    ("decompositions.topk", topk(method="archetypal_sae", dead="resample"), ".dead: ...allowed: auxk, none; ..."),
    (
        "decompositions.topk",
        topk(method="archetypal_sae", decoder="norm_weighted"),
        ".decoder: ...allowed: unit_norm; ...",
    ),
    ("decompositions.topk", topk(method="archetypal_sae", fixed=[1]), ".fixed: the list [1]; allowed: 0; write this"),
    ("decompositions.topk", topk(method="archetypal_sae", relaxation=-1), ".relaxation: -1; ...; raise it"),
    (
        "decompositions.topk",
        topk(method="archetypal_sae", directions_init=["sphere", "data"]),
        ".directions_init: ['sphere', 'data'], of archetypal_sae, which starts at candidates; allowed: sphere; ...",
    ),
    (
        "decompositions.topk",
        topk(method="archetypal_sae", encoder_init="independent"),
        ".encoder_init: independent, of archetypal_sae, which starts at candidates; allowed: tied; take it away",
    ),
    (
        "decompositions.topk",
        topk(method="matching_pursuit_sae", encoder_norm=0.3),
        ".encoder_norm: 0.3, of matching_pursuit_sae, whose encoder is its directions; allowed: 1.0; take it away",
    ),
    (
        "decompositions.topk",
        topk(method="matching_pursuit_sae", encoder_init=["tied", "independent"]),
        ".encoder_init: ['tied', 'independent'], of matching_pursuit_sae, ...; allowed: tied; take it away",
    ),
    ("decompositions.topk", topk(dead="none", aux_k=3), ".aux_k: 3, of dead = none, where it...; allowed: null; ..."),
    ("decompositions.topk", topk(k_warmup=0.3), ".k_warmup: 0.3, of k_start = null, where...; allowed: 0.5; ..."),
    ("decompositions.topk", topk(fixed_source="data"), ".fixed_source: data, of fixed = 0, where...: sphere; ..."),
    (
        "decompositions.topk",
        topk(fixed=[0, 4], fixed_cosine=[0.5, 1.0]),
        ".fixed_cosine: [0.5, 1.0], of fixed = 0, where it does nothing; allowed: one value; take it away",
    ),
    ("decompositions.topk", relu(penalty="l1", p_end=0.3), ".p_end: 0.3, of penalty = l1, where...: 0.5; ..."),
    (
        "decompositions.topk",
        {"method": "jumprelu_sae", "n_latents": 64, "coefficient": 1, "target_coefficient": 2},
        ".target_coefficient: 2.0, of target_l0 = null, where it does nothing; allowed: 1.0; take it away",
    ),
    ("decompositions.topk", topk(method="dictionary_learning", k=65), ".k: 65, of n_latents = 64; ..."),
    ("decompositions.topk", topk(method="dictionary_learning", dense=1), ".dense: unknown key; allowed for dict..."),
    ("decompositions.cca", {"method": "svcca", "n_latents": 8}, ".partner: missing; ..."),
    (f"{EXPERIMENT}.analysis.name", "stabilty", ": ...; allowed: stability, traps, ...; did you mean ..."),
    (f"{EXPERIMENT}.analysis", "stability", ": ...; write {name: stability}"),
    (f"{EXPERIMENT}.analysis.views", ["scor"], "[0]: ...score, ...did you mean score?"),
    (f"{EXPERIMENT}.analysis.matchings", ["x"], "[0]: ...rank, hungarian, mutual_best, ..."),
    (
        f"{EXPERIMENT}.figure",
        "widen",
        ": ...: stability, widening, reinit_depth, stabilisation, layers, traps, ...; did you mean widening?",
    ),
    (f"{EXPERIMENT}.decompositions", ["pcb"], ": 'pcb' isn't defined; ...pca, cca, topk; ..."),
    (f"{EXPERIMENT}.decompositions", ["pca", "pca"], ": 'pca' stands here twice; ..."),
    (f"{EXPERIMENT}.hook_points", ["hidden_7"], ": ...hook point of again, base; it has: ..."),
    (f"{EXPERIMENT}.conditions", {}, ": an empty mapping; ..."),
    (f"{CONDITION}/b", {"models": ["again"], "seeds": [0]}, f"{EXPERIMENT}.conditions: ...'retrained/b'; ...slash..."),
    (f"{CONDITION}.models", ["agian"], f"{CONDITION}.models: 'agian' isn't...mean again?"),
    (f"{CONDITION}.seeds", [], ": an empty list; ..."),
    (f"{CONDITION}.seeds", [0, 0], f"{CONDITION}.seeds: 0 stands here twice; ..."),
    (f"{CONDITION}", {"models": ["base"], "seeds": [0]}, ": one run, so nothing to compare...; add a seed ..."),
    (f"{CONDITION}.models", ["again", "base"], ": models with a parent (again) beside ... (base); ..."),
    ("decompositions.pca.n_latents", [8, 33], f"{EXPERIMENT}.decompositions: pca: n_latents = 33 ...most 32..."),
    ("decompositions.pca", {"method": "ica", "n_latents": 33}, f"{EXPERIMENT}.decompositions: pca: ...at most 32..."),
    ("decompositions.pca", {"method": "kmeans", "n_latents": [9, 649]}, f"{EXPERIMENT}.decompositions: ...most 648..."),
    ("decompositions.cca.partner", "hidden_1", f"{EXPERIMENT}.decompositions: cca: ... hook point itself; ..."),
    ("decompositions.cca.partner", "hidden_3", f"{EXPERIMENT}.decompositions: cca: partner 'hidden_3' isn't ..."),
]


@pytest.mark.parametrize(("path", "value", "line"), MISTAKES, ids=lambda part: str(part)[:40])
def test_each_mistake_has_its_line(path, value, line):
    (problem,) = problems(small(**{path: value}))
    line = path + line if line[0] in ":.[" else line
    pattern = re.escape(f"config.yaml: {line}").replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, problem)


OF_DECOMPOSITIONS = [mistake for mistake in MISTAKES if mistake[0].startswith("decompositions.")]


@pytest.mark.parametrize(("path", "value", "line"), OF_DECOMPOSITIONS, ids=lambda part: str(part)[:40])
def test_a_decomposition_that_is_declared_in_python_is_told_the_same(path, value, line):
    mapping = small(**{path: value})
    name = path.split(".")[1]
    start = f"config.yaml: decompositions.{name}."
    told = [problem.removeprefix(start) for problem in problems(mapping) if problem.startswith(start)]
    if told:
        with pytest.raises(ConfigError) as caught:
            parse_decomposition(mapping["decompositions"][name], source="mine")
        assert caught.value.problems == [f"mine: {problem}" for problem in told]
    else:  # Sizes and hook points are known with the activations only.
        assert EXPERIMENT in line
        parse_decomposition(mapping["decompositions"][name])


@pytest.mark.parametrize("spec", [None, {}, [], "pca", 3, {"n_latents": 4}, {"method": None}, {"method": ["pca"]}])
def test_a_decomposition_without_a_method_is_one_line(spec):
    with pytest.raises(ValueError, match=r"^decomposition: ") as caught:
        parse_decomposition(spec)
    assert "method" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_mistakes_and_contradictions_of_a_decomposition_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_decomposition(topk(n_latents=(8, 16), k=9, stepz=3, fixed=range(20), dead="revive", seeds=(0, 0)))
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["seeds", "dead", "stepz", "k", "fixed"]


@pytest.mark.parametrize("name", ["all", "train", "dump_activations", "decompose", "analyse", "plot", "plot_training"])
def test_an_experiment_must_not_be_called_like_a_rule(name):
    mapping = small()
    mapping["experiments"] = {name: mapping["experiments"]["stability"]}
    (problem,) = problems(mapping)
    assert f"experiments.{name}: this is the name of a rule; taken: all, atlases, train, " in problem


def test_circle_of_parents_is_told_once_and_descendants_are_not_blamed():
    model = {"reinitialise": ["hidden_1"]}
    circle = {name: model | {"parent": {"model": to, "seed": 0}} for name, to in [("a", "b"), ("b", "c"), ("c", "b")]}
    mapping = small()
    mapping["models"] |= circle
    (problem,) = problems(mapping)
    assert "models.b.parent.model: parents in a circle: b -> c -> b; " in problem


def test_latents_are_bounded_by_the_partner_and_by_half_of_the_training_rows():
    mapping = small(**{"decompositions.cca": {"method": "cca", "n_latents": 11, "partner": "logits"}})
    (problem,) = problems(mapping)
    assert "cca: n_latents = 11 at hidden_1 of again; allowed: at most 10, the units of logits; lower dec" in problem
    mapping = small(**{f"{MODEL}.task.n_test": 1777, f"{MODEL}.training.batch_size": 20})
    mapping["decompositions"]["pca"]["n_latents"] = 11
    (problem,) = problems(mapping)
    assert "allowed: at most 10, the samples in half of the training rows; lower decompositions.pca" in problem


def test_parents_are_compared_too_so_their_size_counts():
    mapping = small(**{f"{EXPERIMENT}.conditions.retrained.models": ["wide"], "decompositions.pca.n_latents": 40})
    (problem,) = problems(mapping)
    assert "pca: n_latents = 40 at hidden_1 of base; allowed: at most 32" in problem


def test_hook_points_of_an_experiment_must_be_recorded():
    mapping = small(**{f"{MODEL}.activations": {"hook_points": ["hidden_1"]}})
    (problem,) = problems(mapping)
    assert "cca: partner 'hidden_2' isn't recorded by again, base; recorded: hidden_1; add it to activations" in problem


def test_models_of_one_condition_see_the_same_inputs():
    mapping = small(**{f"{EXPERIMENT}.conditions.retrained.models": ["base", "other"]})
    mapping["models"]["other"] = deepcopy(mapping["models"]["base"])
    parse_config(mapping)
    mapping["models"]["other"]["task"]["n_test"] = 400
    (problem,) = problems(mapping)
    assert (
        "conditions: models of different tasks (base: name digits, n_test 500, other: name digits, n_test 400); "
        in problem
    )


@pytest.mark.parametrize(
    ("key", "value", "lacking"),
    [("views", ["write_out"], "score"), ("matchings", ["rank", "best"], "hungarian")],
)
def test_an_analysis_computes_what_its_figure_draws(key, value, lacking):
    mapping = small(**{f"{EXPERIMENT}.analysis": {"name": "stability", key: value}})
    (problem,) = problems(mapping)
    assert f"analysis.{key}: no {lacking}; " in problem
    assert "which figure stability draws; add what is missing" in problem


def test_all_mistakes_are_told_at_once_even_within_one_entry():
    mapping = small(
        **{
            "colour": "red",
            f"{MODEL}.training.lr": "3e-3",
            f"{MODEL}.activations": {"hook_points": ["hidden_1", "nowhere"]},
            "models.again.reinitialise": ["hidden_5"],
            "models.again.activations": {"dtype": "int8"},
            "decompositions.topk.k": 65,
            "decompositions.topk.steps": 0,
            f"{EXPERIMENT}.figure": "pie",
            f"{EXPERIMENT}.decompositions": ["pca", "nothing"],
        }
    )
    told = "\n".join(problems(mapping))
    for place in [
        "colour: unknown", "base.training.lr: ", "'nowhere' isn't", "again.activations.dtype: ", "topk.k: 65",
        "topk.steps: 0", "figure: the text 'pie'", "'nothing' isn't defined",
    ]:  # fmt: skip
        assert place in told
    # Told once the parent is right: what the model has is not known before.
    assert "hidden_5" not in told


def test_a_broken_entry_is_not_called_undefined():
    mapping = small(**{f"{MODEL}.task": 3, "decompositions.pca": None, "models.again.parent": 1})
    assert [line.split(":")[1].strip() for line in problems(mapping)] == [
        "models.base.task", "models.again.parent", "decompositions.pca",
    ]  # fmt: skip


@pytest.mark.parametrize("mapping", [None, {}, [], "models", 3])
def test_anything_but_a_mapping_is_one_line(mapping):
    (problem,) = problems(mapping)
    assert re.fullmatch(r"config.yaml: holds .*; allowed: a mapping with the keys models, .*; add them", problem)
