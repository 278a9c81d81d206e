"""Interlaced film as whole pictures: camcorders and old broadcasts store two moments in the lines of one frame."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

FILTER = ("yadif", "mode=send_frame:deint=interlaced")


def progressive(frames: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Frames of PyAV, each with a companion; from the first interlaced one on without comb lines, at the same times."""
    weaver: _Weaver | None = None
    for frame, companion in frames:
        if weaver is None and not frame.interlaced_frame:
            yield frame, companion
            continue
        if weaver is None or not weaver.takes(frame):
            yield from weaver.rest() if weaver is not None else ()
            weaver = _Weaver(frame)
        yield from weaver.push(frame, companion)
    yield from weaver.rest() if weaver is not None else ()


class _Weaver:
    """ffmpeg's filter for frames of one size; it answers one frame late."""

    def __init__(self, frame: Any) -> None:
        from av.filter import Graph

        self._kind = (frame.width, frame.height, frame.format.name)
        self._graph: Any = Graph()
        self._waiting: list[tuple[Any, Any]] = []
        base = frame.time_base or Fraction(1, 90000)
        nodes = [
            self._graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base),
            self._graph.add(*FILTER),
            self._graph.add("buffersink"),
        ]
        for one, other in zip(nodes, nodes[1:], strict=False):
            one.link_to(other)
        self._graph.configure()

    def takes(self, frame: Any) -> bool:
        return self._kind == (frame.width, frame.height, frame.format.name)

    def push(self, frame: Any, companion: Any) -> Iterator[tuple[Any, Any]]:
        self._waiting.append((frame, companion))
        self._graph.push(frame)
        yield from self._done()

    def rest(self) -> Iterator[tuple[Any, Any]]:
        self._graph.push(None)
        yield from self._done()

    def _done(self) -> Iterator[tuple[Any, Any]]:
        from av import error as errors

        while True:
            try:
                woven = self._graph.pull()
            except (errors.BlockingIOError, errors.EOFError):
                return
            frame, companion = self._waiting.pop(0)
            woven.pts, woven.time_base = frame.pts, frame.time_base
            yield woven, companion
