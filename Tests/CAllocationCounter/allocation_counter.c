#define _GNU_SOURCE
#include "allocation_counter.h"
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif

#if defined(__GLIBC__) && !defined(SANITIZED)
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum { kept = 16, depth = 24 };
static atomic_int counting;
static size_t least;
static _Atomic uint64_t requests, bytes;
static struct {
  size_t size;
  int frames;
  void *frame[depth];
} request[kept];

static void count(size_t size) {
  if (!atomic_load_explicit(&counting, memory_order_acquire) || size <= least) return;
  uint64_t number = atomic_fetch_add(&requests, 1);
  atomic_fetch_add(&bytes, size);
  if (number >= kept) return;
  request[number].size = size;
  request[number].frames = backtrace(request[number].frame, depth);
}

void *malloc(size_t size) {
  count(size);
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  size_t all;
  if (!__builtin_mul_overflow(number, size, &all)) count(all);
  return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
  count(size);
  return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (!alignment || alignment % sizeof(void *) || (alignment & (alignment - 1))) return EINVAL;
  void *block = memalign(alignment, size);
  if (!block) return ENOMEM;
  *memory = block;
  return 0;
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  count(size);
  return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

int allocation_counter_is_available(void) { return 1; }

void allocation_counter_start(size_t limit) {
  // Its first call loads a library.
  void *frame[1];
  backtrace(frame, 1);
  least = limit;
  atomic_store(&requests, 0);
  atomic_store(&bytes, 0);
  atomic_store_explicit(&counting, 1, memory_order_release);
}

uint64_t allocation_counter_stop(void) {
  atomic_store(&counting, 0);
  return atomic_load(&requests);
}

uint64_t allocation_counter_bytes(void) { return atomic_load(&bytes); }

void allocation_counter_report(int file) {
  uint64_t number = atomic_load(&requests);
  for (uint64_t i = 0; i < number && i < kept; i++) {
    dprintf(file, "%zu bytes:\n", request[i].size);
    backtrace_symbols_fd(request[i].frame, request[i].frames, file);
  }
}
#else
int allocation_counter_is_available(void) { return 0; }
void allocation_counter_start(size_t limit) { (void)limit; }
uint64_t allocation_counter_stop(void) { return 0; }
uint64_t allocation_counter_bytes(void) { return 0; }
void allocation_counter_report(int file) { (void)file; }
#endif
