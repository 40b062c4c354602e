"""The documentation says what becomes of every kind of sound, as it was tried."""

from pathlib import Path

import pytest
import sound_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "VIDEO.md"


@pytest.mark.slow
def test_the_table_of_sound_is_what_happens(tmp_path):
    assert sound_table.table(tmp_path) in DOCUMENT.read_text()
