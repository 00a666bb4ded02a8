"""Reads TensorFlow's "tensor bundle" checkpoints without TensorFlow.

A bundle is two files. The data file holds the raw little-endian bytes of the tensors. The index is a sorted table in
LevelDB's layout. It leads from a tensor's name to a protocol buffer with its type, shape and place in the data file:

    data blocks | metaindex block | index block (of the data blocks) | footer (handles of the last two, magic number)

Checksums guard every block and every tensor, and all are verified. Both files may come from anywhere. So every length
is checked before it is used, and no byte is visited more often than its file is long. Bad input costs a `ValueError`
and nothing else.

References:
  LevelDB, doc/table_format.md; TensorFlow, core/protobuf/tensor_bundle.proto; CRC-32C: RFC 3720, appendix B.4.
"""

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

# An index takes about 60 bytes a tensor. These bounds are far above that, and limit the work on a hostile file.
MAX_INDEX_BYTES = 2**18
MAX_ENTRY_BYTES = 2**10  # of a tensor's name, and of its description

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES = 48
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # numbers of tensorflow.DataType
_STRING = 7
_CHUNK_BYTES = 2**18  # of a message that are summed at once; this is fastest

# A protocol buffer as it comes off the wire: field number -> its values, integers or bytes, in order.
_Message = dict[int, list[int | bytes]]


def read(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Reads the numeric tensors of a bundle with one data file.

    Args:
      index: the contents of `*.index`.
      data: the contents of `*.data-00000-of-00001`.

    Returns:
      Tensors by name, in the order of the index. Strings are left out: Keras has one, which holds its object graph.

    Raises:
      ValueError: the bundle is damaged, or uses a part of the format that a single-file checkpoint does not need.

    Examples:
      >>> read(b"not an index", b"")
      Traceback (most recent call last):
      ValueError: the checkpoint's index is not a TensorFlow checkpoint index
    """
    table = _table(index)
    name, header = next(table, (None, b""))
    if name != b"":
        raise ValueError("the checkpoint's index has no header")
    _check_header(_parse(header))

    tensors, used = {}, 0
    for name, value in table:
        entry = _parse(value)
        used += _integer(entry, 5)
        if used > len(data):
            raise ValueError(f"the checkpoint's tensors need {used} bytes or more, but its data file has {len(data)}")
        if _integer(entry, 1) != _STRING:
            name = name.decode(errors="backslashreplace")
            tensors[name] = _tensor(name, entry, data)
    return tensors


def crc32c(data: bytes) -> int:
    """Computes the CRC-32C (Castagnoli) checksum of `data`.

    Examples:
      >>> hex(crc32c(b"123456789"))
      '0xe3069283'
    """
    remainder = 0xFFFFFFFF
    for start in range(0, len(data), _CHUNK_BYTES):
        remainder = _extend(remainder, data[start : start + _CHUNK_BYTES])
    return remainder ^ 0xFFFFFFFF


def _extend(remainder: int, data: bytes) -> int:
    """Returns the remainder after `data`, given the one before it.

    A remainder is linear in the message. That of two halves is the sum of theirs, once the left one is moved on by the
    length of the right half. So numpy joins all pairs of neighbours at once, in log2(n) rounds.
    """
    parts = np.concatenate([np.array([remainder], np.uint32), _move(0)[0][np.frombuffer(data, np.uint8)]])
    for power in itertools.count():
        if len(parts) == 1:
            return int(parts[0])
        if len(parts) % 2:
            parts = np.concatenate([np.zeros(1, np.uint32), parts])
        parts = _apply(_move(power), parts[0::2]) ^ parts[1::2]


@functools.cache
def _move(power: int) -> np.ndarray:
    """Returns tables [4, 256] uint32: what 2**power zero bytes make of each byte of a remainder, lowest byte first."""
    if power:
        half = _move(power - 1)
        return _apply(half, half)
    low = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        low = np.where(low & 1, low >> 1 ^ 0x82F63B78, low >> 1).astype(np.uint32)
    return np.stack([low, *(np.arange(256, dtype=np.uint32) << shift for shift in (0, 8, 16))])


def _apply(move: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Applies the linear map of the tables `move` [4, 256] to remainders of any shape."""
    lowest, second, third, highest = (parts >> shift & 0xFF for shift in (0, 8, 16, 24))
    return move[0][lowest] ^ move[1][second] ^ move[2][third] ^ move[3][highest]


def _matches(data: bytes, stored: int) -> bool:
    """Whether `stored` is the masked checksum of `data`. Both formats keep it masked: rotated, with an offset."""
    crc = crc32c(data)
    return stored == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _tensor(name: str, entry: _Message, data: bytes) -> np.ndarray:
    if _integer(entry, 1) not in _DTYPES:
        raise ValueError(
            f"tensor {name!r} has type {_integer(entry, 1)} of tensorflow.DataType, which is not supported"
        )
    if _integer(entry, 3) or 7 in entry:
        raise ValueError(f"tensor {name!r} is spread over several data files or slices, which is not supported")
    dtype = np.dtype(_DTYPES[_integer(entry, 1)])
    shape = [_integer(_parse(dimension), 1) for dimension in _submessages(_parse(_bytes(entry, 2)), 2)]
    offset, size = _integer(entry, 4), _integer(entry, 5)
    if not size or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"tensor {name!r} has shape {shape}, which does not fit its {size} bytes")
    content = _slice(data, offset, size)
    if not _matches(content, _integer(entry, 6)):
        raise ValueError(f"tensor {name!r} is damaged: its checksum does not match")
    return np.frombuffer(content, dtype).reshape(shape)


def _check_header(header: _Message) -> None:
    if _integer(header, 1) != 1:
        raise ValueError(f"the checkpoint has {_integer(header, 1)} data files; only one is supported")
    if _integer(header, 2) != 0:
        raise ValueError("the checkpoint is big-endian, which is not supported")
    if _integer(_parse(_bytes(header, 3)), 2) > 1:
        raise ValueError("the checkpoint needs a newer reader of tensor bundles than version 1")


def _table(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of all data blocks. Checks that blocks and keys are in order."""
    if len(index) > MAX_INDEX_BYTES:
        raise ValueError(f"the checkpoint's index has {len(index)} bytes; at most {MAX_INDEX_BYTES} are accepted")
    if len(index) < _FOOTER_BYTES or not index.endswith(_MAGIC):
        raise ValueError("the checkpoint's index is not a TensorFlow checkpoint index")
    footer = index[-_FOOTER_BYTES : -len(_MAGIC)]
    _, _, at = _handle(footer, 0)  # the metaindex is always empty
    offset, size, _ = _handle(footer, at)
    end_of_blocks, last_key = 0, None
    for _, handle in _entries(_block(index, offset, size)):
        offset, size, _ = _handle(handle, 0)
        if offset < end_of_blocks:
            raise ValueError("the blocks of the checkpoint's index overlap")
        end_of_blocks = offset + size
        for key, value in _entries(_block(index, offset, size)):
            if last_key is not None and key <= last_key:
                raise ValueError("the names in the checkpoint's index are not in order")
            last_key = key
            yield key, value


def _block(index: bytes, offset: int, size: int) -> bytes:
    """Returns the contents of a block. A byte with the compression type follows it, then a checksum of both."""
    stored = _slice(index, offset, size + 5)
    if not _matches(stored[: size + 1], int.from_bytes(stored[size + 1 :], "little")):
        raise ValueError("the checkpoint's index is damaged: the checksum of a block does not match")
    if stored[size]:
        raise ValueError("the checkpoint's index is compressed, which TensorFlow never does")
    return stored[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a block. A key is stored without what it shares with the key before it."""
    restarts = int.from_bytes(_slice(block, max(0, len(block) - 4), 4), "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("the checkpoint's index is damaged: a block is shorter than its own table")
    block = block[:end]
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        size, at = _varint(block, at)
        if shared > len(key) or shared + fresh > MAX_ENTRY_BYTES or size > MAX_ENTRY_BYTES:
            raise ValueError("the checkpoint's index is damaged: an entry has an impossible length")
        key = key[:shared] + _slice(block, at, fresh)
        at += fresh
        yield key, _slice(block, at, size)
        at += size


def _parse(message: bytes) -> _Message:
    """Splits a protocol buffer into its fields."""
    fields, at = {}, 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire_type = tag & 7
        if wire_type == 0:
            value, at = _varint(message, at)
        elif wire_type == 2:
            size, at = _varint(message, at)
            value = _slice(message, at, size)
            at += size
        elif wire_type == 5:
            value = int.from_bytes(_slice(message, at, 4), "little")
            at += 4
        else:
            raise ValueError(f"the checkpoint's index is damaged: wire type {wire_type} has no place in it")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _integer(message: _Message, field: int) -> int:
    """Returns an integer field. An absent field is 0, as everywhere in protocol buffers."""
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise ValueError(f"the checkpoint's index is damaged: field {field} should be a number")
    return value


def _bytes(message: _Message, field: int) -> bytes:
    """Returns a field of bytes. An absent field is empty."""
    return _submessages(message, field)[-1] if field in message else b""


def _submessages(message: _Message, field: int) -> list[bytes]:
    """Returns a repeated field of bytes."""
    values = message.get(field, [])
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"the checkpoint's index is damaged: field {field} should not be a number")
    return values


def _handle(buffer: bytes, at: int) -> tuple[int, int, int]:
    """Returns the offset and the size of a block, and where the handle ends."""
    offset, at = _varint(buffer, at)
    size, at = _varint(buffer, at)
    return offset, size, at


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """Returns a number of up to ten groups of seven bits, lowest first, and where it ends."""
    value = 0
    for group, byte in enumerate(buffer[at : at + 10]):
        value |= (byte & 0x7F) << 7 * group
        if byte < 0x80:
            return value, at + group + 1
    raise ValueError("the checkpoint's index is damaged: a number has no end")


def _slice(buffer: bytes, at: int, size: int) -> bytes:
    if at + size > len(buffer):
        raise ValueError(f"the checkpoint is truncated or damaged: bytes {at} to {at + size} of {len(buffer)} wanted")
    return buffer[at : at + size]
