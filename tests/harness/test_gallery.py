"""Pictures say what a model answered, also where that was no class."""

import torch

from robcheck.harness.gallery import gallery
from robcheck.harness.results import SampleRecord


def test_an_answer_that_is_no_class_is_called_so() -> None:
    record = SampleRecord(id=3, label=1, outcome="broken", clean_prediction=1, prediction=-1, broken_by="pgd")
    pixels = torch.rand(1, 1, 4, 4)
    for names, label in (((), "1"), (("zero", "one"), "one")):
        (item,) = gallery([record], pixels, pixels, names)
        assert (item.label, item.clean_prediction, item.prediction) == (label, label, "no prediction")
