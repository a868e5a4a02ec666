"""Findings that somebody has decided to live with."""

from ..harness.results import Finding

STATUS = {
    "applied": "the finding does not stand against a PASS",
    "unused": "this run has no severe finding of that code",
    "expired": "not applied",
    "refused": "this finding makes a run void, whoever waives it",
}


def waived_words(finding: Finding) -> str:
    """`waived: REASON (until 2027-01-31)`; empty where the finding stands."""
    return f"waived: {finding.waived}" if finding.waived else ""
