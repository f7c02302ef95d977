/* SPDX-License-Identifier: MIT */
/* block.h - making a handle from an open file. */
#ifndef SHMKITI_BLOCK_BLOCK_H
#define SHMKITI_BLOCK_BLOCK_H

#include "block/local.h"
#include "os/os.h"

/* Options with defaults filled in; -EINVAL when they contradict. */
int shmkiti_options_read(const struct shmkit_block_options *given,
                         struct shmkit_block_options *ret_options);

/* A handle without a mapping yet. */
int shmkiti_handle_new(const char *name, bool read_only,
                       shmkit_block **ret_block);
/* Map `fd`, which is `st`, and page it in if asked for; the handle keeps a
 * descriptor where the mapping does not pin.  On failure nothing is mapped. */
int shmkiti_handle_map(shmkit_block *block, int fd,
                       const struct shmkiti_os_stat *st, uint32_t flags);
/* Unmap and free a handle nobody has seen. */
void shmkiti_handle_drop(shmkit_block *block);
/* shmkit_block_attach with checked arguments, inside the guard. */
int shmkiti_attach(const char *name,
                   const struct shmkit_block_options *options,
                   shmkit_block **ret_block);
/* A lock was dropped: look whether that was the last one, as every drop of SH
 * must. */
void shmkiti_after_drop(const char *name, uint64_t key);

/* Open `block`'s file by its name, if that still names it: -ESTALE. */
int shmkiti_handle_reopen(const shmkit_block *block, bool writable,
                          int *ret_fd, struct shmkiti_os_stat *ret_st);

#endif
