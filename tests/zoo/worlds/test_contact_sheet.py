"""A contact sheet shows the batch's pictures, in order, unsmoothed."""

import numpy as np
import pytest

from anylens.core.errors import ZooError
from anylens.zoo.worlds.contact_sheet import contact_sheet
from anylens.zoo.worlds.shapes import sample


def test_pictures_stand_in_rows_with_gaps_between_them():
    batch = sample(5, seed=0)
    sheet = np.asarray(contact_sheet(batch, columns=3, zoom=2, gap=1))
    assert sheet.shape == (2 * 34 * 2, 3 * 34 * 2, 3)
    fourth = sheet[68:, :68][2:-2:2, 2:-2:2]
    expected = (batch.pixels[3].permute(1, 2, 0) * 255).round().numpy()
    assert (fourth == expected).all()
    assert (sheet[68:, 136:] == 255).all()


def test_an_empty_batch_is_refused():
    with pytest.raises(ZooError, match="no pictures"):
        contact_sheet(sample(0, seed=0))
