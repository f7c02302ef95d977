/* SPDX-License-Identifier: MIT */
/* os.h - every system call of the library, one page of contract.
 *
 * Porting means to implement this page.  Each function returns 0 when done or
 * a negated errno; none retries, waits or decides, but for EINTR, which no
 * caller ever sees.  Descriptors are close-on-exec.  Paths are absolute.
 * Nothing here touches shared bytes through a mapping. */
#ifndef SHMKITI_OS_OS_H
#define SHMKITI_OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a file is.  `birth` is 0 where the system does not tell. */
struct shmkiti_os_stat {
    uint64_t dev, ino;
    uint64_t size, resident; /* bytes */
    int64_t birth;           /* seconds since 1970 */
    uint32_t birth_ns;
    uint32_t mode; /* permission bits, set-id and sticky bits */
    uint32_t nlink, uid, gid;
    bool regular, directory, sticky;
};

#define SHMKITI_OS_STICKY 01000u

/* ---- files ---- */

/* Never follows a symbolic link, never waits for a FIFO's other end. */
int shmkiti_os_open(const char *path, bool writable, int *ret_fd);
/* A file without a name in `dir`: nothing to clean up until it is linked.
 * -EOPNOTSUPP where the file system has none. */
int shmkiti_os_open_unnamed(const char *dir, uint32_t mode, int *ret_fd);
/* A new file; -EEXIST if the name is taken. */
int shmkiti_os_open_new(const char *path, uint32_t mode, int *ret_fd);
int shmkiti_os_close(int fd);
/* Another descriptor for the same description. */
int shmkiti_os_duplicate(int fd, int *ret_fd);
int shmkiti_os_stat(int fd, struct shmkiti_os_stat *ret_stat);
/* False if `fd` is closed or some other file; one that can not be asked for
 * counts as the same. */
bool shmkiti_os_is_file(int fd, uint64_t dev, uint64_t ino);
/* Of the name itself, not of what a symbolic link points to. */
int shmkiti_os_stat_path(const char *path, struct shmkiti_os_stat *ret_stat);
int shmkiti_os_set_mode(int fd, uint32_t mode);
/* Give the file behind `fd` the name `path`; -EEXIST if taken. */
int shmkiti_os_link(int fd, const char *path);
int shmkiti_os_link_path(const char *from, const char *to);
int shmkiti_os_unlink(const char *path);
int shmkiti_os_make_directory(const char *path, uint32_t mode);
int shmkiti_os_remove_directory(const char *path);
/* Visit each entry but "." and ".."; a visit that returns non-zero ends the
 * walk, which returns it. */
int shmkiti_os_list(const char *dir,
                    int (*visit)(const char *name, uint64_t ino, void *arg),
                    void *arg);
/* Whole or nothing: -EIO when fewer bytes than `len` were there. */
int shmkiti_os_read(int fd, uint64_t offset, void *data, size_t len);
int shmkiti_os_write(int fd, uint64_t offset, const void *data, size_t len);
/* A small label on the file; best effort on file systems without labels. */
int shmkiti_os_set_label(int fd, const char *value);
bool shmkiti_os_has_label(const char *path, const char *value);

/* ---- whole-file locks on a description; never block ----
 * -EWOULDBLOCK when another description is in the way.  They end with the
 * last descriptor and the last mapping of the description. */
int shmkiti_os_lock_shared(int fd);
int shmkiti_os_lock_exclusive(int fd);
int shmkiti_os_unlock(int fd);
/* Exclusive lock on one byte, independent of the above; needs a writable
 * descriptor.  -EWOULDBLOCK. */
int shmkiti_os_lock_byte(int fd, uint64_t offset);
/* Whether a mapping keeps the description's locks after close(fd). */
bool shmkiti_os_mapping_pins(int fd);
/* A directory opened for locking. */
int shmkiti_os_open_directory(const char *path, int *ret_fd);

/* ---- space ---- */

/* Allocate [from, to) and make the file that long; -ENOSPC leaves nothing
 * behind.  Idempotent. */
int shmkiti_os_reserve(int fd, uint64_t from, uint64_t to);
int shmkiti_os_set_size(int fd, uint64_t size);
/* Bytes that could still be written: in the file system, within the memory
 * limit of this process's control groups and the machine's free memory;
 * UINT64_MAX where unknown. */
uint64_t shmkiti_os_free_space(int fd);
uint64_t shmkiti_os_free_memory(void);
/* Largest file this process may write before the kernel sends SIGXFSZ. */
uint64_t shmkiti_os_file_size_limit(void);

/* ---- memory ---- */

int shmkiti_os_map(int fd, size_t len, bool writable, void **ret_addr);
/* The same from `offset` (a multiple of the page size), at an address that is
 * congruent to it modulo `align` (a power of two, 0 = any); `private_copy`:
 * writes stay in this process. */
struct shmkiti_os_part {
    uint64_t offset;
    size_t len, align;
    bool writable, private_copy;
};
int shmkiti_os_map_part(int fd, const struct shmkiti_os_part *part,
                        void **ret_addr);
size_t shmkiti_os_page_size(void);
/* Put the pages of [addr, addr + len) into 2 MiB pages; each piece must have
 * at least one page.  Any error: it could not, nothing is lost. */
int shmkiti_os_collapse(void *addr, size_t len);
/* Bytes of the mapping that starts at `addr` on 2 MiB pages; -ENOENT. */
int shmkiti_os_count_huge(const void *addr, uint64_t *ret_bytes);
/* Whether the page at `addr` is there already, so that a look allocates none.
 */
bool shmkiti_os_is_resident(const void *addr);
/* Keep in memory.  -ENOMEM, -EPERM, -EAGAIN: RLIMIT_MEMLOCK. */
int shmkiti_os_lock_memory(void *addr, size_t len);
/* Where pages of this range come from, for all who map it.  `interleave` or
 * bind.  -EOPNOTSUPP: a kernel without NUMA; -EINVAL: no such node. */
int shmkiti_os_place(void *addr, size_t len, bool interleave, uint64_t nodes);
void shmkiti_os_unmap(void *addr, size_t len);
/* Replace a mapping by private zeros in one step: late accesses read zeros. */
int shmkiti_os_map_over(void *addr, size_t len);
/* Page in; -EFAULT, never a signal, when the file cannot give the pages. */
int shmkiti_os_populate(void *addr, size_t len, bool writable);

/* ---- clock, chance, processes ---- */

uint64_t shmkiti_os_now_ns(void); /* CLOCK_MONOTONIC */
void shmkiti_os_sleep_us(unsigned us);
int shmkiti_os_random(void *data, size_t len);
uint32_t shmkiti_os_uid(void); /* effective */
/* The value of an environment variable, NULL in set-id programs. */
const char *shmkiti_os_getenv(const char *name);

/* Visit each (process, file of device `dev`) pair that is mapped. */
struct shmkiti_os_mapping {
    uint64_t dev, ino;
    int64_t pid;
    const char *command;
};
int shmkiti_os_list_mappings(
    uint64_t dev,
    int (*visit)(const struct shmkiti_os_mapping *mapping, void *arg),
    void *arg);

/* ---- futexes, in memory that processes share ----
 * wait: asleep while *word is `expected`, until a wake with a common bit, or
 * `deadline_ns` (CLOCK_MONOTONIC; INT64_MAX = none).  0 woken, -EAGAIN it was
 * another value, -ETIMEDOUT, -EINTR (a signal's handler has run).
 * wake: how many were woken. */
int shmkiti_os_futex_wait(const uint32_t *word, uint32_t expected,
                          int64_t deadline_ns, uint32_t bits);
int shmkiti_os_futex_wake(const uint32_t *word, unsigned n, uint32_t bits);
/* Where this thread runs now; UINT32_MAX if unknown. */
uint32_t shmkiti_os_this_cpu(void);
/* CPUs this process may run on, 1 or more. */
unsigned shmkiti_os_cpu_count(void);

/* ---- locks on single far bytes, and pages that keep them ---- */

/* A shared or exclusive lock on byte `offset` of the description of `fd`,
 * -EWOULDBLOCK when another is in the way. */
int shmkiti_os_lock_byte_shared(int fd, uint64_t offset);
/* Whether another description has a lock on the byte that an exclusive one
 * would meet: 1 or 0. */
int shmkiti_os_byte_is_locked(int fd, uint64_t offset);
/* A fresh description of the file behind `fd`, readable and writable, even if
 * it has no name. Needs /proc. */
int shmkiti_os_reopen(int fd, int *ret_fd);
/* A page without access that keeps the locks of `fd`'s description after
 * close(fd); `inherit`: fork children get it too. */
int shmkiti_os_pin(int fd, bool inherit, void **ret_page);
void shmkiti_os_unpin(void *page);
/* A private page, zero; a fork child finds it zero again. */
int shmkiti_os_map_wiped(void **ret_page);
/* Bytes of address space this process may have; UINT64_MAX: no limit. */
uint64_t shmkiti_os_address_limit(void);

/* ---- other processes ---- */

int64_t shmkiti_os_pid(void);
/* Inode of the PID namespace, 0 if unknown. */
uint64_t shmkiti_os_pid_namespace(void);
/* Whether every thread of the process is past the point of no return, killed
 * by a signal, though its memory may still be there. */
bool shmkiti_os_is_dying(int64_t pid);
/* Command name, "" if unknown. */
void shmkiti_os_command(int64_t pid, char ret_name[16]);

#endif
