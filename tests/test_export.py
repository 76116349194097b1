"""Do dictionaries go out so that others get the same codes, beside a card that rightly says which latents return?"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from making import gaussian
from safetensors.torch import load_file
from scipy.stats import beta
from test_external import LATENTS, SEEDS, build, config, plan, write_all
from torch.testing import assert_close

import homolog
from homolog.alignment.gauge import Gauge, no_gauge
from homolog.analyses.tracking import track
from homolog.dictionary import Dictionary
from homolog.export.card import number
from homolog.export.folder import export_dictionaries, tracked
from homolog.export.header import header_of
from homolog.export.raw import can_be_written, in_pairs, out_of_gauge
from homolog.export.returns import Place, latent_table, returns_of
from homolog.planning.runs import Run
from homolog.splicing import out_of_gauge as taken_back
from homolog.store.dictionaries import read_dictionaries, write_dictionaries
from homolog.store.experiments import write_experiment
from homolog.store.runs import open_runs
from homolog.store.tracks import write_tracks

UNITS = 6
X = gaussian(200, UNITS, seed=1) + 0.3


def dictionary(activation: str, **changes: Any) -> Dictionary:
    """Nothing in it is tied, zero or of unit norm."""
    rows = gaussian(9, UNITS, seed=2)
    whole = Dictionary(
        rows, gaussian(9, UNITS, seed=3), gaussian(9, seed=4), gaussian(UNITS, seed=5), torch.ones(9), torch.ones(9),
        activation=activation, signed=True, member={"label": "made", "seed": 0, "rows": "all"},
    )  # fmt: skip
    return replace(whole, **changes)


SCALE = torch.tensor([2.0, 0.5, -1.0, 3.0, 0.25, 1.0], dtype=torch.float64)
ORDER = torch.tensor([3, 1, 0, 2, 5, 4])
GAUGES = {
    "none": no_gauge(UNITS),
    "permute_scale": Gauge(SCALE.abs(), ORDER),
    "permute_sign": Gauge(SCALE.sign(), ORDER),
    "rotate": Gauge(torch.ones(UNITS).double(), ORDER.sort()[0], rotation=torch.linalg.qr(gaussian(UNITS, UNITS))[0]),
    "shift": Gauge(torch.ones(UNITS).double(), ORDER.sort()[0], shift=True),
}
CODES = {
    "identity": {},
    "relu": {},
    "topk": {"k": 3, "gain": gaussian(9, seed=7).abs() + 0.1},
    "jumprelu": {"threshold": gaussian(9, seed=6).abs()},
}


@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize("activation", CODES)
def test_out_of_the_gauge_codes_are_the_same_and_reconstructions_those_of_the_network(activation, gauge):
    fitted, where = dictionary(activation, **CODES[activation]), GAUGES[gauge]
    raw = out_of_gauge(fitted, where)
    codes = fitted.codes(where.fix(X))
    assert_close(raw.codes(X.float()).double(), codes, rtol=1e-4, atol=1e-4)
    expected = taken_back(where, fitted.reconstruct(codes), X)
    if where.shift:  # What the network can't see is left out.
        expected = expected - X.mean(1, keepdim=True)
    assert_close(raw.reconstruct(raw.codes(X.float())).double(), expected, rtol=1e-3, atol=1e-3)


def test_units_that_write_nothing_are_neither_read_nor_written():
    scale = SCALE.clone()
    scale[2] = 0
    raw = out_of_gauge(dictionary("relu"), Gauge(scale, ORDER))
    assert float(raw.encoder[:, 2].abs().max()) == float(raw.directions[:, 2].abs().max()) == float(raw.bias[2]) == 0
    assert bool(raw.directions.isfinite().all())


def test_pairs_say_codes_of_both_signs_without_any_below_zero(tmp_path):
    plain = out_of_gauge(dictionary("identity"), no_gauge(UNITS))
    homolog.write_saelens(tmp_path, in_pairs(plain))
    read = homolog.read_saelens(tmp_path)
    codes, norms = read.codes(X.float()), plain.directions.norm(dim=1)
    assert float(codes.min()) == 0
    assert_close((codes[:, :9] - codes[:, 9:]) / norms, plain.codes(X.float()))
    assert_close(read.reconstruct(codes), plain.reconstruct(plain.codes(X.float())))


def test_what_sae_lens_has_no_codes_for_is_told_apart():
    assert [can_be_written(dictionary(name)) for name in ("relu", "jumprelu", "identity", "omp")] == [1, 1, 0, 0]
    assert can_be_written(dictionary("topk", k=2))
    assert not can_be_written(dictionary("topk", k=2, dense=1))


# The whole, on planted features that return or not


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """An experiment of three runs of which it is known what they share, as the rules make it; and its tracks."""
    folder = tmp_path_factory.mktemp("export")
    write_all(folder)
    mapping = config()
    mapping["experiments"]["three"]["decompositions"] = ["theirs", "pca"]
    mapping["experiments"]["three"]["analysis"] |= {"views": ["score"], "null_draws": 2, "matchings": ["hungarian"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("homolog.analyses.consensus.LEVEL_DRAWS", 5)
        data, planned = build(folder, mapping, "three"), plan(mapping)
        write_experiment("stability.nc", data, {})
        spec = planned.spec("track", experiment="three")
        runs = open_runs(f"results/models/{run}/activations.h5" for run in planned.experiment("three").tracked)
        found = track(json.loads(spec), runs)
        write_tracks("tracks.nc", found, {"spec": spec})
        for name in ("theirs", "pca"):
            where = {"run": Run("mine", 1), "hook_point": "resid", "decomposition": name}
            spec = json.loads(planned.spec("export", experiment="three", **where))
            inputs = [f"results/models/mine/seed_1/resid/{name}.h5", "results/models/mine/seed_1/activations.h5"]
            said = {"code": "0", "inputs": "{}", "spec": json.dumps(spec)}
            export_dictionaries(Path(name), spec, *inputs, "stability.nc", ["tracks.nc"], said)
    return folder, found


def test_sae_lens_gets_the_codes_that_were_compared(made):
    folder = made[0]
    (fitted,) = read_dictionaries(folder / "results/models/mine/seed_1/resid/theirs.h5")
    out = homolog.read_saelens(folder / "theirs")
    x = torch.from_numpy(np.load(folder / "data" / "run_1.npz")["resid"])
    assert_close(out.codes(x), fitted.codes(x))
    told = json.loads((folder / "theirs" / "cfg.json").read_text(), parse_constant=pytest.fail)["metadata"]
    assert told["model_name"] == "mine"
    assert told["stability"]["returns"]["runs"] == SEEDS


def test_the_table_names_the_track_of_each_latent(made):
    folder, tracks = made
    table = pd.read_csv(folder / "theirs" / "latents.csv")
    assert table.latent.tolist() == list(range(LATENTS))
    mine = tracks.isel(track=tracks.decomposition_of_track.values == "theirs")
    by_latent = {
        int(one): (int(number), int(found), float(similarity))
        for number, one, found, similarity in zip(
            mine.track.values,
            mine.latent.sel(run="mine/seed_1").values,
            mine.found.values,
            mine.similarity.sel(run="mine/seed_1").values,
            strict=True,
        )
        if one >= 0
    }
    assert by_latent
    for row in table.itertuples():
        if row.latent in by_latent:
            number, found, similarity = by_latent[row.latent]
            assert (row.track, row.found, row.runs) == (number, found, SEEDS)
            assert row.similarity == pytest.approx(similarity)
            assert row.similarity > row.link_level
        else:
            assert np.isnan(row.track)
    # The first four features are others in one of the runs.
    assert (table.found[4:] == SEEDS).sum() >= 0.8 * (LATENTS - 4)


def test_the_card_counts_what_the_table_says_beside_nulls_and_exact_bounds(made):
    folder, tracks = made
    table = pd.read_csv(folder / "theirs" / "latents.csv")
    returns = returns_of(Place("mine/seed_1", "resid", "theirs"), _with_spec(folder, tracks), table)
    here = tracks.sel(hook_point="resid", decomposition="theirs")
    (row,) = returns.at_least
    assert row["latents"] == (table.found == SEEDS).sum()
    assert row["share"] == row["latents"] / int(here.live_latents.sel(run="mine/seed_1"))
    assert row["null"] == float(here.null_survival.sel(r=SEEDS))
    (group,) = returns.by_group
    # All of two other runs: the largest share that two successes in two trials rule out at 5 %.
    assert group == {"group": "theirs", "others": 2, "latents": row["latents"], "bound": pytest.approx(0.05**0.5)}
    assert group["bound"] == pytest.approx(beta.ppf(0.05, 2, 1))
    text = (folder / "theirs" / "README.md").read_text()
    assert f"| {SEEDS} of {SEEDS} | {row['latents']} | {100 * row['share']:.1f} % |" in text
    assert "| theirs | 2 | " in text
    data = xr.load_dataset(folder / "stability.nc", engine="h5netcdf")
    one = data.sel(hook_point="resid", decomposition="theirs", view="score", matching="hungarian").squeeze("comparison")
    assert f"| theirs/independent | {number(float(one.observed_mean))}" in text
    assert f" | {number(float(one.null))} | {number(float(one.conditional_null))} | " in text


def _with_spec(folder: Path, tracks: xr.Dataset) -> xr.Dataset:
    return xr.load_dataset(folder / "tracks.nc", engine="h5netcdf")


def test_a_card_says_what_made_it_where_readers_do_not_see_it(made):
    text = (made[0] / "theirs" / "README.md").read_text()
    said = header_of(text)
    assert said["homolog_artefact"] == "export"
    assert json.loads(said["spec"])["run"] == "mine/seed_1"
    assert text.startswith("---\nlibrary_name: saelens\n")
    assert header_of("# Another") == {}


def test_plain_directions_go_out_in_pairs_and_as_they_are(made):
    folder = made[0]
    fitted = tracked(read_dictionaries(folder / "results/models/mine/seed_1/resid/pca.h5"))["pca"]
    arrays = load_file(folder / "pca" / "directions.safetensors")
    assert_close(arrays["directions"], fitted.directions.float())
    out = homolog.read_saelens(folder / "pca")
    x = torch.from_numpy(np.load(folder / "data" / "run_1.npz")["resid"])
    pca = fitted.to(torch.float32)
    assert_close(out.reconstruct(out.codes(x)), pca.reconstruct(pca.codes(x)))
    assert "latents 3 to 5 are latents 0 to 2 with their sign turned" in (folder / "pca" / "README.md").read_text()


def test_grid_points_lie_side_by_side_and_old_ones_go(made, tmp_path, monkeypatch):
    folder = made[0]
    monkeypatch.chdir(folder)
    run = folder / "results/models/mine/seed_1"
    (fitted,) = read_dictionaries(run / "resid" / "theirs.h5")

    def export(*labels: str) -> list[str]:
        members = [
            replace(fitted, member={"label": label, "seed": seed, "rows": rows})
            for label in labels
            for seed, rows in ((1, "all"), (0, "a"), (0, "all"))
        ]
        write_dictionaries(tmp_path / "grid.h5", members, {})
        spec = {"run": "mine/seed_1", "hook_point": "resid", "decomposition": {"name": "grid", "gauge": "none"}}
        given = tmp_path / "grid.h5", run / "activations.h5", "stability.nc", []
        export_dictionaries(tmp_path / "out", {**spec, "about": {}}, *given, {"spec": "{}"})
        return sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("README.md"))

    assert export("grid[k=1]", "grid[k=2]") == ["README.md", "k=1/README.md", "k=2/README.md"]
    assert "- [grid[k=2]](k=2/README.md)" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "k=1" / "cfg.json").read_text())["metadata"]["homolog"]["seed"] == 0
    (tmp_path / "out" / "mine").mkdir()
    (tmp_path / "out" / "mine" / "README.md").write_text("My own.")
    assert export("grid[k=1]", "grid[k=3]") == ["README.md", "k=1/README.md", "k=3/README.md", "mine/README.md"]
    text = (tmp_path / "out" / "k=1" / "README.md").read_text()
    assert "Not known: latents are followed through three runs or more that count" in text
    assert (tmp_path / "out" / "k=1" / "latents.csv").read_text().startswith("latent,firing_rate,importance\n")


def test_a_run_that_does_not_count_returns_nowhere(made):
    tracks = made[1].copy()
    tracks["accepted_run"] = tracks.accepted_run.copy(data=[True, False, True])
    place, one = Place("mine/seed_1", "resid", "theirs"), dictionary("relu")
    assert returns_of(place, tracks, latent_table(one, place, None)) is None


def test_what_an_experiment_does_not_compare_is_told_in_one_line():
    planned = plan(config())
    where = {"run": Run("mine", 9), "hook_point": "resud", "decomposition": "theirs"}
    with pytest.raises(ValueError, match=re.escape("compares no run 'mine/seed_9', of mine/seed_0, ")) as caught:
        planned.spec("export", experiment="three", **where)
    assert "no hook point 'resud', of resid: name one of these." in str(caught.value)
