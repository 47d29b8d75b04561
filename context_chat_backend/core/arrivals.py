"""Actions that were carried out while sources were on their way in."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from .actions import Action


class Arrivals:
    """An upload may take minutes to arrive and longer until the last of its sources has its turn. An action that comes
    meanwhile finds those sources not stored yet, so it has to be taken into account when they are."""

    def __init__(self) -> None:
        self._done = 0
        self._actions: deque[tuple[int, Action]] = deque()
        self._open: Counter[int] = Counter()

    @contextmanager
    def open(self, number: int | None = None) -> Iterator[int]:
        """Keep all actions from now on, or from the moment of an earlier arrival that is still open."""
        number = self._done if number is None else number
        self._open[number] += 1
        try:
            yield number
        finally:
            self._open[number] -= 1
            self._open += Counter()  # drops zeros
            while self._actions and self._actions[0][0] <= min(self._open, default=self._done):
                self._actions.popleft()

    def record(self, action: Action) -> None:
        """An action was carried out."""
        self._done += 1
        if self._open:
            self._actions.append((self._done, action))

    def since(self, arrival: int) -> list[Action]:
        """Those that were carried out after an arrival, in order."""
        return [action for number, action in self._actions if number > arrival]
