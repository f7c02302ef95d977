/* SPDX-License-Identifier: MIT */
/* dtype.c - dtype strings: from text to fields, and back to the one text that
 * equal types share.
 *
 *     dtype  = type | struct
 *     struct = '[' field { ',' field } [ ',' ] ']'
 *     field  = '(' string ',' ( 'type' | struct ) [ ',' shape ] [ ',' ] ')'
 *     shape  = '(' [ number { ',' number } [ ',' ] ] ')' | number
 *     type   = [ '<' | '>' | '|' | '=' ] letter number [ '[' unit ']' ]
 *
 * which is what Python prints of numpy.dtype.descr, blanks anywhere between.
 * A string is parsed into a flat list: a structure is followed by its fields,
 * and `end` leads past them.  Offsets are running sums, since the fields of a
 * structure stand close together.
 *
 * The text may come out of shared memory, but is the caller's private copy.
 * All is bounded: fields, depth, dimensions, and every size by 2^31 - 1, as
 * in NumPy; the recursion is as deep as the structures nest.  No state, no
 * locks, no allocation. */
#include "container/dtype.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 8u
#define SIZE_MAX_ITEM UINT64_C(0x7fffffff)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE '<'
#else
#define NATIVE '>'
#endif

struct parser {
    const char *at;
    struct shmkiti_dtype *dtype;
    uint64_t offset; /* of the next value */
};

/* ---- words ---- */

static void
skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')
        p->at++;
}

static bool
take(struct parser *p, char c)
{
    skip_blanks(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Decimal, without a sign, up to the largest size. */
static int
take_number(struct parser *p, uint64_t *ret)
{
    uint64_t value = 0;

    if (!is_digit(*p->at))
        return -EINVAL;
    for (; is_digit(*p->at); p->at++) {
        value = value * 10 + (uint64_t)(*p->at - '0');
        if (value > SIZE_MAX_ITEM)
            return -EINVAL;
    }
    *ret = value;
    return 0;
}

static int
multiply(uint64_t *product, uint64_t factor)
{
    if (factor != 0 && *product > SIZE_MAX_ITEM / factor)
        return -EINVAL;
    *product *= factor;
    return 0;
}

/* What stands between quotes, as it stands there: a backslash and the
 * character after it are left alone. */
static int
take_string(struct parser *p, const char **ret, uint16_t *ret_len)
{
    const char *start;
    char quote;

    skip_blanks(p);
    quote = *p->at;
    if (quote != '\'' && quote != '"')
        return -EINVAL;
    start = ++p->at;
    for (; *p->at != quote; p->at++) {
        if (*p->at == '\\')
            p->at++;
        if ((unsigned char)*p->at < ' ' || *p->at == 0x7f)
            return -EINVAL; /* the end of the text, too */
    }
    if (p->at - start >= SHMKIT_NDARRAY_DTYPE_SIZE)
        return -EINVAL;
    *ret = start;
    *ret_len = (uint16_t)(p->at++ - start);
    return 0;
}

/* ---- one type ---- */

/* Sizes that NumPy has of a kind. */
static bool
has_size(char kind, uint64_t size)
{
    switch (kind) {
        case 'b':
            return size == 1;
        case 'i':
        case 'u':
            return size == 1 || size == 2 || size == 4 || size == 8;
        case 'f':
            return size == 2 || size == 4 || size == 8 || size == 16;
        case 'c':
            return size == 8 || size == 16 || size == 32;
        case 'M':
        case 'm':
            return size == 8;
        case 'S':
        case 'V':
        case 'U':
            return true;
        default:
            return false;
    }
}

static bool
has_order(const struct shmkiti_field *field)
{
    bool bytes =
        field->kind == 'S' || field->kind == 'V' || field->kind == 'b';

    return !bytes && (field->item_size != 1 || field->kind == 'U');
}

/* "[ns]", "[25s]": the unit of a time; none is a generic one. */
static int
take_unit(struct parser *p)
{
    static const char *const units[] = {"Y",  "M",  "W",  "D",      "h",
                                        "m",  "s",  "ms", "us",     "ns",
                                        "ps", "fs", "as", "generic"};
    uint64_t multiple = 1;
    size_t len;

    p->at++;
    if (is_digit(*p->at) && (take_number(p, &multiple) < 0 || multiple == 0))
        return -EINVAL;
    len = strcspn(p->at, "]");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i]) == len && strncmp(units[i], p->at, len) == 0 &&
            p->at[len] == ']') {
            p->at += len + 1;
            return 0;
        }
    }
    return -EINVAL;
}

static int
take_kind(struct parser *p, struct shmkiti_field *field)
{
    uint64_t size;

    field->kind = *p->at;
    if (field->kind == '\0')
        return -EINVAL;
    p->at++;
    if (take_number(p, &size) < 0 || !has_size(field->kind, size))
        return -EINVAL;
    if (field->kind == 'U' && multiply(&size, 4) < 0)
        return -EINVAL;
    field->item_size = size;
    if ((field->kind == 'M' || field->kind == 'm') && *p->at == '[')
        return take_unit(p);
    return 0;
}

static int
take_type(struct parser *p, struct shmkiti_field *field)
{
    char order = NATIVE;
    int r;

    field->type = p->at;
    if (*p->at != '\0' && strchr("<>|=", *p->at) != NULL) {
        if (*p->at == '<' || *p->at == '>')
            order = *p->at;
        p->at++;
    }
    r = take_kind(p, field);
    if (r < 0)
        return r;
    field->type_len = (uint16_t)(p->at - field->type);
    field->order = '|';
    if (has_order(field))
        field->order = order;
    return 0;
}

/* ---- structures ---- */

static int take_struct(struct parser *p, struct shmkiti_field *field);

static int
new_field(struct parser *p, unsigned depth, struct shmkiti_field **ret)
{
    struct shmkiti_field *field;

    if (p->dtype->count == SHMKITI_FIELDS || depth > DEPTH_MAX)
        return -EINVAL;
    field = &p->dtype->field[p->dtype->count++];
    memset(field, 0, sizeof *field);
    field->offset = p->offset;
    field->count = 1;
    field->depth = (uint8_t)depth;
    *ret = field;
    return 0;
}

static int
take_dimension(struct parser *p, struct shmkiti_field *field)
{
    uint64_t dimension;

    skip_blanks(p);
    if (field->ndim == SHMKIT_NDARRAY_DIMS || take_number(p, &dimension) < 0)
        return -EINVAL;
    field->ndim++;
    return multiply(&field->count, dimension);
}

static int
take_shape(struct parser *p, struct shmkiti_field *field)
{
    bool tuple = take(p, '(');

    skip_blanks(p);
    field->dims = p->at;
    if (!tuple)
        return take_dimension(p, field);
    while (!take(p, ')')) {
        if (take_dimension(p, field) < 0)
            return -EINVAL;
        if (!take(p, ',')) {
            skip_blanks(p);
            if (*p->at != ')')
                return -EINVAL;
        }
    }
    return 0;
}

/* 'type' or a structure. */
static int
take_field_type(struct parser *p, struct shmkiti_field *field)
{
    char quote;

    skip_blanks(p);
    quote = *p->at;
    if (quote == '[')
        return take_struct(p, field);
    if (!take(p, '\'') && !take(p, '"'))
        return -EINVAL;
    if (take_type(p, field) < 0 || *p->at != quote)
        return -EINVAL;
    p->at++;
    return 0;
}

/* Where a structure begins counts for its fields; behind it count all of its
 * values. */
static int
end_field(struct parser *p, struct shmkiti_field *field)
{
    uint64_t size = field->item_size;

    if (multiply(&size, field->count) < 0)
        return -EINVAL;
    p->offset = field->offset + size;
    field->end = (uint16_t)p->dtype->count;
    return p->offset > SIZE_MAX_ITEM ? -EINVAL : 0;
}

static int
take_field(struct parser *p, unsigned depth)
{
    struct shmkiti_field *field;

    if (new_field(p, depth, &field) < 0 || !take(p, '(') ||
        take_string(p, &field->name, &field->name_len) < 0 || !take(p, ',') ||
        take_field_type(p, field) < 0)
        return -EINVAL;
    if (take(p, ',')) {
        skip_blanks(p);
        if (*p->at != ')' && take_shape(p, field) < 0)
            return -EINVAL;
        (void)take(p, ',');
    }
    if (!take(p, ')') || (field->name_len == 0 && field->kind != 'V'))
        return -EINVAL;
    return end_field(p, field);
}

static bool
same_name(const struct shmkiti_field *a, const struct shmkiti_field *b)
{
    return a->name_len != 0 && a->name_len == b->name_len &&
           memcmp(a->name, b->name, a->name_len) == 0;
}

/* No two fields of one structure have one name. */
static int
check_names(const struct shmkiti_dtype *dtype, unsigned first)
{
    const struct shmkiti_field *field = dtype->field;

    for (unsigned i = first; i < dtype->count; i = field[i].end) {
        for (unsigned j = field[i].end; j < dtype->count; j = field[j].end) {
            if (same_name(&field[i], &field[j]))
                return -EINVAL;
        }
    }
    return 0;
}

static int
take_struct(struct parser *p, struct shmkiti_field *field)
{
    unsigned first = p->dtype->count;
    bool more;

    if (!take(p, '['))
        return -EINVAL;
    field->kind = '{';
    field->order = '|';
    do {
        if (take_field(p, field->depth + 1u) < 0)
            return -EINVAL;
        more = take(p, ',');
        skip_blanks(p);
    } while (more && *p->at == '(');
    if (!take(p, ']'))
        return -EINVAL;
    field->item_size = p->offset - field->offset;
    return check_names(p->dtype, first);
}

int
shmkiti_dtype_parse(const char *text, struct shmkiti_dtype *ret_dtype)
{
    struct parser p = {.at = text, .dtype = ret_dtype};
    struct shmkiti_field *field;
    int r;

    if (strnlen(text, SHMKIT_NDARRAY_DTYPE_SIZE) == SHMKIT_NDARRAY_DTYPE_SIZE)
        return -EINVAL;
    ret_dtype->count = 0;
    r = new_field(&p, 0, &field);
    skip_blanks(&p);
    if (r == 0)
        r = *p.at == '[' ? take_struct(&p, field) : take_type(&p, field);
    if (r == 0)
        r = end_field(&p, field);
    if (r < 0)
        return r;
    skip_blanks(&p);
    return *p.at == '\0' ? 0 : -EINVAL;
}

/* ---- and back ---- */

struct writer {
    char *at;
    size_t room; /* with that of the NUL */
};

static int
put(struct writer *w, const char *text, size_t len)
{
    if (len >= w->room)
        return -ERANGE;
    memcpy(w->at, text, len);
    w->at += len;
    w->room -= len;
    *w->at = '\0';
    return 0;
}

static int
put_text(struct writer *w, const char *text)
{
    return put(w, text, strlen(text));
}

static int
put_type(struct writer *w, const struct shmkiti_field *field)
{
    const char *unit = memchr(field->type, '[', field->type_len);
    uint64_t size = field->item_size / (field->kind == 'U' ? 4 : 1);
    char text[24];
    int r;

    (void)snprintf(text, sizeof text, "%c%c%u", field->order, field->kind,
                   (unsigned)size);
    r = put_text(w, text);
    if (r == 0 && unit != NULL)
        r = put(w, unit, (size_t)(field->type + field->type_len - unit));
    return r;
}

/* In the quotes that Python would take. */
static int
put_name(struct writer *w, const struct shmkiti_field *field)
{
    const char *quote = "'";
    int r;

    for (uint16_t i = 0; i < field->name_len; i++) {
        if (field->name[i] == '\\')
            i++;
        else if (field->name[i] == '\'')
            quote = "\"";
    }
    r = put_text(w, quote);
    if (r == 0)
        r = put(w, field->name, field->name_len);
    return r == 0 ? put_text(w, quote) : r;
}

static const char *
read_dimension(const char *at, uint64_t *ret)
{
    uint64_t value = 0;

    while (!is_digit(*at))
        at++;
    for (; is_digit(*at); at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *ret = value;
    return at;
}

static int
put_shape(struct writer *w, const struct shmkiti_field *field)
{
    const char *at = field->dims;
    uint64_t dimension;
    char text[24];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < field->ndim; i++) {
        at = read_dimension(at, &dimension);
        (void)snprintf(text, sizeof text, i == 0 ? ", (%u" : ", %u",
                       (unsigned)dimension);
        r = put_text(w, text);
    }
    if (r == 0 && field->ndim > 0)
        r = put_text(w, field->ndim == 1 ? ",)" : ")");
    return r;
}

static int put_struct(struct writer *w, const struct shmkiti_dtype *dtype,
                      const struct shmkiti_field *field);

static int
put_field(struct writer *w, const struct shmkiti_dtype *dtype,
          const struct shmkiti_field *field)
{
    int r = put_text(w, "(");

    if (r == 0)
        r = put_name(w, field);
    if (r == 0)
        r = put_text(w, field->kind == '{' ? ", " : ", '");
    if (r == 0)
        r = field->kind == '{' ? put_struct(w, dtype, field)
                               : put_type(w, field);
    if (r == 0 && field->kind != '{')
        r = put_text(w, "'");
    if (r == 0)
        r = put_shape(w, field);
    return r == 0 ? put_text(w, ")") : r;
}

static int
put_struct(struct writer *w, const struct shmkiti_dtype *dtype,
           const struct shmkiti_field *field)
{
    const struct shmkiti_field *each = field + 1;
    const struct shmkiti_field *end = dtype->field + field->end;
    int r = put_text(w, "[");

    for (; r == 0 && each < end; each = dtype->field + each->end) {
        r = each == field + 1 ? 0 : put_text(w, ", ");
        if (r == 0)
            r = put_field(w, dtype, each);
    }
    return r == 0 ? put_text(w, "]") : r;
}

int
shmkiti_dtype_write(const struct shmkiti_dtype *dtype, char *ret_text,
                    size_t size)
{
    struct writer w = {ret_text, size};

    return dtype->field[0].kind == '{' ? put_struct(&w, dtype, dtype->field)
                                       : put_type(&w, dtype->field);
}

/* ---- public ---- */

int
shmkit_dtype_canonical(const char *dtype, char *ret_text, size_t size,
                       uint64_t *ret_item_size)
{
    char text[SHMKIT_NDARRAY_DTYPE_SIZE];
    struct shmkiti_dtype parsed;
    int r;

    r = shmkiti_dtype_parse(dtype, &parsed);
    if (r == 0)
        r = shmkiti_dtype_write(&parsed, text, sizeof text);
    if (r < 0)
        return r;
    if (strlen(text) >= size)
        return -ERANGE;
    memcpy(ret_text, text, strlen(text) + 1);
    *ret_item_size = parsed.field[0].item_size;
    return 0;
}

static void
describe(const struct shmkiti_field *field, struct shmkit_field *ret)
{
    const char *at = field->dims;

    *ret = (struct shmkit_field){
        .name = field->name,
        .type = field->type,
        .name_len = field->name_len,
        .type_len = field->type_len,
        .offset = field->offset,
        .item_size = field->item_size,
        .count = field->count,
        .ndim = field->ndim,
        .depth = field->depth,
        .kind = field->kind,
        .order = field->order,
    };
    for (unsigned i = 0; i < field->ndim; i++)
        at = read_dimension(at, &ret->shape[i]);
}

struct walk {
    const struct shmkiti_dtype *dtype;
    int (*visit)(const struct shmkit_field *field, void *arg);
    void *arg;
};

static int
visit_one(const struct walk *walk, unsigned i, bool closing)
{
    struct shmkit_field field;

    describe(&walk->dtype->field[i], &field);
    if (closing)
        field.kind = '}';
    return walk->visit(&field, walk->arg);
}

/* Structures that end before field `i`, the innermost first. */
static int
close_before(const struct walk *walk, unsigned i, unsigned *open,
             unsigned *open_count)
{
    int r = 0;

    while (r == 0 && *open_count > 0 &&
           walk->dtype->field[open[*open_count - 1]].end == i)
        r = visit_one(walk, open[--*open_count], true);
    return r;
}

static int
walk_fields(const struct walk *walk)
{
    unsigned open[DEPTH_MAX + 1], open_count = 0;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < walk->dtype->count; i++) {
        r = close_before(walk, i, open, &open_count);
        if (r == 0)
            r = visit_one(walk, i, false);
        if (walk->dtype->field[i].kind == '{')
            open[open_count++] = i;
    }
    return r == 0 ? close_before(walk, walk->dtype->count, open, &open_count)
                  : r;
}

int
shmkit_dtype_visit(const char *dtype,
                   int (*visit)(const struct shmkit_field *field, void *arg),
                   void *arg)
{
    struct shmkiti_dtype parsed;
    struct walk walk = {&parsed, visit, arg};
    int r;

    r = shmkiti_dtype_parse(dtype, &parsed);
    return r < 0 ? r : walk_fields(&walk);
}
