/* SPDX-License-Identifier: MIT */
/* table.h - rows of blocks, printed as a table, as a record or as JSON. */
#ifndef SHMKIT_CLI_TABLE_H
#define SHMKIT_CLI_TABLE_H

#include <shmkit/shmkit.h>

#include "cli.h"

/* One block and who has it mapped; `holders` belongs to the list. */
struct row {
    struct shmkit_block_stat stat;
    int64_t age; /* seconds, < 0 = unknown */
    bool huge_known;
    uint64_t huge;               /* bytes on 2 MiB pages */
    char *dtype, *shape, *label; /* of an array, else NULL */
    const struct shmkit_holder *holders;
    size_t holder_count;
};

/* Every block that a command looks at, and every mapping of any of them. */
struct rows {
    struct row *rows;
    size_t count, room;
    struct shmkit_holder *holders;
    size_t holder_count, holder_room;
};

/* ---- rows.c: gathering; all return an exit code and complain ---- */

/* All blocks that may be seen, sorted by name. */
int rows_read_all(struct rows *rows);
/* Append one; CODE_NOT_FOUND. */
int rows_read_one(struct rows *rows, const char *name);
/* Find the holders of the rows there are.  Rows must not be added after. */
int rows_read_holders(struct rows *rows);
/* Count what lies on 2 MiB pages; it stays unknown where that can not be told,
 * which is no error. */
void rows_read_huge(struct rows *rows);
/* Read what those that are arrays say of themselves. */
void rows_read_arrays(struct rows *rows);
/* Holders, big pages and arrays, as far as `table` shows them. */
struct table;
int rows_read_shown(struct rows *rows, const struct table *table);
/* By name, in what rows_read_all() gave; NULL. */
const struct row *rows_find(const struct rows *rows, const char *name);
void rows_free(struct rows *rows);
/* "12(python3),15(worker)", escaped; "-" for none.  The caller frees; NULL
 * without memory. */
char *row_holders_text(const struct row *row);
/* Whether removing the block would take it from somebody: a process maps it,
 * or the library says that its holders or its family live. */
bool row_is_in_use(const struct row *row);
/* How it is in use, a clause to follow "it"; the caller frees.  NULL without
 * memory. */
char *row_use_text(const struct row *row);

/* ---- huge.c ---- */

/* Bytes of the block on 2 MiB pages.  < 0: a negated errno; it can not be
 * read, is another by now, or the system does not tell. */
int huge_count(const struct shmkit_block_stat *listed, uint64_t *ret_bytes);

/* ---- array.c ---- */

void array_read(struct row *row);
void array_free(struct row *row);

/* ---- table.c: showing ---- */

enum cell_kind {
    CELL_NONE,   /* "-", null */
    CELL_TEXT,   /* anybody's bytes */
    CELL_NUMBER, /* as it is */
    CELL_SIZE,   /* "64M", or bytes */
    CELL_AGE,    /* "3m"; seconds in JSON */
    CELL_TIME,   /* local time; seconds since 1970 in JSON */
    CELL_HOLDERS /* of the row; an array in JSON */
};

struct cell {
    enum cell_kind kind;
    const char *text;
    uint64_t number;
    char buffer[32]; /* where `text` may point */
};

struct column {
    const char *name;
    const char *help;
    bool right; /* alignment in tables */
    void (*get)(const struct row *row, struct cell *ret_cell);
};

#define COLUMNS_MAX 24

/* What to show, and how: set by the options. */
struct table {
    const struct column *columns[COLUMNS_MAX];
    size_t count;
    bool chosen; /* by -o */
    bool bytes, json, headless;
};

/* The options of a command that shows rows (o, J, b, n), to their end: what
 * options_next() returned last. */
int table_options(struct table *table, struct options *options);
/* Without -o: the usual ones, or every one. */
void table_choose_usual(struct table *table);
void table_choose_all(struct table *table);
bool table_has(const struct table *table, const char *column);

int table_print(const struct table *table, const struct rows *rows);
/* One block: a line per column, or one JSON object. */
int table_print_record(const struct table *table, const struct row *row);
/* The part of --help on columns. */
void table_print_columns(FILE *out);

#endif
