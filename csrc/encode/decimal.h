/* Numbers as decimal text: 64-bit integers, and doubles in the fewest digits that read back the same.
 *
 * Doubles follow Raffaello Giulietti, "The Schubfach way to render doubles" (2021): of the decimals in
 * the rounding interval of the double the shortest, of these the nearest, of two as near the even one.
 * That is David Gay's mode 0, which `repr` uses, and the text is laid out as `repr` does it. The powers
 * of ten come from the caller, who can compute them exactly where C has no wide integers.
 */
#ifndef RAUDO_DECIMAL_H
#define RAUDO_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#define RAUDO_POWER_LEAST (-292)
#define RAUDO_POWER_MOST 324
#define RAUDO_N_POWERS (RAUDO_POWER_MOST - RAUDO_POWER_LEAST + 1)

#define RAUDO_INTEGER_CHARS 20
#define RAUDO_DOUBLE_CHARS 25 /* -1.2345678901234567e-308 and a byte to spare */

/* 10^k as a 128-bit significand, rounded up, whose first bit is set. */
typedef struct {
    uint64_t high, low;
} raudo_power;

/* Write a number at `out`, which has room for as many chars as said above; return where it ends. */
char *raudo_put_integer(char *out, int64_t value);
char *raudo_put_double(char *out, double value, const raudo_power *powers);

#endif
