"""Are samples kept or features, and where is the test loss worst, as the data set grows?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homolog.figures import numbers_report as REPORT  # what figures.report.report_of looks for
from homolog.figures.panels import capital, draw_curve, draw_floors, one_page, said_with_bounds
from homolog.figures.style import GREY, in_house_style, new_figure

__all__ = ["REPORT", "draw", "headline"]


def headline(dataset: xr.Dataset) -> str:
    """Where the test loss is worst, what is kept before and after, and whether digits show the same."""
    page = one_page(dataset)
    first, last = page.isel(samples=0), page.isel(samples=-1)
    asked = page.sel(samples=page.samples > 2 * page.attrs["units"])
    worst = asked.isel(samples=int(np.argmax(asked.test_loss.values)))
    least = page.isel(samples=int(np.argmin(page.best_feature.values)))
    descends_twice = float(page.rise_low) > 0 and float(page.fall_low) > 0
    return (
        f"{int(page.attrs['features'])} features through {int(page.attrs['units'])} units. The test loss is worst "
        f"after {int(worst.samples)} samples: {said_with_bounds(worst, 'test_loss')} (no model: "
        f"{float(last.test_loss_null):.2f}), "
        f"{said_with_bounds(last, 'test_loss')} after {int(last.samples)}. By replicate its peak lies at "
        f"{said_with_bounds(page, 'peak', '{:.0f}')} samples, {said_with_bounds(page, 'rise')} above the least before "
        f"and {said_with_bounds(page, 'fall')} above the end: "
        f"{'double descent' if descends_twice else 'no double descent'}. Dimensionality of those that have most: of "
        f"samples {said_with_bounds(first, 'best_sample')} at {int(first.samples)} and {float(last.best_sample):.2f} "
        f"at "
        f"{int(last.samples)}; of features {said_with_bounds(least, 'best_feature')} at {int(least.samples)}, where it "
        f"is least, and {said_with_bounds(last, 'best_feature')} at {int(last.samples)}. Vectors of these lengths in "
        f"random directions have {float(first.best_sample_null):.2f}, "
        f"{float(least.best_feature_null):.2f}, "
        f"{float(last.best_feature_null):.2f}. {_digits(page)}"
    )


def _digits(page: xr.Dataset) -> str:
    last = page.isel(digits_samples=-1)
    rises, task = float(page.digits_rise_low) > 0, capital(page.attrs["task"].replace("_", " "))
    return (
        f"{task}, {int(page.attrs['digits_units'])} hidden units: the peak lies at "
        f"{said_with_bounds(page, 'digits_peak', '{:.0f}')} images, "
        f"{said_with_bounds(page, 'digits_rise')} above the least before ({'a peak' if rises else 'no clear peak'}); "
        f"{said_with_bounds(last, 'digits_test_loss')} and an accuracy of {float(last.digits_test_accuracy):.0%} after "
        f"{int(last.digits_samples)}."
    )


@in_house_style
def draw(page: xr.Dataset) -> Figure:
    """Losses, who has the dimensions, both histograms; the same of digits."""
    figure = new_figure(10.5, 7.0, "Samples or features, as the data set grows?", headline(page))
    axes = figure.subplots(2, 3)
    _draw_curves(axes[0, 0], page, "samples", {"train_loss": "training", "test_loss": "test"}, "loss")
    draw_floors(axes[0, 0], page, "test_loss", "samples")
    _draw_curves(
        axes[0, 1],
        page,
        "samples",
        {"best_sample": "samples", "best_feature": "features"},
        "dimensionality of the 2 x units that have most",
    )
    for name in ("best_sample", "best_feature"):
        draw_floors(axes[0, 1], page, name, "samples")
    _draw_curves(
        axes[0, 2],
        page,
        "digits_samples",
        {"digits_train_loss": "training", "digits_test_loss": "test"},
        "loss, digits",
    )
    draw_floors(axes[0, 2], page, "digits_test_loss", "digits_samples")
    _draw_histogram(axes[1, 0], page, "sample_dimensionality")
    _draw_histogram(axes[1, 1], page, "feature_dimensionality")
    names = {"digits_best_sample": "in training", "digits_best_held_out": "held out"}
    _draw_curves(axes[1, 2], page, "digits_samples", names, "dimensionality of the 2 x units images\nthat have most")
    return figure


def _draw_curves(axes: Axes, page: xr.Dataset, along: str, names: dict[str, str], title: str) -> None:
    for place, (name, label) in enumerate(names.items()):
        draw_curve(axes, page, name, along, place, label)
    axes.set(xscale="log", xlabel=along.replace("digits_samples", "images"), title=title)
    axes.axvline(float(page["digits_peak" if "digits" in along else "peak"]), color=GREY, lw=0.6, ls=":")
    axes.legend(frameon=False)


def _draw_histogram(axes: Axes, page: xr.Dataset, name: str) -> None:
    share = page[name].transpose("bin", "samples").values
    half = float(page.bin[1] - page.bin[0]) / 2
    edges = np.append(page.bin.values - half, page.bin.values[-1] + half)
    steps = np.arange(page.sizes["samples"] + 1) - 0.5
    # Most have hardly any: by the root of the share the others are seen.
    axes.pcolormesh(steps, edges, np.where(share > 0, np.sqrt(share), np.nan), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(page.sizes["samples"]), [str(value) for value in page.samples.values])
    axes.set(xlabel="samples", ylim=(0, 1), title=f"{page[name].attrs['long_name']}\n(colour: root of the share)")
