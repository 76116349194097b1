"""Generated packages, edited at random and run: does the fingerprint differ wherever the run does, and else rarely?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from toy import DYNAMIC, FOLLOWED, PLAIN, Definition, Program, a_definition, edits, fingerprint, programs, run

Pair = tuple[Program, Program]


@st.composite
def edited(draw: st.DrawFn, ways: tuple[str, ...] = FOLLOWED + DYNAMIC) -> Pair:
    """A program and an edit of it."""
    program = draw(programs(ways))
    return program, draw(edits(program, ways))


@st.composite
def edited_out_of_reach(draw: st.DrawFn) -> Pair:
    """A program, and an edit of a plain definition that nothing leads to: the last one, at least, is none's."""
    program = draw(programs(FOLLOWED))
    last = draw(a_definition(len(program.definitions), program.definitions[-1].module, FOLLOWED, PLAIN))
    program = replace(program, definitions=(*program.definitions, last))
    apart = [i for i, one in enumerate(program.definitions) if one.kind in PLAIN and i not in program.reached()]
    i = draw(st.sampled_from(apart))
    old = program.definitions[i]
    # What it uses stays: imports at the top of a module run, whoever needs them.
    new = replace(old, kind=draw(st.sampled_from(PLAIN)), number=old.number + draw(st.integers(1, 3)))
    return program, replace(program, definitions=(*program.definitions[:i], new, *program.definitions[i + 1 :]))


def compare(pair: Pair) -> tuple[bool, bool]:
    """Whether an edit changes what the run gives, and whether it changes the fingerprint."""
    with TemporaryDirectory() as folder:
        roots = [Path(folder) / name for name in ("before", "after")]
        for root, program in zip(roots, pair, strict=True):
            program.write(root)
        found, prints = [run(root) for root in roots], [fingerprint(root) for root in roots]
    return found[0] != found[1], prints[0] != prints[1]


def check_soundness(examples: int) -> None:
    changed = []

    @settings(max_examples=examples, deadline=None)
    @given(edited())
    def every_change_is_seen(pair: Pair) -> None:
        differs, seen = compare(pair)
        event(f"the run differs: {differs}, the fingerprint: {seen}")
        changed.append(differs)
        assert seen or not differs

    every_change_is_seen()
    # Else this would show nothing.
    assert sum(changed) > examples / 10


def test_whatever_changes_the_run_changes_the_fingerprint() -> None:
    check_soundness(80)


@pytest.mark.slow
def test_whatever_changes_the_run_changes_the_fingerprint_in_thousands_of_packages() -> None:
    check_soundness(3000)


@settings(max_examples=60, deadline=None)
@given(edited_out_of_reach())
def test_what_nothing_leads_to_leaves_the_fingerprint(pair: Pair) -> None:
    assert compare(pair) == (False, False)


def definition(kind: str, *uses: tuple[int, str]) -> Definition:
    return Definition(0, kind, 7, uses)


@pytest.mark.parametrize("way", [*FOLLOWED, *DYNAMIC])
@pytest.mark.parametrize("kind", PLAIN)
def test_an_edit_is_seen_whichever_way_leads_there(way: str, kind: str) -> None:
    used, user = definition(kind), replace(definition("function", (0, way)), module=1)
    programs = [Program((replace(used, number=n), user), ((1, "from"),), ()) for n in (1, 2)]
    assert compare((programs[0], programs[1])) == (True, True)
