"""Packing of a subject's record: MessagePack, with integers beyond 64 bits as an extension.

A record is `[layout version, first unsaved sequence number or 0, cell, cell, …]` (see `cells` and `generate`).
"""

from typing import Any, Final

import msgspec

Record = list[Any]  # Any: a record's cells are of many shapes

_BIG_INT: Final = 1  # extension code: a signed integer, big-endian
_encoder: Final = msgspec.msgpack.Encoder()


def pack_record(record: Record) -> bytes:
    """Write a record as bytes."""
    try:
        return _encoder.encode(record)
    except OverflowError:  # a sum beyond 64 bits; it reads NULL, but later events may bring it back
        return _encoder.encode(_widen(record))


def unpack_record(packed: bytes) -> Record:
    """Read a record back, equal to what was packed; its cells are fresh and may be changed."""
    return _decoder.decode(packed)


def _widen(value: Any) -> Any:  # Any: anything that a record holds
    if isinstance(value, list):
        return [_widen(item) for item in value]
    if type(value) is int and not -(2**63) <= value < 2**63:
        return msgspec.msgpack.Ext(_BIG_INT, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))
    return value


def _narrow(code: int, data: memoryview) -> int:
    assert code == _BIG_INT, f"a record holds the unknown extension {code}"
    return int.from_bytes(data, "big", signed=True)


_decoder: Final = msgspec.msgpack.Decoder(list[Any], ext_hook=_narrow)
