/* SPDX-License-Identifier: MIT */
/* shareable_find.c - searching a shareable list, and checking all of it.
 *
 * Only reads, item by item, as shmkit_shareable_list_get() does; an item that
 * changes meanwhile is seen before or after.  Nothing to repair. */
#include <errno.h>

#include "container/shareable.h"

static bool
is_item(const struct shmkit_shareable_item *item)
{
    return item->type >= SHMKIT_SHAREABLE_NONE &&
           item->type <= SHMKIT_SHAREABLE_BYTES;
}

int
shmkit_shareable_list_index(const shmkit_shareable_list *list,
                            const struct shmkit_shareable_item *item,
                            size_t start, size_t stop, size_t *ret_position)
{
    struct shmkit_shareable_item entry;
    size_t i;
    int r;

    if (!is_item(item))
        return -EINVAL;
    for (i = start; i < stop && i < list->count; i++) {
        r = shmkit_shareable_list_get(list, i, &entry);
        if (r < 0)
            return r;
        if (shmkiti_item_equal(&entry, item)) {
            *ret_position = i;
            return 0;
        }
    }
    return -ENOENT;
}

int
shmkit_shareable_list_count(const shmkit_shareable_list *list,
                            const struct shmkit_shareable_item *item,
                            size_t *ret_count)
{
    size_t count = 0, at = 0;
    int r;

    for (;; at++, count++) {
        r = shmkit_shareable_list_index(list, item, at, list->count, &at);
        if (r < 0)
            break;
    }
    if (r != -ENOENT)
        return r;
    *ret_count = count;
    return 0;
}

int
shmkit_shareable_list_check(const shmkit_shareable_list *list)
{
    struct shmkit_shareable_item item;
    size_t i;
    int r;

    for (i = 0; i < list->count; i++) {
        r = shmkit_shareable_list_get(list, i, &item);
        if (r < 0)
            return r;
        if (item.type == SHMKIT_SHAREABLE_STR &&
            !shmkiti_utf8_valid(item.data, item.len))
            return -EBADMSG;
    }
    return 0;
}
