/* SPDX-License-Identifier: MIT */
/* block.h - named bytes that processes share.
 *
 * A block is one file in /dev/shm: user data from offset 0, no header, so any
 * POSIX program (plain CPython included) attaches it by name.  What this
 * library adds is a lifetime: see enum shmkit_lifetime.
 *
 * Threads: every function may be called from any thread at any time; a handle
 * may be shared by threads as long as none closes it while another uses it.
 * Processes: after fork() the child owns its own copy of every handle and
 * closes it for itself.  Signals: nothing here may be called in a handler.
 * Nothing here waits longer than about one second, but for the reservation of
 * space (about 0.25 s a GiB) and the unmapping of touched pages.
 *
 * Names are 1 to 255 bytes without '/' and NUL, not "." or "..", and not
 * "shmkit-" followed by digits, which holds the families: else -EINVAL or
 * -ENAMETOOLONG. */
#ifndef SHMKIT_BLOCK_H
#define SHMKIT_BLOCK_H

#include <shmkit/api.h>
#include <sys/types.h>

SHMKIT_BEGIN

#define SHMKIT_NAME_SIZE 256 /* longest name and its NUL, bytes */

/* This process's view of one block.  It never changes once made: growing
 * gives a second handle. */
typedef struct shmkit_block shmkit_block;

enum shmkit_lifetime {
    SHMKIT_LIFETIME_FAMILY = 0,    /* until unlink, or the family is gone */
    SHMKIT_LIFETIME_HOLDERS = 1,   /* until the last holder is gone */
    SHMKIT_LIFETIME_PERSISTENT = 2 /* until unlink */
};

enum shmkit_block_flags {
    SHMKIT_READ_ONLY = 1 << 0, /* map without write permission */
    SHMKIT_SPARSE = 1 << 1,    /* reserve nothing: a full /dev/shm is SIGBUS */
    SHMKIT_PREFAULT = 1 << 2,  /* page in now, not at the first touch */
    SHMKIT_EXIST_OK = 1 << 3,  /* create: attach if the name is taken */
    SHMKIT_HUGE = 1 << 4,      /* 2 MiB pages or -EOPNOTSUPP */
    SHMKIT_NO_HUGE = 1 << 5,   /* 4 KiB pages, whatever the size */
    SHMKIT_PRIVATE = 1 << 6,   /* attach: writes stay in this process */
    SHMKIT_LOCKED = 1 << 7     /* never paged out (mlock) */
};

enum shmkit_placement {
    SHMKIT_PLACEMENT_DEFAULT = 0,   /* on the node that touches first */
    SHMKIT_PLACEMENT_BIND = 1,      /* on `nodes` only */
    SHMKIT_PLACEMENT_INTERLEAVE = 2 /* page by page over `nodes` */
};

struct shmkit_block_options {
    size_t struct_size; /* sizeof(struct shmkit_block_options) */
    uint32_t flags;     /* enum shmkit_block_flags, or-ed */
    uint32_t lifetime;  /* enum shmkit_lifetime; create only */
    uint32_t mode;      /* permission bits with 0400, no umask; create only */
    uint32_t placement; /* enum shmkit_placement; create only */
    uint64_t nodes;     /* NUMA nodes, bit n = node n */
    uint64_t offset;    /* attach: first byte to map */
    uint64_t length;    /* attach: bytes to map, 0 = to the end */
};
#define SHMKIT_BLOCK_OPTIONS_INIT                                   \
    {                                                               \
        sizeof(struct shmkit_block_options), 0, 0, 0600, 0, 0, 0, 0 \
    }

/* Which inode a handle met.  A value: outlives the handle, good in this
 * process only. */
struct shmkit_block_ref {
    uint64_t opaque[4];
};

/* ---- making, finding, leaving ---- */

/* Make block `name` of `size` bytes (> 0), all zero, and map it.  NULL draws
 * a free name "psm_xxxxxxxx".  NULL options are the defaults.  The name
 * appears only when the block is whole and its space reserved.  From 2 MiB up
 * it lies on 2 MiB pages where the kernel can (Linux 6.1), without root or
 * settings, and silently on 4 KiB pages where not.
 * SHMKIT_EXISTED: with SHMKIT_EXIST_OK, the name was taken and its block is
 * attached, whatever its size.  -EEXIST, -EINVAL (name, size, options),
 * -ENAMETOOLONG, -ENOSPC (/dev/shm, its inodes or the memory limit would be
 * full), -ENOMEM, -EFBIG (RLIMIT_FSIZE), -EMFILE, -EACCES; -EOPNOTSUPP
 * (SHMKIT_HUGE or a placement that the kernel has not).  About 12 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_create(
    const char *name, size_t size, const struct shmkit_block_options *options,
    shmkit_block **ret_block);

/* Map block `name`, made by anybody, or the part of it that the options say.
 * Attaching never makes an owner.  -ERANGE: the part is not within the block.
 * -ENOENT, -EACCES, -ENODATA (empty file), -ENODEV, -ELOOP or -EISDIR (no
 * regular file stands there), -EBUSY (a stopped process is removing it),
 * -ENOMEM.  About 5 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_attach(
    const char *name, const struct shmkit_block_options *options,
    shmkit_block **ret_block);

/* Make the block at least `size` bytes long and map all of it as a second
 * handle; the old handle and its addresses stay good until it is closed.
 * `size` 0 takes the block as long as it is now.  Never shrinks.  -ESTALE if
 * the name is gone or names another block; -EACCES for a read-only handle;
 * else as create. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_grow(shmkit_block *block, size_t size,
                                              shmkit_block **ret_block);

/* Bytes of this handle's mapping that lie on 2 MiB pages now.  Reads a page of
 * each piece; about 1 us a piece.  -ENOENT where the system does not tell. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_get_huge(const shmkit_block *block,
                                                  uint64_t *ret_bytes);

/* Unmap and free; takes and returns NULL.  A holders block goes with its last
 * holder. */
SHMKIT_API shmkit_block *shmkit_block_close(shmkit_block *block);

/* Remove the name; the bytes go when the last mapping does.  With `ref`, only
 * if it still names that block (else -ENOENT).  Any process that may write
 * /dev/shm/NAME may call it.  -ENOENT, -EACCES, -EPERM, -EBUSY (another
 * unlinker was stopped half-way). */
SHMKIT_API SHMKIT_CHECK int shmkit_block_unlink(
    const char *name, const struct shmkit_block_ref *ref);

/* Change the lifetime to persistent: nothing but an unlink removes it then.
 * -ESTALE as for grow; -EPERM when the block is another user's, or listed by a
 * family this process is not in. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_persist(shmkit_block *block);

/* ---- asking a handle: no system call, never fails ---- */
SHMKIT_API void *shmkit_block_data(const shmkit_block *block);
SHMKIT_API size_t shmkit_block_size(const shmkit_block *block);
SHMKIT_API const char *shmkit_block_name(const shmkit_block *block);
/* Permission bits when it was attached, without the library's marks. */
SHMKIT_API uint32_t shmkit_block_mode(const shmkit_block *block);
SHMKIT_API int shmkit_block_is_read_only(const shmkit_block *block);
SHMKIT_API struct shmkit_block_ref shmkit_block_get_ref(
    const shmkit_block *block);

/* Copy `len` bytes to or from `offset`, at the speed of memory: streaming
 * stores from 8 MiB up.  The ranges do not overlap; not atomic towards other
 * processes.  -ERANGE: not within the block; -EACCES: a read-only handle. */
SHMKIT_API SHMKIT_CHECK int shmkit_copy_in(shmkit_block *block, size_t offset,
                                           const void *from, size_t len);
SHMKIT_API SHMKIT_CHECK int shmkit_copy_out(const shmkit_block *block,
                                            size_t offset, void *to,
                                            size_t len);

/* A new descriptor (O_CLOEXEC, the caller's to close) of the block.  -ESTALE
 * when the name is gone or names another block. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_open_fd(const shmkit_block *block,
                                                 int *ret_fd);

/* ---- asking about blocks by name, own and foreign ---- */

enum shmkit_block_state {
    SHMKIT_STATE_LIVE = 0,   /* held, or its family lives */
    SHMKIT_STATE_ORPHAN = 1, /* nobody is left: the next sweep removes it */
    SHMKIT_STATE_IDLE = 2,   /* persistent, and nobody has it mapped */
    SHMKIT_STATE_FOREIGN = 3 /* not known to be this library's: never swept */
};

struct shmkit_block_stat {
    char name[SHMKIT_NAME_SIZE];
    uint64_t size;     /* bytes */
    uint64_t resident; /* bytes of memory it takes now */
    uint64_t inode;
    uint64_t device;
    uint64_t family; /* id of its family, 0 = none known */
    int64_t birth;   /* seconds since 1970, 0 = unknown */
    uint32_t mode;   /* permission bits */
    uint32_t uid, gid;
    uint32_t lifetime; /* enum shmkit_lifetime; for foreign: persistent */
    uint32_t state;    /* enum shmkit_block_state */
    uint32_t reserved;
};

/* -ENOENT; -ENODEV when no regular file stands there.  `stat_size` is
 * sizeof *ret_stat. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_stat(const char *name,
                                              struct shmkit_block_stat *ret,
                                              size_t stat_size);

/* Visit every block the caller may see, in no order.  A visit that returns
 * non-zero ends the walk, and its value is returned. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_list(
    int (*visit)(const struct shmkit_block_stat *stat, void *arg), void *arg);

/* One process that has one file of /dev/shm mapped. */
struct shmkit_holder {
    uint64_t inode, device;
    int64_t pid;
    char command[64];
};

/* Visit (process, block) pairs, each once, from /proc: only processes the
 * caller may look into.  About 50 us a process. */
SHMKIT_API SHMKIT_CHECK int shmkit_holder_list(
    int (*visit)(const struct shmkit_holder *holder, void *arg), void *arg);

/* ---- cleaning ---- */

/* Remove holders block `name` if nobody holds it.  0 removed; SHMKIT_IN_USE;
 * SHMKIT_KEPT: its lifetime is another; -ENOENT; -EACCES, -EPERM. */
SHMKIT_API SHMKIT_CHECK int shmkit_block_reap(const char *name);

enum shmkit_sweep_flags { SHMKIT_DRY_RUN = 1 };

/* Remove what nobody is left to remove: dead families' blocks and holders
 * blocks without holders.  Each name that went (with SHMKIT_DRY_RUN: would go)
 * is visited, `visit` may be NULL.  Root sweeps for every user.  About 8 us,
 * 4 us a sticky block, 15 us a removed one. */
SHMKIT_API SHMKIT_CHECK int shmkit_sweep(
    uint32_t flags, void (*visit)(const char *name, void *arg), void *arg);

SHMKIT_END

#endif
