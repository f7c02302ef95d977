/* SPDX-License-Identifier: MIT */
/* dtype.h - a dtype string taken apart. */
#ifndef SHMKITI_CONTAINER_DTYPE_H
#define SHMKITI_CONTAINER_DTYPE_H

#include <shmkit/ndarray.h>

#define SHMKITI_FIELDS 256u /* in all, the element itself included */

/* One value type: all pointers lead into the string that was parsed. */
struct shmkiti_field {
    const char *name, *type, *dims; /* `dims` behind its parenthesis */
    uint64_t offset, item_size, count;
    uint16_t name_len, type_len;
    uint16_t end; /* one past the last field inside of it */
    uint8_t depth, ndim;
    char kind, order;
};

/* 16 KiB: for the stack of one call, never for long. */
struct shmkiti_dtype {
    unsigned count;
    struct shmkiti_field field[SHMKITI_FIELDS]; /* [0]: the element itself */
};

/* -EINVAL: no dtype.  Any text will do, none is trusted. */
int shmkiti_dtype_parse(const char *text, struct shmkiti_dtype *ret_dtype);
/* In canonical form, with its NUL; -ERANGE: longer than `size`. */
int shmkiti_dtype_write(const struct shmkiti_dtype *dtype, char *ret_text,
                        size_t size);

#endif
