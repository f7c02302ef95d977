/* SPDX-License-Identifier: MIT */
/* array.c - what a block says of the array that it is.
 *
 * The description at its end is read by name, without attaching, so nothing is
 * held or swept.  A block that is none, or cannot be read, has none: that is
 * no error.  A dtype is printed without the blanks between its words, so that
 * it stays one word of a table. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

/* In place: the blanks outside of quotes go. */
static void
close_up(char *text)
{
    char quote = '\0', *to = text;

    for (; *text != '\0'; text++) {
        if (quote == '\0' && *text == ' ')
            continue;
        if (quote != '\0' && *text == '\\')
            *to++ = *text++;
        else if (quote == *text)
            quote = '\0';
        else if (quote == '\0' && (*text == '\'' || *text == '"'))
            quote = *text;
        *to++ = *text;
    }
    *to = '\0';
}

/* "3x4"; "()" has no dimensions. */
static char *
shape_text(const struct shmkit_ndarray_info *info)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    for (uint32_t i = 0; i < info->ndim; i++)
        fprintf(out, "%s%" PRIu64, i > 0 ? "x" : "", info->shape[i]);
    if (info->ndim == 0)
        fputs("()", out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

void
array_read(struct row *row)
{
    struct shmkit_ndarray_info info;

    if (shmkit_ndarray_stat(row->stat.name, &info, sizeof info) < 0)
        return;
    close_up(info.dtype);
    row->dtype = strdup(info.dtype);
    row->shape = shape_text(&info);
    if (info.label[0] != '\0')
        row->label = strdup(info.label);
}

void
array_free(struct row *row)
{
    free(row->dtype);
    free(row->shape);
    free(row->label);
}
