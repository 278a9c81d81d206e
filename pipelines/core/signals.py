"""Ctrl-C and SIGTERM at a good moment: the current step is finished and saved first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

NOTED = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Asked:
    """The signal that came, 0 for none."""

    number: int = 0

    def obey(self) -> None:
        """What the signal would have done at once; call it when `noted` is over."""
        if self.number:
            signal.raise_signal(self.number)


@contextmanager
def noted(*, patient: bool = False) -> Iterator[Asked]:
    """Signals to end are noted instead of obeyed; a second one is obeyed at once, unless `patient`.

    Only the main thread can do so; in others, and where a signal is ignored, all stays as it was.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in NOTED if signal.getsignal(number) is not signal.SIG_IGN}

    def note(number: int, frame: FrameType | None) -> None:
        if asked.number and not patient:
            _restore(before, note)
            signal.raise_signal(number)
        asked.number = asked.number or number

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        _restore(before, note)


def _restore(before: dict, note: object) -> None:
    """Handlers as they were, where they are still ours."""
    for number, handler in before.items():
        if signal.getsignal(number) is note:
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
