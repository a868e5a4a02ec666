"""The plan: order, revisions under what they revise, and what is left out."""

import re

from robcheck.harness.results import PlanEntry
from robcheck.reports import render_html
from robcheck.reports.plan import left_out, plan_lines


def _entry(name, revises="", **more):
    return PlanEntry(name=name, attack="pgd", revises=revises, **more)


def _shape(*entries):
    return [(line.entry.name, line.depth) for line in plan_lines(list(entries))]


def test_a_revision_stands_under_what_it_revises():
    plan = [_entry("a"), _entry("b"), _entry("a+bpda", "a"), _entry("b+nes", "b"), _entry("a+bpda+nes", "a+bpda")]
    assert _shape(*plan) == [("a", 0), ("a+bpda", 1), ("a+bpda+nes", 2), ("b", 0), ("b+nes", 1)]


def test_a_revision_of_something_unknown_is_still_marked():
    assert _shape(_entry("a"), _entry("late", "nobody")) == [("a", 0), ("late", 1)]
    assert _shape(_entry("a", runs=False), _entry("late", "a")) == [("late", 1)]


def test_no_entry_is_lost_or_shown_twice():
    circle = [_entry("a", "b"), _entry("b", "a"), _entry("self", "self"), _entry("x"), _entry("x")]
    assert sorted(name for name, _ in _shape(*circle)) == ["a", "b", "self", "x", "x"]


def test_a_long_chain_does_not_run_off_the_page():
    chain = [_entry("0"), *(_entry(str(i), str(i - 1)) for i in range(1, 60))]
    assert [name for name, _ in _shape(*chain)] == [str(i) for i in range(60)]
    assert max(depth for _, depth in _shape(*chain)) == 3


def test_what_is_left_out_is_grouped_and_what_costs_trust_comes_first():
    plan = [
        _entry("a", runs=False, reason="never rejects"),
        _entry("b", runs=False, reason="no l2", cost="small breaks"),
        _entry("c", runs=False, reason="never rejects"),
        _entry("d"),
    ]
    lines = left_out(plan)
    assert [(line.names, line.reason, line.cost) for line in lines] == [
        (["b"], "no l2", "small breaks"),
        (["a", "c"], "never rejects", ""),
    ]


def _table(text, label):
    table = text[text.index(f'aria-label="{label}"') :]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)
    return [
        [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in re.split(r"</t[hd]>", row)[:-1]] for row in rows
    ]


def test_the_page_shows_the_plan_as_a_table(make_trusted):
    text = render_html(make_trusted())
    head, *rows = _table(text, "Plan")
    assert head == ["Attack", "Gradient", "Loss", "Step size", "Momentum", "One answer", "Why"]
    assert rows[0] == [
        "apgd-ce apgd",
        "exact \u00d7 4 draws".replace("\u00d7", "&times;"),
        "ce",
        "2 eps",
        "0.75",
        "\u2013",
        "\u2013",
    ]
    assert rows[1][0] == "apgd-ce+bpda apgd added after apgd-ce"
    assert rows[2][5] == "majority of 5 draws"
    assert '<tr class="revises depth1">' in text
    assert _table(text, "Left out")[1:] == [
        ["fab", "no l2", "small breaks may be missed"],
        ["latent", "no generator", "nothing"],
    ]


def test_columns_that_say_nothing_are_left_out(make_result):
    head, *_ = _table(render_html(make_result()), "Plan")
    assert head == ["Attack", "Gradient", "Why"]
