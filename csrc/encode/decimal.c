#include "encode/decimal.h"

#include <string.h>

static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
    "9899";

/* --- integers ------------------------------------------------------------------------------------ */

static inline void put_pair(char *out, uint32_t pair) { memcpy(out, PAIRS + 2 * pair, 2); }

static inline void put_8_digits(char *out, uint32_t value) {
    const uint32_t high = value / 10000, low = value % 10000;
    put_pair(out, high / 100);
    put_pair(out + 2, high % 100);
    put_pair(out + 4, low / 100);
    put_pair(out + 6, low % 100);
}

static inline int n_digits_below_10_8(uint32_t value) {
    if (value < 10000) return value < 100 ? 1 + (value >= 10) : 3 + (value >= 1000);
    return value < 1000000 ? 5 + (value >= 100000) : 7 + (value >= 10000000);
}

/* Write the digits of a number below 10^8, without leading zeros. */
static inline char *put_below_10_8(char *out, uint32_t value) {
    const int n = n_digits_below_10_8(value);
    char *at = out + n;
    while (value >= 100) {
        put_pair(at -= 2, value % 100);
        value /= 100;
    }
    if (value >= 10)
        put_pair(out, value);
    else
        *out = (char)('0' + value);
    return out + n;
}

static inline char *put_unsigned(char *out, uint64_t value) {
    if (value < 100000000) return put_below_10_8(out, (uint32_t)value);
    const uint64_t high = value / 100000000;
    out = put_unsigned(out, high);
    put_8_digits(out, (uint32_t)(value % 100000000));
    return out + 8;
}

char *raudo_put_integer(char *out, int64_t value) {
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        *out++ = '-';
        magnitude = 0 - magnitude;
    }
    return put_unsigned(out, magnitude);
}

/* --- doubles ------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t digits; /* the value is digits * 10^exponent */
    int exponent;
} decimal;

/* Exact for the exponents of doubles (section 9.1 of the paper). */
static inline int floor_log2_power_10(int e) { return (e * 1741647) >> 19; }
static inline int floor_log10_power_2(int e) { return (e * 1262611) >> 22; }
static inline int floor_log10_three_quarters_power_2(int e) { return (e * 1262611 - 524031) >> 22; }

__extension__ typedef unsigned __int128 wide; /* not of ISO C */

/* The upper 64 bits of power * factor / 2^64; what is lost below is kept as the lowest bit. */
static inline uint64_t rounded_to_odd(raudo_power power, uint64_t factor) {
    const wide low = (wide)power.low * factor;
    const wide high = (wide)power.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static inline decimal shortest(uint64_t fraction, int biased, const raudo_power *powers) {
    const uint64_t hidden = (uint64_t)1 << 52;
    const uint64_t c = biased ? hidden | fraction : fraction;
    const int q = (biased ? biased : 1) - 1075; /* the value is c * 2^q */

    /* A power of two is nearer to the double below it than to the one above. */
    const int is_uneven = fraction == 0 && biased > 1;
    const int k = is_uneven ? floor_log10_three_quarters_power_2(q) : floor_log10_power_2(q);
    const int shift = q + floor_log2_power_10(-k) + 1;
    const raudo_power power = powers[-k - RAUDO_POWER_LEAST];

    /* In quarters of 10^k: the value and the ends of its interval, which belong to it if c is even. */
    const uint64_t is_odd = c & 1;
    const uint64_t middle = 4 * c;
    const uint64_t value = rounded_to_odd(power, middle << shift);
    const uint64_t lower = rounded_to_odd(power, (middle - 2 + (uint64_t)is_uneven) << shift) + is_odd;
    const uint64_t upper = rounded_to_odd(power, (middle + 2) << shift) - is_odd;

    const uint64_t s = value / 4;
    if (s >= 10) { /* one digit less, where just one such number is inside */
        const uint64_t tens = s / 10;
        const int below_fits = lower <= 40 * tens;
        const int above_fits = 40 * tens + 40 <= upper;
        if (below_fits != above_fits) return (decimal){tens + (uint64_t)above_fits, k + 1};
    }
    const int below_fits = lower <= 4 * s;
    const int above_fits = 4 * s + 4 <= upper;
    if (below_fits != above_fits) return (decimal){s + (uint64_t)above_fits, k};
    const uint64_t half = 4 * s + 2;
    const int goes_up = value > half || (value == half && (s & 1));
    return (decimal){s + (uint64_t)goes_up, k};
}

/* Write digits with the point after the first, and an exponent of two digits and more. */
static char *put_scientific(char *out, const char *digits, int n, int exponent) {
    *out++ = digits[0];
    if (n > 1) {
        *out++ = '.';
        memcpy(out, digits + 1, (size_t)(n - 1));
        out += n - 1;
    }
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    const uint32_t size = (uint32_t)(exponent < 0 ? -exponent : exponent);
    if (size < 100) {
        put_pair(out, size);
        return out + 2;
    }
    return put_below_10_8(out, size);
}

/* Write digits with the point after the first `point` of them, which may lie outside of them. */
static char *put_positional(char *out, const char *digits, int n, int point) {
    if (point <= 0) {
        memcpy(out, "0.0000", 6);
        out += 2 - point;
        memcpy(out, digits, (size_t)n);
        return out + n;
    }
    if (point < n) {
        memcpy(out, digits, (size_t)point);
        out[point] = '.';
        memcpy(out + point + 1, digits + point, (size_t)(n - point));
        return out + n + 1;
    }
    memcpy(out, digits, (size_t)n);
    memset(out + n, '0', (size_t)(point - n));
    memcpy(out + point, ".0", 2);
    return out + point + 2;
}

/* Write a number of ten-thousandths that is not whole, without zeros at its end. */
static char *put_ten_thousandths(char *out, uint64_t units) {
    const uint32_t rest = (uint32_t)(units % 10000);
    out = put_unsigned(out, units / 10000);
    *out++ = '.';
    put_pair(out, rest / 100);
    put_pair(out + 2, rest % 100);
    return out + 4 - (rest % 10 == 0) - (rest % 100 == 0) - (rest % 1000 == 0);
}

char *raudo_put_double(char *out, double value, const raudo_power *powers) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    const int biased = (int)(bits >> 52 & 0x7FF);
    if (biased == 0x7FF && fraction) {
        memcpy(out, "nan", 3);
        return out + 3;
    }
    if (bits >> 63) *out++ = '-';
    if (biased == 0x7FF) {
        memcpy(out, "inf", 3);
        return out + 3;
    }
    const double size = bits >> 63 ? -value : value;
    if (size < 1e15 && size == (double)(uint64_t)size) { /* whole, zero too: no search is needed */
        out = put_unsigned(out, (uint64_t)size);
        memcpy(out, ".0", 2);
        return out + 2;
    }
    /* Amounts and rounded figures. No two decimals of up to 15 digits are the same double, so that one which
     * reads back as this double, as an exact quotient says, is the shortest that does. */
    if (size < 1e11 && size >= 1e-4) {
        const uint64_t units = (uint64_t)(size * 1e4 + 0.5);
        if ((double)units / 1e4 == size) return put_ten_thousandths(out, units);
    }
    const decimal found = shortest(fraction, biased, powers);
    char digits[RAUDO_INTEGER_CHARS];
    const int n_written = (int)(put_unsigned(digits, found.digits) - digits);
    int n = n_written;
    while (digits[n - 1] == '0') n--;
    const int point = n_written + found.exponent;
    /* `repr` changes its form here: 0.0001 and 1e-05, 1000000000000000.0 and 1e+16. */
    return point > -4 && point <= 16 ? put_positional(out, digits, n, point)
                                     : put_scientific(out, digits, n, point - 1);
}
