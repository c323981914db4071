/* What POSIX and Windows spell differently. No Python.h. */
#ifndef RAUDO_SYSTEM_H
#define RAUDO_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <io.h>
#include <process.h>

static inline ptrdiff_t raudo_write(int file, const void *data, size_t n_bytes) {
    return _write(file, data, (unsigned)(n_bytes < INT_MAX ? n_bytes : INT_MAX));
}
static inline int raudo_close(int file) { return _close(file); }
static inline long raudo_process(void) { return _getpid(); }
static inline void raudo_doze(void) { Sleep(1); } /* the shortest there is */
static inline int64_t raudo_wall_ns(void) {
    FILETIME now; /* in 100 ns since 1601 */
    GetSystemTimePreciseAsFileTime(&now);
    const int64_t ticks = (int64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (ticks - INT64_C(116444736000000000)) * 100;
}
#else
#include <time.h>
#include <unistd.h>

static inline ptrdiff_t raudo_write(int file, const void *data, size_t n_bytes) {
    return write(file, data, n_bytes);
}
static inline int raudo_close(int file) { return close(file); }
static inline long raudo_process(void) { return getpid(); }
static inline void raudo_doze(void) {
    const struct timespec moment = {0, 100000}; /* 0.1 ms */
    nanosleep(&moment, NULL);
}
static inline int64_t raudo_wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
#endif

#endif
