/* XRootD's oss.statlib for the nearline endpoint; no XRootD headers needed.
 *
 * A symbolic link into the library is a file that is only on tape: OFFLINE, with a backup.
 * A regular file whose library copy has the same size and modification time is online, with a backup.
 * Any other regular file is online and not archived (yet). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HIGH_BYTE(bits) ((dev_t)(bits) << ((sizeof(dev_t) - 1) * 8))
static const dev_t OFFLINE = HIGH_BYTE(0x80), HAS_BACKUP = HIGH_BYTE(0x40); /* XrdSfsFlags.hh */
enum { RESIDENT_ONLY = 1 };                                                 /* XrdOss.hh: XRDOSS_resonly */

static const char *buffer, *library;
static size_t buffer_length;

static int stat_tape(const char *path, struct stat *answer, int options, void *environment)
{
    struct stat archived;
    char copy[8192];
    (void)environment;
    if (lstat(path, answer))
        return -1;
    if (S_ISDIR(answer->st_mode) || strncmp(path, buffer, buffer_length))
        return stat(path, answer);
    if (snprintf(copy, sizeof copy, "%s%s", library, path + buffer_length) >= (int)sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (S_ISLNK(answer->st_mode)) {
        if (options & RESIDENT_ONLY) {
            errno = ENOENT;
            return -1;
        }
        if (stat(path, answer))
            return -1;
        answer->st_mode = S_IFREG | 0644;
        answer->st_rdev = OFFLINE | HAS_BACKUP;
        return 0;
    }
    if (!stat(copy, &archived) && S_ISREG(archived.st_mode) && archived.st_size == answer->st_size
        && archived.st_mtim.tv_sec == answer->st_mtim.tv_sec && archived.st_mtim.tv_nsec == answer->st_mtim.tv_nsec)
        answer->st_rdev = HAS_BACKUP;
    return 0;
}

typedef int (*stat_function)(const char *, struct stat *, int, void *);

stat_function XrdOssStatInfoInit(void *storage, void *logger, const char *configuration, const char *parameters)
{
    (void)storage, (void)logger, (void)configuration, (void)parameters;
    buffer = getenv("TAPE_BUFFER");
    library = getenv("TAPE_LIBRARY");
    if (!buffer || !library)
        return NULL;
    buffer_length = strlen(buffer);
    return stat_tape;
}

/* The stamp that XRootD checks before it loads a plug-in (XrdVERSIONINFO); the server's version comes from the build. */
struct {
    int number;
    const char name_length;
    const char prefix[3];
    const char text[64];
} XrdOssStatInfoInit_ = {XRD_VERSION_NUMBER, 8, {'@', 'V', ':'}, "tapestat " XRD_VERSION_TEXT};
