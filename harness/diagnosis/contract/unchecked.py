"""What a check says that could not be made."""

from ...results import Finding

NOT_ASKED = "the model was asked nothing"


def unchecked(code: str, reason: str, remedy: str = "") -> Finding:
    """No result is no proof, and nothing against the model either."""
    return Finding(code=code, severity="info", message=f"Not checked: {reason}.", remedy=remedy)
