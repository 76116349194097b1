"""Does a file that is handed in ever run code, and is there code that could run what a file or the config says?"""

from __future__ import annotations

import ast
import gzip
import inspect
import json
import pickle
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from workspace import ROOT

import homolog
from homolog import registry
from homolog.comparing.dictionaries import read_refits
from homolog.dictionary import Dictionary
from homolog.loading import load
from homolog.models.base import HookedNetwork
from homolog.models.build import restore_model
from homolog.models.mlp import MLP
from homolog.provenance import Code, planned_code
from homolog.store.activation_samples import open_activations
from homolog.store.arrays import samples_of
from homolog.store.curves import read_final_loss
from homolog.store.dictionaries import read_dictionaries
from homolog.store.experiments import read_experiment
from homolog.store.external import read_external
from homolog.store.joint import read_joint
from homolog.store.models import read_model, write_model
from homolog.store.recorded import along_rows, array_of, headers
from homolog.store.tracks import read_tracks
from homolog.tasks.fashion_mnist import read_idx

# Sources


# What reads pickles, or runs what it is given.
MODULES = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "runpy", "code", "codeop", "pty"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "read_pickle",
    "system",
    "popen",
    "unsafe_load",
    "full_load",
    "getoutput",
}
# Targets of registries, and of the package's own names.
IMPORTING = {"loading.py", "__init__.py", "network.py"}


def dangers(text: str) -> list[str]:
    """What in a module could run what a file or a text says."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found += [one.name for one in node.names if not one.name.endswith("Error")]
        elif isinstance(node, ast.Call):
            found += _dangerous_call(node)
    return found


def _dangerous_call(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func)
    method = called.split(".")[-1]
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if called in CALLS or ("." in called and method in CALLS - {"compile", "eval"}):
        return [called]
    if called == "torch.load" and given.get("weights_only") != "True":
        return [called]
    if called in ("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"):
        return [called]
    if given.get("allow_pickle", "False") != "False" or given.get("shell", "False") != "False":
        return [called]
    if called in ("yaml.load", "yaml.compose", "yaml.load_all") and given.get("Loader") != "yaml.SafeLoader":
        return [called]
    return []


BAD = [
    "import pickle", "from joblib import load", "import marshal as m", "from pickle import loads, UnpicklingError",
    "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)",
    "np.load(path, allow_pickle=flag)", "yaml.load(text, Loader=yaml.Loader)", "yaml.load(text)", "eval(text)",
    "exec(text)", "os.system(text)", "subprocess.run(text, shell=True)", "pd.read_pickle(path)", "torch.jit.load(path)",
]  # fmt: skip
GOOD = [
    "from pickle import UnpicklingError", "torch.load(path, map_location='cpu', weights_only=True)", "np.load(path)",
    "yaml.safe_load(text)", "yaml.compose(text, Loader=yaml.SafeLoader)", "model.eval()", "re.compile(pattern)",
    "subprocess.run(['git', 'describe'])", "torch.load(path, weights_only=True)",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_runs_a_file_is_seen(text: str) -> None:
    assert dangers(text)


@pytest.mark.parametrize("text", GOOD)
def test_what_does_not_is_left_alone(text: str) -> None:
    assert dangers(text) == []


def test_nothing_in_the_sources_runs_what_a_file_or_the_config_says() -> None:
    sources = [path for name in ("src", "workflow", "benchmarks") for path in (ROOT / name).rglob("*.py")]
    assert len(sources) > 100
    assert {str(path): found for path in sources if (found := dangers(path.read_text()))} == {}


def test_only_names_of_registries_are_imported_by_name() -> None:
    importing = [path for path in (ROOT / "src").rglob("*.py") if "import_module(" in path.read_text()]
    assert {path.name for path in importing} <= IMPORTING


def test_no_rule_has_a_command_line() -> None:
    rules = [*(ROOT / "workflow").rglob("*.smk"), ROOT / "Snakefile"]
    assert len(rules) > 4
    for path in rules:
        assert not re.search(r"^\s+(shell|run|wrapper|notebook|cwl)\s*:|\bshell\(", path.read_text(), re.MULTILINE), (
            path
        )


# Files


class Runs:
    """What a pickle may hold: something that is called when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


VALUES = np.ones((400, 3), np.float32)


def array(folder: Path, runs: Runs, name: str) -> Path:
    """A .npy, .npz or .h5 with the object, as far as the format allows."""
    path = folder / name
    objects = np.full((400, 3), runs, object)
    if path.suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    elif path.suffix == ".npz":
        np.savez(path, x=objects, directions=objects, resid=VALUES, input_id=objects[:, 0], label=objects[:, 0])
    else:
        with h5py.File(path, "w") as file:
            file["x"] = np.full((400, 3), np.void(pickle.dumps(runs)))
            file["resid"] = VALUES
            file["label"] = np.full(400, np.void(pickle.dumps(runs)))
    return path


def pickled(folder: Path, runs: Runs, name: str) -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(runs))
    return path


def zipped(folder: Path, runs: Runs, name: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(pickle.dumps(runs)))
    return path


def saelens(folder: Path, runs: Runs, broken: str) -> Path:
    """A folder of sae-lens, one file of which is a pickle."""
    rows = torch.nn.functional.normalize(torch.randn(4, 3), dim=1)
    unknown = torch.full((4,), torch.nan)
    homolog.write_saelens(folder, Dictionary(rows, rows, torch.zeros(4), torch.zeros(3), unknown, unknown, "relu"))
    return pickled(folder, runs, broken).parent


def described(folder: Path, runs: Runs, name: str, config: str, told: dict[str, Any]) -> Path:
    """A folder whose weights are a pickle, with a right description."""
    (folder / config).write_text(json.dumps(told))
    torch.save({"encoder.weight": runs}, folder / name)
    return folder


# Where a file of others is read -> what makes it, and what reads it.
Making, Reading = Callable[[Path, Runs], Path], Callable[[Path], object]
TRAINER = {"trainer": {"dict_class": "AutoEncoder"}}
PLACES: dict[str, tuple[Making, Reading]] = {
    "activations .npy": (lambda folder, runs: array(folder, runs, "a.npy"), samples_of),
    "activations .npz": (lambda folder, runs: array(folder, runs, "a.npz"), lambda path: samples_of(path, "x")),
    "activations .h5": (lambda folder, runs: array(folder, runs, "a.h5"), lambda path: samples_of(path, "x")),
    "activations .npy that are a pickle": (lambda folder, runs: pickled(folder, runs, "a.npy"), samples_of),
    "activations .npz that are a pickle": (lambda folder, runs: pickled(folder, runs, "a.npz"), samples_of),
    "activations .h5 that are a pickle": (lambda folder, runs: pickled(folder, runs, "a.h5"), samples_of),
    "external .npz, planned": (
        lambda folder, runs: array(folder, runs, "a.npz"), lambda path: array_of(path, headers(path), "x", False)
    ),
    "external .npz that is a pickle": (lambda folder, runs: pickled(folder, runs, "a.npz"), headers),
    "external .npz, taken": (
        lambda folder, runs: array(folder, runs, "a.npz"),
        lambda path: read_external({"sources": [{"path": path, "hook_point": "resid", "alone": False}]}, "mine/seed_0"),
    ),
    "input_id": (lambda folder, runs: array(folder, runs, "a.npz"), lambda path: along_rows(path, "input_id", 400)),
    "label": (lambda folder, runs: array(folder, runs, "a.h5"), lambda path: along_rows(path, "label", 400)),
    "dictionary .npy": (lambda folder, runs: array(folder, runs, "a.npy"), lambda path: read_refits(path, "one")),
    "dictionary .npz": (lambda folder, runs: array(folder, runs, "a.npz"), lambda path: read_refits(path, "one")),
    "dictionary .h5": (lambda folder, runs: pickled(folder, runs, "a.h5"), lambda path: read_refits(path, "one")),
    "sae-lens weights": (lambda folder, runs: saelens(folder, runs, "sae_weights.safetensors"), homolog.read_saelens),
    "sae-lens sparsity": (lambda folder, runs: saelens(folder, runs, "sparsity.safetensors"), homolog.read_saelens),
    "sae-lens config": (lambda folder, runs: saelens(folder, runs, "cfg.json"), homolog.read_saelens),
    "sparsify weights": (
        lambda folder, runs: described(folder, runs, "sae.safetensors", "cfg.json", {"d_in": 3, "k": 1}),
        homolog.read_sparsify,
    ),
    "dictionary_learning weights": (
        lambda folder, runs: described(folder, runs, "ae.pt", "config.json", TRAINER), homolog.read_dictionary_learning
    ),
    "dictionary_learning weights that are a pickle": (
        lambda folder, runs: pickled(described(folder, runs, "ae.pt", "config.json", TRAINER), runs, "ae.pt").parent,
        homolog.read_dictionary_learning,
    ),
    "Fashion-MNIST": (lambda folder, runs: zipped(folder, runs, "train-images-idx3-ubyte.gz"), read_idx),
    "model.safetensors": (lambda folder, runs: pickled(folder, runs, "model.safetensors"), read_model),
    "training.nc": (lambda folder, runs: pickled(folder, runs, "training.nc"), read_final_loss),
    "activations.h5": (
        lambda folder, runs: pickled(folder, runs, "activations.h5"), lambda path: open_activations(path, "hidden_1")
    ),
    "<decomposition>.h5": (lambda folder, runs: pickled(folder, runs, "pca.h5"), read_dictionaries),
    "<joint decomposition>.h5": (lambda folder, runs: pickled(folder, runs, "cross.h5"), read_joint),
    "<analysis>.nc": (lambda folder, runs: pickled(folder, runs, "stability.nc"), read_experiment),
    "tracks.nc": (lambda folder, runs: pickled(folder, runs, "tracks.nc"), read_tracks),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_is_refused_in_one_line_and_not_run(place: str, tmp_path: Path) -> None:
    make, read = PLACES[place]
    was_run = tmp_path / "was_run"
    (tmp_path / "theirs").mkdir()
    path = make(tmp_path / "theirs", Runs(was_run))
    with pytest.raises(ValueError, match="theirs") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not was_run.exists()


def test_these_pickles_do_run_where_somebody_reads_them(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "was_run")
    np.load(array(tmp_path, runs, "a.npy"), allow_pickle=True)
    runs.path.unlink()
    pickle.loads(pickled(tmp_path, runs, "a.h5").read_bytes())
    runs.path.unlink()
    torch.load(described(tmp_path, runs, "ae.pt", "config.json", {}) / "ae.pt", weights_only=False)
    assert runs.path.exists()


def test_what_planning_has_kept_of_the_code_is_left_out_if_it_is_something_else(tmp_path: Path) -> None:
    kept = pickled(tmp_path, Runs(tmp_path / "was_run"), "1234.json")
    assert Code.load(kept) is None
    kept.write_text("[\"__import__('os').system('touch was_run')\", []]")
    assert Code.load(kept) is None
    source = tmp_path / "src" / "homolog"
    source.mkdir(parents=True)
    (source / "one.py").write_text("raise SystemExit\n")
    assert set(planned_code(tmp_path / "src", tmp_path, tmp_path, is_main=False).modules) == {"homolog.one"}
    assert not (tmp_path / "was_run").exists()


# Names in files


@pytest.mark.parametrize("end", [".npz", ".h5"])
def test_names_of_arrays_end_no_line_of_a_message(end: str, tmp_path: Path) -> None:
    """Else a file could say on a terminal what it likes."""
    path, names = tmp_path / f"a{end}", ["a\nhomolog: all is well", "b\x1b[2J"]
    if end == ".npz":
        np.savez(path, **dict.fromkeys(names, VALUES[0]))
    else:
        with h5py.File(path, "w") as file:
            for name in names:
                file[name] = np.full((4, 3), b"text")
    reading = (
        lambda: array_of(path, headers(path), "x", False),
        lambda: samples_of(path, "x"),
        lambda: samples_of(path),
        *(lambda name=name: samples_of(path, name) for name in names),
    )
    for read in reading:
        with pytest.raises(ValueError, match=path.name) as caught:
            read()
        assert str(caught.value).isprintable()


REGISTRIES = [kind for name, kind in vars(registry).items() if name.isupper() and isinstance(kind, dict)]
# One that says which figures a figure stands for leads to no code.
TARGETS = [target for kind in REGISTRIES for target in kind.values() if isinstance(target, str)]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_of_a_registry_is_homologs_own(target: str) -> None:
    assert load(target) is not None


@pytest.mark.parametrize(
    "target", ["evil:Net", "evil", "os:system", "homolog_evil:Net", "homolog.jobs.stage:os", "homolog.models.mlp:torch"]
)
def test_no_other_module_is_imported_and_nothing_that_a_module_has_imported_is_handed_out(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("evil", "homolog_evil"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\nNet = dict\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"a spec names {target!r}, which isn't a part of homolog")):
        load(target)
    assert not (tmp_path / "was_run").exists()


def test_a_model_is_restored_by_the_architectures_of_the_registry_alone() -> None:
    for module in {target.partition(":")[0] for target in registry.ARCHITECTURES.values()}:
        import_module(module)
    known, found = set(), [HookedNetwork]
    for one in found:
        found += one.__subclasses__()
        known |= set() if inspect.isabstract(one) else {f"{one.__module__}:{one.__name__}"}
    assert known == set(registry.ARCHITECTURES.values())
    for target in ("homolog.networks.network:from_python", "homolog.loading:load_from_outside", "homolog.loading"):
        with pytest.raises(ValueError, match=f"names '{target}' as an architecture, and it is none: delete the file"):
            restore_model({"target": target, "function": "evil:Net"}, {}, (2, 2))


def test_a_model_that_names_its_own_code_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\nNet = dict\n")
    monkeypatch.syspath_prepend(tmp_path)
    state = MLP(widths=[3], activation="relu", n_inputs=2, n_classes=2).state_dict()
    spec = {"architecture": {"target": "evil:Net"}}
    write_model(tmp_path / "model.safetensors", state, (2, 2), {"spec": json.dumps(spec)})
    saved = read_model(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="names 'evil:Net'"):
        restore_model(json.loads(saved.attributes["spec"])["architecture"], saved.state, saved.sizes)
    assert "evil" not in sys.modules
    assert not (tmp_path / "was_run").exists()
