"""A pickle, read without making anything of what it names.

`torch.load(weights_only=True)` runs no foreign code, but makes what it is told to, and so would Python's own unpickler.
To enter a key into a dictionary, both hash it, which goes through all that the key contains: a tuple in a tuple, a
million deep, or one that contains another twice, which does the same, sixty times. Here the instructions are gone
through one by one as PyTorch does, with inert stand-ins for what they make.
"""

from __future__ import annotations

import abc
import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from safs.checkpoints.source import TRUST, Source
from spaces.errors import SafsError

_LARGEST_KEY = 64
"""Bits that a number may have as a key: larger ones can be chosen so that all have one hash."""


@dataclass(frozen=True, slots=True)
class Name:
    """Stands for something that a pickle names, such as a function or a type."""

    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """Stands for what a call made, by the name of what was called, with how many values it was given."""

    by: str
    given: int = 0


@dataclass(slots=True)
class Dict:
    """Stands for a dictionary, of whose entries only the number is kept, by the name of its type."""

    by: str = "builtins.dict"
    entries: int = 0


class PickleReader(abc.ABC):
    """Reads pickles into stand-ins: values, tuples and lists as they are, and `Name`, `Made` and `Dict`.

    Args:
        source: what errors are about.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> tuple[Any, int]:
        """Return what stands for the pickle that some bytes begin with, and where it ends.

        Raises:
            SafsError: if it is damaged, or holds what PyTorch does not write, or what a subclass refuses.
        """
        self._stack, self._marked, self._memo = [], [], {}
        try:
            end = 0
            for opcode, argument, position in pickletools.genops(content):
                self._step(opcode.name, argument)
                end = (position or 0) + 1
            return self._stack.pop(), end
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
            raise self.source.damaged() from error

    @abc.abstractmethod
    def named(self, name: str) -> Any:
        """Return what stands for something that a pickle names, in full; SafsError if it may not."""

    @abc.abstractmethod
    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return what stands for the result of a call; SafsError if it may not be called so."""

    @abc.abstractmethod
    def built(self, target: Any, state: Any) -> None:
        """Check the state that an object is given after it was made; SafsError if it may not be."""

    @abc.abstractmethod
    def stored(self, reference: Any) -> Any:
        """Return what stands for a storage that a pickle refers to; SafsError if it cannot be."""

    def check_keys(self, keys: Iterable[Any]) -> None:
        """Raise SafsError if one of the keys of a dictionary, or of the elements of a set, is more than a value."""
        for key in keys:
            small = type(key) is not int or key.bit_length() <= _LARGEST_KEY
            if type(key) not in (str, int, float, bool, type(None)) or not small:
                kind = key.by if isinstance(key, Made) else type(key).__name__
                raise SafsError(
                    f"{self.source} has a dictionary or set with a key of the type {kind}, where text and numbers of "
                    f"{_LARGEST_KEY} bits are read; save its state dict alone, or {TRUST}."
                )

    def _step(self, name: str, argument: Any) -> None:
        """Follow one instruction of protocol 2 that `torch.load(weights_only=True)` knows."""
        stack = self._stack
        match name:
            case "PROTO" | "STOP":
                pass
            case "NONE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append(Dict())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                self._marked.append(stack)
                self._stack = []
            case "TUPLE":
                items = self._to_mark()
                self._stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(name[-1]))]
                stack.append(tuple(reversed(items)))
            case "APPEND":
                self._extend([stack.pop()])
            case "APPENDS":
                self._extend(self._to_mark())
            case "SETITEM":
                _, key = stack.pop(), stack.pop()
                self._enter([key])
            case "SETITEMS":
                self._enter(self._to_mark()[::2])
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case _:
                self._step_outside(name, argument)

    def _step_outside(self, name: str, argument: Any) -> None:
        """Follow an instruction that makes something of what a pickle names."""
        stack = self._stack
        match name:
            case "GLOBAL":
                module, _, own = argument.partition(" ")
                stack.append(self.named(f"{'builtins' if module == '__builtin__' else module}.{own}"))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                if not isinstance(function, Name) or type(arguments) is not tuple:
                    raise self.source.damaged()
                stack.append(self.called(function.name, arguments))
            case "BUILD":
                state = stack.pop()
                self.built(stack[-1], state)
            case "BINPERSID":
                stack.append(self.stored(stack.pop()))
            case _:
                raise self.source.damaged(f"it holds the pickle instruction {name}, which torch.save does not write")

    def _to_mark(self) -> list[Any]:
        """Return the values since the last mark, and take them from the stack."""
        items = self._stack
        self._stack = self._marked.pop()
        return items

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise self.source.damaged()
        target.extend(items)

    def _enter(self, keys: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, Dict):
            raise self.source.damaged()
        target.entries += len(keys)
        self.check_keys(keys)
