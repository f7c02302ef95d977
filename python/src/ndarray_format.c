/* SPDX-License-Identifier: MIT */
/* ndarray_format.c - PEP 3118's word for a dtype.
 *
 * One value in native byte order is a bare letter, which memoryview can index;
 * everything else says its byte order, and then has no alignment gaps but
 * those that are written:
 *
 *     "<f8"  d      ">i4"  >i      "[('a', '|u1'), ('b', '<f4', (3,))]"
 *     "|S5"  5s     "<U2"  2w          T{=B:a:(3)<f:b:}
 *
 * There is no word for times, for bare 'V', for long doubles inside of a
 * structure, and for names with a colon or a backslash in them. */
#include "core.h"

#include <stdio.h>
#include <string.h>

#if PY_BIG_ENDIAN
#define NATIVE '>'
#else
#define NATIVE '<'
#endif

struct text {
    char *at;
    size_t room;
};

static int
put(struct text *text, const char *bytes, size_t len)
{
    if (len >= text->room)
        return -1;
    memcpy(text->at, bytes, len);
    text->at += len;
    text->room -= len;
    *text->at = '\0';
    return 0;
}

/* The character before it or after it may be missing: NUL. */
static int
put_number(struct text *text, char before, uint64_t value, char after)
{
    char word[32];
    int len = snprintf(word, sizeof word, "%llu", (unsigned long long)value);

    if (before != '\0' && put(text, &before, 1) < 0)
        return -1;
    if (put(text, word, (size_t)len) < 0)
        return -1;
    return after == '\0' ? 0 : put(text, &after, 1);
}

/* The letter of a number; NULL if it has none.  `fixed`: of standard size. */
static const char *
letter_of(const struct shmkit_field *field, int fixed)
{
    static const struct {
        char kind;
        uint8_t size;
        const char *letter, *fixed;
    } letters[] = {
        {'b', 1, "?", "?"},   {'i', 1, "b", "b"},   {'i', 2, "h", "h"},
        {'i', 4, "i", "i"},   {'i', 8, "l", "q"},   {'u', 1, "B", "B"},
        {'u', 2, "H", "H"},   {'u', 4, "I", "I"},   {'u', 8, "L", "Q"},
        {'f', 2, "e", "e"},   {'f', 4, "f", "f"},   {'f', 8, "d", "d"},
        {'f', 16, "g", NULL}, {'c', 8, "Zf", "Zf"}, {'c', 16, "Zd", "Zd"},
        {'c', 32, "Zg", NULL}};
    size_t i;

    for (i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if (letters[i].kind == field->kind &&
            letters[i].size == field->item_size)
            return fixed || sizeof(long) != 8 ? letters[i].fixed
                                              : letters[i].letter;
    }
    return NULL;
}

static int
put_value(struct text *text, const struct shmkit_field *field, int fixed)
{
    const char *letter;

    switch (field->kind) {
        case 'S':
            return put_number(text, '\0', field->item_size, 's');
        case 'U':
            return put_number(text, '\0', field->item_size / 4, 'w');
        case 'V':
            return put_number(text, '\0', field->item_size, 'x');
        default:
            letter = letter_of(field, fixed);
            return letter == NULL ? -1 : put(text, letter, strlen(letter));
    }
}

static int
put_shape(struct text *text, const struct shmkit_field *field)
{
    uint32_t i;
    int rv = 0;

    for (i = 0; rv == 0 && i < field->ndim; i++)
        rv = put_number(text, i == 0 ? '(' : ',', field->shape[i], '\0');
    if (rv == 0 && field->ndim > 0)
        rv = put(text, ")", 1);
    return rv;
}

static int
put_name(struct text *text, const struct shmkit_field *field)
{
    if (field->name_len == 0)
        return 0;
    if (memchr(field->name, ':', field->name_len) != NULL ||
        memchr(field->name, '\\', field->name_len) != NULL)
        return -1;
    if (put(text, ":", 1) < 0 || put(text, field->name, field->name_len) < 0)
        return -1;
    return put(text, ":", 1);
}

static int
put_order(struct text *text, const struct shmkit_field *field)
{
    return put(text, field->order == '|' ? "=" : &field->order, 1);
}

static int
put_field(struct text *text, const struct shmkit_field *field)
{
    if (put_shape(text, field) < 0 || put_order(text, field) < 0 ||
        put_value(text, field, 1) < 0)
        return -1;
    return put_name(text, field);
}

static int
put_single(struct text *text, const struct shmkit_field *field)
{
    int native = field->order == NATIVE || field->order == '|';

    if (field->kind == 'V')
        return -1; /* NumPy would read it as a gap */
    if (!native && put_order(text, field) < 0)
        return -1;
    return put_value(text, field, !native);
}

static int
visit(const struct shmkit_field *field, void *arg)
{
    struct text *text = arg;

    switch (field->kind) {
        case '{':
            return put_shape(text, field) < 0 ? -1 : put(text, "T{", 2);
        case '}':
            return put(text, "}", 1) < 0 ? -1 : put_name(text, field);
        default:
            return field->depth == 0 ? put_single(text, field)
                                     : put_field(text, field);
    }
}

char *
array_format(const char *dtype)
{
    char word[SHMKIT_NDARRAY_DTYPE_SIZE], *copy;
    struct text text = {word, sizeof word};

    if (shmkit_dtype_visit(dtype, visit, &text) < 0)
        return NULL;
    copy = PyMem_Malloc((size_t)(text.at - word) + 1);
    if (copy == NULL)
        PyErr_NoMemory();
    else
        memcpy(copy, word, (size_t)(text.at - word) + 1);
    return copy;
}
