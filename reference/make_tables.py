"""Writes tables.h from the tables and the calibration of the Python package: `python reference/make_tables.py`."""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Iterable
from decimal import Decimal, localcontext
from pathlib import Path

from spikey.model.calibration import n1
from spikey.model.fixed_point import CUMULATIVE, RECIPROCAL, UPDATE

ORDER = 20
WIDTH_BITS, EIGHTH_BITS = 40, 37
HEADER = """/* Made by make_tables.py from the tables of the Python package; do not edit. Sections of docs/format.md. */
#ifndef SPIKEY_TABLES_H
#define SPIKEY_TABLES_H

#include <stdint.h>
"""


def _array(kind: str, name: str, values: Iterable[int], note: str, suffix: str = "") -> str:
    words = [f"{int(value)}{suffix}" for value in values]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > 118:
            lines.append(line)
            line = "   "
        line += f" {word},"
    lines.append(line)
    return f"\n/* {note} */\nstatic const {kind} {name}[{len(words)}] = {{\n" + "\n".join(lines) + "\n};\n"


def _crc(byte: int) -> int:
    """The CRC-32 register after a byte, from 0."""
    return zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF


def codec_tables() -> str:
    """What every build needs."""
    calibration = n1()
    assert CUMULATIVE[0] == 0 and CUMULATIVE[-2] == CUMULATIVE[-1] == 1 << 24  # `below` relies on it
    middles = [(2 * i + 1) << 14 for i in range(512)]
    quantiles = [bisect.bisect_right(CUMULATIVE.tolist(), middle) * 8 - 4 - 8192 for middle in middles]
    name = ", ".join(f"0x{byte:02x}" for byte in calibration.id)
    return (
        _array("uint32_t", "bell", CUMULATIVE, "C of section 10: the distribution function, 1/128 sigma a step")
        + _array("uint32_t", "reciprocals", RECIPROCAL, "R of section 10: 2^32 over the scale")
        + _array("int16_t", "quantiles", quantiles, "where each 512th of the distribution lies, about, 1/1024 sigma")
        + _array("int16_t", "updates", UPDATE[2], "U[2] of section 10: changes of the scale")
        + _array("int32_t", "n1_edges", calibration.edges, "edges of the N1's codes, 1/64 LSB")
        + _array("int32_t", "n1_prior", calibration.prior[: ORDER + 1], "its usual autocorrelation, 1/65536")
        + f"\n#define N1_ID {{{name}}}\n"
    )


def file_tables() -> str:
    """What reads and writes whole files needs beside."""
    calibration = n1()
    widths = (calibration.edges[1:] - calibration.edges[:-1]).tolist()
    with localcontext() as context:
        context.prec = 50
        ln2 = Decimal(2).ln()
        logarithms = [0] + [
            int(((Decimal(width) / 64).ln() / ln2 * 2**WIDTH_BITS).to_integral_value())
            for width in range(1, max(widths) + 1)
        ]
        eighths = [
            int((((Decimal(i) + Decimal("0.5")) / 8 * ln2).exp() * 2**EIGHTH_BITS).to_integral_value())
            for i in range(8)
        ]
    return (
        _array("int64_t", "log2_widths", logarithms, f"log2 of a width in 1/64 LSB, 1/2^{WIDTH_BITS}", "LL")
        + _array("uint64_t", "eighths", eighths, f"2^((i + 1/2) / 8), 1/2^{EIGHTH_BITS}", "ULL")
        + _array("uint32_t", "crc_bytes", map(_crc, range(256)), "CRC-32 of one byte")
    )


def make() -> str:
    """The text of tables.h."""
    return (
        HEADER
        + "\n#ifdef SPIKEY_CODEC_TABLES\n"
        + codec_tables()
        + "\n#endif\n\n#ifdef SPIKEY_FILE_TABLES\n"
        + file_tables()
        + "\n#endif\n\n#endif\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("tables.h").write_text(make())
