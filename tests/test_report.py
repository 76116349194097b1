"""Does `snakemake --report` show every figure with what it says, in a browser too?"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from workspace import Workspace, run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIGURES = ("stability.pdf", "waterfall.pdf", "tracks.pdf", "training.pdf", "widening.pdf", "bases.pdf")


@pytest.fixture(scope="module")
def report(built: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = built.copy(tmp_path_factory.mktemp("report"))
    done = copied.snakemake("--report", "report.html", "all")
    assert done.returncode == 0, done.stdout
    return copied.folder / "report.html"


def test_every_figure_is_in_it_whole_with_its_caption(report: Path, built: Workspace) -> None:
    text = report.read_text()
    for name in FIGURES:
        assert f'"{name}"' in text
    (embedded,) = re.findall(r"data:application/pdf;[^,]*filename=stability.pdf;base64,([A-Za-z0-9+/=]+)", text)
    assert base64.b64decode(embedded) == (built.results / "figures" / "stability.pdf").read_bytes()
    assert "The line under the title says what was found" in text
    assert "Which features come back" in text


def test_the_list_says_whose_a_figure_is_and_what_it_took_and_its_caption_what_was_asked(report: Path) -> None:
    (text,) = re.findall(r'<script id="results">\s*var results = (.*);$', report.read_text(), re.MULTILINE)
    results = json.loads(text)
    for path, found in results.items():
        assert found["labels"]["experiment"] in path
        assert re.fullmatch(r"[\d.]+ s", found["labels"]["drawn in"])
        assert re.fullmatch(r"[\d.]+ (s|min) in \d+ jobs", found["labels"]["with all before it"])
    assert len({(found["labels"]["experiment"], found["labels"]["figure"]) for found in results.values()}) == len(
        results
    )
    caption = results["results/figures/widening.pdf"]["caption"]
    for entry in ("experiments.widening", "decompositions.pca", "models.digits_mlp_wide_64", "models.digits_mlp:"):
        assert caption.count(f"\n{entry}") + caption.count(f">\n{entry}") >= 1
    assert "decompositions.topk" not in caption
    # Training, decomposing and analysing lie before a figure: more jobs than before what draws dictionaries alone.
    jobs = {
        name: int(
            re.findall(r"\d+(?= jobs)", results[f"results/figures/{name}.pdf"]["labels"]["with all before it"])[0]
        )
        for name in ("stability", "stability/training")
    }
    assert jobs["stability"] > jobs["stability/training"] > 10


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_a_browser_opens_it(report: Path, tmp_path: Path) -> None:
    headless = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    dom = run([*headless, "--dump-dom", report.as_uri()], stderr=subprocess.DEVNULL).stdout
    for text in ("Workflow", "Statistics", "Experiments", "Training"):
        assert re.search(rf">\s*{text}\s*<", dom)
    picture = tmp_path / "report.png"
    run([*headless, f"--screenshot={picture}", "--window-size=1200,800", report.as_uri()])
    # One without text takes about 4 kB.
    assert picture.stat().st_size > 10_000
