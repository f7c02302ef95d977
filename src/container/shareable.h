/* SPDX-License-Identifier: MIT */
/* shareable.h - what the files of the shareable list share: how one item
 * looks in the bytes.
 *
 * shareable_item.c   one item: its image, its slot in a new list, equality
 * shareable_list.c   lists: laying out, attaching, reading, replacing
 * shareable_find.c   searching */
#ifndef SHMKITI_CONTAINER_SHAREABLE_H
#define SHMKITI_CONTAINER_SHAREABLE_H

#include <shmkit/shareable_list.h>
#include <stdbool.h>
#include <string.h>

/* How to read an item, the last area of a list; the numbers are CPython's. */
enum shmkiti_code {
    SHMKITI_CODE_AS_IS = 0, /* numbers; bytes of exactly the format's length */
    SHMKITI_CODE_STR = 1,   /* NULs at the end are none of it */
    SHMKITI_CODE_BYTES = 2,
    SHMKITI_CODE_NONE = 3 /* whatever the format and the slot hold */
};

/* A format is 8 bytes, here as one word. */
static inline uint64_t
shmkiti_format_word(const char text[8])
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    return word;
}
#define SHMKITI_FORMAT_INT shmkiti_format_word("q\0\0\0\0\0\0")
#define SHMKITI_FORMAT_FLOAT shmkiti_format_word("d\0\0\0\0\0\0")
#define SHMKITI_FORMAT_BOOL shmkiti_format_word("xxxxxxx?")
#define SHMKITI_FORMAT_NONE shmkiti_format_word("xxxxxx?x")

/* An item as it is to stand in its slot. */
struct shmkiti_image {
    uint64_t format;
    uint64_t word;    /* the bytes of a number */
    const void *data; /* of a text; NULL: the word */
    size_t len;
    size_t span; /* bytes of the slot to write, zeros behind `len` */
    uint8_t code;
};

/* The image of an item in a slot of `room` bytes.  -EINVAL, -EILSEQ, -EFBIG,
 * -EMSGSIZE as shmkit_shareable_list_set; -EBADMSG: no slot of a list. */
int shmkiti_image_make(const struct shmkit_shareable_item *item, size_t room,
                       struct shmkiti_image *ret_image);
/* The 8 bytes of the image from `at` on. */
uint64_t shmkiti_image_word(const struct shmkiti_image *image, size_t at);

/* Bytes of the slot that an item gets in a new list; errors as measure, but
 * for those of the image. */
int shmkiti_slot_size(const struct shmkit_shareable_item *item,
                      size_t *ret_size);

/* Length in a text format, "16s" or "6sx"; false: it is none. */
bool shmkiti_format_read(uint64_t format, size_t *ret_len);

/* As Python's ==. */
bool shmkiti_item_equal(const struct shmkit_shareable_item *a,
                        const struct shmkit_shareable_item *b);

bool shmkiti_utf8_valid(const void *data, size_t len);

#endif
