#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#define _POSIX_C_SOURCE 200809L

#include "walk/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

static int by_name(const void *a, const void *b)
{
    return strcmp(((const raudo_found *)a)->name, ((const raudo_found *)b)->name);
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Read the names, one after the other with their zeros; `mode` is what is known without a look. */
static int read_names(DIR *open, raudo_folder *folder)
{
    size_t n_bytes = 0, room = 0, most = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(open);
        if (entry == NULL)
            return errno;
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
            continue;
        size_t size = strlen(name) + 1;
        if (n_bytes + size > room) {
            char *grown = realloc(folder->names, room = 2 * (n_bytes + size) + 4096);
            if (grown == NULL)
                return ENOMEM;
            folder->names = grown;
        }
        if (folder->n == most) {
            raudo_found *grown = realloc(folder->found, (most = 2 * most + 64) * sizeof *grown);
            if (grown == NULL)
                return ENOMEM;
            folder->found = grown;
        }
        memcpy(folder->names + n_bytes, name, size);
        n_bytes += size;
        raudo_found *found = &folder->found[folder->n++];
        memset(found, 0, sizeof *found);
#ifdef DT_DIR
        found->mode = entry->d_type == DT_DIR ? S_IFDIR : 0;
#endif
    }
}

int raudo_open_folder(const char *path, raudo_folder *folder)
{
    memset(folder, 0, sizeof *folder);
    DIR *open = opendir(path);
    if (open == NULL)
        return errno;
    folder->open = open;
    int error = read_names(open, folder);
    const char *name = folder->names; /* it does not move any more */
    for (size_t i = 0; error == 0 && i < folder->n; i++) {
        folder->found[i].name = name;
        name += strlen(name) + 1;
    }
    if (error == 0 && folder->n > 1)
        qsort(folder->found, folder->n, sizeof *folder->found, by_name);
    return error;
}

void raudo_look_at(const raudo_folder *folder, size_t lo, size_t hi)
{
    struct stat status;
    for (raudo_found *found = folder->found + lo; found < folder->found + hi; found++) {
        if (found->name[0] == '.' || found->mode != 0)
            continue;
        if (fstatat(dirfd(folder->open), found->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        found->mode = (uint32_t)status.st_mode;
        found->stamp[0] = (int64_t)status.st_dev;
        found->stamp[1] = (int64_t)status.st_ino;
        found->stamp[2] = (int64_t)status.st_size;
        found->stamp[3] = nanoseconds(status.st_mtim);
        found->stamp[4] = nanoseconds(status.st_ctim);
    }
}

void raudo_free_folder(raudo_folder *folder)
{
    if (folder->open != NULL)
        closedir(folder->open);
    free(folder->found);
    free(folder->names);
    memset(folder, 0, sizeof *folder);
}
