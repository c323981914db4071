/* Cuts text into lower-cased words and hashes them.
 *
 * A word is a longest run of what Python's `re` calls \w: code points for which `str.isalnum()` holds
 * after `str.lower()`, and the underscore. Its hash is `raudo_hash_bytes` of its UTF-8 (a lone
 * surrogate is spelled as three bytes), so it does not depend on how CPython stores the text.
 */
#ifndef RAUDO_TEXT_WORDS_H
#define RAUDO_TEXT_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* The memory of a str: code points of `kind` bytes each. `lowered`: str.lower() was already applied. */
typedef struct {
    const void *data;
    size_t length;
    uint8_t kind;
    uint8_t is_ascii;
    uint8_t lowered;
} raudo_text;

/* What Unicode says of a code point, filled from the interpreter's own tables:
 * entry = pages[point >> 8] * 256 + (point & 255); value = lower-case offset << 3 | bits. */
#define RAUDO_CHAR_WORD 1u    /* a word character once lowered */
#define RAUDO_CHAR_SPECIAL 2u /* lowering needs more than a table: length or neighbours matter */
#define RAUDO_CHAR_OWN_WORD 4u /* a word character as it stands */

typedef struct {
    const uint16_t *pages;
    const int32_t *entries;
} raudo_chars;

/* Whether the text must go through str.lower() before `raudo_words` may see it. */
int raudo_needs_lower(const raudo_text *text, const raudo_chars *chars);

/* Write the hash of each word, in order; return how many. `out` has room for length / 2 + 1.
 * `chars` may be NULL where the text is ASCII. */
size_t raudo_words(const raudo_text *text, const raudo_chars *chars, uint64_t seed, uint64_t *out);

#endif
