/* SPDX-License-Identifier: MIT */
/* shareable_list.c - lists of fixed length in the bytes of CPython's
 * ShareableList: laying out, attaching, reading, replacing.
 *
 * The bytes, all numbers in the byte order of the machine:
 *
 *   0                 N, the number of items               int64
 *   8                 N + 1 offsets into the slots; the
 *                     last is K, the end of the slots      int64 each
 *   8 (N + 2)         the slots                            K bytes
 *   8 (N + 2) + K     N formats, filled up with NUL        8 bytes each
 *   ... + 8 N         N codes                              1 byte each
 *
 * What one item is in its three places stands in shareable_item.c.  N, K and
 * with them the place of everything are copied into the view once, when it is
 * attached; offsets, formats and codes are read and bounded anew at each
 * access, for anybody who has the block open may change them.  Where CPython
 * made the list, all slots begin at multiples of 8; a list of somebody else's
 * may be laid out otherwise and is then read and written byte by byte.
 *
 * Locking: none, and any process may write any item; two who write the same
 * one at the same time need a lock.  All the same an order holds, so that a
 * reader, or whoever comes after a kill, does not meet the format of one value
 * and the bytes of another:
 *
 *   one store         Where the new item differs from the old in one aligned
 *                     word of its slot only, or only in its format, or only in
 *                     its code, that one is stored: the old value before, the
 *                     new one after.  So it is for numbers of one kind, and
 *                     for texts in a slot of 8 bytes.
 *   under a mark      Else the code is made 3 first, which every reader takes
 *                     for None whatever format and slot say; then format and
 *                     slot are written; then the code, which commits.  A kill
 *                     in between leaves None.  For None itself the mark is the
 *                     commit.
 *
 * An item of code 3 whose format is not None's is one under a mark.  A reader
 * here looks again for some microseconds, then takes it for what CPython takes
 * it for, None; nobody repairs it, the next set does.  It looks again as well
 * where format and code do not go together, for CPython's writers store one
 * after the other without a mark.  A number is read between two looks at
 * format and code, so that one set meanwhile does no harm; one that is changed
 * to another type and back in that time may be read as what it is not, and a
 * longer text that is replaced while it is read may come out mixed. */
#include <errno.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "block/block.h"
#include "container/shareable.h"

#define WORD 8
/* Looks at an item that is under a mark: a few microseconds. */
#define PATIENCE 64
/* An empty list in more bytes than an item would need is zeros: no list. */
#define EMPTY_LIMIT (WORD * 4 + 1)

/* Where one item lies. */
struct place {
    unsigned char *slot;
    size_t room;
    unsigned char *format;
    unsigned char *code;
};

/* ---- where things lie ---- */

static uint64_t *
offsets_of(const shmkit_shareable_list *list)
{
    return (uint64_t *)(void *)(list->data + WORD);
}

/* Whether a list of `count` items with slots of `room` bytes fits. */
static bool
fits(uint64_t count, uint64_t room, size_t size)
{
    uint64_t fixed;

    if (size < 2 * WORD || count > (size - 2 * WORD) / (2 * WORD + 1))
        return false;
    fixed = 2 * WORD + count * (2 * WORD + 1);
    return room <= size - fixed;
}

static int
find(const shmkit_shareable_list *list, size_t position,
     struct place *ret_place)
{
    unsigned char *slots = list->data + WORD * (list->count + 2);
    const uint64_t *offset;
    uint64_t begin, end;

    if (position >= list->count)
        return -ERANGE;
    offset = offsets_of(list) + position;
    begin = shmkiti_load_relaxed_u64(offset);
    end = shmkiti_load_relaxed_u64(offset + 1);
    if (begin > end || end > list->room)
        return -EBADMSG;
    ret_place->slot = slots + begin;
    ret_place->room = end - begin;
    ret_place->format = slots + list->room + WORD * position;
    ret_place->code = slots + list->room + WORD * list->count + position;
    return 0;
}

/* ---- words, wherever they lie ---- */

static bool
is_aligned(const void *p)
{
    return (uintptr_t)p % WORD == 0;
}

static uint64_t
load_word(const unsigned char *p)
{
    uint64_t word;

    if (is_aligned(p))
        return shmkiti_load_relaxed_u64((const uint64_t *)(const void *)p);
    memcpy(&word, p, WORD);
    return word;
}

static void
store_word(unsigned char *p, uint64_t word)
{
    if (is_aligned(p))
        shmkiti_store_relaxed_u64((uint64_t *)(void *)p, word);
    else
        memcpy(p, &word, WORD);
}

/* ---- laying out ---- */

/* The image of an item in the slot that a new list gives it. */
static int
new_image(const struct shmkit_shareable_item *item,
          struct shmkiti_image *ret_image, size_t *ret_room)
{
    int r;

    r = shmkiti_slot_size(item, ret_room);
    if (r == 0)
        r = shmkiti_image_make(item, *ret_room, ret_image);
    return r;
}

int
shmkit_shareable_list_measure(const struct shmkit_shareable_item *items,
                              size_t count, size_t *ret_size)
{
    struct shmkiti_image image;
    size_t size, room, i;
    int r;

    if (__builtin_mul_overflow(count, 2 * WORD + 1, &size) ||
        __builtin_add_overflow(size, 2 * WORD, &size))
        return -EOVERFLOW;
    for (i = 0; i < count; i++) {
        r = new_image(&items[i], &image, &room);
        if (r < 0)
            return r;
        if (__builtin_add_overflow(size, room, &size))
            return -EOVERFLOW;
    }
    *ret_size = size;
    return 0;
}

static void
write_slot(unsigned char *slot, const struct shmkiti_image *image)
{
    if (image->data == NULL)
        memcpy(slot, &image->word, WORD);
    else
        memcpy(slot, image->data, image->len);
    memset(slot + image->len, 0, image->span - image->len);
}

/* The list was measured: every item has an image. */
static void
lay_out(const shmkit_shareable_list *list,
        const struct shmkit_shareable_item *items)
{
    unsigned char *slots = list->data + WORD * (list->count + 2);
    unsigned char *formats = slots + list->room;
    uint64_t *offsets = offsets_of(list), at = 0;
    struct shmkiti_image image;
    size_t room = 0, i;

    for (i = 0; i < list->count; i++, at += room) {
        if (new_image(&items[i], &image, &room) < 0)
            return;
        offsets[i] = at;
        write_slot(slots + at, &image);
        memcpy(formats + WORD * i, &image.format, WORD);
        formats[WORD * list->count + i] = image.code;
    }
    offsets[i] = at;
    /* The last store: pairs with the acquire in read_header(). */
    shmkiti_store_release_u64((uint64_t *)(void *)list->data, list->count);
}

int
shmkit_shareable_list_init(void *data, size_t size,
                           const struct shmkit_shareable_item *items,
                           size_t count, shmkit_shareable_list *ret_list)
{
    shmkit_shareable_list list = {.data = data, .size = size, .count = count};
    size_t needed;
    int r;

    if (!is_aligned(data))
        return -EINVAL;
    r = shmkit_shareable_list_measure(items, count, &needed);
    if (r < 0)
        return r;
    if (needed > size)
        return -ENOSPC;
    if (count == 0 && size >= EMPTY_LIMIT)
        return -EINVAL;
    list.room = needed - 2 * WORD - count * (2 * WORD + 1);
    lay_out(&list, items);
    *ret_list = list;
    return 0;
}

struct content {
    const struct shmkit_shareable_item *items;
    shmkit_shareable_list list;
};

/* The block has no name yet. */
static void
fill_block(void *data, size_t size, void *arg)
{
    struct content *content = arg;

    content->list.data = data;
    content->list.size = size;
    lay_out(&content->list, content->items);
}

int
shmkit_shareable_list_create(const char *name,
                             const struct shmkit_shareable_item *items,
                             size_t count,
                             const struct shmkit_block_options *options,
                             shmkit_block **ret_block,
                             shmkit_shareable_list *ret_list)
{
    struct content content = {.items = items, .list.count = count};
    struct shmkiti_create_hook hook = {.init = fill_block, .arg = &content};
    size_t size;
    int r;

    if (options != NULL && (options->flags & SHMKIT_EXIST_OK) != 0)
        return -EINVAL;
    r = shmkit_shareable_list_measure(items, count, &size);
    if (r < 0)
        return r;
    content.list.room = size - 2 * WORD - count * (2 * WORD + 1);
    r = shmkiti_create(name, size, options, &hook, ret_block);
    if (r == 0)
        *ret_list = content.list;
    return r;
}

/* ---- attaching ---- */

static int
read_header(shmkit_shareable_list *list)
{
    if (!fits(0, 0, list->size))
        return -EBADMSG;
    list->count = shmkiti_load_acquire_u64((uint64_t *)(void *)list->data);
    if (!fits(list->count, 0, list->size) ||
        (list->count == 0 && list->size >= EMPTY_LIMIT))
        return -EBADMSG;
    list->room = shmkiti_load_relaxed_u64(offsets_of(list) + list->count);
    return fits(list->count, list->room, list->size) ? 0 : -EBADMSG;
}

static int
check_offsets(const shmkit_shareable_list *list)
{
    const uint64_t *offset = offsets_of(list);
    uint64_t i, last = 0, next;

    if (shmkiti_load_relaxed_u64(offset) != 0)
        return -EBADMSG;
    for (i = 1; i <= list->count; i++, last = next) {
        next = shmkiti_load_relaxed_u64(offset + i);
        if (next < last)
            return -EBADMSG;
    }
    return last == list->room ? 0 : -EBADMSG;
}

int
shmkit_shareable_list_view(void *data, size_t size, uint32_t flags,
                           shmkit_shareable_list *ret_list)
{
    shmkit_shareable_list list = {
        .data = data, .size = size, .flags = flags & SHMKIT_READ_ONLY};
    int r;

    if (!is_aligned(data))
        return -EINVAL;
    r = read_header(&list);
    if (r == 0)
        r = check_offsets(&list);
    if (r == 0)
        *ret_list = list;
    return r;
}

int
shmkit_shareable_list_attach(const shmkit_block *block,
                             shmkit_shareable_list *ret_list)
{
    uint32_t flags = shmkit_block_is_read_only(block) ? SHMKIT_READ_ONLY : 0;

    return shmkit_shareable_list_view(
        shmkit_block_data(block), shmkit_block_size(block), flags, ret_list);
}

size_t
shmkit_shareable_list_length(const shmkit_shareable_list *list)
{
    return list->count;
}

/* ---- reading ---- */

/* A text of code `code`, its end still to be found. */
static int
read_text(const struct place *place, size_t len, uint8_t code,
          struct shmkit_shareable_item *ret_item)
{
    if (len > place->room || code == SHMKITI_CODE_NONE)
        return -EBADMSG;
    if (code != SHMKITI_CODE_AS_IS)
        while (len > 0 && place->slot[len - 1] == 0)
            len--;
    ret_item->type = code == SHMKITI_CODE_STR ? SHMKIT_SHAREABLE_STR
                                              : SHMKIT_SHAREABLE_BYTES;
    ret_item->data = place->slot;
    ret_item->len = len;
    return 0;
}

static int
read_number(const struct place *place, uint64_t format,
            struct shmkit_shareable_item *ret_item)
{
    uint64_t word;

    if (place->room < WORD)
        return -EBADMSG;
    word = load_word(place->slot);
    if (format == SHMKITI_FORMAT_INT) {
        ret_item->type = SHMKIT_SHAREABLE_INT;
        memcpy(&ret_item->integer, &word, WORD);
    } else if (format == SHMKITI_FORMAT_FLOAT) {
        ret_item->type = SHMKIT_SHAREABLE_FLOAT;
        memcpy(&ret_item->real, &word, WORD);
    } else {
        /* None's format with code 0 is the bool in front of the x. */
        unsigned char bytes[WORD];

        memcpy(bytes, &word, WORD);
        ret_item->type = SHMKIT_SHAREABLE_BOOL;
        ret_item->boolean =
            bytes[format == SHMKITI_FORMAT_BOOL ? WORD - 1 : WORD - 2] != 0;
    }
    return 0;
}

static bool
is_number(uint64_t format)
{
    return format == SHMKITI_FORMAT_INT || format == SHMKITI_FORMAT_FLOAT ||
           format == SHMKITI_FORMAT_BOOL || format == SHMKITI_FORMAT_NONE;
}

static int
read_item(const struct place *place, uint64_t format, uint8_t code,
          struct shmkit_shareable_item *ret_item)
{
    size_t len;
    bool number = is_number(format);

    if (code > SHMKITI_CODE_NONE ||
        (!number && !shmkiti_format_read(format, &len)))
        return -EBADMSG;
    if (code == SHMKITI_CODE_NONE) {
        ret_item->type = SHMKIT_SHAREABLE_NONE;
        return 0;
    }
    if (!number)
        return read_text(place, len, code, ret_item);
    return code == SHMKITI_CODE_AS_IS ? read_number(place, format, ret_item)
                                      : -EBADMSG;
}

static bool
is_marked(uint64_t format, uint8_t code)
{
    return code == SHMKITI_CODE_NONE && format != SHMKITI_FORMAT_NONE;
}

static void
pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

int
shmkit_shareable_list_get(const shmkit_shareable_list *list, size_t position,
                          struct shmkit_shareable_item *ret_item)
{
    struct shmkit_shareable_item item = {0};
    struct place place;
    uint64_t format;
    uint8_t code;
    int r, look;

    r = find(list, position, &place);
    if (r < 0)
        return r;
    for (look = 0; look < PATIENCE; look++) {
        /* Pairs with the release of the code in replace(): whoever sees the
         * code sees what it stands for. */
        code = shmkiti_load_acquire_u8(place.code);
        format = load_word(place.format);
        r = read_item(&place, format, code, &item);
        /* Pairs with the release fence behind the mark: whoever has read a
         * word that was written under a mark sees the mark, or that the code
         * or the format is another. */
        shmkiti_fence_acquire();
        if (r == 0 && !is_marked(format, code) &&
            format == load_word(place.format) &&
            code == shmkiti_load_acquire_u8(place.code)) {
            *ret_item = item;
            return 0;
        }
        pause_a_little();
    }
    if (r == 0) /* under a mark, or again and again */
        *ret_item =
            (struct shmkit_shareable_item){.type = SHMKIT_SHAREABLE_NONE};
    return r;
}

int
shmkit_shareable_list_format(const shmkit_shareable_list *list,
                             size_t position,
                             char ret_format[SHMKIT_SHAREABLE_FORMAT_SIZE])
{
    struct place place;
    uint64_t format;
    size_t len;
    int r;

    r = find(list, position, &place);
    if (r < 0)
        return r;
    format = load_word(place.format);
    if (!is_number(format) && !shmkiti_format_read(format, &len))
        return -EBADMSG;
    memcpy(ret_format, &format, WORD);
    ret_format[WORD] = '\0';
    return 0;
}

/* ---- replacing ---- */

static int
prepare(const shmkit_shareable_list *list, size_t position,
        const struct shmkit_shareable_item *item, struct place *ret_place,
        struct shmkiti_image *ret_image)
{
    int r;

    if ((list->flags & SHMKIT_READ_ONLY) != 0)
        return -EACCES;
    r = find(list, position, ret_place);
    if (r == 0)
        r = shmkiti_image_make(item, ret_place->room, ret_image);
    return r;
}

/* How many words of the slot change, 2 = more than one or not by words; the
 * first of them is at *ret_at. */
static int
count_changes(const struct place *place, const struct shmkiti_image *image,
              size_t *ret_at)
{
    int count = 0;
    size_t at;

    if (!is_aligned(place->slot) || image->span % WORD != 0)
        return 2;
    for (at = 0; at < image->span && count < 2; at += WORD)
        if (load_word(place->slot + at) != shmkiti_image_word(image, at))
            if (count++ == 0)
                *ret_at = at;
    return count;
}

static void
replace_marked(const struct place *place, const struct shmkiti_image *image)
{
    shmkiti_store_release_u8(place->code, SHMKITI_CODE_NONE);
    /* Pairs with the acquire fence in shmkit_shareable_list_get(); and the
     * compiler must not move what follows before the mark. */
    shmkiti_fence_release();
    SHMKITI_FAULT("list.set.marked");
    store_word(place->format, image->format);
    SHMKITI_FAULT("list.set.formatted");
    if (is_aligned(place->slot) && image->span == WORD)
        store_word(place->slot, shmkiti_image_word(image, 0));
    else
        write_slot(place->slot, image);
    SHMKITI_FAULT("list.set.written");
    shmkiti_store_release_u8(place->code, image->code);
}

static void
replace(const struct place *place, const struct shmkiti_image *image)
{
    bool format = load_word(place->format) != image->format;
    bool code = shmkiti_load_acquire_u8(place->code) != image->code;
    size_t at = 0;
    int words;

    words = format && code ? 2 : count_changes(place, image, &at);
    if (words + format + code > 1 || (format && !is_aligned(place->format)))
        replace_marked(place, image);
    else if (words > 0)
        store_word(place->slot + at, shmkiti_image_word(image, at));
    else if (format)
        store_word(place->format, image->format);
    else if (code)
        shmkiti_store_release_u8(place->code, image->code);
}

int
shmkit_shareable_list_set(const shmkit_shareable_list *list, size_t position,
                          const struct shmkit_shareable_item *item)
{
    struct shmkiti_image image;
    struct place place;
    int r;

    r = prepare(list, position, item, &place, &image);
    if (r == 0)
        replace(&place, &image);
    return r;
}

int
shmkit_shareable_list_check_set(const shmkit_shareable_list *list,
                                size_t position,
                                const struct shmkit_shareable_item *item)
{
    struct shmkiti_image image;
    struct place place;

    return prepare(list, position, item, &place, &image);
}
