/* SPDX-License-Identifier: MIT */
/* fuzz_shareable.c - any bytes as a shareable list.
 *
 * The input is one byte L, a script of L bytes, and the bytes of a list, which
 * are copied to memory of exactly their size, so that AddressSanitizer sees
 * every access beyond.  The script reads, replaces, searches, and in between
 * changes bytes as a hostile process would.
 *
 * Claims: whatever stands there, results are those of the header; what a get
 * points at lies in the bytes; a set that is refused changes nothing, one that
 * is done gives back the same item and leaves every other place alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

typedef struct shmkit_shareable_item item_t;

static bool
is_text(const item_t *item)
{
    return item->type == SHMKIT_SHAREABLE_STR ||
           item->type == SHMKIT_SHAREABLE_BYTES;
}

static void
check_item(const shmkit_shareable_list *list, const item_t *item)
{
    const unsigned char *p = item->data;

    FUZZ_CLAIM(item->type >= SHMKIT_SHAREABLE_NONE &&
               item->type <= SHMKIT_SHAREABLE_BYTES);
    if (is_text(item))
        FUZZ_CLAIM(p >= list->data && item->len <= list->size &&
                   p + item->len <= list->data + list->size);
    if (item->type == SHMKIT_SHAREABLE_BOOL)
        FUZZ_CLAIM(item->boolean <= 1);
    if (item->type == SHMKIT_SHAREABLE_STR && item->len > 0)
        FUZZ_CLAIM(p[item->len - 1] != 0);
}

static void
read_all(const shmkit_shareable_list *list)
{
    size_t count = shmkit_shareable_list_length(list), i;
    char format[SHMKIT_SHAREABLE_FORMAT_SIZE];
    bool sound = true;
    item_t item;
    int r;

    FUZZ_CLAIM(count <= list->size / 17);
    for (i = 0; i <= count; i++) {
        r = shmkit_shareable_list_get(list, i, &item);
        FUZZ_CLAIM(r == 0 || r == (i < count ? -EBADMSG : -ERANGE));
        sound = sound && (r == 0 || i == count);
        if (r == 0)
            check_item(list, &item);
        if (shmkit_shareable_list_format(list, i, format) == 0)
            FUZZ_CLAIM(strlen(format) <= 8);
        else
            FUZZ_CLAIM(r < 0);
    }
    r = shmkit_shareable_list_check(list);
    FUZZ_CLAIM(sound ? r == 0 || r == -EBADMSG : r == -EBADMSG);
}

/* An item out of the script; `text` is where its bytes go. */
static item_t
draw_item(struct fuzz_input *input, unsigned char text[64])
{
    item_t item = {.type = fuzz_byte(input) % 8, .data = text};
    uint64_t word = (uint64_t)fuzz_u32(input) << 32 | fuzz_u32(input);
    size_t i;

    if (item.type == SHMKIT_SHAREABLE_BOOL)
        item.boolean = word & 3;
    else if (item.type == SHMKIT_SHAREABLE_INT ||
             item.type == SHMKIT_SHAREABLE_FLOAT)
        memcpy(&item.integer, &word, sizeof word);
    else if (is_text(&item))
        item.len = word % 64;
    for (i = 0; i < item.len; i++)
        text[i] = fuzz_byte(input);
    return item;
}

static bool
same(const item_t *a, const item_t *b)
{
    if (a->type != b->type)
        return false;
    if (is_text(a))
        return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
    if (a->type == SHMKIT_SHAREABLE_BOOL)
        return a->boolean == b->boolean;
    return a->type == SHMKIT_SHAREABLE_NONE || a->integer == b->integer;
}

/* Nothing but the slot, format and code of the item may be other. */
static void
check_others(const shmkit_shareable_list *list, const unsigned char *before,
             size_t position)
{
    size_t slots = 8 * (list->count + 2), formats = slots + list->room;
    size_t codes = formats + 8 * list->count, i;
    uint64_t bounds[2];

    memcpy(bounds, list->data + 8 + 8 * position, sizeof bounds);
    for (i = 0; i < list->size; i++) {
        if (i >= slots + bounds[0] && i < slots + bounds[1])
            continue;
        if (i >= formats + 8 * position && i < formats + 8 * position + 8)
            continue;
        if (i != codes + position)
            FUZZ_CLAIM(before[i] == list->data[i]);
    }
}

static void
replace(const shmkit_shareable_list *list, struct fuzz_input *input)
{
    size_t position = fuzz_byte(input) % (list->count + 1);
    unsigned char *before = malloc(list->size), text[64];
    item_t item = draw_item(input, text), got;
    int verdict, r;

    FUZZ_CLAIM(before != NULL);
    memcpy(before, list->data, list->size);
    verdict = shmkit_shareable_list_check_set(list, position, &item);
    FUZZ_CLAIM(memcmp(before, list->data, list->size) == 0);
    r = shmkit_shareable_list_set(list, position, &item);
    FUZZ_CLAIM(r == verdict);
    if (r < 0) {
        FUZZ_CLAIM(r == -ERANGE || r == -EBADMSG || r == -EMSGSIZE ||
                   r == -EINVAL || r == -EILSEQ || r == -EFBIG);
        FUZZ_CLAIM(memcmp(before, list->data, list->size) == 0);
    } else {
        FUZZ_CLAIM(shmkit_shareable_list_get(list, position, &got) == 0);
        FUZZ_CLAIM(same(&got, &item));
        check_others(list, before, position);
    }
    free(before);
}

static void
search(const shmkit_shareable_list *list, struct fuzz_input *input)
{
    unsigned char text[64];
    item_t item = draw_item(input, text);
    size_t start = fuzz_byte(input), stop = fuzz_byte(input), at, count;
    int r;

    r = shmkit_shareable_list_index(list, &item, start, stop, &at);
    FUZZ_CLAIM(r == 0 || r == -ENOENT || r == -EBADMSG || r == -EINVAL);
    if (r == 0)
        FUZZ_CLAIM(at >= start && at < stop && at < list->count);
    r = shmkit_shareable_list_count(list, &item, &count);
    FUZZ_CLAIM(r == 0 || r == -EBADMSG || r == -EINVAL);
    if (r == 0)
        FUZZ_CLAIM(count <= list->count);
}

static void
run_script(const shmkit_shareable_list *list, struct fuzz_input *input)
{
    while (input->size > 0) {
        switch (fuzz_byte(input) % 4) {
            case 0:
                replace(list, input);
                break;
            case 1:
                search(list, input);
                break;
            case 2: /* somebody writes */
                list->data[fuzz_u32(input) % list->size] = fuzz_byte(input);
                break;
            default:
                read_all(list);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t script = size == 0 ? 0 : 1 + data[0];
    struct fuzz_input input;
    shmkit_shareable_list list;
    unsigned char *bytes;
    int r;

    if (script > size)
        script = size;
    input.data = data + (script > 0);
    input.size = script - (script > 0);
    bytes = malloc(size - script + (size == script));
    FUZZ_CLAIM(bytes != NULL);
    memcpy(bytes, data + script, size - script);
    r = shmkit_shareable_list_view(bytes, size - script, 0, &list);
    FUZZ_CLAIM(r == 0 || r == -EBADMSG);
    if (r == 0) {
        read_all(&list);
        run_script(&list, &input);
        read_all(&list);
    }
    free(bytes);
    return 0;
}
