"""Print the table of powers of ten that doubles are written with, as a C header.

Each is 10^k in 128 bits, rounded up; `_fill_powers` of `raudo._core.encode` computes the same.
"""

LEAST, MOST = -292, 324


def power(k: int) -> int:
    ten = 10 ** abs(k)
    if k < 0:
        return -(-(1 << 127 + ten.bit_length()) // ten)
    shift = 128 - ten.bit_length()
    return ten << shift if shift >= 0 else -(-ten >> -shift)


print('#include "encode/decimal.h"')
print("static const raudo_power POWERS[RAUDO_N_POWERS] = {")
for k in range(LEAST, MOST + 1):
    print(f"    {{0x{power(k) >> 64:016x}u, 0x{power(k) & (1 << 64) - 1:016x}u}},")
print("};")
