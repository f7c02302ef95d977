/* SPDX-License-Identifier: MIT */
/* shareable_list.h - lists of fixed length, as CPython's ShareableList.
 *
 * The bytes are those that multiprocessing.shared_memory.ShareableList of
 * CPython 3.9 and later reads and writes, so either side attaches the lists of
 * the other.  An item is an int64, a double, a bool, None, UTF-8 text or
 * bytes, and may be replaced by any other that fits into its slot.  The length
 * of a list and the room for its texts are fixed when it is made.
 *
 * Threads and processes: nothing locks or blocks.  Replacing a number by one
 * of the same kind, and a text or bytes where only 8 aligned bytes of it
 * change, is one store: a reader meanwhile, or after a kill, finds the old
 * value or the new one.  Any other set marks the item as None, writes, and
 * takes the mark away: a kill in the middle leaves None, never a mixture.  A
 * reader at the very moment of such a set, and a second writer of the same
 * item, need a lock.  A view may be used by any number of threads.
 *
 * The bytes are not trusted: whatever stands there, no function reads or
 * writes outside of them, and what makes no sense is -EBADMSG. */
#ifndef SHMKIT_SHAREABLE_LIST_H
#define SHMKIT_SHAREABLE_LIST_H

#include <shmkit/block.h>

SHMKIT_BEGIN

enum shmkit_shareable_type {
    SHMKIT_SHAREABLE_NONE = 1,
    SHMKIT_SHAREABLE_BOOL,
    SHMKIT_SHAREABLE_INT,
    SHMKIT_SHAREABLE_FLOAT,
    SHMKIT_SHAREABLE_STR,  /* UTF-8 that does not end in NUL */
    SHMKIT_SHAREABLE_BYTES /* may end in NUL */
};

/* One value.  What `data` points at is the caller's in an argument; in a
 * result it is the list's own bytes, which another process may change. */
struct shmkit_shareable_item {
    uint32_t type;    /* enum shmkit_shareable_type */
    uint32_t boolean; /* BOOL: 0 or 1 */
    union {
        int64_t integer;
        double real;
    };
    const void *data; /* STR, BYTES */
    size_t len;       /* bytes of data */
};

/* Where a list lies in this process: a plain value that owns nothing, good as
 * long as its bytes are mapped.  The fields are private. */
typedef struct shmkit_shareable_list {
    unsigned char *data;
    size_t size;
    uint64_t count; /* items */
    uint64_t room;  /* bytes of all slots */
    uint32_t flags;
    uint32_t reserved;
} shmkit_shareable_list;

#define SHMKIT_SHAREABLE_ITEM_MAX 9999992 /* bytes of the longest item */
#define SHMKIT_SHAREABLE_FORMAT_SIZE 9    /* longest format and its NUL */

/* ---- making and finding ---- */

/* How many bytes a list of these items takes.  A slot holds its item and at
 * least as much as CPython's would.  -EINVAL: an item of no type, or a bool
 * that is neither 0 nor 1; -EILSEQ: text that is not UTF-8 or ends in NUL,
 * for which the layout has no place; -EFBIG: an item is too long, see also
 * shmkit_shareable_list_set(); -EOVERFLOW.  Reads every item. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_measure(
    const struct shmkit_shareable_item *items, size_t count, size_t *ret_size);

/* Lay a list into `size` bytes at `data`, aligned to 8, that nobody uses yet.
 * The number of items is written last: until then it is no list to others.
 * Errors as measure, which come before anything is written; -EINVAL: not
 * aligned; -ENOSPC: too few bytes. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_init(
    void *data, size_t size, const struct shmkit_shareable_item *items,
    size_t count, shmkit_shareable_list *ret_list);

/* Make block `name` (NULL draws one) with a list in it; the name appears when
 * the list is whole.  Errors as measure and shmkit_block_create();
 * SHMKIT_EXIST_OK is -EINVAL. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_create(
    const char *name, const struct shmkit_shareable_item *items, size_t count,
    const struct shmkit_block_options *options, shmkit_block **ret_block,
    shmkit_shareable_list *ret_list);

/* A view of the list in a block, read-only if the handle is; it must not be
 * used after the handle is closed.  -EBADMSG: it is no list, or is not whole
 * yet.  Reads the offset of every item: about 1 ns each. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_attach(
    const shmkit_block *block, shmkit_shareable_list *ret_list);

/* The same of any bytes, aligned to 8 (else -EINVAL); of the flags,
 * SHMKIT_READ_ONLY counts. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_view(
    void *data, size_t size, uint32_t flags, shmkit_shareable_list *ret_list);

/* ---- items ----
 * -ERANGE: no such position; -EBADMSG: the bytes make no sense. */

/* Number of items.  No cost, never fails. */
SHMKIT_API size_t
shmkit_shareable_list_length(const shmkit_shareable_list *list);

/* About 5 ns; for text and bytes, the end is found from the end of the slot.
 * An item that is being replaced is waited for, some microseconds at the
 * most; one whose writer was killed meanwhile is None. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_get(
    const shmkit_shareable_list *list, size_t position,
    struct shmkit_shareable_item *ret_item);

/* Replace an item.  -EACCES: a read-only view; -EMSGSIZE: longer than the
 * slot; -EINVAL and -EILSEQ as measure; -EFBIG: bytes that end in NUL are
 * below 1,000,000 or fill the slot.  After an error the old item stands
 * whole. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_set(
    const shmkit_shareable_list *list, size_t position,
    const struct shmkit_shareable_item *item);

/* What set would say, changing nothing. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_check_set(
    const shmkit_shareable_list *list, size_t position,
    const struct shmkit_shareable_item *item);

/* The struct format of an item, as Python's struct module has them: "q", "d",
 * "xxxxxxx?", "xxxxxx?x", "16s", or "6sx" where the length is exact. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_format(
    const shmkit_shareable_list *list, size_t position,
    char ret_format[SHMKIT_SHAREABLE_FORMAT_SIZE]);

/* Position of the first item from `start` to before `stop` that is equal to
 * `item`, as Python has it: 1, 1.0 and True are; NaN is equal to nothing.
 * -ENOENT: none.  Bounds beyond the end are cut.  About 5 ns an item. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_index(
    const shmkit_shareable_list *list,
    const struct shmkit_shareable_item *item, size_t start, size_t stop,
    size_t *ret_position);

/* How many are equal. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_count(
    const shmkit_shareable_list *list,
    const struct shmkit_shareable_item *item, size_t *ret_count);

/* 0 when every item can be read and every text is UTF-8, else -EBADMSG. */
SHMKIT_API SHMKIT_CHECK int shmkit_shareable_list_check(
    const shmkit_shareable_list *list);

SHMKIT_END

#endif
