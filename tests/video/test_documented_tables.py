"""The documentation says what happens: its tables are made by the code, and by trying."""

from pathlib import Path

import container_table
import pytest
import sound_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "VIDEO.md"


def test_the_table_of_containers_is_the_codes_own():
    assert container_table.table() in DOCUMENT.read_text()


@pytest.mark.slow
def test_the_table_of_sound_is_what_happens(tmp_path):
    assert sound_table.table(tmp_path) in DOCUMENT.read_text()
