/* Makes one system call on one path fail, once; loaded before the system's own library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char armed_call[16], armed_path[4096];
static int armed_at, armed_errno, seen;

/* The call to fail, a part of the path it is on, and which one of them: 0 counts only. */
void faults_arm(const char *call, const char *path, int at, int error) {
    snprintf(armed_path, sizeof armed_path, "%s", path);
    armed_at = at, armed_errno = error, seen = 0;
    snprintf(armed_call, sizeof armed_call, "%s", call);
}

int faults_seen(void) { return seen; }

static int fails(const char *call, const char *path) {
    if (!armed_call[0] || strcmp(call, armed_call) || !strstr(path, armed_path)) return 0;
    if (__sync_add_and_fetch(&seen, 1) != armed_at) return 0;
    errno = armed_errno;
    return 1;
}

static int fails_on(const char *call, int file) {
    char name[64], path[4096];
    if (!armed_call[0] || strcmp(call, armed_call)) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t read(int file, void *bytes, size_t size) {
    return fails_on("read", file) ? -1 : REAL(ssize_t, "read", int, void *, size_t)(file, bytes, size);
}
ssize_t write(int file, const void *bytes, size_t size) {
    return fails_on("write", file) ? -1
        : REAL(ssize_t, "write", int, const void *, size_t)(file, bytes, size);
}
int fsync(int file) { return fails_on("fsync", file) ? -1 : REAL(int, "fsync", int)(file); }
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : REAL(int, "rename", const char *, const char *)(from, to);
}
int unlink(const char *path) {
    return fails("unlink", path) ? -1 : REAL(int, "unlink", const char *)(path);
}
int rmdir(const char *path) {
    return fails("rmdir", path) ? -1 : REAL(int, "rmdir", const char *)(path);
}
int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", path) ? -1 : REAL(int, "mkdir", const char *, mode_t)(path, mode);
}
static int opens(const char *real, const char *path, int flags, mode_t mode) {
    const char *call = flags & O_CREAT ? "create" : "open";
    return fails(call, path) ? -1
        : REAL(int, real, const char *, int, ...)(path, flags, mode);
}
#define MODE(flags) mode_t mode = 0; if (flags & O_CREAT) { \
    va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return opens("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opens("open64", path, flags, mode); }
