"""The base of everything that is written down; never imports torch."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Strict about keys: a result that holds something unknown was not written by this version."""

    model_config = ConfigDict(extra="forbid")
