/* Text as JSON and CSV in each width: within the promised room, the same whatever the width, and read
 * back as it was. Numbers read back as they were. */
#include <math.h>

#include "encode/decimal.h"
#include "encode/text.h"
#include "fuzz.h"
#include "powers.h" /* made by the Makefile */

static char *room_for_text(size_t n) { return room_for(6 * n + 2 + RAUDO_SLACK); }

/* Undo a JSON string of Latin-1 text; the length, or SIZE_MAX where it is none. */
static size_t unescaped(const char *json, size_t n, uint8_t *out)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t c = (uint8_t)json[i];
        if (c < 0x20 || c == '"')
            return SIZE_MAX;
        if (c >= 0xC0) {
            out[length++] = (uint8_t)(c << 6 | ((uint8_t)json[++i] & 63));
        } else if (c != '\\') {
            out[length++] = c;
        } else if (json[++i] == 'u') {
            char digits[5] = {0};
            memcpy(digits, json + i + 1, 4);
            out[length++] = (uint8_t)strtoul(digits, NULL, 16);
            i += 4;
        } else {
            const char *at = strchr("\"\"\\\\n\nr\rt\tb\bf\f", json[i]);
            if (at == NULL)
                return SIZE_MAX;
            out[length++] = (uint8_t)at[1];
        }
    }
    return length;
}

static void check_texts(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size), *back = room_for(6 * size + 1);
    uint16_t *wide = room_for(size * sizeof *wide);
    uint32_t *widest = room_for(size * sizeof *widest);
    for (size_t i = 0; i < size; i++)
        widest[i] = wide[i] = bytes[i];
    char *one = room_for_text(size), *two = room_for_text(size), *four = room_for_text(size);
    size_t n = (size_t)(raudo_put_json_latin(one, bytes, size) - one);
    CHECK(n <= 6 * size);
    CHECK((size_t)(raudo_put_json_ucs2(two, wide, size) - two) == n && memcmp(one, two, n) == 0);
    CHECK((size_t)(raudo_put_json_ucs4(four, widest, size) - four) == n && memcmp(one, four, n) == 0);
    CHECK(unescaped(one, n, back) == size && memcmp(back, bytes, size) == 0);
    n = (size_t)(raudo_put_cell_latin(one, bytes, size) - one);
    CHECK(n <= 6 * size + 2);
    CHECK((size_t)(raudo_put_cell_ucs2(two, wide, size) - two) == n && memcmp(one, two, n) == 0);
    CHECK((size_t)(raudo_put_cell_ucs4(four, widest, size) - four) == n && memcmp(one, four, n) == 0);
    n = (size_t)(raudo_put_cell_bytes(one, bytes, size) - one);
    CHECK(n <= 2 * size + 2);
    n = (size_t)(raudo_put_json_bytes(one, bytes, size) - one);
    CHECK(n <= 6 * size);
    void *all[] = {bytes, back, wide, widest, one, two, four};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* The bytes as code units of their own: lone surrogates, and points beyond the last. */
static void check_units(const uint8_t *data, size_t size)
{
    uint16_t *units = exact_copy(data, size & ~(size_t)1);
    uint32_t *points = exact_copy(data, size & ~(size_t)3);
    for (size_t i = 0; i < size / 4; i++)
        points[i] %= 0x110000;
    char *out = room_for_text(size / 2);
    CHECK(raudo_put_json_ucs2(out, units, size / 2) <= out + 6 * (size / 2));
    CHECK(raudo_put_cell_ucs2(out, units, size / 2) <= out + 6 * (size / 2) + 2);
    CHECK(raudo_put_json_ucs4(out, points, size / 4) <= out + 6 * (size / 4));
    CHECK(raudo_put_cell_ucs4(out, points, size / 4) <= out + 6 * (size / 4) + 2);
    free(units);
    free(points);
    free(out);
}

static void check_numbers(const uint8_t *data)
{
    int64_t integer;
    double number, back;
    memcpy(&integer, data, 8);
    memcpy(&number, data, 8);
    char *text = room_for(RAUDO_INTEGER_CHARS + 1);
    *raudo_put_integer(text, integer) = 0;
    CHECK(strtoll(text, NULL, 10) == integer);
    free(text);
    if (!isfinite(number))
        return;
    text = room_for(RAUDO_DOUBLE_CHARS + 1);
    *raudo_put_double(text, number, POWERS) = 0;
    back = strtod(text, NULL);
    CHECK(memcmp(&back, &number, 8) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_texts(data, size);
    check_units(data, size);
    if (size >= 8)
        check_numbers(data);
    return 0;
}
