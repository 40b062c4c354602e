"""Answers that take a while to find, in the user's cache."""

from __future__ import annotations

import json
from typing import Generic, TypeVar

from vsrdb_cli.documents import read_json
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import whole
from vsrdb_cli.user_folders import cache_folder

Answer = TypeVar("Answer", bool, float)


class CachedAnswer(Generic[Answer]):
    """The answer to one question, in a file of such answers.

    A file that cannot be read or written is ignored, and the question then has no answer.

    Args:
        file: name in the cache.
        question: all that the answer depends on.
        kind: of the answer: bool or float.
    """

    def __init__(self, file: str, question: str, kind: type[Answer]) -> None:
        cache = cache_folder()
        self._file = cache and cache / file
        self._question = question
        self._kind: type[Answer] = kind

    def answer(self) -> Answer | None:
        """Return the answer; None if it is not known."""
        found = self._read().get(self._question)
        return found if isinstance(found, self._kind) else None

    def keep(self, answer: Answer) -> None:
        if self._file is None:
            return
        answers = {**self._read(), self._question: answer}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole(self._file) as temporary:
                temporary.write_text(json.dumps(answers, indent=1), encoding="utf-8")
        except (OSError, OutputError):
            return

    def _read(self) -> dict[str, object]:
        if self._file is None:
            return {}
        try:
            answers = read_json(self._file)
        except (OSError, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}
