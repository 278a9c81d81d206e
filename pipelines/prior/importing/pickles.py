"""Reading a pickle as data: the few operations a file of tensors needs, done by hand, and nothing that could call anything.

Notable choices:
- no unpickler of Python's is used: an operation that is not in `allowed` stops the reading, so there is no door (INST, OBJ,
  EXT, persistent ids, buffers) that somebody forgot to close;
- a global name stays a `Name`: what it may become is decided by the reader's `call`, `new` and `build`, which make inert
  stand-ins; no module is imported and no attribute looked up;
- everything is bounded by the file: bytes are views into it, marks, operations and nesting have limits, indices are checked;
- values in the file are never printed, compared, or hashed (keys are texts and whole numbers alone).
"""

import pickletools
import struct
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

OPERATIONS = 1_000_000
MARKS = 400
NESTING = 400
NAMES = {ord(info.code): info.name for info in pickletools.opcodes}
VALUES = {
    "PROTO", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINUNICODE", "BINGET",
}  # fmt: skip
"""Operations that make plain values."""


class Refused(Exception):
    """Why a pickle is not read: the predicate of a sentence whose subject is the file."""


def harmless(text: object, most: int = 80) -> str:
    """A text of the file as it may be shown: at most so many printable ASCII characters."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in str(text)[:most])


class Name(NamedTuple):
    """A global that the file mentions; only a name."""

    module: str
    name: str

    def __str__(self) -> str:
        return harmless(f"{self.module}.{self.name}")


class Reader:
    """One pickle in `data` from `start`; `run` gives its value, then `at` is the byte behind it.

    Subclasses say what names become: `call` for REDUCE, `new` for NEWOBJ, `build` for BUILD, `persistent` for BINPERSID,
    `known` for names. All refuse by default.
    """

    def __init__(self, data: memoryview, *, allowed: Collection[str], protocols: Collection[int], start: int = 0):
        self.data, self.at, self.protocols = data, start, protocols
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps: dict[int, Callable[[], None]] = {
            code: getattr(self, f"_{name.lower()}") for code, name in NAMES.items() if name in allowed and name != "STOP"
        }

    def run(self) -> Any:
        for _ in range(OPERATIONS):
            code = self.take(1)[0]
            if code == ord("."):
                return self._finished()
            step = self.steps.get(code)
            if step is None:
                raise Refused(
                    f"uses the pickle operation {NAMES.get(code, hex(code))} at byte {self.at - 1}, which no snapshot has"
                )
            step()
        raise Refused(f"has more than {OPERATIONS} pickle operations")

    def known(self, name: Name) -> Name:
        raise Refused(f"names {name}, which no snapshot has")

    def call(self, function: Any, arguments: Any) -> Any:
        raise Refused("calls something that no snapshot calls")

    def new(self, kind: Any, arguments: Any) -> Any:
        raise Refused("makes an object of a kind that no snapshot has")

    def build(self, target: Any, state: Any) -> None:
        raise Refused(f"sets the state of a {type(target).__name__.lower()}, which no snapshot does")

    def persistent(self, key: Any) -> Any:
        raise Refused("has a persistent id outside of its tensors")

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, a view."""
        if count > len(self.data) - self.at:
            raise Refused(f"ends too early, at byte {len(self.data)}; it was probably not downloaded completely")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, count: int) -> str:
        try:
            return str(self.take(count), "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise Refused("has a text that is not UTF-8") from error

    def pop(self) -> Any:
        if not self.stack:
            raise Refused("takes a value where there is none")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Refused(f"adds to something that is not a {kind.__name__}")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise Refused("closes a group that was never opened")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _finished(self) -> Any:
        value = self.pop()
        if self.stack or self.marks:
            raise Refused("ends while values are left over")
        return value

    def _proto(self) -> None:
        if (version := self.take(1)[0]) not in self.protocols:
            raise Refused(f"is a pickle of protocol {version}, a snapshot's is {' or '.join(map(str, self.protocols))}")

    def _frame(self) -> None:
        if self.number("<Q") > len(self.data) - self.at:
            raise Refused(f"ends too early, at byte {len(self.data)}; it was probably not downloaded completely")

    def _mark(self) -> None:
        if len(self.marks) >= MARKS:
            raise Refused(f"is nested more than {MARKS} deep")
        self.marks.append(self.stack)
        self.stack = []

    def _empty_dict(self) -> None:
        self.stack.append({})

    def _empty_list(self) -> None:
        self.stack.append([])

    def _empty_set(self) -> None:
        self.stack.append(set())

    def _empty_tuple(self) -> None:
        self.stack.append(())

    def _none(self) -> None:
        self.stack.append(None)

    def _newtrue(self) -> None:
        self.stack.append(True)

    def _newfalse(self) -> None:
        self.stack.append(False)

    def _binint(self) -> None:
        self.stack.append(self.number("<i"))

    def _binint1(self) -> None:
        self.stack.append(self.number("<B"))

    def _binint2(self) -> None:
        self.stack.append(self.number("<H"))

    def _long1(self) -> None:
        self.stack.append(int.from_bytes(self.take(self.number("<B")), "little", signed=True))

    def _binfloat(self) -> None:
        self.stack.append(self.number(">d"))

    def _short_binunicode(self) -> None:
        self.stack.append(self.text(self.number("<B")))

    def _binunicode(self) -> None:
        self.stack.append(self.text(self.number("<I")))

    def _short_binbytes(self) -> None:
        self.stack.append(self.take(self.number("<B")))

    def _binbytes(self) -> None:
        self.stack.append(self.take(self.number("<I")))

    def _append(self) -> None:
        item = self.pop()
        self.top(list).append(item)

    def _appends(self) -> None:
        items = self.since_mark()
        self.top(list).extend(items)

    def _additems(self) -> None:
        items = [_key(item) for item in self.since_mark()]
        self.top(set).update(items)

    def _setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self.top(dict)[_key(key)] = value

    def _setitems(self) -> None:
        items = self.since_mark()
        if len(items) % 2:
            raise Refused("has a key without a value")
        self.top(dict).update({_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def _tuple(self) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def _tuple1(self) -> None:
        self.stack.append((self.pop(),))

    def _tuple2(self) -> None:
        last, first = self.pop(), self.pop()
        self.stack.append((first, last))

    def _tuple3(self) -> None:
        last, middle, first = self.pop(), self.pop(), self.pop()
        self.stack.append((first, middle, last))

    def _memoize(self) -> None:
        self._remember(len(self.memo))

    def _binput(self) -> None:
        self._remember(self.number("<B"))

    def _remember(self, place: int) -> None:
        if not self.stack:
            raise Refused("remembers a value where there is none")
        self.memo[place] = self.stack[-1]

    def _binget(self) -> None:
        self._recall(self.number("<B"))

    def _long_binget(self) -> None:
        self._recall(self.number("<I"))

    def _recall(self, place: int) -> None:
        if place not in self.memo:
            raise Refused(f"asks for the remembered value {place}, which does not exist")
        self.stack.append(self.memo[place])

    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("names a global by something that is not a text")
        self.stack.append(self.known(Name(module, name)))

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self.stack.append(self.known(Name(module, name)))

    def _line(self) -> str:
        text = bytearray()
        while (letter := self.take(1)[0]) != ord("\n"):
            text.append(letter)
            if len(text) > 200:
                raise Refused("names a global with more than 200 letters")
        return text.decode("ascii", "replace")

    def _reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(self.call(function, arguments))

    def _newobj(self) -> None:
        arguments, kind = self.pop(), self.pop()
        self.stack.append(self.new(kind, arguments))

    def _build(self) -> None:
        state = self.pop()
        if not self.stack:
            raise Refused("sets the state of nothing")
        self.build(self.stack[-1], state)

    def _binpersid(self) -> None:
        self.stack.append(self.persistent(self.pop()))


def check_nesting(value: Any, inside: Callable[[Any], Collection[Any]]) -> None:
    """Refuse values nested more than NESTING deep; level by level, so that the check itself cannot be overrun.

    `inside` gives the children of a stand-in (and nothing for anything else).
    """
    level, seen = [value], {id(value)}
    for _ in range(NESTING):
        found = [child for one in level for child in _children(one, inside)]
        level = []
        for child in found:
            if id(child) not in seen:
                seen.add(id(child))
                level.append(child)
        if not level:
            return
    raise Refused(f"is nested more than {NESTING} deep")


def _children(value: Any, inside: Callable[[Any], Collection[Any]]) -> Collection[Any]:
    kind = type(value)
    if kind is dict:
        return value.values()
    return value if kind in (list, tuple) else inside(value)


def _key(value: Any) -> Any:
    if type(value) not in (str, int):
        raise Refused("has a key that is neither a text nor a whole number")
    return value
