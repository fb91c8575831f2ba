"""Reads pickles that may hold NumPy arrays of numbers, plain containers of them, and nothing else.

A pickle is a program, which may run anything when it is read. Published weights come as pickles all the same. So the
program is not given to Python: the few instructions that make arrays and containers are carried out here, and none can
call anything else, or take more memory than about what the file has bytes.
"""

import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

_MAX_INSTRUCTIONS = 200_000  # one of a byte can make an empty container; a network's weights take some 30,000
_MAX_RANK = 32
_NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
_CONSTANTS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_ARRAY = object()  # stands for numpy.ndarray, which a pickle only ever passes on to _reconstruct


class ArrayUnpickler:
    """Reads a pickle of protocol 2 to 4, if it holds what NumPy arrays of numbers consist of and nothing else.

    Args:
        file: A file that is open at the pickle's beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = _Remaining(file)
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Return what the pickle holds.

        Raises:
            pickle.UnpicklingError: If it asks for anything but arrays and plain containers, or is damaged.
        """
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], self._file))):
                if number == _MAX_INSTRUCTIONS:
                    raise pickle.UnpicklingError("its pickle is longer than arrays need")
                self._carry_out(opcode.name, argument)
            return self._stack.pop()
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({type(error).__name__}: {error})") from error

    def _carry_out(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if name in _CONSTANTS:
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop_since(self._marks.pop() if name == "TUPLE" else -int(name[-1]))))
            case "APPEND" | "APPENDS":
                list.extend(*self._container_and_items(name))
            case "SETITEM" | "SETITEMS":
                _set_items(*self._container_and_items(name))
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_find(*argument.split(" ")))
            case "STACK_GLOBAL":
                stack.append(_find(*self._pop_since(-2)))
            case "REDUCE":
                function, arguments = self._pop_since(-2)
                stack.append(function(*arguments))  # the only functions here are those that _find returns
            case "BUILD":
                made, state = self._pop_since(-2)
                _build(made, *state)
                stack.append(made)
            case _:
                raise pickle.UnpicklingError(f"its pickle has the instruction {name}, which no array consists of")

    def _pop_since(self, start: int) -> list[Any]:
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _container_and_items(self, name: str) -> tuple[Any, list[Any]]:
        starts = {"APPEND": -1, "SETITEM": -2}
        items = self._pop_since(starts[name] if name in starts else self._marks.pop())
        return self._stack[-1], items


class _Remaining:
    """A file of which no more is asked than is left: the lengths in a damaged pickle may be anything.

    Args:
        file: Any file that can seek.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        start = file.tell()
        self._left = file.seek(0, 2) - start
        file.seek(start)

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        return content

    def readline(self) -> bytes:
        line = self._file.readline()
        self._left -= len(line)
        return line


@dataclass
class _Dtype:
    """Stands for a ``numpy.dtype``, whose own state a pickle may not set."""

    code: str
    order: str = "="

    def to_numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # which raises ValueError


def _require(kind: type, *values: object) -> None:
    """Check types before anything else: to hash, compare or print tuples of tuples may take exponential time."""
    if not all(type(value) is kind for value in values):
        raise TypeError(f"something is not of type {kind.__name__}")


def _find(module: str, name: str) -> object:
    """Return what stands for a global name in the pickle."""
    _require(str, module, name)
    functions: dict[tuple[str, str], Callable[..., object]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "dtype"): _make_dtype,
        ("_codecs", "encode"): _encode,
    }
    if (module, name) == ("numpy", "ndarray"):
        return _ARRAY
    if (module, name) in functions:
        return functions[module, name]
    raise pickle.UnpicklingError(f"its pickle asks for {module}.{name}, which no array consists of")


def _reconstruct(kind: object, shape: tuple[int, ...], _: bytes) -> NDArray[Any]:
    """Make the empty array that the pickle then fills, as NumPy's function of this name does."""
    _require(tuple, shape)
    _require(int, *shape)
    if kind is not _ARRAY or shape != (0,):
        raise pickle.UnpicklingError("its pickle asks for an array of another kind than numpy.ndarray")
    return np.empty(0)


def _make_dtype(code: str, *_: object) -> _Dtype:
    _require(str, code)
    if code not in _NUMBERS | {"O8"}:
        raise pickle.UnpicklingError(f"its pickle asks for an array of the type {code!r}, which no number has")
    return _Dtype(code)


def _encode(text: str, encoding: str) -> bytes:
    """Turn text into the bytes it stands for; protocol 2 writes bytes so."""
    _require(str, text, encoding)
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"its pickle asks for the codec {encoding!r}")
    return text.encode("latin1")


def _set_items(container: dict[Any, Any], items: list[Any]) -> None:
    keys = items[::2]
    if not all(isinstance(key, str | int) for key in keys):
        raise TypeError("a key is neither text nor a number")
    dict.update(container, zip(keys, items[1::2], strict=True))


def _build(made: object, version: int, *state: Any) -> None:
    """Give an array its content, or a type its byte order."""
    if isinstance(made, _Dtype):
        _require(str, state[0])
        made.order = state[0]
    elif isinstance(made, np.ndarray):
        shape, dtype, fortran, content = state
        _fill(made, shape, dtype, bool(fortran), content)
    else:
        raise TypeError("it sets the state of what has none")


def _fill(array: NDArray[Any], shape: tuple[int, ...], dtype: _Dtype, fortran: bool, content: Any) -> None:
    """Fill an array, whose content must have the very size of its shape."""
    _require(tuple, shape)
    _require(int, *shape)
    if len(shape) > _MAX_RANK or any(size < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape}")
    numpy_dtype = dtype.to_numpy()
    needed = math.prod(shape) * (1 if numpy_dtype.hasobject else numpy_dtype.itemsize)
    if not isinstance(content, list if numpy_dtype.hasobject else bytes) or len(content) != needed:
        raise ValueError(f"an array's content does not make the shape {shape}")
    checked: Any = (1, shape, numpy_dtype, fortran, content)
    array.__setstate__(checked)
