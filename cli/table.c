/* SPDX-License-Identifier: MIT */
/* table.c - the columns, and the three ways to print them.
 *
 * The table below is the only place that knows a column: --help lists it, -o
 * selects from it, the table, the record and JSON print through it.  A new
 * column is one getter and one line.  A getter fills in a cell; how a cell
 * looks depends on its kind and on the options, never on the column, so that
 * in JSON every number is a number.
 *
 * Output is put together in memory first: a table needs its widths before its
 * first line, and one write keeps it whole when several tools share a
 * terminal. */
#include "table.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- getters ---- */

static void
get_name(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = row->stat.name;
}

static void
get_size(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_SIZE;
    ret_cell->number = row->stat.size;
}

static void
get_resident(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_SIZE;
    ret_cell->number = row->stat.resident;
}

static void
get_huge(const struct row *row, struct cell *ret_cell)
{
    if (!row->huge_known)
        return;
    ret_cell->kind = CELL_SIZE;
    ret_cell->number = row->huge;
}

static void
get_mode(const struct row *row, struct cell *ret_cell)
{
    snprintf(ret_cell->buffer, sizeof ret_cell->buffer, "%04" PRIo32,
             row->stat.mode);
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = ret_cell->buffer;
}

/* Names of users come from files or servers: the last one is kept, since
 * most rows have the same owner. */
static void
get_owner(const struct row *row, struct cell *ret_cell)
{
    static uint32_t last_uid = UINT32_MAX;
    static char name[64];
    struct passwd *user;

    if (row->stat.uid != last_uid || name[0] == '\0') {
        user = getpwuid(row->stat.uid);
        if (user != NULL)
            snprintf(name, sizeof name, "%s", user->pw_name);
        else
            snprintf(name, sizeof name, "%" PRIu32, row->stat.uid);
        last_uid = row->stat.uid;
    }
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = name;
}

static void
get_group(const struct row *row, struct cell *ret_cell)
{
    static uint32_t last_gid = UINT32_MAX;
    static char name[64];
    struct group *group;

    if (row->stat.gid != last_gid || name[0] == '\0') {
        group = getgrgid(row->stat.gid);
        if (group != NULL)
            snprintf(name, sizeof name, "%s", group->gr_name);
        else
            snprintf(name, sizeof name, "%" PRIu32, row->stat.gid);
        last_gid = row->stat.gid;
    }
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = name;
}

static void
get_uid(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_NUMBER;
    ret_cell->number = row->stat.uid;
}

static void
get_gid(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_NUMBER;
    ret_cell->number = row->stat.gid;
}

static void
get_lifetime(const struct row *row, struct cell *ret_cell)
{
    static const char *const names[] = {
        [SHMKIT_LIFETIME_FAMILY] = "family",
        [SHMKIT_LIFETIME_HOLDERS] = "holders",
        [SHMKIT_LIFETIME_PERSISTENT] = "persistent",
    };

    ret_cell->kind = CELL_TEXT;
    ret_cell->text = row->stat.lifetime < sizeof names / sizeof names[0]
                         ? names[row->stat.lifetime]
                         : "unknown";
}

static void
get_state(const struct row *row, struct cell *ret_cell)
{
    static const char *const names[] = {
        [SHMKIT_STATE_LIVE] = "live",
        [SHMKIT_STATE_ORPHAN] = "orphan",
        [SHMKIT_STATE_IDLE] = "idle",
        [SHMKIT_STATE_FOREIGN] = "foreign",
    };

    ret_cell->kind = CELL_TEXT;
    ret_cell->text = row->stat.state < sizeof names / sizeof names[0]
                         ? names[row->stat.state]
                         : "unknown";
}

static void
get_family(const struct row *row, struct cell *ret_cell)
{
    if (row->stat.family == 0)
        return;
    snprintf(ret_cell->buffer, sizeof ret_cell->buffer, "%016" PRIx64,
             row->stat.family);
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = ret_cell->buffer;
}

static void
get_age(const struct row *row, struct cell *ret_cell)
{
    if (row->age < 0)
        return;
    ret_cell->kind = CELL_AGE;
    ret_cell->number = (uint64_t)row->age;
}

static void
get_birth(const struct row *row, struct cell *ret_cell)
{
    if (row->stat.birth <= 0)
        return;
    ret_cell->kind = CELL_TIME;
    ret_cell->number = (uint64_t)row->stat.birth;
}

static void
get_inode(const struct row *row, struct cell *ret_cell)
{
    ret_cell->kind = CELL_NUMBER;
    ret_cell->number = row->stat.inode;
}

static void
get_holders(const struct row *row, struct cell *ret_cell)
{
    (void)row;
    ret_cell->kind = CELL_HOLDERS;
}

static void
get_text(const char *text, struct cell *ret_cell)
{
    if (text == NULL)
        return;
    ret_cell->kind = CELL_TEXT;
    ret_cell->text = text;
}

static void
get_dtype(const struct row *row, struct cell *ret_cell)
{
    get_text(row->dtype, ret_cell);
}

static void
get_shape(const struct row *row, struct cell *ret_cell)
{
    get_text(row->shape, ret_cell);
}

static void
get_label(const struct row *row, struct cell *ret_cell)
{
    get_text(row->label, ret_cell);
}

/* ---- the table ---- */

static const struct column all_columns[] = {
    {"name", "name of the block", false, get_name},
    {"size", "size", true, get_size},
    {"resident", "memory that it takes now", true, get_resident},
    {"huge", "what of it lies on 2 MiB pages", true, get_huge},
    {"mode", "permission bits, octal", true, get_mode},
    {"owner", "owning user", false, get_owner},
    {"group", "owning group", false, get_group},
    {"uid", "number of the owning user", true, get_uid},
    {"gid", "number of the owning group", true, get_gid},
    {"lifetime", "family, holders or persistent", false, get_lifetime},
    {"state", "live, orphan, idle or foreign", false, get_state},
    {"family", "id of the family it belongs to", false, get_family},
    {"age", "time since it was made", true, get_age},
    {"birth", "when it was made", false, get_birth},
    {"inode", "inode number", true, get_inode},
    {"dtype", "what an array consists of", false, get_dtype},
    {"shape", "its dimensions: 3x4", false, get_shape},
    {"label", "the line of text it was made with", false, get_label},
    {"holders", "processes that have it mapped", false, get_holders},
};
#define ALL_COUNT (sizeof all_columns / sizeof all_columns[0])
_Static_assert(ALL_COUNT <= COLUMNS_MAX, "every column fits into a table");

static const char usual_columns[] =
    "name,size,resident,huge,mode,owner,lifetime,state,age,holders";

void
table_print_columns(FILE *out)
{
    fprintf(out, "\nColumns:\n");
    for (size_t i = 0; i < ALL_COUNT; i++)
        fprintf(out, "  %-10s %s\n", all_columns[i].name, all_columns[i].help);
    fprintf(out, "Usual: %s\n", usual_columns);
}

/* ---- choosing ---- */

static const struct column *
find_column(const char *name, size_t len)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        if (strlen(all_columns[i].name) == len &&
            strncasecmp(all_columns[i].name, name, len) == 0)
            return &all_columns[i];
    }
    return NULL;
}

bool
table_has(const struct table *table, const char *column)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->columns[i]->name, column) == 0)
            return true;
    }
    return false;
}

/* The columns of `list` ("name,size"); complains. */
static int
table_choose(struct table *table, const struct options *options,
             const char *list)
{
    const struct column *column;
    size_t len;

    table->count = 0;
    table->chosen = true;
    for (;; list += len + 1) {
        len = strcspn(list, ",");
        column = find_column(list, len);
        if (column == NULL)
            return options_complain(options, "unknown column %s",
                                    quote(strndupa(list, len)));
        if (table_has(table, column->name))
            return options_complain(options, "column %s is named twice",
                                    column->name);
        table->columns[table->count++] = column;
        if (list[len] == '\0')
            return CODE_OK;
    }
}

int
table_options(struct table *table, struct options *options)
{
    int letter;

    while ((letter = options_next(options)) >= 0) {
        table->json |= letter == 'J';
        table->bytes |= letter == 'b';
        table->headless |= letter == 'n';
        if (letter != 'o')
            continue;
        options->code = table_choose(table, options, options->value);
        if (options->code != CODE_OK)
            return OPTIONS_STOP;
    }
    return letter;
}

void
table_choose_usual(struct table *table)
{
    const char *list = usual_columns;
    size_t len;

    table->count = 0;
    do {
        len = strcspn(list, ",");
        table->columns[table->count++] = find_column(list, len);
        list += len;
    } while (*list++ == ',');
}

void
table_choose_all(struct table *table)
{
    for (size_t i = 0; i < ALL_COUNT; i++)
        table->columns[i] = &all_columns[i];
    table->count = ALL_COUNT;
}

/* ---- cells ---- */

/* In place: a cell's text may point into the cell, so it must not be copied.
 */
static void
get_cell(const struct column *column, const struct row *row,
         struct cell *ret_cell)
{
    *ret_cell = (struct cell){.kind = CELL_NONE};
    column->get(row, ret_cell);
}

static void
print_age(FILE *out, uint64_t age)
{
    if (age < 60)
        fprintf(out, "%" PRIu64 "s", age);
    else if (age < 60 * 60)
        fprintf(out, "%" PRIu64 "m", age / 60);
    else if (age < 48 * 60 * 60)
        fprintf(out, "%" PRIu64 "h", age / (60 * 60));
    else
        fprintf(out, "%" PRIu64 "d", age / (24 * 60 * 60));
}

static void
print_time(FILE *out, uint64_t seconds)
{
    time_t when = (time_t)seconds;
    char text[40];
    struct tm tm;

    if (localtime_r(&when, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &tm) == 0)
        fprintf(out, "%" PRIu64, seconds);
    else
        fputs(text, out);
}

static void
print_size(FILE *out, uint64_t size, bool bytes)
{
    char text[SIZE_TEXT];

    size_format(size, text);
    if (bytes)
        fprintf(out, "%" PRIu64, size);
    else
        fputs(text, out);
}

static void
print_escaped(FILE *out, const char *text)
{
    char escaped[ESCAPED_SIZE];

    escape(text, escaped);
    fputs(escaped, out);
}

static void
print_text_holders(FILE *out, const struct row *row)
{
    char *text = row_holders_text(row);

    fputs(text != NULL ? text : "?", out);
    free(text);
}

static void
print_text_cell(FILE *out, const struct cell *cell, const struct row *row,
                bool bytes)
{
    switch (cell->kind) {
        case CELL_TEXT:
            print_escaped(out, cell->text);
            break;
        case CELL_NUMBER:
            fprintf(out, "%" PRIu64, cell->number);
            break;
        case CELL_SIZE:
            print_size(out, cell->number, bytes);
            break;
        case CELL_AGE:
            print_age(out, cell->number);
            break;
        case CELL_TIME:
            print_time(out, cell->number);
            break;
        case CELL_HOLDERS:
            print_text_holders(out, row);
            break;
        case CELL_NONE:
            fputc('-', out);
            break;
    }
}

static void
print_json_holders(FILE *out, const struct row *row)
{
    fputc('[', out);
    for (size_t i = 0; i < row->holder_count; i++) {
        fprintf(out, "%s{\"pid\": %lld, \"command\": ", i > 0 ? ", " : "",
                (long long)row->holders[i].pid);
        json_string(out, row->holders[i].command);
        fputc('}', out);
    }
    fputc(']', out);
}

static void
print_json_cell(FILE *out, const struct cell *cell, const struct row *row)
{
    switch (cell->kind) {
        case CELL_TEXT:
            json_string(out, cell->text);
            break;
        case CELL_NUMBER:
        case CELL_SIZE:
        case CELL_AGE:
        case CELL_TIME:
            fprintf(out, "%" PRIu64, cell->number);
            break;
        case CELL_HOLDERS:
            print_json_holders(out, row);
            break;
        case CELL_NONE:
            fputs("null", out);
            break;
    }
}

/* ---- JSON ---- */

static void
print_json_row(FILE *out, const struct table *table, const struct row *row)
{
    struct cell cell;

    fputc('{', out);
    for (size_t i = 0; i < table->count; i++) {
        get_cell(table->columns[i], row, &cell);
        fprintf(out, "%s\"%s\": ", i > 0 ? ", " : "", table->columns[i]->name);
        print_json_cell(out, &cell, row);
    }
    fputc('}', out);
}

static void
print_json(FILE *out, const struct table *table, const struct rows *rows)
{
    fputs("{\"blocks\": [", out);
    for (size_t i = 0; i < rows->count; i++) {
        fputs(i > 0 ? ",\n  " : "\n  ", out);
        print_json_row(out, table, rows->rows + i);
    }
    fputs(rows->count > 0 ? "\n]}\n" : "]}\n", out);
}

/* ---- the text table ---- */

/* What stands in one cell, on the heap; NULL without memory. */
static char *
cell_text(const struct table *table, size_t column, const struct row *row)
{
    struct cell cell;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    get_cell(table->columns[column], row, &cell);
    print_text_cell(out, &cell, row, table->bytes);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* Text and spaces round it; the last column has none after it. */
static void
print_padded(FILE *out, const struct table *table, size_t column,
             const char *text, size_t width)
{
    size_t gap = width - display_width(text);
    bool last = column + 1 == table->count;

    if (table->columns[column]->right)
        fprintf(out, "%*s%s", (int)gap, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : (int)gap, "");
    fputs(last ? "\n" : "  ", out);
}

static void
print_heading(FILE *out, const struct table *table, const size_t *widths)
{
    char name[32];
    size_t n;

    for (size_t i = 0; i < table->count; i++) {
        n = strlen(table->columns[i]->name);
        for (size_t k = 0; k <= n && k < sizeof name; k++) {
            name[k] = table->columns[i]->name[k];
            if (name[k] >= 'a' && name[k] <= 'z')
                name[k] = (char)(name[k] - 'a' + 'A');
        }
        print_padded(out, table, i, name, widths[i]);
    }
}

/* Fills in texts[row * count + column] and the width of each column. */
static int
make_texts(const struct table *table, const struct rows *rows, char **texts,
           size_t *widths)
{
    size_t width;

    for (size_t i = 0; i < table->count; i++)
        widths[i] = table->headless ? 0 : strlen(table->columns[i]->name);
    for (size_t k = 0; k < rows->count * table->count; k++) {
        texts[k] =
            cell_text(table, k % table->count, rows->rows + k / table->count);
        if (texts[k] == NULL)
            return -1;
        width = display_width(texts[k]);
        if (width > widths[k % table->count])
            widths[k % table->count] = width;
    }
    return 0;
}

/* -1 without memory. */
static int
print_text(FILE *out, const struct table *table, const struct rows *rows)
{
    size_t widths[COLUMNS_MAX], n = rows->count * table->count;
    char **texts = calloc(n + 1, sizeof *texts);
    int r = -1;

    if (texts == NULL)
        return -1;
    r = make_texts(table, rows, texts, widths);
    if (r < 0)
        goto out;
    /* No blocks, no output: the answer that a script can test. */
    if (!table->headless && rows->count > 0)
        print_heading(out, table, widths);
    for (size_t k = 0; k < n; k++)
        print_padded(out, table, k % table->count, texts[k],
                     widths[k % table->count]);
out:
    for (size_t k = 0; k < n; k++)
        free(texts[k]);
    free(texts);
    return r;
}

/* ---- entry points ---- */

static int
finish(FILE *out, char **text, size_t *len, bool good)
{
    int code = CODE_OK;

    if (fclose(out) != 0 || !good)
        code = fail_memory();
    else
        output_bytes(*text, *len);
    free(*text);
    return code;
}

int
table_print(const struct table *table, const struct rows *rows)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool good = true;

    if (out == NULL)
        return fail_memory();
    if (table->json)
        print_json(out, table, rows);
    else
        good = print_text(out, table, rows) == 0;
    return finish(out, &text, &len, good);
}

/* "size       1.5G (1610612736 bytes)": the exact number stays readable. */
static void
print_record_cell(FILE *out, const struct table *table,
                  const struct column *column, const struct row *row)
{
    struct cell cell;

    get_cell(column, row, &cell);
    fprintf(out, "%-10s ", column->name);
    print_text_cell(out, &cell, row, table->bytes);
    if (cell.kind == CELL_SIZE && !table->bytes && cell.number >= 1024)
        fprintf(out, " (%" PRIu64 " bytes)", cell.number);
    fputc('\n', out);
}

int
table_print_record(const struct table *table, const struct row *row)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return fail_memory();
    if (table->json) {
        print_json_row(out, table, row);
        fputc('\n', out);
    } else {
        for (size_t i = 0; i < table->count; i++)
            print_record_cell(out, table, table->columns[i], row);
    }
    return finish(out, &text, &len, true);
}
