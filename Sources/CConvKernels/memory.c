#define _GNU_SOURCE
#include "vb_memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t huge_page = (size_t)2 << 20;

void *vb_memory_allocate(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, bytes >= huge_page ? huge_page : 64, bytes ? bytes : 1)) return NULL;
#ifdef MADV_HUGEPAGE
  // Advice only: a kernel without huge pages is slower, not wrong.
  if (bytes >= huge_page) madvise(memory, bytes & ~(huge_page - 1), MADV_HUGEPAGE);
#endif
  return memory;
}

int vb_memory_leaves(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 0;
  munmap(memory, bytes);
  return 1;
}

void vb_memory_free(void *memory) { free(memory); }

uint64_t vb_memory_physical(void) {
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

typedef struct scratch {
  void *memory[VB_SCRATCH_SLOTS];
  size_t bytes[VB_SCRATCH_SLOTS];
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_key_error;

static void scratch_free(void *argument) {
  scratch *s = argument;
  for (int slot = 0; slot < VB_SCRATCH_SLOTS; slot++) free(s->memory[slot]);
  free(s);
}

static void scratch_create_key(void) { scratch_key_error = pthread_key_create(&scratch_key, scratch_free); }

void *vb_scratch(int slot, size_t bytes) {
  pthread_once(&scratch_once, scratch_create_key);
  if (scratch_key_error) return NULL;
  scratch *s = pthread_getspecific(scratch_key);
  if (!s) {
    s = calloc(1, sizeof *s);
    if (!s) return NULL;
    if (pthread_setspecific(scratch_key, s)) {
      free(s);
      return NULL;
    }
  }
  if (s->bytes[slot] < bytes) {
    free(s->memory[slot]);
    s->bytes[slot] = 0;
    s->memory[slot] = vb_memory_allocate(bytes);
    if (!s->memory[slot]) return NULL;
    s->bytes[slot] = bytes;
  }
  return s->memory[slot];
}
