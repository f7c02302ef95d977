/* SPDX-License-Identifier: MIT */
/* units.c - sizes as people write and read them.
 *
 * K, M, G, T, P and E are powers of 1024, alone or with "iB"; with "B" alone
 * (KB, MB) they are powers of 1000.  This is what util-linux reads, so that
 * one habit serves.  Fractions are exact: they are computed in integers, and
 * what is not a whole number of bytes is rounded up, because a size is a
 * need. */
#include "cli.h"

#include <errno.h>
#include <string.h>

static const char unit_letters[] = "KMGTPE";

/* The rest of a size after its digits: "", "B", "K", "KiB", "KB". */
static int
parse_unit(const char *text, uint64_t *ret_unit)
{
    uint64_t unit = 1, base = 1024;
    const char *letter;

    if (*text == '\0' || strcmp(text, "B") == 0) {
        *ret_unit = 1;
        return 0;
    }
    letter = strchr(unit_letters, *text == 'k' ? 'K' : *text);
    if (letter == NULL)
        return -EINVAL;
    if (strcmp(text + 1, "B") == 0)
        base = 1000;
    else if (text[1] != '\0' && strcmp(text + 1, "iB") != 0)
        return -EINVAL;
    for (const char *p = unit_letters; p <= letter; p++)
        unit *= base;
    *ret_unit = unit;
    return 0;
}

/* Digits after the point as numerator and denominator; 9 of them count, which
 * is finer than a byte for everything up to a GiB. */
static const char *
parse_fraction(const char *text, uint64_t *ret_part, uint64_t *ret_whole)
{
    uint64_t part = 0, whole = 1;

    for (; *text >= '0' && *text <= '9'; text++) {
        if (whole >= 1000000000)
            continue;
        part = part * 10 + (uint64_t)(*text - '0');
        whole *= 10;
    }
    *ret_part = part;
    *ret_whole = whole;
    return text;
}

static const char *
parse_digits(const char *text, uint64_t *ret_number, bool *ret_overflow)
{
    uint64_t number = 0;

    *ret_overflow = false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
            *ret_overflow = true;
    }
    *ret_number = number;
    return text;
}

int
size_parse(const char *text, uint64_t *ret_size)
{
    uint64_t number, part = 0, whole = 1, unit, size, rest;
    bool overflow;
    const char *p;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    p = parse_digits(text, &number, &overflow);
    if (*p == '.')
        p = parse_fraction(p + 1, &part, &whole);
    if (parse_unit(p, &unit) < 0)
        return -EINVAL;

    /* part < whole <= 10^9 and unit <= 2^60: the product in two steps, so
     * that it can not overflow. */
    rest = unit / whole * part + (unit % whole * part + whole - 1) / whole;
    if (overflow || __builtin_mul_overflow(number, unit, &size) ||
        __builtin_add_overflow(size, rest, &size))
        return -ERANGE;
    *ret_size = size;
    return 0;
}

void
size_format(uint64_t size, char text[SIZE_TEXT])
{
    uint64_t unit = 1, tenths;
    const char *letter = NULL;

    while (size / unit >= 1024) {
        unit *= 1024;
        letter = letter == NULL ? unit_letters : letter + 1;
    }
    tenths = size / unit * 10 + (size % unit * 10 + unit / 2) / unit;
    if (tenths >= 10240 && letter != NULL && letter[1] != '\0') {
        tenths = 10; /* 1023.96M is 1G, not 1024M */
        letter++;
    }
    if (letter == NULL)
        snprintf(text, SIZE_TEXT, "%u", (unsigned)size);
    else if (tenths % 10 == 0)
        snprintf(text, SIZE_TEXT, "%u%c", (unsigned)(tenths / 10), *letter);
    else
        snprintf(text, SIZE_TEXT, "%u.%u%c", (unsigned)(tenths / 10),
                 (unsigned)(tenths % 10), *letter);
}

int
size_option(const struct options *options, const char *option,
            uint64_t *ret_size)
{
    int r = size_parse(options->value, ret_size);

    if (r == -ERANGE)
        return options_complain(options, "--%s %s is more than 16E bytes",
                                option, quote(options->value));
    if (r < 0)
        return options_complain(
            options, "--%s %s is no size; write bytes, or 64K, 20M, 1.5G",
            option, quote(options->value));
    return CODE_OK;
}
