/* SPDX-License-Identifier: MIT */
/* block.h - making a handle from an open file. */
#ifndef SHMKITI_BLOCK_BLOCK_H
#define SHMKITI_BLOCK_BLOCK_H

#include "block/local.h"
#include "os/os.h"

/* Options with defaults filled in; -EINVAL when they contradict. */
int shmkiti_options_read(const struct shmkit_block_options *given,
                         struct shmkit_block_options *ret_options);

/* A handle without a mapping yet; of the options only the flags matter. */
int shmkiti_handle_new(const char *name, uint32_t flags,
                       shmkit_block **ret_block);
/* Map what the options say of `fd`, which is `st`; the handle keeps a
 * descriptor where the mapping does not pin.  On failure nothing is mapped. */
int shmkiti_handle_map(shmkit_block *block, int fd,
                       const struct shmkiti_os_stat *st,
                       const struct shmkit_block_options *options);
/* Page it in and lock it, if the flags say so. */
int shmkiti_handle_page_in(shmkit_block *block, uint32_t flags);
/* Close the descriptor that it keeps where a mapping does not pin, unless user
 * code has closed it and its number is another file's by now. */
void shmkiti_handle_close_fd(shmkit_block *block);
/* Private zeros in its place: drops what the mapping pins. */
int shmkiti_handle_map_over(shmkit_block *block);
/* Unmap and free a handle nobody has seen. */
void shmkiti_handle_drop(shmkit_block *block);
/* shmkit_block_create with a function that fills the block before it has a
 * name; not called when one that was there is attached. */
typedef void shmkiti_create_fn(void *data, size_t size, void *arg);
struct shmkiti_create_hook {
    shmkiti_create_fn *init;
    void *arg;
};
int shmkiti_create(const char *name, size_t size,
                   const struct shmkit_block_options *options,
                   const struct shmkiti_create_hook *hook,
                   shmkit_block **ret_block);
/* The same with one that may fail: then nothing was made. */
typedef int shmkiti_fill_fn(void *data, size_t size, void *arg);
int shmkiti_create_filled(const char *name, size_t size,
                          const struct shmkit_block_options *options,
                          shmkiti_fill_fn *filler, void *arg,
                          shmkit_block **ret_block);
/* shmkit_block_attach with checked arguments, inside the guard. */
int shmkiti_attach(const char *name,
                   const struct shmkit_block_options *options,
                   shmkit_block **ret_block);
/* A lock was dropped: look whether that was the last one, as every drop of SH
 * must.  `was_sticky`: the block was when the lock was taken; else a sweeper
 * has marked it, and its family's file waits for it. */
void shmkiti_after_drop(const char *name, uint64_t key, bool was_sticky);

/* Open `block`'s file by its name, if that still names it: -ESTALE. */
int shmkiti_handle_reopen(const shmkit_block *block, bool writable,
                          int *ret_fd, struct shmkiti_os_stat *ret_st);

#endif
