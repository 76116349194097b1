"""Do all profiles agree on what is stale, and do those of queues fit the rules?"""

from __future__ import annotations

import pytest
import yaml
from workspace import ROOT

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))
STALE = ("rerun-triggers", "max-checksum-file-size")


def profile(name: str) -> dict[str, object]:
    return dict(yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()))


def test_there_is_one_for_this_machine_and_some_for_queues() -> None:
    assert {"default", "slurm", "cluster-generic"} <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_stale_does_not_depend_on_who_runs_the_jobs(name: str) -> None:
    assert {key: profile(name)[key] for key in STALE} == {key: profile("default")[key] for key in STALE}


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "default"])
def test_every_queue_tries_again_goes_on_and_groups_what_the_rules_name(name: str) -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    given = profile(name)
    assert given["retries"]
    assert given["keep-going"]
    assert all(f'together("{group}")' in rules for group in given["group-components"])
