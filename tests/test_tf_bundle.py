"""TensorFlow checkpoints: what the reader gets out of good ones, and that bad ones cost a ValueError and no more.

Good ones are golden checkpoints that TensorFlow wrote, and bundles written here: the protocol buffers by the protobuf
library, the table around them by `write_table`, after LevelDB's description of its format.
"""

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pim_jax import tf_bundle

GOLDEN = [
    path.parent
    for folder in (Path(__file__).parent / "golden", Path(__file__).parents[2] / "shared" / "golden")
    for path in sorted(folder.glob("*/weights.index"))
]
needs_golden = pytest.mark.skipif(not GOLDEN, reason="neither tests/golden nor the shared data folder has a checkpoint")
each_golden = pytest.mark.parametrize(
    "folder", GOLDEN or [pytest.param(None, marks=needs_golden)], ids=lambda p: p and p.name
)

DT_FLOAT, DT_STRING, DT_INT64 = 1, 7, 9
DATA_TYPES = {"float32": DT_FLOAT, "float64": 2, "int32": 3, "int64": DT_INT64}
TENSORS = {
    "a/kernel": np.linspace(-1, 1, 5 * 5 * 3 * 4, dtype=np.float32).reshape(5, 5, 3, 4),
    "a/bias": np.array([0.5, -0.0, np.inf, np.nan], np.float32),
    "b/double": np.linspace(0, 1, 7),
    "b/int": np.arange(-3, 3, dtype=np.int32).reshape(2, 3),
    "save_counter": np.array(12, np.int64),
}


def message_class(message, **fields):
    """A protocol buffer class with fields name=(number, type); messages repeat: one alone looks the same."""
    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{message}.proto", package="bundle")
    added = file.message_type.add(name=message)
    for name, (number, kind) in fields.items():
        if hasattr(proto, f"TYPE_{kind}"):
            field = {"type": getattr(proto, f"TYPE_{kind}"), "label": proto.LABEL_OPTIONAL}
        else:
            field = {"type": proto.TYPE_MESSAGE, "type_name": f".bundle.{kind}", "label": proto.LABEL_REPEATED}
            file.dependency.append(f"{kind}.proto")
        added.field.add(name=name, number=number, **field)
    descriptor_pool.Default().Add(file)
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"bundle.{message}"))


# As tensor_bundle.proto, tensor_shape.proto and versions.proto have them; enumerations are integers in bytes.
message_class("Dim", size=(1, "INT64"))
message_class("Shape", dim=(2, "Dim"))
message_class("Slice", unknown=(1, "INT64"))
message_class("Version", producer=(1, "INT32"), min_consumer=(2, "INT32"))
Header = message_class("Header", num_shards=(1, "INT32"), endianness=(2, "INT32"), version=(3, "Version"))
Entry = message_class(
    "Entry",
    dtype=(1, "INT32"),
    shape=(2, "Shape"),
    shard_id=(3, "INT32"),
    offset=(4, "INT64"),
    size=(5, "INT64"),
    crc32c=(6, "FIXED32"),
    slices=(7, "Slice"),
)


def varint(value):
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def masked_crc(content):
    crc = tf_bundle.crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def seal(block, compression=0):
    content = block + bytes([compression])
    return content + struct.pack("<I", masked_crc(content))


def write_block(entries):
    out, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % 16:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def write_table(entries, *, per_block=1000, compression=0):
    out, handles = b"", []
    for start in range(0, len(entries), per_block):
        chunk = entries[start : start + per_block]
        block = write_block(chunk)
        handles.append((chunk[-1][0] + b"\0", varint(len(out)) + varint(len(block))))
        out += seal(block, compression)
    footer = b""
    for block in (write_block([]), write_block(handles)):
        footer += varint(len(out)) + varint(len(block))
        out += seal(block)
    return out + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def write_bundle(tensors, *, edit=lambda name, entry: None, per_block=1000, compression=0, **header):
    """Returns (index, data); `edit` may change an entry before it is written."""
    header = Header(**{"num_shards": 1, "version": [{"producer": 1}], **header})
    entries, data = [(b"", header.SerializeToString())], b""
    for name in sorted(tensors):
        tensor = tensors[name]
        content = tensor if isinstance(tensor, bytes) else tensor.tobytes()
        dtype = DT_STRING if isinstance(tensor, bytes) else DATA_TYPES[str(tensor.dtype)]
        shape = {"dim": [{"size": length} for length in getattr(tensor, "shape", ())]}
        entry = Entry(dtype=dtype, shape=[shape], offset=len(data), size=len(content), crc32c=masked_crc(content))
        edit(name, entry)
        entries.append((name.encode(), entry.SerializeToString()))
        data += content
    return write_table(entries, per_block=per_block, compression=compression), data


def reseal(index):
    """Gives every block of an index the checksum that belongs to it, so that damage reaches what lies behind it."""
    out = bytearray(index)
    blocks = [
        tf_bundle._handle(index[-48:], 0)[:2],
        tf_bundle._handle(index[-48:], tf_bundle._handle(index[-48:], 0)[2])[:2],
    ]
    try:
        content = index[blocks[1][0] : sum(blocks[1])]
        blocks += [tf_bundle._handle(handle, 0)[:2] for _, handle in tf_bundle._entries(content)]
    except ValueError:
        pass  # the index block itself is hit, and the other blocks can no longer be found
    for offset, size in blocks:
        if offset + size + 5 <= len(out):
            out[offset : offset + size + 5] = seal(bytes(out[offset : offset + size]), out[offset + size])
    return bytes(out)


def bitwise_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def files(folder):
    return (folder / "weights.index").read_bytes(), (folder / "weights.data-00000-of-00001").read_bytes()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_of_the_vectors_of_rfc_3720(message, expected):
    assert tf_bundle.crc32c(message) == expected


def test_crc32c_equals_the_bitwise_definition_at_every_length():
    message = np.random.default_rng(0).bytes(130)
    for length in range(len(message)):
        assert tf_bundle.crc32c(message[:length]) == bitwise_crc32c(message[:length])


@each_golden
def test_a_checkpoint_by_tensorflow_is_read_to_the_last_byte(folder):
    index, data = files(folder)
    tensors = tf_bundle.read(index, data)
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in tensors.values())
    # Blank the tensors' bytes where they lie; what is left is the object graph, which names all of them.
    for tensor in tensors.values():
        assert data.count(tensor.tobytes()) >= 1
        data = data.replace(tensor.tobytes(), b"", 1)
    assert len(data) > 0 and all(name.encode() in data for name in tensors)


@pytest.mark.parametrize("per_block", [1, 2, 1000])
def test_what_is_written_is_read(per_block):
    tensors = TENSORS | {f"layer{i:03}/kernel": np.full((i % 3 + 1, 2), i, np.float32) for i in range(100)}
    out = tf_bundle.read(*write_bundle(tensors, per_block=per_block))
    assert list(out) == sorted(tensors)
    for name, tensor in tensors.items():
        assert out[name].dtype == tensor.dtype and out[name].shape == tensor.shape
        assert out[name].tobytes() == tensor.tobytes()


def test_strings_are_left_out():
    out = tf_bundle.read(*write_bundle({**TENSORS, "_CHECKPOINTABLE_OBJECT_GRAPH": b"any bytes at all"}))
    assert set(out) == set(TENSORS)


def test_a_flipped_bit_in_a_tensor_is_found_and_the_tensor_named():
    index, data = write_bundle(TENSORS)
    for at in range(0, len(data), 5):
        flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        with pytest.raises(ValueError, match=r"tensor '[a-z_/]+' is damaged"):
            tf_bundle.read(index, flipped)


def test_a_flipped_bit_in_the_index_is_found_or_changes_nothing():
    index, data = write_bundle(TENSORS, per_block=2)
    unnoticed = 0
    for at in range(len(index)):
        flipped = index[:at] + bytes([index[at] ^ 1 << at % 8]) + index[at + 1 :]
        try:
            out = tf_bundle.read(flipped, data)
        except ValueError:
            continue
        unnoticed += 1
        assert all(out[name].tobytes() == tensor.tobytes() for name, tensor in TENSORS.items())
    # Nobody needs the metaindex block (8 + 5 bytes), its handle (3 bytes) or the padding of the footer.
    assert unnoticed < 13 + 40


@pytest.mark.parametrize("which", ["index", "data"])
def test_a_truncated_file_is_an_error(which):
    index, data = write_bundle(TENSORS)
    for length in range(0, len(index if which == "index" else data), 3):
        with pytest.raises(ValueError, match=r"."):
            tf_bundle.read(index[:length] if which == "index" else index, data[:length] if which == "data" else data)


def set_field(name, value):
    return lambda _, entry: setattr(entry, name, value)


def set_shape(*lengths):
    def edit(_, entry):
        del entry.shape[0].dim[:]
        for length in lengths:
            entry.shape[0].dim.add(size=length)

    return edit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edit": set_field("dtype", 14)}, "type 14"),
        ({"edit": set_field("shard_id", 1)}, "several data files"),
        ({"edit": lambda _, entry: entry.slices.add()}, "several data files or slices"),
        ({"edit": set_field("offset", 2**62)}, "truncated"),
        ({"edit": set_field("size", 2**62)}, "need 4611686018427387904 bytes"),
        ({"edit": set_field("size", 0)}, "does not fit its 0 bytes"),
        ({"edit": set_field("size", -1)}, "bytes or more"),
        ({"edit": set_field("crc32c", 0)}, "checksum"),
        ({"edit": set_shape(2**40)}, "does not fit"),
        ({"edit": set_shape(0)}, "does not fit"),
        ({"edit": set_shape(-300, -1)}, "does not fit"),
        ({"edit": set_shape(*[2**62] * 60)}, "does not fit"),
        ({"edit": set_shape(*[2**62] * 200)}, "impossible length"),
        ({"edit": set_shape(*[1] * 70, 300)}, "dimension"),
        ({"num_shards": 2}, "2 data files"),
        ({"endianness": 1}, "big-endian"),
        ({"version": [{"producer": 9, "min_consumer": 9}]}, "newer reader"),
        ({"compression": 1}, "compressed"),
    ],
)
def test_what_is_impossible_or_unsupported_is_said(options, message):
    index, data = write_bundle({"a/kernel": TENSORS["a/kernel"]}, **options)
    with pytest.raises(ValueError, match=message):
        tf_bundle.read(index, data)


def test_tensors_that_share_their_bytes_are_refused():
    # Else a small index could have one large tensor verified thousands of times.
    tensors = {f"t{i}": np.ones(100, np.float32) for i in range(3)}
    index, data = write_bundle(tensors, edit=set_field("offset", 0))
    assert set(tf_bundle.read(index, data)) == set(tensors)
    with pytest.raises(ValueError, match="data file has 400"):
        tf_bundle.read(index, data[:400])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no header"),
        ([(b"a", b"")], "no header"),
        ([(b"", b"\x08\x01"), (b"b", b"\x08\x07"), (b"a", b"\x08\x07")], "not in order"),
        ([(b"", b"\x08\x01"), (b"a", b"\x08\x07"), (b"a", b"\x08\x07")], "not in order"),
        ([(b"", b"\x08\x01"), (b"a" * 5000, b"\x08\x07")], "impossible length"),
        ([(b"", b"\x0a\x01\x01")], "should be a number"),
        ([(b"", b"\x08\x01"), (b"a", b"\x08\x01\x10\x04\x28\x04")], "should not be a number"),
        ([(b"", b"\x08")], "no end"),
        ([(b"", b"\xff" * 20)], "no end"),
        ([(b"", b"\x0f")], "wire type 7"),
    ],
)
def test_a_table_that_is_no_bundle_is_said(entries, message):
    with pytest.raises(ValueError, match=message):
        tf_bundle.read(write_table(entries), bytes(4))


def index_of(block, handles):
    """An index of one data block, in which `handles` are the places of data blocks."""
    listing = write_block([(bytes([i]), handle) for i, handle in enumerate(handles)])
    footer = varint(0) + varint(0) + varint(len(block) + 5) + varint(len(listing))
    return seal(block) + seal(listing) + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (struct.pack("<I", 0xFFFFFFFF), "shorter than its own table"),
        (b"\x05\x01\x00a" + struct.pack("<I", 0), "impossible length"),  # shares 5 bytes with no name before it
        (b"\x00\x09\x00a" + struct.pack("<I", 0), "truncated"),
        (b"", "truncated"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(block, message):
    with pytest.raises(ValueError, match=message):
        tf_bundle.read(index_of(block, [varint(0) + varint(len(block))]), b"")


def test_a_block_listed_twice_is_refused():
    block = write_block([])
    with pytest.raises(ValueError, match="overlap"):
        tf_bundle.read(index_of(block, [varint(0) + varint(len(block))] * 2), b"")


def test_an_enormous_index_is_refused():
    with pytest.raises(ValueError, match="at most 262144"):
        tf_bundle.read(bytes(2**18 + 1), b"")


def mutate(content, rng, *, within):
    out = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(within, len(out)))
        kind = rng.randrange(4)
        if kind == 0:
            out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.randint(1, 9)]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(out)


def outcomes(bundles):
    """Reads every (index, data); returns how many were read and how many refused. Anything but ValueError fails."""
    read = refused = 0
    for index, data in bundles:
        try:
            tensors = tf_bundle.read(index, data)
            assert sum(tensor.nbytes for tensor in tensors.values()) <= len(data)
            read += 1
        except ValueError as error:
            assert str(error)
            refused += 1
    return read, refused


def test_random_damage_with_right_checksums_costs_a_value_error_at_most():
    rng = random.Random(0)
    index, data = write_bundle(TENSORS, per_block=2)
    read, refused = outcomes((reseal(mutate(index, rng, within=len(index) - 48)), data) for _ in range(600))
    assert read > 5 and refused > 300


@pytest.mark.slow(kept="damage to a small bundle")
@each_golden
def test_random_damage_to_a_checkpoint_by_tensorflow_costs_a_value_error_at_most(folder):
    rng = random.Random(1)
    index, data = files(folder)
    assert outcomes((mutate(index, rng, within=len(index)), data) for _ in range(100))[1] > 90
    # Early damage, since all tensors before it are verified: here the first dozen.
    assert outcomes((reseal(mutate(index, rng, within=600)), data) for _ in range(60))[1] > 40
    assert outcomes((index, mutate(data, rng, within=len(data))) for _ in range(10))[1] == 10
