/* SPDX-License-Identifier: MIT */
/* shareable_item.c - one item of a shareable list, and how it looks in bytes.
 *
 * Everything here works on the caller's own values; shared bytes are only
 * seen through a format word that was copied before.
 *
 * An item is three things in three places: a slot, a format of the struct
 * module, and a code that says what to do with what struct has read.
 *
 *   None    8 zeros           "xxxxxx?x"   3
 *   bool    7 zeros, 0 or 1   "xxxxxxx?"   0
 *   int     8 bytes           "q"          0
 *   float   8 bytes           "d"          0
 *   str     UTF-8, zeros      "16s"        1: NULs at the end go, decode
 *   bytes   bytes, zeros      "16s"        2: NULs at the end go
 *   bytes that end in NUL     "6sx"        0: all of it
 *
 * The last line is ours.  CPython writes such bytes with code 2 and so loses
 * their end (gh-106939).  But each CPython since 3.9 reads code 0 as "what
 * struct gave", and a format may be shorter than its slot.  The x counts for
 * CPython's writer: a format that ends in s it takes for the size of the slot
 * and would cut a longer item to fit; with the x it makes a new one.  Where
 * the length is the slot's, "16s" will do.  8 characters are too few for an x
 * behind 7 digits: hence the limit of 1,000,000.  Text has no such way out,
 * code 0 gives bytes.
 *
 * CPython sizes the slot of a text by its characters, 8 * (n / 8 + 1), and
 * then fails to read what is longer in UTF-8 (gh-145261).  Where that
 * suffices we do the same; else the slot is as long as the bytes. */
#include "container/shareable.h"

#include <errno.h>

#define WORD 8
/* Below, a length leaves one of the 8 characters of a format for an x. */
#define EXACT_LIMIT 1000000

/* ---- text ---- */

/* Bytes of the character that begins at p, 0 = none does. */
static size_t
character_size(const unsigned char *p, size_t left)
{
    /* Smallest and largest second byte; the others are any continuation. */
    unsigned char low = 0x80, high = 0xbf;
    size_t size, i;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0; /* no longer than needed */
    else if (p[0] == 0xed)
        high = 0x9f; /* no surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f; /* up to U+10FFFF */
    if (size > left || p[1] < low || p[1] > high)
        return 0;
    for (i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

/* 8 bytes of ASCII from p on. */
static bool
is_ascii_word(const unsigned char *p, size_t left)
{
    uint64_t word;

    if (left < WORD)
        return false;
    memcpy(&word, p, WORD);
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

bool
shmkiti_utf8_valid(const void *data, size_t len)
{
    const unsigned char *p = data;
    size_t size;

    while (len > 0) {
        size = is_ascii_word(p, len) ? WORD : character_size(p, len);
        if (size == 0)
            return false;
        p += size;
        len -= size;
    }
    return true;
}

static size_t
count_characters(const unsigned char *p, size_t len)
{
    size_t count = 0, i;

    for (i = 0; i < len; i++)
        count += (p[i] & 0xc0) != 0x80;
    return count;
}

static bool
ends_in_nul(const struct shmkit_shareable_item *item)
{
    return item->len > 0 &&
           ((const unsigned char *)item->data)[item->len - 1] == 0;
}

static bool
is_text(uint32_t type)
{
    return type == SHMKIT_SHAREABLE_STR || type == SHMKIT_SHAREABLE_BYTES;
}

/* ---- formats ---- */

/* `len` in decimal, and the end: "s" or "sx".  8 characters hold it. */
static uint64_t
text_format(size_t len, const char *end)
{
    char text[32] = {0}, digits[24];
    size_t n = 0, at = 0;

    do
        digits[n++] = (char)('0' + len % 10);
    while ((len /= 10) != 0);
    while (n > 0)
        text[at++] = digits[--n];
    memcpy(text + at, end, strlen(end));
    return shmkiti_format_word(text);
}

bool
shmkiti_format_read(uint64_t format, size_t *ret_len)
{
    unsigned char text[WORD];
    size_t len = 0, at = 0;

    memcpy(text, &format, WORD);
    for (; at < WORD && text[at] >= '0' && text[at] <= '9'; at++)
        len = len * 10 + (size_t)(text[at] - '0');
    if (len == 0 || text[0] == '0' || at == WORD || text[at++] != 's')
        return false;
    if (at < WORD && text[at] == 'x')
        at++;
    for (; at < WORD; at++)
        if (text[at] != 0)
            return false;
    *ret_len = len;
    return true;
}

/* ---- images ---- */

static int
image_number(const struct shmkit_shareable_item *item, size_t room,
             struct shmkiti_image *image)
{
    unsigned char bytes[WORD] = {0};

    image->data = NULL;
    image->len = image->span = WORD;
    image->code = SHMKITI_CODE_AS_IS;
    switch (item->type) {
        case SHMKIT_SHAREABLE_INT:
            image->format = SHMKITI_FORMAT_INT;
            memcpy(bytes, &item->integer, WORD);
            break;
        case SHMKIT_SHAREABLE_FLOAT:
            image->format = SHMKITI_FORMAT_FLOAT;
            memcpy(bytes, &item->real, WORD);
            break;
        case SHMKIT_SHAREABLE_BOOL:
            image->format = SHMKITI_FORMAT_BOOL;
            if (item->boolean > 1)
                return -EINVAL;
            bytes[WORD - 1] = (unsigned char)item->boolean;
            break;
        case SHMKIT_SHAREABLE_NONE:
            image->format = SHMKITI_FORMAT_NONE;
            image->code = SHMKITI_CODE_NONE;
            break;
        default:
            return -EINVAL;
    }
    memcpy(&image->word, bytes, WORD);
    return room < WORD ? -EBADMSG : 0;
}

/* Bytes that end in NUL: the format says how many. */
static int
image_exact(size_t len, size_t room, struct shmkiti_image *image)
{
    image->code = SHMKITI_CODE_AS_IS;
    if (len == room)
        image->format = text_format(len, "s");
    else if (len < EXACT_LIMIT)
        image->format = text_format(len, "sx");
    else
        return -EFBIG;
    return 0;
}

static int
image_text(const struct shmkit_shareable_item *item, size_t room,
           struct shmkiti_image *image)
{
    bool is_str = item->type == SHMKIT_SHAREABLE_STR;

    if (item->data == NULL && item->len > 0)
        return -EINVAL;
    if (room > SHMKIT_SHAREABLE_ITEM_MAX)
        room = SHMKIT_SHAREABLE_ITEM_MAX; /* no format for more */
    if (is_str &&
        (ends_in_nul(item) || !shmkiti_utf8_valid(item->data, item->len)))
        return -EILSEQ;
    if (item->len > room || room == 0)
        return -EMSGSIZE;
    image->data = item->len > 0 ? item->data : "";
    image->len = item->len;
    image->span = room;
    if (ends_in_nul(item))
        return image_exact(item->len, room, image);
    image->format = text_format(room, "s");
    image->code = is_str ? SHMKITI_CODE_STR : SHMKITI_CODE_BYTES;
    return 0;
}

int
shmkiti_image_make(const struct shmkit_shareable_item *item, size_t room,
                   struct shmkiti_image *ret_image)
{
    return is_text(item->type) ? image_text(item, room, ret_image)
                               : image_number(item, room, ret_image);
}

uint64_t
shmkiti_image_word(const struct shmkiti_image *image, size_t at)
{
    uint64_t word = 0;

    if (image->data == NULL)
        return image->word;
    if (at < image->len)
        memcpy(&word, (const char *)image->data + at,
               image->len - at < WORD ? image->len - at : WORD);
    return word;
}

int
shmkiti_slot_size(const struct shmkit_shareable_item *item, size_t *ret_size)
{
    size_t least, size, count = item->len;

    if (!is_text(item->type)) {
        *ret_size = WORD;
        return 0;
    }
    if (item->data == NULL && item->len > 0)
        return -EINVAL;
    if (item->len > SHMKIT_SHAREABLE_ITEM_MAX)
        return -EFBIG;
    if (item->type == SHMKIT_SHAREABLE_STR)
        count = count_characters(item->data, item->len);
    least = (item->len + WORD - 1) / WORD * WORD;
    size = WORD * (count / WORD + 1);
    if (size < least || size > SHMKIT_SHAREABLE_ITEM_MAX ||
        (ends_in_nul(item) && item->len >= EXACT_LIMIT))
        size = least;
    *ret_size = size;
    return 0;
}

/* ---- equality ---- */

static bool
is_whole(uint32_t type)
{
    return type == SHMKIT_SHAREABLE_INT || type == SHMKIT_SHAREABLE_BOOL;
}

static int64_t
whole(const struct shmkit_shareable_item *item)
{
    return item->type == SHMKIT_SHAREABLE_INT ? item->integer
                                              : (int64_t)item->boolean;
}

/* Without rounding: 2**53 + 1 is no double. */
static bool
whole_equals_real(int64_t integer, double real)
{
    return real >= -0x1p63 && real < 0x1p63 && (int64_t)real == integer &&
           (double)(int64_t)real == real;
}

static bool
text_equal(const struct shmkit_shareable_item *a,
           const struct shmkit_shareable_item *b)
{
    return a->type == b->type && a->len == b->len &&
           (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

bool
shmkiti_item_equal(const struct shmkit_shareable_item *a,
                   const struct shmkit_shareable_item *b)
{
    bool a_real = a->type == SHMKIT_SHAREABLE_FLOAT;
    bool b_real = b->type == SHMKIT_SHAREABLE_FLOAT;

    if (is_text(a->type))
        return text_equal(a, b);
    if (is_whole(a->type) && is_whole(b->type))
        return whole(a) == whole(b);
    if (a_real && b_real)
        return a->real == b->real;
    if (a_real && is_whole(b->type))
        return whole_equals_real(whole(b), a->real);
    if (is_whole(a->type) && b_real)
        return whole_equals_real(whole(a), b->real);
    return a->type == SHMKIT_SHAREABLE_NONE && b->type == a->type;
}
