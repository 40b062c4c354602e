"""Answers that take a while to find, kept in the user's cache."""

from __future__ import annotations

import json
import os
import tempfile

from vsrdb_cli.documents import read_json
from vsrdb_cli.user_folders import cache_folder


class Remembered:
    """One question's answer, yes or no, in a file of such answers.

    A file that cannot be read or written is as one that is not there: the question is then
    answered anew.

    Args:
        file: its name in the cache. question: all that the answer depends on.
    """

    def __init__(self, file: str, question: str) -> None:
        cache = cache_folder()
        self._file = cache and cache / file
        self._question = question

    def answer(self) -> bool | None:
        """None where it is not known."""
        found = self._read().get(self._question)
        return found if isinstance(found, bool) else None

    def keep(self, answer: bool) -> None:
        if self._file is None:
            return
        answers = {**self._read(), self._question: answer}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._file.parent, delete=False, encoding="utf-8"
            ) as file:
                json.dump(answers, file, indent=1)
            os.replace(file.name, self._file)  # noqa: PTH105 - of two names, one is no Path
        except OSError:
            return

    def _read(self) -> dict[str, object]:
        if self._file is None:
            return {}
        try:
            answers = read_json(self._file)
        except (OSError, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}
