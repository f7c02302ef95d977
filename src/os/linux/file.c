/* SPDX-License-Identifier: MIT */
/* file.c - files, names and file locks on Linux.
 *
 * No state but two remembered answers of the kernel: whether linkat takes
 * AT_EMPTY_PATH from us, and whether it reports times of birth.  Both are
 * relaxed atomics that any thread may set to the same value. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"

#define LABEL "user.shmkit"

#define OVERLAYFS_MAGIC 0x794c7630

/* Run `call`, which returns -1 and errno, again while it is interrupted;
 * result 0 or more, or a negated errno.  A hook may fail it first. */
#define RETRY(ret, name, call)         \
    do {                               \
        (ret) = SHMKITI_SYSCALL(name); \
        if ((ret) < 0)                 \
            continue;                  \
        (ret) = (call);                \
        if ((ret) < 0)                 \
            (ret) = -errno;            \
    } while ((ret) == -EINTR)

static int
take_fd(int r, int *ret_fd)
{
    if (r < 0)
        return r;
    *ret_fd = r;
    return 0;
}

int
shmkiti_os_open(const char *path, bool writable, int *ret_fd)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int r;

    RETRY(r, "open", open(path, flags | (writable ? O_RDWR : O_RDONLY)));
    return take_fd(r, ret_fd);
}

int
shmkiti_os_open_unnamed(const char *dir, uint32_t mode, int *ret_fd)
{
    int r;

    RETRY(r, "open_unnamed", open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
    /* Kernels that know no O_TMPFILE see a directory opened for writing. */
    return take_fd(r == -EISDIR ? -EOPNOTSUPP : r, ret_fd);
}

int
shmkiti_os_open_new(const char *path, uint32_t mode, int *ret_fd)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int r;

    RETRY(r, "open_new", open(path, flags, mode));
    return take_fd(r, ret_fd);
}

int
shmkiti_os_open_directory(const char *path, int *ret_fd)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int r;

    RETRY(r, "open_directory", open(path, flags));
    return take_fd(r, ret_fd);
}

int
shmkiti_os_close(int fd)
{
    return close(fd) < 0 ? -errno : 0;
}

int
shmkiti_os_duplicate(int fd, int *ret_fd)
{
    int r;

    RETRY(r, "dup", fcntl(fd, F_DUPFD_CLOEXEC, 3));
    return take_fd(r, ret_fd);
}

static void
fill_stat(struct shmkiti_os_stat *st, const struct statx *x)
{
    memset(st, 0, sizeof *st);
    st->dev = makedev(x->stx_dev_major, x->stx_dev_minor);
    st->ino = x->stx_ino;
    st->size = x->stx_size;
    st->resident = x->stx_blocks * 512;
    if (x->stx_mask & STATX_BTIME) {
        st->birth = x->stx_btime.tv_sec;
        st->birth_ns = x->stx_btime.tv_nsec;
    }
    st->mode = x->stx_mode & 07777u;
    st->nlink = x->stx_nlink;
    st->uid = x->stx_uid;
    st->gid = x->stx_gid;
    st->regular = S_ISREG(x->stx_mode);
    st->directory = S_ISDIR(x->stx_mode);
    st->sticky = (x->stx_mode & S_ISVTX) != 0;
}

static int
stat_at(int fd, const char *path, int flags, struct shmkiti_os_stat *ret)
{
    struct statx x;
    int r;

    RETRY(r, "statx",
          statx(fd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &x));
    if (r < 0)
        return r;
    fill_stat(ret, &x);
    return 0;
}

int
shmkiti_os_stat(int fd, struct shmkiti_os_stat *ret_stat)
{
    return stat_at(fd, "", AT_EMPTY_PATH, ret_stat);
}

bool
shmkiti_os_is_file(int fd, uint64_t dev, uint64_t ino)
{
    struct shmkiti_os_stat st;
    int r = shmkiti_os_stat(fd, &st);

    return r == 0 ? st.dev == dev && st.ino == ino : r != -EBADF;
}

int
shmkiti_os_stat_path(const char *path, struct shmkiti_os_stat *ret_stat)
{
    return stat_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, ret_stat);
}

int
shmkiti_os_set_mode(int fd, uint32_t mode)
{
    int r;

    RETRY(r, "fchmod", fchmod(fd, mode));
    return r;
}

/* Any kernel, but needs /proc. */
static int
link_by_proc(int fd, const char *path)
{
    char from[40];
    int r;

    (void)snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    RETRY(r, "link_proc",
          linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
    return r;
}

int
shmkiti_os_link(int fd, const char *path)
{
    static int refused; /* AT_EMPTY_PATH, by an older kernel */
    int r;

    if (__atomic_load_n(&refused, __ATOMIC_RELAXED))
        return link_by_proc(fd, path);
    RETRY(r, "link", linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH));
    if (r != -ENOENT && r != -EPERM && r != -EINVAL)
        return r;
    /* ENOENT may also mean that the directory is gone: then both say so, and
     * nothing is concluded about the kernel. */
    r = link_by_proc(fd, path);
    if (r == 0)
        __atomic_store_n(&refused, 1, __ATOMIC_RELAXED);
    return r;
}

int
shmkiti_os_link_path(const char *from, const char *to)
{
    int r;

    RETRY(r, "link_path", linkat(AT_FDCWD, from, AT_FDCWD, to, 0));
    return r;
}

int
shmkiti_os_unlink(const char *path)
{
    int r;

    RETRY(r, "unlink", unlink(path));
    return r;
}

int
shmkiti_os_make_directory(const char *path, uint32_t mode)
{
    int r;

    RETRY(r, "mkdir", mkdir(path, mode));
    return r;
}

int
shmkiti_os_remove_directory(const char *path)
{
    int r;

    RETRY(r, "rmdir", rmdir(path));
    return r;
}

static bool
is_dots(const char *name)
{
    return name[0] == '.' &&
           (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int
shmkiti_os_list(const char *path,
                int (*visit)(const char *name, uint64_t ino, void *arg),
                void *arg)
{
    int r = SHMKITI_SYSCALL("list");
    struct dirent *entry;
    DIR *dir;

    if (r < 0)
        return r;
    dir = opendir(path);
    if (dir == NULL)
        return -errno;
    while (errno = 0, r == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_dots(entry->d_name))
            r = visit(entry->d_name, entry->d_ino, arg);
    }
    if (r == 0)
        r = -errno;
    (void)closedir(dir);
    return r;
}

int
shmkiti_os_read(int fd, uint64_t offset, void *data, size_t len)
{
    unsigned char *to = data;
    ssize_t n;

    while (len > 0) {
        RETRY(n, "pread", pread(fd, to, len, (off_t)offset));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO;
        to += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int
shmkiti_os_write(int fd, uint64_t offset, const void *data, size_t len)
{
    const unsigned char *from = data;
    ssize_t n;

    while (len > 0) {
        RETRY(n, "pwrite", pwrite(fd, from, len, (off_t)offset));
        if (n < 0)
            return (int)n;
        from += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int
shmkiti_os_set_label(int fd, const char *value)
{
    int r;

    RETRY(r, "fsetxattr", fsetxattr(fd, LABEL, value, strlen(value), 0));
    return r;
}

bool
shmkiti_os_has_label(const char *path, const char *value)
{
    char got[32];
    ssize_t n = lgetxattr(path, LABEL, got, sizeof got);

    return n == (ssize_t)strlen(value) && memcmp(got, value, (size_t)n) == 0;
}

int
shmkiti_os_lock_shared(int fd)
{
    int r;

    RETRY(r, "flock_shared", flock(fd, LOCK_SH | LOCK_NB));
    return r;
}

int
shmkiti_os_lock_exclusive(int fd)
{
    int r;

    RETRY(r, "flock_exclusive", flock(fd, LOCK_EX | LOCK_NB));
    return r;
}

int
shmkiti_os_unlock(int fd)
{
    /* Never failed by a test: an unlock that is refused does not exist. */
    return flock(fd, LOCK_UN) < 0 ? -errno : 0;
}

int
shmkiti_os_lock_byte(int fd, uint64_t offset)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)offset,
                         .l_len = 1};
    int r;

    RETRY(r, "lock_byte", fcntl(fd, F_OFD_SETLK, &lock));
    return r == -EACCES || r == -EAGAIN ? -EWOULDBLOCK : r;
}

bool
shmkiti_os_mapping_pins(int fd)
{
    struct statfs fs;

    /* Overlay file systems map another description than the one opened. */
    return fstatfs(fd, &fs) == 0 && fs.f_type != OVERLAYFS_MAGIC;
}

int
shmkiti_os_set_size(int fd, uint64_t size)
{
    int r;

    RETRY(r, "ftruncate", ftruncate(fd, (off_t)size));
    return r;
}

#define RESERVE_CHUNK (UINT64_C(64) << 20)

/* A new file in chunks, because older kernels undo everything when a signal
 * comes; one that others may have mapped in one piece, because the kernel
 * undoes a failed piece, and we could not without shortening it. */
static int
reserve_range(int fd, uint64_t from, uint64_t to)
{
    uint64_t most = from == 0 ? RESERVE_CHUNK : to - from;
    int r = 0;

    while (r == 0 && from < to) {
        uint64_t len = to - from < most ? to - from : most;

        RETRY(r, "fallocate", fallocate(fd, 0, (off_t)from, (off_t)len));
        from += len;
    }
    return r;
}

int
shmkiti_os_reserve(int fd, uint64_t from, uint64_t to)
{
    int r = reserve_range(fd, from, to);

    if (r == -EOPNOTSUPP) {
        /* A file system without fallocate: the C library writes zeros. */
        r = -posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    }
    if (r < 0 && from == 0)
        (void)ftruncate(fd, 0);
    return r;
}
