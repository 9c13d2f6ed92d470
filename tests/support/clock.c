/* A wall clock that may be wrong, for one process (LD_PRELOAD): `DAVY_CLOCK` names a file of { int64 since, int64 told, double rate }.
   The time told is `told + (now - since) * rate`, in nanoseconds. What measures durations stays right, as where a real clock is set:
   waits until a moment of the wall clock end when as much time has passed as was left by the clock that is told. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define S 1000000000LL
#define YEAR 31536000LL

struct clock { int64_t since, told; double rate; };
static volatile struct clock *clock_file;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("DAVY_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(0, sizeof(struct clock), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) clock_file = found;
    close(file);
}

static int64_t real(void) {
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return t.tv_sec * S + t.tv_nsec;
}

static int64_t told(int64_t now) {
    if (!clock_file) return now;
    struct clock c = *clock_file;
    return c.told + (c.rate == 1.0 ? now - c.since : (int64_t)((double)(now - c.since) * c.rate));
}

/* A moment of the clock that is told, as one of the real clock. Moments of other clocks (uptime) are small, and stay. */
static struct timespec moment(const struct timespec *until) {
    if (!clock_file || until->tv_sec < YEAR * 20) return *until;
    int64_t now = real(), left = until->tv_sec * S + until->tv_nsec - told(now), at = now + (left > 0 ? left : 0);
    return (struct timespec){at / S, at % S};
}

int clock_gettime(clockid_t which, struct timespec *t) {
    if (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, which, t);
    int64_t now = told(real());
    t->tv_sec = now / S, t->tv_nsec = now % S;
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    int64_t now = told(real());
    t->tv_sec = now / S, t->tv_usec = now % S / 1000;
    return 0;
}

time_t time(time_t *t) {
    time_t now = told(real()) / S;
    if (t) *t = now;
    return now;
}

int timespec_get(struct timespec *t, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

static void *next(const char *name) {
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2"); /* x86-64: the one without a version is of 2.2.5 and another */
    return found ? found : dlsym(RTLD_NEXT, name);
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict until) {
    static int (*of_libc)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!of_libc) of_libc = next("pthread_cond_timedwait");
    struct timespec at = moment(until);
    return of_libc(c, m, &at);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict until) {
    static int (*of_libc)(pthread_mutex_t *, const struct timespec *);
    if (!of_libc) of_libc = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
    struct timespec at = moment(until);
    return of_libc(m, &at);
}

int sem_timedwait(sem_t *restrict s, const struct timespec *restrict until) {
    static int (*of_libc)(sem_t *, const struct timespec *);
    if (!of_libc) of_libc = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec at = moment(until);
    return of_libc(s, &at);
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until) {
    static int (*of_libc)(cnd_t *, mtx_t *, const struct timespec *);
    if (!of_libc) of_libc = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec at = moment(until);
    return of_libc(c, m, &at);
}
