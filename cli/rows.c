/* SPDX-License-Identifier: MIT */
/* rows.c - asks the library about blocks and about who maps them.
 *
 * Gathering is apart from printing.  Blocks come and go meanwhile: the
 * library skips those that vanish under its walk, and holders, which are
 * looked up after the blocks and by inode, may be of a moment later.  Nothing
 * is locked, so what is shown was true, not is.
 *
 * Walking /proc costs about 50 us a process, and counting 2 MiB pages about
 * 1 us a piece, reading a description 5 us: only commands that show or need
 * them call rows_read_holders(), rows_read_huge() and rows_read_arrays(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "table.h"

/* Room for one more of `size` bytes. */
static int
reserve(void *array, size_t count, size_t *room, size_t size)
{
    void **where = array;
    size_t more = *room == 0 ? 16 : *room * 2;
    void *grown;

    if (count < *room)
        return 0;
    grown = reallocarray(*where, more, size);
    if (grown == NULL)
        return -ENOMEM;
    *where = grown;
    *room = more;
    return 0;
}

static int
add_row(const struct shmkit_block_stat *stat, void *arg)
{
    struct rows *rows = arg;
    int64_t now = (int64_t)time(NULL);
    int r;

    r = reserve(&rows->rows, rows->count, &rows->room, sizeof *rows->rows);
    if (r < 0)
        return r;
    /* A clock that was set back since must not give an age below zero. */
    rows->rows[rows->count++] = (struct row){
        .stat = *stat,
        .age = stat->birth == 0     ? -1
               : stat->birth >= now ? 0
                                    : now - stat->birth,
    };
    return 0;
}

static int
add_holder(const struct shmkit_holder *holder, void *arg)
{
    struct rows *rows = arg;
    int r;

    r = reserve(&rows->holders, rows->holder_count, &rows->holder_room,
                sizeof *rows->holders);
    if (r < 0)
        return r;
    rows->holders[rows->holder_count++] = *holder;
    return 0;
}

static int
compare_names(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return strcmp(x->stat.name, y->stat.name);
}

static int
compare_files(uint64_t device, uint64_t inode, const struct shmkit_holder *h)
{
    if (device != h->device)
        return device < h->device ? -1 : 1;
    if (inode != h->inode)
        return inode < h->inode ? -1 : 1;
    return 0;
}

static int
compare_holders(const void *a, const void *b)
{
    const struct shmkit_holder *x = a, *y = b;
    int order = compare_files(x->device, x->inode, y);

    if (order != 0)
        return order;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int
rows_read_all(struct rows *rows)
{
    int r = shmkit_block_list(add_row, rows);

    if (r < 0)
        return fail_result(r, "cannot list the blocks");
    if (rows->count > 0)
        qsort(rows->rows, rows->count, sizeof *rows->rows, compare_names);
    return CODE_OK;
}

int
rows_read_one(struct rows *rows, const char *name)
{
    struct shmkit_block_stat stat;
    int r;

    r = shmkit_block_stat(name, &stat, sizeof stat);
    if (r < 0)
        return fail_result(r, "block %s", quote(name));
    return add_row(&stat, rows) < 0 ? fail_memory() : CODE_OK;
}

/* The first holder that is not before the file, by bisection. */
static size_t
first_holder(const struct rows *rows, const struct shmkit_block_stat *stat)
{
    size_t low = 0, high = rows->holder_count, middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (compare_files(stat->device, stat->inode, rows->holders + middle) >
            0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int
rows_read_holders(struct rows *rows)
{
    int r = shmkit_holder_list(add_holder, rows);
    struct row *row;
    size_t first, end;

    if (r < 0)
        return fail_result(r, "cannot find out who holds blocks");
    if (rows->holder_count == 0)
        return CODE_OK;
    qsort(rows->holders, rows->holder_count, sizeof *rows->holders,
          compare_holders);
    for (size_t i = 0; i < rows->count; i++) {
        row = rows->rows + i;
        first = end = first_holder(rows, &row->stat);
        while (end < rows->holder_count &&
               compare_files(row->stat.device, row->stat.inode,
                             rows->holders + end) == 0)
            end++;
        row->holders = rows->holders + first;
        row->holder_count = end - first;
    }
    return CODE_OK;
}

void
rows_read_huge(struct rows *rows)
{
    struct row *row;

    for (size_t i = 0; i < rows->count; i++) {
        row = rows->rows + i;
        row->huge_known = huge_count(&row->stat, &row->huge) == 0;
    }
}

void
rows_read_arrays(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        array_read(rows->rows + i);
}

int
rows_read_shown(struct rows *rows, const struct table *table)
{
    if (table_has(table, "dtype") || table_has(table, "shape") ||
        table_has(table, "label"))
        rows_read_arrays(rows);
    if (table_has(table, "huge"))
        rows_read_huge(rows);
    if (table_has(table, "holders") && rows->count > 0)
        return rows_read_holders(rows);
    return CODE_OK;
}

static int
compare_name_to_row(const void *name, const void *row)
{
    return strcmp(name, ((const struct row *)row)->stat.name);
}

const struct row *
rows_find(const struct rows *rows, const char *name)
{
    if (rows->count == 0)
        return NULL;
    return bsearch(name, rows->rows, rows->count, sizeof *rows->rows,
                   compare_name_to_row);
}

void
rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        array_free(rows->rows + i);
    free(rows->rows);
    free(rows->holders);
}

char *
row_holders_text(const struct row *row)
{
    char escaped[ESCAPED_SIZE], *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    if (row->holder_count == 0)
        fputc('-', out);
    for (size_t i = 0; i < row->holder_count; i++) {
        escape(row->holders[i].command, escaped);
        fprintf(out, "%s%lld(%s)", i > 0 ? "," : "",
                (long long)row->holders[i].pid, escaped);
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

bool
row_is_in_use(const struct row *row)
{
    return row->holder_count > 0 || row->stat.state == SHMKIT_STATE_LIVE;
}

char *
row_use_text(const struct row *row)
{
    char *holders, *text = NULL;

    if (row->holder_count > 0) {
        holders = row_holders_text(row);
        if (holders == NULL || asprintf(&text, "is mapped by %s", holders) < 0)
            text = strdup("is mapped");
        free(holders);
        return text;
    }
    if (row->stat.lifetime == SHMKIT_LIFETIME_FAMILY)
        return strdup("belongs to a living family, which may attach it");
    return strdup("is held by a process that you may not look into");
}
