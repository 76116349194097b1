"""Does config.yaml mean what it says, and do its schema and the registry say the same?"""

import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from homolog import registry
from homolog.config import Config, ConfigError, load_config, parse_config, parse_decomposition
from homolog.config.antilearning import PartOfRecipe, TaskPairOptions
from homolog.config.corpora import Corpus
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import Analysis
from homolog.config.models import Architecture, Recipe
from homolog.config.tasks import Task
from homolog.planning import Plan

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "config.yaml", ROOT / "tests" / "tiny.yaml"]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"


def tiny() -> dict[str, Any]:
    mapping: dict[str, Any] = yaml.safe_load(FILES[1].read_text())
    return mapping


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_come_with_the_project_are_valid(path):
    config = load_config(path)
    assert {"stability", "widening", "reinit_depth", "bases"} <= set(config.experiments)
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(SCHEMA.read_text()))


def test_tiny_file_has_names_of_the_real_one_only():
    real, tiny = (load_config(path) for path in FILES)
    for section in ("models", "decompositions", "experiments"):
        assert set(getattr(tiny, section)) <= set(getattr(real, section))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_point_editors_to_the_schema(path):
    first = path.read_text().splitlines()[0]
    pointer = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / pointer).resolve() == SCHEMA


def test_recipes_inherit_over_generations():
    mapping = tiny()
    mapping["models"]["digits_mlp_wide_64"]["training"] = {"steps": 7, "batch_size": 16}
    mapping["models"]["wider"] = {
        "parent": {"model": "digits_mlp_wide_64", "seed": 3}, "reinitialise": ["hidden_0"], "widen": {"hidden_0": 99},
        "activations": {"hook_points": ["hidden_1"], "dtype": "float16"},
    }  # fmt: skip
    recipe = parse_config(mapping).resolve("wider")
    assert recipe.architecture.widths == [99, 64, 48]
    assert (recipe.task.name, recipe.training.steps, recipe.training.batch_size) == ("digits", 7, 16)
    assert (recipe.hook_points, recipe.activations.dtype) == (["hidden_1"], "float16")
    assert recipe.parent.model_dump() == {"model": "digits_mlp_wide_64", "seed": 3}
    assert (recipe.reinitialise, recipe.widen) == (["hidden_0"], {"hidden_0": 99})


def test_recipe_of_a_model_without_parent():
    recipe = parse_config(tiny()).resolve("digits_mlp")
    assert recipe.hook_points == ["hidden_0", "hidden_1", "hidden_2", "logits"]
    assert [recipe.width(name) for name in recipe.hook_points] == [48, 32, 48, 10]
    assert (recipe.parent, recipe.reinitialise, recipe.widen) == (None, [], {})
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(ValueError, match="no hook point 'conv' in this architecture; it has hidden_0, "):
        recipe.width("conv")
    with pytest.raises(ValueError, match="no model 'bass'; models are digits_mlp, "):
        parse_config(tiny()).resolve("bass")


def test_a_residual_network_is_declared_and_controlled_at_its_stream():
    mapping = tiny()
    mapping["models"]["stream"] = mapping["models"]["digits_mlp"] | {
        "architecture": {"name": "residual", "stream": 24, "blocks": 2, "hidden": 40, "norm": "layernorm"}
    }
    mapping["models"]["stream_retrained"] = {"parent": {"model": "stream", "seed": 0}, "reinitialise": ["stream_1"]}
    mapping["decompositions"]["pca"] = {"method": "pca", "n_latents": 4}
    conditions = {"retrained": {"models": ["stream_retrained"], "seeds": [0, 1]}}
    mapping["experiments"]["stream"] = mapping["experiments"]["stability"] | {
        "hook_points": ["stream_1", "logits"], "decompositions": ["pca"], "conditions": conditions
    }  # fmt: skip
    config = parse_config(mapping)
    recipe = config.resolve("stream_retrained")
    assert recipe.hook_points == ["stream_0", "stream_1", "stream_2", "logits"]
    assert [recipe.width(name) for name in recipe.hook_points] == [24, 24, 24, 10]
    assert (recipe.architecture.widenable(), recipe.architecture.activation) == ([], "relu")
    plan = Plan(config)
    controls = json.loads(plan.spec("analyse", experiment="stream"))["controls"]
    assert controls == {"stream_1": ["stream/seed_0", "stream-regauged-stream_1/seed_0"]}
    mapping["models"]["stream_retrained"]["widen"] = {"stream_1": 48}
    with pytest.raises(ValueError, match=r"widen.*can't be widened; those that can: none"):
        parse_config(mapping)


def test_grids_expand_in_a_stable_order_with_labels_of_what_varies():
    grid = {"method": "topk_sae", "n_latents": [64, 32], "k": [4, 2], "lr": [1.0e-3], "seeds": [5, 6]}
    options = parse_config(tiny() | {"decompositions": tiny()["decompositions"] | {"topk": grid}}).decompositions[
        "topk"
    ]
    points = options.expand()
    assert [(point["n_latents"], point["k"]) for point in points] == [(64, 4), (64, 2), (32, 4), (32, 2)]
    assert all(point["lr"] == 1.0e-3 and not {"method", "gauge", "seeds"} & set(point) for point in points)
    assert options.labels("topk")[1] == "topk[n_latents=64,k=2]"
    assert options.member_seeds() == [5, 6]


def test_one_point_has_the_plain_name_and_the_defaults():
    mapping = tiny()
    mapping["decompositions"]["topk"] = {"method": "topk_sae", "n_latents": 64, "k": 4}
    config = parse_config(mapping)
    assert config.decompositions["cca"].labels("cca") == ["cca"]
    assert config.decompositions["cca"].expand() == [{"n_latents": 4}]
    assert (config.decompositions["cca"].partners(), config.decompositions["cca"].member_seeds()) == (["hidden_2"], [0])
    (point,) = config.decompositions["topk"].expand()
    expected = {
        "n_latents": 64, "k": 4, "lr": None, "steps": 2000, "batch_size": 256, "aux_k": None,
        "aux_coefficient": 1 / 32, "dead_after": 10_000,
    }  # fmt: skip
    assert expected.items() <= point.items()
    assert config.decompositions["topk"].labels("topk") == ["topk"]


# Decompositions: every method, with what it can't do without.

NEEDED: dict[str, dict[str, Any]] = {
    "svd": {},
    "pca": {},
    "cca": {"partner": "hidden_2"},
    "svcca": {"partner": "hidden_2"},
    "ica": {},
    "nmf": {},
    "kmeans": {},
    "dictionary_learning": {"k": 2},
    "relu_sae": {"coefficient": 0.1},
    "topk_sae": {"k": 2},
    "batch_topk_sae": {"k": 2},
    "jumprelu_sae": {"coefficient": 0.1},
    "gated_sae": {"coefficient": 0.1},
    "matryoshka_sae": {"k": 2},
    "matching_pursuit_sae": {"k": 2},
    "archetypal_sae": {"k": 2},
    "crosscoder": {"k": 2},
}
METHOD = pytest.mark.parametrize("method", NEEDED)
# Two values for each key whose default can't just be halved.
OTHERWISE: dict[str, list[Any]] = {
    "n_latents": [32, 16],
    "order_seed": [0, 7],
    "lr": [0.1, 0.2],
    "aux_k": [1, 2],
    "multi": [False, True],
    "penalty": ["lp", "tanh"],
    "solver": ["exact", "randomised"],
    "directions_init": ["sphere", "data"],
    "encoder_init": ["tied", "independent"],
    "bias_init": ["mean", "zero"],
    "input_scale": ["unit_mean_square", "sqrt_units"],
    "fixed_source": ["covariance", "data"],
    "engine": ["auto", "plain"],
    "decoder": ["unit_norm", "norm_weighted"],
    "lr_warmup": [0.0, 0.1],
    "threshold_momentum": [0.0, 0.9],
    "dense": [0, 3],
    "fixed": [0, 16],
    "k": [1, 2],
    "k_start": [2, 16],
    "levels": [1, 2],
}

# What a key needs beside it to do something.
BESIDE: dict[str, dict[str, Any]] = {
    "aux_k": {"dead": "auxk"},
    "aux_coefficient": {"dead": "auxk"},
    "fixed_source": {"fixed": 8},
    "fixed_cosine": {"fixed": 8},
    "k_warmup": {"k_start": 4},
    "p_end": {"penalty": "lp"},
}


def spec(method: str, **options: Any) -> dict[str, Any]:
    return {"method": method, "n_latents": 16, **NEEDED[method], **options}


ONLY_ZERO = {(f"{name}_sae", "dense") for name in ("matryoshka", "archetypal", "matching_pursuit")}
ONLY_ZERO |= {("archetypal_sae", "fixed")}
WITHOUT_USE = {
    (f"{name}_sae", f"encoder_{key}") for name in ("archetypal", "matching_pursuit") for key in ("init", "norm")
}
WITHOUT_USE |= {("archetypal_sae", key) for key in ("directions_init", "fixed_source", "fixed_cosine")}
WITHOUT_USE |= {("matching_pursuit_sae", key) for key in ("aux_k", "aux_coefficient")}


def two_values(method: str, key: str) -> list[Any]:
    """Two values that the key of a method may take; one, or none, where there is no choice."""
    if key == "dead":
        return ["none", "resample" if method == "matching_pursuit_sae" else "auxk"]
    if key == "decoder" and method in ("matching_pursuit_sae", "archetypal_sae"):
        return ["unit_norm"]
    if method == "jumprelu_sae" and key in ("target_l0", "target_coefficient"):
        return []  # Not beside a coefficient: it has a test of its own.
    if (method, key) in ONLY_ZERO:
        return [0]
    if (method, key) in WITHOUT_USE:
        return []
    if key in OTHERWISE:
        return OTHERWISE[key]
    value = getattr(parse_decomposition(spec(method)), key)
    return [value, value // 2] if isinstance(value, int) else [value, value / 2]


def test_the_table_holds_every_method():
    assert list(NEEDED) == list(registry.METHODS)


@METHOD
def test_what_is_read_is_read_again_the_same(method):
    options = parse_decomposition(spec(method))
    assert options.method == method
    assert parse_decomposition(options.model_dump(mode="json")) == options
    assert len(options.expand()) == 1
    assert options.labels("name") == ["name"]
    assert all(isinstance(value, str | int | float | None) for value in options.expand()[0].values())


@METHOD
def test_every_needed_key_is_needed(method):
    for key in ["n_latents", *NEEDED[method]]:
        lacking = {name: value for name, value in spec(method).items() if name != key}
        with pytest.raises(ConfigError, match=f"^decomposition: {key}: missing"):
            parse_decomposition(lacking)


@METHOD
def test_any_hyper_parameter_may_be_a_list(method):
    (point,) = parse_decomposition(spec(method)).expand()
    assert not {"method", "gauge", "partner", "seeds"} & set(point)
    for key in point:
        values = two_values(method, key)
        if len(values) < 2:
            continue
        given = spec(method) | BESIDE.get(key, {})
        options = parse_decomposition(given | {key: values})
        assert [other[key] for other in options.expand()] == values
        assert all({**other, key: point[key]} == point | BESIDE.get(key, {}) for other in options.expand())
        assert options.labels("name") == [f"name[{key}={value}]" for value in values]
        alone = [parse_decomposition(given | {key: value}).expand() for value in values]
        assert [first for (first,) in alone] == options.expand()


def test_jumprelu_takes_a_target_in_place_of_a_coefficient():
    given = {"method": "jumprelu_sae", "n_latents": 16}
    options = parse_decomposition(given | {"target_l0": [2, 16]})
    assert [(point["coefficient"], point["target_l0"]) for point in options.expand()] == [(None, 2), (None, 16)]
    (point,) = parse_decomposition(given | {"coefficient": 0.1}).expand()
    assert (point["coefficient"], point["target_l0"]) == (0.1, None)
    points = parse_decomposition(given | {"target_l0": 2, "target_coefficient": [1, 2]}).expand()
    assert [point["target_coefficient"] for point in points] == [1, 2]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("topk_sae", {"k": 16}),
        ("topk_sae", {"k": 4, "multi": True}),
        ("topk_sae", {"k": 4, "k_start": 4, "k_warmup": 1, "multi": True}),
        ("topk_sae", {"k": 1, "k_start": 16, "k_warmup": 0}),
        ("topk_sae", {"k": 4, "dense": 12, "fixed": 16, "aux_k": 16}),
        ("topk_sae", {"lr_warmup": 0, "lr_decay": 1, "fixed_cosine": 1, "aux_coefficient": 0}),
        ("relu_sae", {"dense": 15, "penalty": "lp", "p_end": 1}),
        ("matryoshka_sae", {"k": 16, "levels": 5}),
        ("dictionary_learning", {"k": 16}),
    ],
)
def test_limits_themselves_are_allowed(method, options):
    (point,) = parse_decomposition(spec(method, **options)).expand()
    assert options.items() <= point.items()


@pytest.mark.parametrize(
    ("method", "options", "points"),
    [
        ("relu_sae", {"penalty": ["l1", "lp"], "p_end": 0.3}, 2),
        ("topk_sae", {"fixed": [0, 8], "fixed_source": "data"}, 2),
        ("topk_sae", {"dead": "none", "aux_k": None, "fixed": 0, "fixed_source": "sphere"}, 1),
        ("batch_topk_sae", {"k_start": [2, 4], "k_warmup": [0.1, 0.2]}, 4),
    ],
)
def test_what_does_nothing_at_some_grid_points_is_one_value_or_the_default(method, options, points):
    assert len(parse_decomposition(spec(method, **options)).expand()) == points


@METHOD
def test_seeds_are_of_the_methods_that_draw(method):
    drawing = method.endswith("_sae") or method in {"crosscoder", "ica", "nmf", "kmeans", "dictionary_learning"}
    if drawing:
        assert parse_decomposition(spec(method)).member_seeds() == [0]
        assert parse_decomposition(spec(method, seeds=range(3))).member_seeds() == [0, 1, 2]
    else:
        with pytest.raises(ConfigError, match=f"seeds: unknown key; allowed for {method}: "):
            parse_decomposition(spec(method, seeds=[0]))


def test_all_sparse_autoencoders_share_their_common_options():
    names = [name for name in NEEDED if name.endswith("_sae")]
    points = [parse_decomposition(spec(name)).expand()[0] for name in names]
    shared = set(points[0]).intersection(*points)
    assert {"order_seed", "lr_warmup", "encoder_init", "decoder", "dead", "dense", "fixed", "engine"} <= shared
    selecting = [point for point in points if "k" in point]
    assert len(selecting) == 5
    assert all(point.items() >= {"k_start": None, "k_warmup": 0.5}.items() for point in selecting)
    for key in shared - {"dead", "encoder_norm"}:  # Which one serves depends on the method; nothing else does.
        assert len({point[key] for point in points}) == 1, key


@METHOD
def test_latents_are_limited_where_the_method_is(method):
    units = {"hidden_1": 32, "hidden_2": 10}
    limit = parse_decomposition(spec(method)).most_latents(units.__getitem__, "hidden_1", samples=1000)
    few = parse_decomposition(spec(method)).most_latents(units.__getitem__, "hidden_1", samples=18)
    samples = "samples in half of the training rows"
    if method in {"svd", "pca", "ica"}:
        assert (limit, few) == ((32, "units of hidden_1"), (9, samples))
    elif method in {"cca", "svcca"}:
        assert (limit, few) == ((10, "units of hidden_2"), (9, samples))
    elif method == "kmeans":
        assert (limit, few) == ((500, samples), (9, samples))
    else:
        assert (limit, few) == (None, None)


def test_a_config_can_not_be_changed():
    config = parse_config(tiny())
    with pytest.raises(ValidationError, match="frozen"):
        config.threads = 2


def option_names(union: Any, key: str) -> list[str]:
    members = typing.get_args(typing.get_args(union)[0]) if typing.get_origin(union) else [union]
    return [typing.get_args(member.model_fields[key].annotation)[0] for member in members]


@pytest.mark.parametrize(
    ("entries", "union", "key"),
    [
        (registry.TASKS, Task, "name"),
        (registry.CORPORA, Corpus, "name"),
        (registry.ARCHITECTURES, Architecture, "name"),
        (registry.METHODS, Decomposition, "method"),
        (registry.ANALYSES, Analysis, "name"),
        (registry.ANTILEARNING_PAIRS, TaskPairOptions, "pair"),
        (registry.TECHNIQUES, PartOfRecipe, "name"),
    ],
    ids=["tasks", "corpora", "architectures", "methods", "analyses", "pairs", "techniques"],
)
def test_every_registered_name_has_its_options_and_the_other_way_round(entries, union, key):
    assert [name for name in option_names(union, key) if name != "given"] == list(entries)


def test_default_views_are_registered():
    views = parse_config(tiny()).experiments["stability"].analysis.views
    assert set(views) <= set(registry.VIEWS)


def test_schema_file_is_in_step():
    made = subprocess.run([sys.executable, "-m", "homolog", "schema"], capture_output=True, text=True, check=True)
    assert made.stdout == SCHEMA.read_text(), "python -m homolog schema > workflow/schemas/config.schema.json"


def test_every_key_is_documented():
    schema = Config.model_json_schema()
    classes = [schema, *schema["$defs"].values()]
    assert len(classes) > 10
    for described in classes:
        assert described["description"]
        for key, field in described["properties"].items():
            assert field.get("description"), f"{described['title']}.{key}"
