"""Does `homolog.fit` do in Python what the workflow does: every method, labelled, the same bits, clear errors?"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from making import (
    GIVEN,
    OPTIONS,
    PAIRED,
    complete,
    make_inputs,
    make_network,
    make_rows,
    mixed,
    one_of_each,
    record,
    spec_of,
)
from workspace import ROOT

import homolog
from homolog.declaring import declared
from homolog.decompositions import fit as fitting_of_runs
from homolog.decompositions.base import Member
from homolog.decompositions.memory import bytes_needed, tell_size
from homolog.decompositions.sae.topk import TopK
from homolog.decompositions.samples import InMemory, Shuffled
from homolog.decompositions.split import Part, halves_of
from homolog.dictionary import Dictionary
from homolog.registry import METHODS

X = mixed(200, 6)
Y = mixed(200, 5, seed=3)
SHORT = {"method": "topk_sae", "n_latents": 8, "k": 2, "steps": 40, "batch_size": 32}
PCA = {"method": "pca", "n_latents": 3}


def fit(activations=X, spec=SHORT, **how: Any) -> list[Dictionary]:
    return homolog.fit(activations, spec, progress=False, **{"threads": 1} | how)


def assert_equal(a: Dictionary, b: Dictionary) -> None:
    for field in fields(Dictionary):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, torch.Tensor):
            assert torch.equal(left, right), field.name
    assert a.member == b.member


# What comes back


@pytest.mark.parametrize("name", one_of_each(METHODS))
def test_every_method_is_fitted(name):
    spec = {"method": name, "n_latents": 4, **GIVEN.get(name, {})}
    activations = X.abs() if name == "nmf" else X
    partner = Y if name in PAIRED else None
    (dictionary,) = fit(activations, spec, partner=partner, test=activations[:50])
    latents = OPTIONS[name]["n_latents"]
    assert dictionary.directions.shape == (latents, 6)
    assert dictionary.codes(activations).shape == (200, latents)
    assert {"label", "seed", "rows", "fvu", "l0", "dead_fraction", "fvu_test"} <= dictionary.member.keys()
    assert dictionary.member["label"] == name


def test_members_come_by_grid_point_then_seed_then_rows():
    found = fit(spec=SHORT | {"n_latents": [8, 12], "seeds": (0, 1)}, halves=True)
    seen = [(d.member["n_latents"], d.member["seed"], d.member["rows"]) for d in found]
    assert seen == [(n, seed, rows) for n in (8, 12) for seed in (0, 1) for rows in ("all", "a", "b")]
    assert {d.member["label"] for d in found} == {"topk_sae[n_latents=8]", "topk_sae[n_latents=12]"}
    assert [len(d.directions) for d in found] == [8] * 6 + [12] * 6


def test_the_table_has_a_row_for_each_dictionary():
    found = homolog.table(fit(spec=[PCA, SHORT | {"seeds": [0, 1]}]))
    assert list(found["label"]) == ["pca", "topk_sae", "topk_sae"]
    assert found["fvu"].between(0, 1).all()
    assert found["k"].isna().tolist() == [True, False, False]


def test_what_is_given_by_name_in_a_list_or_alone_is_the_same():
    alone = fit(spec=SHORT)
    for specs in ([SHORT], {"topk_sae": SHORT}, [PCA, SHORT]):
        assert_equal(fit(spec=specs)[-1], alone[0])
    assert fit(spec={"mine": SHORT})[0].member["label"] == "mine"


def test_nothing_is_taken_off_or_scaled():
    """The leading singular vector of all rows, the mean left in, is what SVD finds in them."""
    (found,) = fit(spec={"method": "svd", "n_latents": 1})
    vector = torch.linalg.svd(X.double(), full_matrices=False)[2][0]
    assert abs(float(found.directions[0].double() @ vector)) == pytest.approx(1, abs=1e-6)


# Sources


def write(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, here=array, there=array[:, :5])
    else:
        with h5py.File(path, "w") as file:
            file["here"], file["there"] = array, array[:, :5]
    return path


@pytest.mark.parametrize("kind", ["numpy", "float64", ".npy", ".npz", ".h5"])
def test_every_source_gives_the_same_bits(kind, tmp_path):
    sources = {"numpy": X.numpy(), "float64": X.double()}
    source = sources.get(kind) if kind in sources else write(tmp_path / f"x{kind}", X.numpy())
    assert_equal(fit(source, hook_point="here")[0], fit(hook_point="here")[0])


@pytest.mark.parametrize("name", PAIRED)
def test_a_partner_is_an_array_a_file_or_another_hook_point_of_the_same_file(name, tmp_path):
    path = write(tmp_path / "x.h5", X.numpy())
    spec = {"method": name, "n_latents": 2}
    expected = fit(spec=spec, partner=X[:, :5])[0]
    lone = tmp_path / "y.npy"
    np.save(lone, X[:, :5].numpy())
    for found in (
        fit(spec=spec, partner=X[:, :5].numpy()),
        fit(spec=spec, partner=lone),
        fit(spec=spec | {"partner": "there"}, partner=path),
        fit(path, spec | {"partner": "there"}, hook_point="here"),
    ):
        assert_equal(found[0], expected)


# Random streams


def test_equal_calls_give_equal_bits_and_another_seed_another_start():
    first, again, other = (fit(seed=seed)[0] for seed in (0, 0, 1))
    assert_equal(first, again)
    assert not torch.equal(first.directions, other.directions)


def test_gradients_may_be_switched_off():
    with torch.no_grad():
        assert_equal(fit()[0], fit(X.clone().requires_grad_())[0])


@pytest.mark.parametrize("how", [{"threads": 2}, {"spec": SHORT | {"seeds": [1, 0]}}, {"halves": True}])
def test_a_member_depends_on_none_of(how):
    (alone,) = fit()
    found = [d for d in fit(**how) if (d.member["seed"], d.member["rows"]) == (0, "all")]
    assert_equal(found[0], alone)


def test_halves_are_disjoint_make_the_whole_and_are_alike_for_every_activations():
    index = torch.arange(301.0)
    halves = halves_of(InMemory(torch.stack([index, index], 1)))
    rows = {name: half.whole()[:, 0] for name, half in halves.items()}
    assert torch.equal(torch.cat([*rows.values()]).sort().values, index)
    assert abs(len(rows["a"]) - len(rows["b"])) == 1
    other = halves_of(InMemory(torch.stack([index, -index, index], 1)))
    assert torch.equal(other["a"].whole()[:, 0], rows["a"])
    # At random: a half holds each neighbour of its rows as often as not.
    assert 0.3 < float((rows["a"].diff() == 1).float().mean()) < 0.7


def test_a_half_is_read_alike_from_a_part_and_from_memory():
    class Apart(InMemory):
        """Anything but `InMemory` itself, as a file is."""

    x = mixed(5000, 3)
    index = torch.randperm(5000)[:2500].sort().values
    part, memory = Part(Apart(x), index), InMemory(x[index])
    assert torch.equal(part.whole(), memory.whole())
    assert torch.equal(part.read(17, 40), memory.read(17, 40))
    assert torch.equal(part.mean, memory.mean)
    for step in (0, 3, 50):
        assert torch.equal(Shuffled(part, ("t",), 64).batch(step), Shuffled(memory, ("t",), 64).batch(step))


def test_halves_of_a_file_are_those_of_the_array(tmp_path, monkeypatch):
    path = write(tmp_path / "x.h5", X.numpy())
    expected = fit(halves=True, hook_point="here")
    read = homolog.fitting.samples_of
    monkeypatch.setattr("homolog.fitting.samples_of", lambda *given: read(*given, in_memory_bytes=0))
    for found, wanted in zip(fit(path, halves=True, hook_point="here"), expected, strict=True):
        assert_equal(found, wanted)


# Going on after an end


def test_a_fit_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("homolog.store.saved_state.SECONDS", 0.0)
    spec = SHORT | {"steps": 200}

    def killed(steps):
        for number, step in enumerate(steps):
            if number == 3:
                raise KeyboardInterrupt
            yield step

    with pytest.raises(KeyboardInterrupt):
        homolog.fit(X, spec, checkpoint=tmp_path, progress=killed)
    assert [path.name for path in tmp_path.iterdir()] == ["topk_sae.checkpoint.safetensors"]
    taken: list[int] = []

    def watched(steps):
        taken.extend(steps)
        return iter(steps)

    (found,) = homolog.fit(X, spec, checkpoint=tmp_path, progress=watched)
    assert min(taken) > 0
    assert_equal(found, fit(spec=spec)[0])
    assert list(tmp_path.iterdir()) == []


def test_a_bar_is_shown_on_a_terminal_only(capsys):
    homolog.fit(X, SHORT)
    seen = capsys.readouterr()
    assert seen.out == seen.err == ""


# Bad input: one clear line each

CONSTANT, EMPTY, HOLE = torch.ones(50, 6), torch.empty(0, 6), X.clone()
HOLE[7, 2] = torch.nan
BAD = {
    "empty": ({"activations": EMPTY}, "shape (0, 6)", "empty"),
    "no units": ({"activations": torch.empty(5, 0)}, "(5, 0)", "empty"),
    "constant": ({"activations": CONSTANT}, "same for every sample", "choose another hook point"),
    "constant, linear": ({"activations": CONSTANT, "spec": PCA}, "same for every sample"),
    "not finite": ({"activations": HOLE}, "1 values", "finite"),
    "infinite": ({"activations": X.double() * 1e40}, "finite"),
    "one dimension": ({"activations": X[0]}, "(samples, units)"),
    "complex": ({"activations": X.numpy() * 1j}, "real numbers"),
    "too few samples": ({"activations": X[:2], "spec": {"method": "pca", "n_latents": 4}}, "n_latents = 4", "2"),
    "k above F": ({"spec": SHORT | {"k": 9}}, "topk_sae: k: 9, of n_latents = 8"),
    "k above F in a grid": ({"spec": SHORT | {"n_latents": [1, 8]}}, "k: 2, of n_latents = 1"),
    "width 0": ({"spec": SHORT | {"n_latents": 0}}, "n_latents: 0", "at least 1"),
    "width 0, linear": ({"spec": PCA | {"n_latents": 0}}, "n_latents: 0", "at least 1"),
    "unknown option": ({"spec": PCA | {"k": 3}}, "pca: k: unknown", "n_latents", "solver"),
    "missing option": ({"spec": {"method": "topk_sae", "n_latents": 4}}, "topk_sae: k: missing"),
    "unknown method": ({"spec": {"method": "tsne", "n_latents": 2}}, "'tsne'", "pca", "topk_sae"),
    "no method": ({"spec": {"n_latents": 2}}, "spec: method: missing"),
    "no spec": ({"spec": []}, "no decomposition was given"),
    "a text": ({"spec": "pca"}, "'pca'", "mapping"),
    "equal names": ({"spec": [PCA, PCA]}, "several", "pca", "dict of names"),
    "a gauge": ({"spec": PCA | {"gauge": "write_out_norm"}}, "gauge: 'write_out_norm'", "leave it out"),
    "no partner": ({"spec": {"method": "cca", "n_latents": 2, "partner": "y"}}, "cca", "'y'", "give them as partner"),
    "short partner": ({"spec": {"method": "cca", "n_latents": 2}, "partner": Y[:9]}, "9 samples", "200"),
    "narrow test": ({"test": Y}, "test has 5 units, and activations 6"),
    "no half": ({"activations": X[:1], "halves": True}, "1 row", "leave out halves"),
    "unknown device": ({"device": "tpu"}, "device 'tpu'", "cpu, cuda"),
    "device of no use": ({"device": "meta"}, "device 'meta'", "cpu, cuda"),
    "absent file": ({"activations": "nowhere.npy"}, "nowhere.npy isn't there"),
    "unknown kind": ({"activations": __file__}, ".npy, .npz, .h5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, no_shape_checks):
    given, *parts = BAD[case]
    with pytest.raises(ValueError, match=r".") as caught:
        fit(**given)
    text = str(caught.value)
    assert "\n" not in text
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_hook_point_that_a_file_has_not_is_told_with_those_that_it_has(suffix, tmp_path):
    path = write(tmp_path / f"x{suffix}", X.numpy())
    with pytest.raises(ValueError, match=r"'hidden'.*here, there"):
        fit(path, hook_point="hidden")


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_gpu_that_is_absent_is_told(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=f"device '{device}'.*is 0: take auto or cpu"):
        fit(device=device)


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_equal(fit(device="auto")[0], fit()[0])


def test_every_mistake_of_a_spec_is_told_a_line_each():
    with pytest.raises(ValueError, match=r"width: unknown") as caught:
        fit(spec=SHORT | {"width": 3, "k": 9})
    assert len(str(caught.value).splitlines()) == 2


# GPU memory


def run_out(*given: Any, **named: Any) -> Any:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_running_out_of_gpu_memory_names_the_size_and_the_largest_member(monkeypatch):
    monkeypatch.setattr(TopK, "fit", run_out)
    spec = SHORT | {"n_latents": [8, 4096], "seeds": [0, 3]}
    with pytest.raises(
        MemoryError, match=r"4 members at once need at least .* GiB.*n_latents 4096, batch_size 32"
    ) as caught:
        fit(spec=spec)
    assert "\n" not in str(caught.value)


def test_activations_that_dont_fit_on_the_gpu_are_told_with_their_size(monkeypatch, tmp_path):
    monkeypatch.setattr("homolog.fitting.samples_of", run_out)
    with pytest.raises(MemoryError, match=r"shape \(200, 6\) need 4.47e-06 GiB"):
        fit()
    path = write(tmp_path / "x.npy", X.numpy())
    with pytest.raises(MemoryError, match=r"x.npy need .* GiB.*HDF5"):
        fit(path)


def test_so_are_those_of_a_run(monkeypatch):
    """As a stage has it: the rows of a hook point are brought to the GPU before any member is fitted."""
    monkeypatch.setattr("homolog.decompositions.fit.choose_samples", run_out)
    with pytest.raises(MemoryError, match=r"rows of hidden_1 in made/seed_0 need .* GiB of it; take device cpu"):
        fitting_of_runs.fit(spec_of("topk_sae", [OPTIONS["topk_sae"]]), activations_of_a_run())


# Steps so small that the directions are where they started.
STILL = {"n_latents": 8, "k": 2, "steps": 1, "lr": 1e-9}


def activations_of_a_run() -> Any:
    return record(make_network([6, 6, 6]), make_inputs(200).double(), make_rows(200), "hidden_1", dtype=torch.float32)


def share_a_start(one: Dictionary, other: Dictionary) -> bool:
    return float((one.directions * other.directions).sum(1).min()) > 0.999


def test_equal_seeds_on_two_networks_do_not_share_a_start():
    one, again, other = (fit(rows, SHORT | STILL)[0] for rows in (X, X, X + 1e-3))
    assert share_a_start(one, again)
    assert not share_a_start(one, other)


@pytest.mark.parametrize(
    "changes", [{"run": {"model": "made", "seed": 1}}, {"run": {"model": "other", "seed": 0}}, {"name": "second"}]
)
def test_nor_do_two_runs_or_decompositions_of_the_workflow(changes):
    """On the very same activations, so that nothing but the key tells them apart."""
    spec, activations = spec_of("topk_sae", [complete("topk_sae", **STILL)]), activations_of_a_run()
    one, again, other = (fitting_of_runs.fit(each, activations)[0] for each in (spec, spec, spec | changes))
    assert share_a_start(one, again)
    assert not share_a_start(one, other)


def test_nor_do_two_hook_points():
    spec, activations = spec_of("topk_sae", [complete("topk_sae", **STILL)]), activations_of_a_run()
    one, other = (fitting_of_runs.fit(spec, replace(activations, hook_point=name))[0] for name in ("here", "there"))
    assert not share_a_start(one, other)


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="something else"), tell_size([]):
        raise RuntimeError("something else")


def test_the_memory_of_a_member_is_that_of_its_arrays():
    """Encoder and decoder with gradient and two moments each, the start; five of batch x latents, four of inputs."""
    member = Member(OPTIONS["topk_sae"] | {"n_latents": 100, "batch_size": 50}, 0, "all", InMemory(X), None, ())
    assert bytes_needed(member) == 4 * (9 * 100 * 6 + 50 * (5 * 100 + 4 * 6))
    assert bytes_needed(Member({"n_latents": 3}, 0, "all", InMemory(X), None, ())) == 3 * 8 * 6 * 6


# Importing


def in_python(code: str) -> str:
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_importing_the_package_imports_nothing_heavy_and_names_are_there():
    code = "import sys, homolog; print({'torch', 'numpy', 'pydantic', 'pandas'} & {*sys.modules}, dir(homolog))"
    seen = in_python(code)
    assert seen.startswith("set()")
    for name in homolog.__all__:
        assert f"'{name}'" in seen
        assert getattr(homolog, name).__name__ == name
    with pytest.raises(AttributeError, match=r"no attribute 'fitt'; it has .*fit"):
        homolog.fitt  # noqa: B018


def test_the_types_name_what_the_package_exposes():
    text = (ROOT / "src" / "homolog" / "__init__.pyi").read_text()
    assert set(re.findall(r" as (\w+)$", text, re.MULTILINE)) == {*homolog.__all__}


def test_complete_specs_are_fitted_without_pydantic_and_others_say_what_is_missing():
    complete = {"method": "topk_sae", **OPTIONS["topk_sae"], "steps": 20}
    code = f"""
import sys
for name in ("pydantic", "pydantic_core"):
    sys.modules[name] = None
import torch, homolog
x = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
print(len(homolog.fit(x, {complete!r} | {{"seeds": [0, 1]}}, threads=1)))
for spec in ({{"method": "topk_sae", "n_latents": 8, "k": 2}}, {complete!r} | {{"k": [1, 2]}}, {{"method": "tsne"}}):
    try:
        homolog.fit(x, spec)
    except ValueError as error:
        print(error)
"""
    count, missing, grid, method = in_python(code).splitlines()
    assert count == "2"
    assert re.match(r"topk_sae: \w+: missing, and without pydantic no default.*install it, or add", missing)
    assert re.match(r"topk_sae: k: \[1, 2\]; without pydantic a spec is one grid point", grid)
    assert re.match(r"tsne: method: 'tsne'; allowed: svd, pca", method)


def test_another_module_that_is_missing_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "homolog.config", None)
    with pytest.raises(ModuleNotFoundError):
        declared(PCA)


# The workflow


def test_the_workflow_describes_members_alike(monkeypatch):
    """Both take the same two functions, so that a fact that one writes the other does too."""
    seen: list[str] = []
    describe = fitting_of_runs.describe
    monkeypatch.setattr("homolog.fitting.describe", lambda *given: seen.append(given[2]) or describe(*given))
    fit(spec=SHORT | {"seeds": [0, 1]})
    assert seen == ["topk_sae"] * 2


# The page


def test_the_example_runs_and_finds_what_was_planted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/python.md", "exec"), names)
    seen = dict(re.findall(r"^([a-z ]+) (0\.\d+)$", capsys.readouterr().out, re.MULTILINE))
    assert float(seen["between seeds"]) > 0.95
    assert float(seen["with the planted features"]) > 0.95
    assert float(seen["at random"]) < 0.7
    assert {path.name for path in tmp_path.iterdir()} == {"topk_seed_0"}


def test_the_page_names_every_argument_and_every_field():
    page = (ROOT / "docs" / "python.md").read_text()
    arguments = set(homolog.fit.__annotations__) - {"return"}
    assert {name for name in arguments if f"| `{name}` |" not in page} == set()
    assert {name for name in homolog.__all__ if f"homolog.{name}" not in page and name != "Dictionary"} == set()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("MemoryError('too small: lower n_latents') from ValueError()", "too small: lower n_latents"),
        (
            "MemoryError('Unable to allocate')",
            "out of memory (Unable to allocate): give the job more memory, "
            "or lower a batch size or a number of latents.",
        ),
    ],
)
def test_a_way_out_of_too_little_memory_is_told_once(raised, said):
    """By the stage: what is raised here names its own, what numpy and torch raise doesn't."""
    attempt = f"try:\n    raise {raised}\nexcept Exception as error:\n    _end(error, None)"
    script = f"from homolog.jobs.stage import _end\n{attempt}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"homolog: error: {said}"
