/* SPDX-License-Identifier: MIT */
/* nameless.c - a file of /dev/shm that gets its name when it is whole.
 *
 * With O_TMPFILE a kill at any moment before the link leaves nothing: the
 * inode has no name.  Where the file system has no such files, a temporary
 * name ".shmkit-XXXXXXXXXXXXXXXX" stands in: created sticky, SH taken at once,
 * so that a kill leaves a sticky file nobody holds, which any sweep removes.
 * Between its creation and SH a sweeper may take it for such a left-over; the
 * link then meets ENOENT, and the caller starts again with another file.
 *
 * The temporary name goes before the sticky bit of a block that shall not have
 * one: in between, a kill leaves a sticky block without holders, not a second
 * name that nothing removes.
 *
 * The mode is set again by fchmod only where the umask changed it, which is
 * told from the stat that the caller needs anyway. */
#include "block/nameless.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/fault.h"
#include "os/os.h"

static int
open_temporary(struct shmkiti_nameless *file)
{
    uint64_t id;
    int r;

    r = shmkiti_os_random(&id, sizeof id);
    if (r < 0)
        return r;
    (void)snprintf(file->temporary, sizeof file->temporary,
                   SHMKITI_DIR "/.shmkit-%016" PRIx64, id);
    r = shmkiti_os_open_new(file->temporary, file->mode | SHMKITI_OS_STICKY,
                            &file->fd);
    if (r < 0)
        file->temporary[0] = '\0';
    SHMKITI_FAULT("nameless.open.temporary");
    return r;
}

int
shmkiti_nameless_fix_mode(const struct shmkiti_nameless *file,
                          struct shmkiti_os_stat *st)
{
    uint32_t wanted = file->mode;
    int r = 0;

    if (file->temporary[0] != '\0')
        wanted |= SHMKITI_OS_STICKY;
    if (st->mode != wanted)
        r = shmkiti_os_set_mode(file->fd, wanted);
    if (r == 0)
        st->mode = wanted;
    return r;
}

int
shmkiti_nameless_open(uint32_t mode, struct shmkiti_nameless *ret_file)
{
    struct shmkiti_nameless file = {.fd = -1, .mode = mode};
    int r;

    r = shmkiti_os_open_unnamed(SHMKITI_DIR, mode, &file.fd);
    if (r == -EOPNOTSUPP)
        r = open_temporary(&file);
    if (r < 0)
        return r;
    if ((mode & SHMKITI_OS_STICKY) != 0 || file.temporary[0] != '\0')
        r = shmkiti_os_lock_shared(file.fd);
    if (r < 0) {
        shmkiti_nameless_close(&file);
        return r;
    }
    *ret_file = file;
    return 0;
}

/* From the temporary name to the real one.  A failure half-way takes the new
 * name back; what cannot be taken back is sticky and goes with a sweep. */
static int
rename_temporary(struct shmkiti_nameless *file, const char *path)
{
    int r;

    r = shmkiti_os_link_path(file->temporary, path);
    if (r < 0)
        return r;
    SHMKITI_FAULT("nameless.link.linked");
    r = shmkiti_os_unlink(file->temporary);
    if (r == 0)
        file->temporary[0] = '\0';
    SHMKITI_FAULT("nameless.link.unlinked");
    if (r == 0 && (file->mode & SHMKITI_OS_STICKY) == 0)
        r = shmkiti_os_set_mode(file->fd, file->mode);
    if (r < 0)
        (void)shmkiti_os_unlink(path);
    return r;
}

int
shmkiti_nameless_link(struct shmkiti_nameless *file, const char *path)
{
    if (file->temporary[0] != '\0')
        return rename_temporary(file, path);
    return shmkiti_os_link(file->fd, path);
}

void
shmkiti_nameless_close(struct shmkiti_nameless *file)
{
    if (file->temporary[0] != '\0')
        (void)shmkiti_os_unlink(file->temporary);
    if (file->fd >= 0)
        (void)shmkiti_os_close(file->fd);
    file->fd = -1;
    file->temporary[0] = '\0';
}
