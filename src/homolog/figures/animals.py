"""Of animals that are sums of attributes, which do dictionaries find, and which basis makes circuits small?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import draw_curve, draw_map, one_page, said_with_bounds
from homolog.figures.style import COLOURS, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]

FACTS = ("animal", "attribute", "graded")
# From here on a circuit has learnt so little that it says nothing of its edges.
LEARNT = 0.5
# So many edges are still simple to look at.
FEW = 10


def headline(dataset: xr.Dataset) -> str:
    """What is found of which rows; codes against read-offs; edges and bits; composed and new; fine-tuning."""
    page = one_page(dataset)
    return f"{_found(page)} {_codes(page)} {_edges(page)} {_bits(page)} {_composed(page)} {_tuned(page)}"


def _one(page: xr.Dataset, shows: str) -> xr.Dataset:
    """The first world that shows this."""
    return page.isel(world=int(np.argmax(page.shows.values == shows)))


def _fitted(page: xr.Dataset) -> xr.Dataset:
    """The bases that were fitted, which have a null."""
    known = page.found_animals_null.notnull()
    return page.sel(basis=known.any("world") if "world" in known.dims else known)


def _found(page: xr.Dataset) -> str:
    said = []
    for shows in ("attributes", "animals", "both"):
        if shows not in page.shows.values:
            continue
        world = _fitted(_one(page, shows))
        best = str(world.basis[int((world.found_animals + world.found_attributes).argmax("basis"))].item())
        own = world.sel(basis=best)
        said.append(
            f"{str(world.world.item())!r}: {said_with_bounds(own, 'found_animals')} of the animals and "
            f"{said_with_bounds(own, 'found_attributes')} of the attributes ({best})"
        )
    null = max(float(page[f"found_{kind}_null"].max()) for kind in ("animals", "attributes"))
    return f"Found at most from rows of {'; '.join(said)} (chance {null:.2f})."


def _codes(page: xr.Dataset) -> str:
    world = _one(page, "both")
    known = world.sel(basis="known codes")
    return (
        f"Even known codes aren't what a reader reads off: of <f, x> they hold "
        f"{said_with_bounds(known, 'told_animals')} for animals and {said_with_bounds(known, 'told_attributes')} for "
        f"attributes ({str(world.world.item())!r}); codes of what dictionaries find hold {_told(_fitted(world))}; what "
        f"is off is read as {said_with_bounds(world, 'interference_animals')}, as in a random direction "
        f"({float(world.interference_expected):.2f})."
    )


def _told(fitted: xr.Dataset) -> str:
    """Dictionary by dictionary, how much of the read-off of what it finds is in its codes."""
    said = []
    for basis in fitted.basis.values:
        own = fitted.sel(basis=basis)
        each = [
            f"{said_with_bounds(own, f'told_{kind}')} of {kind}"
            for kind in ("animals", "attributes")
            if np.isfinite(float(own[f"told_{kind}"]))
        ]
        said += [f"{basis} {' and '.join(each)}"] if each else []
    return ", ".join(said) or "nothing (none is found)"


def _edges(page: xr.Dataset) -> str:
    world = _one(page, "animals")
    said = [
        f"{said_with_bounds(world.sel(basis=basis), 'edges_animal', '{:.0f}')} and "
        f"{said_with_bounds(world.sel(basis=basis), 'edges_graded', '{:.0f}')} {name}"
        for basis, name in (
            ("attributes", "of the attributes"),
            ("known codes", "of known codes"),
            ("units", "of axes at random"),
        )
    ]
    worst = np.fmax(world.edges_animal, world.edges_graded)
    whole = (world.reached_animal >= 0.5) & (world.reached_graded >= 0.5)
    best = str(worst.where(whole).idxmin("basis").item())
    return (
        f"Trained circuits for a fact about animals and for how much of an attribute an animal has take "
        f"{', '.join(said)}: "
        f"{_simple(float(worst.sel(basis=best)), best)}."
    )


def _simple(least: float, basis: str) -> str:
    """Whether some basis takes few edges for both kinds, against what the seed expects."""
    if least <= FEW:
        return f"unlike expected, {basis} is simple for both (at most {least:.0f})"
    return f"as expected, no basis is simple for both (the larger number is at least {least:.0f}, {basis})"


def _bits(page: xr.Dataset) -> str:
    world = _one(page, "animals")
    least = str(_fitted(world).bits.idxmin("basis").item())
    return (
        f"A row of {str(world.world.item())!r} takes "
        f"{said_with_bounds(world.sel(basis='attributes'), 'bits', '{:.0f}')} "
        f"bits as attributes, {said_with_bounds(world.sel(basis=least), 'bits', '{:.0f}')} by {least}, "
        f"{said_with_bounds(world.sel(basis='known codes'), 'bits', '{:.0f}')} by known codes."
    )


def _composed(page: xr.Dataset) -> str:
    world = _fitted(_one(page, "both"))
    best = world.sel(basis=str(world.both_on.idxmax("basis").item()))
    return (
        f"A 'tiny elephant' (known animal and attribute) turns both latents on in "
        f"{said_with_bounds(best, 'both_on')} of "
        f"cases ({best.basis.item()}); its error is smaller than that of a new animal in "
        f"{said_with_bounds(best, 'told_apart')} of pairs."
    )


def _tuned(page: xr.Dataset) -> str:
    strongest = page.sel(world=page.shows == "animals").isel(strength=-1)
    said = [
        f"{said_with_bounds(one, 'common')} in {str(one.world.item())!r} (ceiling "
        f"{said_with_bounds(one, 'common_ceiling')}, other facts {said_with_bounds(one, 'common_null')}; old circuits "
        f"then miss {said_with_bounds(one, 'old_after')}, before {said_with_bounds(one, 'old_before')})"
        for one in (strongest.isel(world=i) for i in range(strongest.sizes["world"]))
    ]
    return (
        f"After a new attribute {float(strongest.strength):g} times as large as others, circuits trained anew and "
        f"old ones read directions of a cosine of {', '.join(said)}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Maps of worlds and bases, with edges by kind of fact, and curves over the size of a new attribute."""
    figure = new_figure(
        12, 9.6, "Animals or their attributes: what is found, and which basis is simple?", headline(page)
    )
    grid = figure.add_gridspec(3, 3, height_ratios=(1, 1.5, 1))
    fitted = [*_fitted(page).basis.values, "known codes"]
    for place, (name, limit, form) in enumerate(
        (("found_animals", 1, "{:z.2f}"), ("found_attributes", 1, "{:z.2f}"), ("told_apart", 1, "{:z.2f}"))
    ):
        _map(figure.add_subplot(grid[0, place]), page.sel(basis=fitted), name, limit, form, place == 0)
    _draw_edges(figure.add_subplot(grid[1, :2]), page)
    _map(figure.add_subplot(grid[1, 2]), page, "bits", float(page.bits.max()), "{:z.0f}", False)
    _map(figure.add_subplot(grid[2, 0]), page, "told_animals", 1, "{:z.2f}", True)
    _map(figure.add_subplot(grid[2, 1]), page, "told_attributes", 1, "{:z.2f}", False)
    _draw_tuning(figure.add_subplot(grid[2, 2]), page)
    return figure


def _map(axes: Axes, page: xr.Dataset, name: str, limit: float, form: str, first: bool) -> None:
    draw_map(axes, page[name], "world", "basis", (0.0, limit), form=form)
    axes.set_title(page[name].attrs["long_name"])
    axes.tick_params(axis="x", labelrotation=35)
    if not first:
        axes.set_yticklabels([])


def _draw_edges(axes: Axes, page: xr.Dataset) -> None:
    """Edges where at least half of the circuits can be had, of facts that were learnt."""
    rows, names = [], []
    for world in page.world.values:
        for fact in FACTS:
            one = page.sel(world=world)
            if not float(one[f"circuit_fvu_{fact}"]) < LEARNT:
                continue
            rows.append(one[f"edges_{fact}"].where(one[f"reached_{fact}"] >= 0.5).drop_vars("world"))
            names.append(f"{world}: {fact}")
    edges = xr.concat(rows, "row", coords="minimal", compat="override").assign_coords(row=names)
    draw_map(axes, edges, "row", "basis", (0.0, 150.0), form="{:z.0f}")
    axes.set_title(
        "edges of a trained circuit, for facts about animals, about attributes besides, and graded ones;\n"
        "blank: not even with all edges"
    )
    axes.tick_params(axis="x", labelrotation=35)


def _draw_tuning(axes: Axes, page: xr.Dataset) -> None:
    tuned = page.sel(world=page.shows == "animals")
    for place in range(tuned.sizes["world"]):
        world = tuned.isel(world=place)
        draw_curve(axes, world, "common", "strength", place, str(world.world.item()))
        for kind, style in (("ceiling", ":"), ("null", "--")):
            axes.plot(world.strength, world[f"common_{kind}"], color=COLOURS[place], lw=0.9, ls=style)
    axes.set(xlabel="size of a new attribute, over the others", ylim=(-0.1, 1.05))
    axes.set_title("cosine of what old and new circuits read\n(dotted: retrained before; dashed: other facts)")
    axes.legend(frameon=False, loc="center")
