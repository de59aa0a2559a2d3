/* A disk whose syncs take as long as we say, for a process and what it writes: LD_PRELOAD (benchmarks/disk.py).

DISK_SYNC_US: how long each fsync and fdatasync takes. They are not passed on: the files are in memory. Below 500 us the
time is spent, above it is slept: a sleep that is shorter is longer than it was meant to be, above all on a machine that
is busy. DISK_COUNTS: a file of four numbers of 64 bits: syncs; writes to files; bytes of these; us spent in syncs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t none[4], *counts = none;
static int64_t sync_us;
static ssize_t (*pwrite_)(int, const void *, size_t, off_t);

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("DISK_SYNC_US"), *path = getenv("DISK_COUNTS");
    sync_us = text ? atoll(text) : 0;
    pwrite_ = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    if (path) {
        int file = open(path, O_RDWR | O_CREAT, 0600);
        if (file >= 0 && !ftruncate(file, sizeof none)) {
            void *found = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            if (found != MAP_FAILED) counts = found;
        }
        if (file >= 0) close(file);
    }
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int wait_for_disk(void) {
    int64_t until = now_ns() + sync_us * 1000;
    if (sync_us >= 500) {
        struct timespec at = {until / 1000000000LL, until % 1000000000LL};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    } else
        while (now_ns() < until) {}
    __atomic_add_fetch(&counts[0], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&counts[3], sync_us < 500 ? sync_us : 0, __ATOMIC_RELAXED);
    return 0;
}

int fsync(int file) { (void)file; return wait_for_disk(); }
int fdatasync(int file) { (void)file; return wait_for_disk(); }

ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
    ssize_t done = pwrite_(file, data, size, at);
    if (done > 0) {
        __atomic_add_fetch(&counts[1], 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&counts[2], done, __ATOMIC_RELAXED);
    }
    return done;
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }
