/* Preloaded into xrootd: what XRootD 5.5 has no option for.
 *
 * bind: a server that asks for every interface gets 127.0.0.1 only.
 * open64: a file that is only on tape (a link into the library) is not opened: it fails with ENOMEDIUM ("no medium found").
 *         Only overwriting all of it is possible: a new file takes the place of the link, as it would on disk. Refusing
 *         that would delete the file: XRootD does so after a failed overwrite with "persist on successful close". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int bind(int socket, const struct sockaddr *address, socklen_t length)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);
    if (!next)
        next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (address && address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in local = *(const struct sockaddr_in *)address;
        if (local.sin_addr.s_addr == htonl(INADDR_ANY))
            local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return next(socket, (struct sockaddr *)&local, sizeof local);
    }
    return next(socket, address, length);
}

static int only_on_tape(const char *path)
{
    static const char *library;
    char target[4096];
    ssize_t size;
    if (!library && !(library = getenv("TAPE_LIBRARY")))
        library = "";
    if (!*library || (size = readlink(path, target, sizeof target - 1)) <= 0)
        return 0;
    target[size] = 0;
    size_t root = strlen(library);
    return !strncmp(target, library, root) && target[root] == '/';
}

int open64(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    mode_t mode = 0;
    if (!next)
        next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (only_on_tape(path)) {
        if ((flags & O_ACCMODE) == O_RDONLY || !(flags & O_TRUNC) || (flags & O_EXCL)) {
            errno = (flags & O_EXCL) ? EEXIST : ENOMEDIUM;
            return -1;
        }
        if (unlink(path) && errno != ENOENT)
            return -1;
    }
    return next(path, flags, mode);
}
