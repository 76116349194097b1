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
from homolog.config import Config, load_config, parse_config
from homolog.config.decompositions import Decomposition
from homolog.config.experiments import Analysis
from homolog.config.models import Architecture, Recipe
from homolog.config.tasks import Task

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
    assert point == {
        "n_latents": 64, "k": 4, "lr": None, "steps": 2000, "batch_size": 256, "aux_k": None,
        "aux_coefficient": 1 / 32, "dead_after": 10_000,
    }  # fmt: skip


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
        (registry.ARCHITECTURES, Architecture, "name"),
        (registry.METHODS, Decomposition, "method"),
        (registry.ANALYSES, Analysis, "name"),
    ],
    ids=["tasks", "architectures", "methods", "analyses"],
)
def test_every_registered_name_has_its_options_and_the_other_way_round(entries, union, key):
    assert option_names(union, key) == list(entries)


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
