"""`auto` in a suite: which fields may be left to the plan, and what is said where one may not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robcheck.harness.attacks import ATTACKS
from robcheck.suites.automatic import AUTOMATIC, split_automatic
from robcheck.suites.schema import Suite


def suite(**entry: Any) -> Suite:
    return Suite.model_validate({"name": "s", "attacks": [entry]})


def test_what_is_automatic_is_kept_apart_and_survives_json() -> None:
    found = suite(attack="pgd", loss="auto", momentum="auto", step_size="auto", gradient="auto", eot="auto")
    request = found.attacks[0]
    assert (request.name, request.gradient, request.eot) == ("pgd", "auto", "auto")
    assert set(request.auto) == {"loss", "momentum", "step_size"}
    assert request.config == ATTACKS["pgd"].config()
    assert Suite.model_validate_json(found.model_dump_json()) == found
    assert suite(attack="pgd", loss="ce").attacks[0].auto == ()


@given(
    st.sampled_from(sorted(ATTACKS)),
    st.sampled_from(sorted({f for spec in ATTACKS.values() for f in spec.config.model_fields} | {"stepsize", "los"})),
)
def test_auto_is_refused_with_the_nearest_word_where_it_means_nothing(attack: str, field: str) -> None:
    config = {field: "auto"}
    if field in AUTOMATIC and field in ATTACKS[attack].config.model_fields:
        assert split_automatic(attack, config) == ({}, (field,))
        return
    with pytest.raises(ValueError, match="cannot be auto, did you mean '") as refused:
        split_automatic(attack, config)
    text = str(refused.value)
    nearest = text.split("did you mean '")[1].split("'")[0]
    assert text.startswith(f"{attack}: {field!r}")
    assert nearest in ("gradient", "eot") or nearest in ATTACKS[attack].config.model_fields


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"attack": "pgd", "stepsize": "auto"}, "'stepsize' cannot be auto, did you mean 'step_size'?"),
        ({"attack": "apgd", "step_size": "auto"}, "auto may be gradient, eot, loss, momentum"),
        ({"attack": "pgd", "steps": "auto"}, "'steps' cannot be auto, did you mean 'step_size'?"),
        ({"attack": "square", "loss": "auto"}, "square has no loss to choose"),
        ({"attack": "fab", "momentum": "auto"}, "fab takes no momentum"),
        ({"attack": "square", "gradient": "auto"}, "never for a gradient"),
    ],
)
def test_refusals(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="attacks") as refused:
        suite(**entry)
    assert said in str(refused.value)
