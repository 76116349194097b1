"""Does one command lead from nothing to a figure, and the next one do nothing?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from workspace import Workspace

FIGURE = "results/figures/stability.pdf"


def _reduce(config: dict[str, Any]) -> None:
    experiment = config["experiments"]["stability"]
    experiment |= {
        "decompositions": ["pca"],
        "conditions": {"retrained": {"models": ["digits_mlp_retrained"], "seeds": [0]}},
    }
    del experiment["tracks"]
    config["experiments"] = {"stability": experiment}


def test_a_figure_is_built_by_its_name_and_an_edit_rebuilds_it_alone(tmp_path: Path) -> None:
    """All experiments and every kind of edit: `make test-workflow`."""
    workspace = Workspace.fresh(tmp_path)
    workspace.configure(_reduce)
    workspace.build("--cores", "2", FIGURE)
    assert (workspace.folder / FIGURE).read_bytes().startswith(b"%PDF")
    with xr.open_dataset(workspace.results / "experiments" / "stability" / "stability.nc") as found:
        assert found.sizes
    assert workspace.planned(FIGURE) == set()
    figure = workspace.sources / "src" / "homolog" / "figures" / "stability.py"
    figure.write_text(figure.read_text() + "\nprint(end='')\n")
    assert workspace.planned(FIGURE) == {"plot stability"}
