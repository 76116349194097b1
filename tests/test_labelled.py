"""Do results come out again as labelled arrays and plain tables, as they were written?"""

from __future__ import annotations

import re
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import homolog
from benchmarks.atlas import HOOK_POINT, NAME, Sizes, make_results
from homolog.store.curves import write_curve
from homolog.store.experiments import write_experiment
from homolog.store.track_table import track_table, write_track_table
from homolog.store.tracks import write_tracks
from homolog.training import Curve

SIZES = Sizes(runs=4, tracks=12, latents=20, rows=40, units=6, active=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run, and the tracks of four of them."""
    root = tmp_path_factory.mktemp("made")
    _, tracks, paths, _ = make_results(root, SIZES)
    return root / "made" / "seed_0", tracks, paths


def test_activations_come_with_what_their_rows_are(made):
    with homolog.load(made[0] / "activations.h5") as loaded, h5py.File(made[0] / "activations.h5") as file:
        assert dict(loaded.sizes) == {"sample": 40, "unit": 6, "next_unit": 10}
        assert (loaded.activations.values == file[HOOK_POINT]["activations"][...]).all()
        assert (loaded.input_id.values == file["input_id"][...]).all()
        assert loaded.attrs["run"] == "made/seed_0"
        assert loaded.attrs["symmetry"] == "permute_scale"


def test_a_dictionary_and_an_experiment_come_as_they_stand(made, tmp_path):
    with homolog.load(made[0] / HOOK_POINT / f"{NAME}.h5") as loaded:
        assert loaded.dictionary.dims == ("latent", "unit")
        assert loaded.label.values.tolist() == [NAME]
    dataset = xr.Dataset({"observed": ("pair", [0.5, np.nan])}, attrs={"experiment": "made"})
    write_experiment(tmp_path / "stability.nc", dataset, {})
    with homolog.load(tmp_path / "stability.nc") as loaded:
        xr.testing.assert_identical(loaded.observed, dataset.observed)
        assert loaded.attrs["experiment"] == "made"


def test_tracks_and_curves_come_as_they_stand(made, tmp_path):
    write_tracks(tmp_path / "tracks.nc", made[1], {})
    with homolog.load(tmp_path / "tracks.nc") as loaded:
        xr.testing.assert_equal(loaded.latent, made[1].latent)
        assert len(homolog.track_table(loaded)) == int((made[1].latent >= 0).sum())
    write_curve(tmp_path / "training.nc", Curve([0, 9], [(2.5, 2.0), (1.0, 1.5)], [(0.1, 0.2), (0.5, 0.75)]), {})
    with homolog.load(tmp_path / "training.nc") as loaded:
        assert loaded.loss.sel(split="test").values.tolist() == [2.0, 1.5]
        assert loaded.step.values.tolist() == [0, 9]


def test_what_cannot_be_loaded_is_told(made, tmp_path):
    with pytest.raises(ValueError, match=r"none\.nc isn't there: build it with `snakemake .*none\.nc`"):
        homolog.load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(ValueError, match=r"text\.nc can't be read"):
        homolog.load(tmp_path / "text.nc")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(ValueError, match=r"foreign\.h5 was not written by homolog"):
        homolog.load(tmp_path / "foreign.h5")
    with pytest.raises(ValueError, match="has no hook point 'hidden_9'; choose one of hidden_1"):
        homolog.load(made[0] / "activations.h5", "hidden_9")
    with pytest.raises(ValueError, match="leave out hook_point = 'hidden_1'"):
        homolog.load(made[0] / HOOK_POINT / f"{NAME}.h5", HOOK_POINT)


def test_the_table_has_a_row_for_each_member(made):
    tracks, table = made[1], track_table(made[1])
    assert len(table) == int((tracks.latent >= 0).sum())
    for row in table.itertuples():
        one = tracks.sel(track=row.track, run=row.run)
        assert row.latent == int(one.latent) >= 0
        assert row.similarity == pytest.approx(float(one.similarity))
        assert row.adjusted_p_value == pytest.approx(float(one.adjusted_p_value))
        assert (row.hook_point, row.decomposition, row.runs) == (HOOK_POINT, NAME, 4)
        assert row.link_level == tracks.link_level.item()
    retrained = tracks.found_in.sel(group="retrained").values
    assert table.groupby("track")["found in retrained"].first().tolist() == retrained.tolist()
    assert set(table["runs in retrained"]) == {3}


def test_the_table_is_written_and_read_back(made, tmp_path):
    write_track_table(tmp_path / "tracks.csv", made[1])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tracks.csv"), track_table(made[1]), check_dtype=False)
    with pytest.raises(ValueError, match=re.escape("let the name end in .csv or .parquet")):
        write_track_table(tmp_path / "tracks.xlsx", made[1])


def test_without_pyarrow_the_way_out_is_told(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"run pip install 'homolog\[parquet\]'"):
        write_track_table(tmp_path / "tracks.parquet", made[1])
    assert list(tmp_path.iterdir()) == []


def test_parquet_is_read_back(made, tmp_path):
    pytest.importorskip("pyarrow")
    write_track_table(tmp_path / "tracks.parquet", made[1])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tracks.parquet"), track_table(made[1]), check_dtype=False)


def test_without_tracks_the_table_is_empty(made):
    none = made[1].isel(track=slice(0))[["latent", "similarity", "accepted_run", "runs_in"]]
    assert track_table(none).empty
