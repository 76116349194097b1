"""Which latents do the runs of an experiment share, and which belong to one alone, beside the floor and the ceiling?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures.scale import colour_and_shape
from homolog.figures.style import COLOURS, GREY, INK, in_house_style, new_figure
from homolog.figures.trade import names_in, where

# Control: how it is called, and the colour of what is drawn of it.
CONTROLS = {
    "none": ("these runs", COLOURS[0]),
    "shuffled": ("null: inputs paired at random", GREY),
    "shuffled_within_class": ("conditional null: paired at random within a class", COLOURS[1]),
    "copies": ("ceiling: the first run and its copies", COLOURS[2]),
}
BINS = 20


@in_house_style
def draw(dataset: xr.Dataset, rivals: xr.Dataset | None = None) -> list[Figure]:
    """A page for each grid point; `dataset` is one hook point of what `homolog.store.joint.read_joint` gives.

    `rivals` are what the tracks of the same runs say of it (`homolog.store.tracks.read_rivals`), if there are any.
    """
    return [_draw_point(dataset, label, _of_point(rivals, dataset, label)) for label in names_in(dataset, "label")]


def headline(dataset: xr.Dataset, label: str, rivals: xr.Dataset | None = None) -> str:
    """How many runs a latent writes in, as these runs, the null and the ceiling say; and what tracks say of it."""
    runs, found = dataset.sizes["run"], {name: _effective(dataset, label, name) for name in CONTROLS}
    if not found["none"].size:
        return "No latent fires in any member."
    mean = {name: float(values.mean()) if values.size else np.nan for name, values in found.items()}
    halves = [_effective(dataset, label, "none", rows) for rows in ("a", "b")]
    mean_of_halves = " and ".join(f"{values.mean():.2f}" if values.size else "–" for values in halves)
    excess = (mean["none"] - mean["shuffled"]) / (mean["copies"] - mean["shuffled"])
    counts = f"{(found['none'] > runs - 0.5).mean():.0%} write in all, {(found['none'] < 1.5).mean():.0%} in one alone"
    return (
        f"A latent writes in {mean['none']:.2f} of {runs} runs (mean effective number; {mean_of_halves} when fitted to "
        f"halves of the rows). Null {mean['shuffled']:.2f}, within classes {mean['shuffled_within_class']:.2f}, "
        f"ceiling {mean['copies']:.2f}, so excess {excess:.2f}. Of {found['none'].size} latents that fire, {counts}."
        + _say_rivals(rivals)
    )


def _of_point(rivals: xr.Dataset | None, dataset: xr.Dataset, label: str) -> xr.Dataset | None:
    """The rows of one grid point at one hook point; None without any."""
    if rivals is None or "rival" not in rivals.dims:
        return None
    here = (rivals.rival_hook_point == dataset.attrs["hook_point"]) & (rivals.rival_joint == label)
    return rivals.isel(rival=np.flatnonzero(here)) if bool(here.any()) else None


def _say_rivals(rivals: xr.Dataset | None) -> str:
    """Both ways, for the tracks of each decomposition: means over the seeds."""
    if rivals is None or "rival" not in rivals.dims:
        return ""
    parts = []
    for name in names_in(rivals, "rival_decomposition"):
        mean = rivals.isel(rival=np.flatnonzero(rivals.rival_decomposition == name)).mean("rival")
        beside = f"by chance {float(mean.null_shared_with_track):.0%}"
        if np.isfinite(mean.ceiling_shared_with_track):
            beside += f", in another seed of the crosscoder {float(mean.ceiling_shared_with_track):.0%}"
        parts.append(
            f"{float(mean.shared_with_track):.0%} of the latents shared by all runs are found in a track of {name} "
            f"({beside}), and {float(mean.tracks_with_latent):.0%} of these tracks in a latent "
            f"({float(mean.null_tracks_with_latent):.0%})"
        )
    return f" Held against tracks: {'; '.join(parts)}."


def _effective(dataset: xr.Dataset, label: str, control: str, rows: str = "all") -> np.ndarray:
    """Effective number of runs of each latent that fires, over the seeds."""
    values: np.ndarray = _latents(dataset, label, control, rows).effective_runs.dropna("latent").values
    return values


def _latents(dataset: xr.Dataset, label: str, control: str, rows: str = "all") -> xr.Dataset:
    """The latents of some members."""
    facts = {"label": label, "control": control, "rows": rows}
    chosen = np.logical_and.reduce([dataset[name].values == value for name, value in facts.items()])
    return dataset.isel(latent=np.isin(dataset.member_of_latent, np.flatnonzero(chosen)))


def _draw_point(dataset: xr.Dataset, label: str, rivals: xr.Dataset | None) -> Figure:
    question = f"Which latents of {label} do the runs share at {dataset.attrs['hook_point']}?"
    figure = new_figure(14.0 if rivals is None else 17.0, 4.2, question, headline(dataset, label, rivals))
    widths = [1.25, 1.25, 1.0, 1.0] if rivals is None else [1.25, 1.25, 1.0, 1.0, 1.25]
    panels = figure.subplots(1, len(widths), width_ratios=widths)
    _draw_effective(panels[0], dataset, label)
    _draw_shares(panels[1], dataset, label)
    _draw_by_run(panels[2], dataset, label, "run_fvu_test", "FVU on the test rows of a run")
    _draw_by_run(panels[3], dataset, label, "run_loss_recovered", "loss recovered in a run's network")
    if rivals is not None:
        _draw_rivals(panels[4], rivals)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False)
    return figure


def _draw_effective(axes: Axes, dataset: xr.Dataset, label: str) -> None:
    """Histograms, each as a share of its own latents."""
    edges = np.linspace(1, dataset.sizes["run"], BINS + 1)
    for name, (says, colour) in CONTROLS.items():
        values = _effective(dataset, label, name)
        share = np.histogram(values, edges)[0] / max(1, values.size)
        filled = name == "none"
        axes.stairs(share, edges, label=says, color=colour, fill=filled, alpha=0.6 if filled else 1, lw=1.4)
    axes.set(xlabel="effective number of runs that a latent writes in", ylabel="share of latents that fire")


def _draw_shares(axes: Axes, dataset: xr.Dataset, label: str) -> None:
    """Shares of every latent that fires, over the seeds: those of one run first, those of all runs last."""
    latents = _latents(dataset, label, "none")
    latents = latents.isel(latent=np.isfinite(latents.effective_runs.values))
    order = np.lexsort((latents.share.argmax("run").values, latents.effective_runs.values.round(1)))
    shares = latents.share.values[order]
    image = axes.imshow(shares, aspect="auto", cmap="magma_r", vmin=0, vmax=1, interpolation="none")
    axes.figure.colorbar(image, ax=axes, label="share of a latent in a run", pad=0.02)
    names = [str(name).replace("/seed_", ", ") for name in dataset.run.values]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylabel("latents, by effective number of runs")


def _draw_by_run(axes: Axes, dataset: xr.Dataset, label: str, what: str, says: str) -> None:
    """A mark for each seed and run; a line at 1, where nothing is explained, or nothing lost."""
    place = np.arange(dataset.sizes["run"])
    for shift, (name, (_, colour)) in enumerate(CONTROLS.items()):
        members = where(dataset[[what, "label", "control", "rows"]], label=label, control=name, rows="all")
        for values in members[what].values:
            axes.plot(place + 0.16 * (shift - 1.5), values, "o", color=colour, ms=4, mec="white", mew=0.4)
    axes.axhline(1, color=INK, lw=0.6, ls=":")
    names = [str(name).replace("/seed_", ", ") for name in dataset.run.values]
    axes.set_xticks(place, names, rotation=30, ha="right")
    axes.set(ylabel=says, ylim=(min(0, axes.get_ylim()[0]), None))


def _draw_rivals(axes: Axes, rivals: xr.Dataset) -> None:
    """The shared latents from the one most like a track down, and the tracks from the one most like a latent down."""
    for index, name in enumerate(names_in(rivals, "rival_decomposition")):
        colour, _ = colour_and_shape(index)
        for seed, at in enumerate(np.flatnonzero(rivals.rival_decomposition == name)):
            one = rivals.isel(rival=at)
            latents = one.joint_similarity.values[one.joint_shared.values == 1]
            for values, dash, says in (
                (latents, "-", "latent, nearest track"),
                (one.track_joint_similarity.values, "--", "track, nearest latent"),
            ):
                falling = np.sort(values[np.isfinite(values)])[::-1]
                label = f"{name}: {says}" if seed == 0 else None
                axes.step(np.linspace(0, 1, len(falling)), falling, color=colour, ls=dash, lw=1.2, label=label)
            axes.axhline(
                float(one.agreement_threshold),
                color=GREY,
                lw=0.8,
                label="95 % of the null" if index + seed == 0 else None,
            )
    axes.set(xlim=(0, 1), ylim=(min(0, axes.get_ylim()[0]), 1.03), xlabel="share, most alike first")
    axes.set_ylabel("correlation of codes")
    axes.set_title("shared latents held against tracks", loc="left")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=6.5)
