/* Monotonic nanoseconds: exact, and a coarse reading a few times cheaper that lags by one tick. */
#ifndef RAUDO_CLOCK_H
#define RAUDO_CLOCK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <dlfcn.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

/* More than a scheduler tick at 100 Hz: the coarse clock is never further behind. */
#define RAUDO_COARSE_LAG_NS INT64_C(20000000)

#ifdef _WIN32
static inline int64_t raudo_now_ns(void) {
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceFrequency(&per_second);
    QueryPerformanceCounter(&ticks);
    const int64_t seconds = ticks.QuadPart / per_second.QuadPart;
    const int64_t rest = ticks.QuadPart % per_second.QuadPart;
    return seconds * INT64_C(1000000000) + rest * INT64_C(1000000000) / per_second.QuadPart;
}
#else
static inline int64_t raudo_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
#endif

#if defined(__linux__) && defined(CLOCK_MONOTONIC_COARSE)
typedef int (*raudo_clock_function)(clockid_t, struct timespec *);
static raudo_clock_function raudo_clock = clock_gettime;

/* The kernel's own function where the loader shows it: the C library's detour is a quarter of a call. */
__attribute__((constructor)) static void raudo_find_clock(void) {
    void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *found = vdso != NULL ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
    if (found != NULL) memcpy(&raudo_clock, &found, sizeof found);
}

static inline int64_t raudo_coarse_ns(void) {
    struct timespec now;
    raudo_clock(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
#else
static inline int64_t raudo_coarse_ns(void) {
    return raudo_now_ns();
}
#endif

/* Whether the time has come; reads the exact clock only where the coarse one cannot tell. */
static inline int raudo_has_passed(int64_t at_ns) {
    const int64_t coarse = raudo_coarse_ns();
    if (coarse >= at_ns) return 1;
    if (at_ns - coarse > RAUDO_COARSE_LAG_NS) return 0;
    return raudo_now_ns() >= at_ns;
}

#endif
