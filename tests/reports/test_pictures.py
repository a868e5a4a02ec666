import base64
import io

import numpy as np
from PIL import Image

from robcheck.harness.results import GalleryItem
from robcheck.reports.pictures import amplification, picture


def _item(clean, adversarial):
    return GalleryItem(
        id=0,
        label="a",
        clean_prediction="a",
        prediction="b",
        attack="x",
        distance=0.1,
        clean=clean.tolist(),
        adversarial=adversarial.tolist(),
    )


def _read(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_pixels_are_enlarged_without_blur():
    clean = np.array([[0.0, 1.0], [0.2, 0.4]])
    image = _read(picture(_item(clean, clean)).clean)
    assert image.shape == (224, 224)
    assert set(np.unique(image)) == {0, 51, 102, 255}


def test_no_change_is_mid_grey():
    clean = np.random.default_rng(0).random((4, 4, 3))
    shown = picture(_item(clean, clean))
    assert set(np.unique(_read(shown.perturbation))) == {128}
    assert shown.factor == "1"


def test_the_sign_of_a_change_is_seen():
    clean = np.full((1, 3), 0.5)
    changed = clean + np.array([[0.1, 0.0, -0.1]])
    image = _read(picture(_item(clean, changed)).perturbation)
    raised, same, lowered = image[0, 10], image[0, image.shape[1] // 2], image[0, -10]
    assert raised[0] > raised[2]
    assert lowered[2] > lowered[0]
    assert len(set(same.tolist())) == 1


def test_a_colour_change_is_amplified_by_the_stated_factor():
    clean = np.full((2, 2, 3), 0.5)
    changed = clean.copy()
    changed[0, 0, 0] += 8 / 255
    shown = picture(_item(clean, changed))
    assert shown.factor == "15"
    assert _read(shown.perturbation)[0, 0].tolist() == [round(255 * (0.5 + 15 * 8 / 255)), 128, 128]


def test_one_channel_images_of_either_layout_are_drawn():
    clean = np.zeros((2, 2, 1))
    assert picture(_item(clean, clean)).clean == picture(_item(clean[..., 0], clean[..., 0])).clean


def test_not_finite_values_are_drawn():
    clean = np.array([[np.nan, np.inf], [-np.inf, 2.0]])
    assert set(np.unique(_read(picture(_item(clean, clean)).clean))) == {0, 255}


def test_amplification_stays_under_full_strength():
    for change in (1e-6, 1 / 255, 8 / 255, 0.3, 0.5, 0.9, 1.0):
        assert 0 < amplification(change) * change <= 0.5 + 1e-9
    assert amplification(0.0) == 1.0
