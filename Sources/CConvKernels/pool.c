#define _GNU_SOURCE
#include "vb_pool.h"
#include "vb_memory.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define VB_RELAX() __builtin_ia32_pause()
#else
#define VB_RELAX() __asm__ volatile("yield")
#endif

// Enough for kernels and the closures that call them, whatever ulimit -s says: a small limit would make workers overflow, and large
// stacks count towards ulimit -v though nobody touches them.
static const size_t stack_bytes = (size_t)2 << 20;

// A run is published as one 64-bit word: its generation above, the next unclaimed chunk below. A chunk is claimed by
// compare-and-swap on the whole word, so a worker that slept through a run can neither claim a chunk of the next one
// with the old run's function, nor does the joining thread have to wait for it to wake up.
struct vb_pool {
  uint32_t workers;
  uint32_t spin_microseconds;  // 0: waiting threads leave the processor to others at once, there are not enough for all
  pthread_t *threads;
  _Alignas(64) _Atomic uint64_t word;
  _Atomic uint32_t count;
  _Atomic(void (*)(void *, size_t)) fn;
  _Atomic(void *) context;
  _Alignas(64) _Atomic uint32_t epoch;  // changes with every run: what sleepers wait on
  _Atomic uint32_t sleepers;
  _Atomic int stop;
  _Atomic uint32_t ready;     // workers that have begun
  _Atomic int lacks_scratch;  // one of them found no memory
  _Atomic int resting;  // nobody polls until the next run
  _Alignas(64) _Atomic uint32_t done;
  _Alignas(64) _Atomic int busy;
};

static void futex_wait(_Atomic uint32_t *address, uint32_t value) {
  syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *address, uint32_t threads) {
  syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, threads > INT_MAX ? INT_MAX : (int)threads, NULL, NULL, 0);
}

static uint64_t microseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void drain(vb_pool *pool) {
  for (;;) {
    uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
    // Fields of a newer run may be read here; then the word has moved on, and the exchange below fails.
    uint32_t count = atomic_load_explicit(&pool->count, memory_order_acquire);
    void (*fn)(void *, size_t) = atomic_load_explicit(&pool->fn, memory_order_acquire);
    void *context = atomic_load_explicit(&pool->context, memory_order_acquire);
    uint32_t index = (uint32_t)word;
    if (index >= count) return;
    if (!atomic_compare_exchange_weak_explicit(&pool->word, &word, word + 1, memory_order_acq_rel,
                                               memory_order_relaxed))
      continue;
    fn(context, index);
    uint32_t done = atomic_fetch_add_explicit(&pool->done, 1, memory_order_release) + 1;
    if (!pool->spin_microseconds && done == count) futex_wake(&pool->done, 1);
  }
}

static uint32_t generation(vb_pool *pool) {
  return (uint32_t)(atomic_load_explicit(&pool->word, memory_order_acquire) >> 32);
}

// Returns when the generation is no longer `seen` or the pool ends.
static void await_run(vb_pool *pool, uint32_t seen) {
  for (;;) {
    if (generation(pool) != seen || atomic_load_explicit(&pool->stop, memory_order_relaxed)) return;
    // A third of the time without giving up the core: on a busy machine a yield can cost a whole time slice, and a
    // training step forks again within microseconds. Then the core is offered to others between looks.
    uint64_t start = microseconds(), elapsed = 0;
    while (elapsed < pool->spin_microseconds) {
      for (int i = 0; i < 64; i++) {
        if (generation(pool) != seen || atomic_load_explicit(&pool->stop, memory_order_relaxed)) return;
        if (atomic_load_explicit(&pool->resting, memory_order_relaxed)) break;
        VB_RELAX();
      }
      if (atomic_load_explicit(&pool->resting, memory_order_relaxed)) break;
      elapsed = microseconds() - start;
      if (elapsed > pool->spin_microseconds / 3) sched_yield();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    uint32_t epoch = atomic_load(&pool->epoch);
    if (generation(pool) == seen && !atomic_load(&pool->stop)) futex_wait(&pool->epoch, epoch);
    atomic_fetch_sub(&pool->sleepers, 1);
  }
}

// What kernels and engines usually ask for, before anything runs: otherwise a thread that gets few chunks might fetch its scratch
// memory after any number of steps. Pages that are never touched cost nothing; where there is no memory, who needs it will say so.
// Returns whether all of it is there.
static int reserve_scratch(void) {
  static const size_t bytes[VB_SCRATCH_SLOTS] = {320 << 10, 800 << 10, 128 << 10};
  int found = 1;
  for (int slot = 0; slot < VB_SCRATCH_SLOTS; slot++) found &= vb_scratch(slot, bytes[slot]) != NULL;
  return found;
}

static void *worker(void *argument) {
  vb_pool *pool = argument;
  if (!reserve_scratch()) atomic_store(&pool->lacks_scratch, 1);
  atomic_fetch_add(&pool->ready, 1);
  uint32_t seen = 0;
  for (;;) {
    await_run(pool, seen);
    if (atomic_load(&pool->stop)) return NULL;
    seen = generation(pool);
    drain(pool);
  }
}

vb_pool *vb_pool_create(uint32_t threads, uint32_t spin_microseconds) {
  vb_pool *pool = NULL;
  if (posix_memalign((void **)&pool, 64, sizeof *pool)) return NULL;
  uint32_t wanted = threads ? threads - 1 : 0;
  pool->threads = calloc(wanted ? wanted : 1, sizeof *pool->threads);
  if (!pool->threads) {
    free(pool);
    return NULL;
  }
  pool->workers = 0;
  pool->spin_microseconds = spin_microseconds;
  atomic_init(&pool->word, 0);
  atomic_init(&pool->count, 0);
  atomic_init(&pool->fn, NULL);
  atomic_init(&pool->context, NULL);
  atomic_init(&pool->epoch, 0);
  atomic_init(&pool->sleepers, 0);
  atomic_init(&pool->stop, 0);
  atomic_init(&pool->resting, 0);
  atomic_init(&pool->done, 0);
  atomic_init(&pool->busy, 0);
  atomic_init(&pool->ready, 0);
  atomic_init(&pool->lacks_scratch, !reserve_scratch());
  pthread_attr_t attributes;
  if (wanted && !pthread_attr_init(&attributes)) {
    pthread_attr_setstacksize(&attributes, stack_bytes);
    for (; pool->workers < wanted; pool->workers++)
      if (pthread_create(&pool->threads[pool->workers], &attributes, worker, pool)) break;
    pthread_attr_destroy(&attributes);
  }
  while (atomic_load(&pool->ready) < pool->workers) sched_yield();
  return pool;
}

uint32_t vb_pool_threads(const vb_pool *pool) { return pool->workers + 1; }

int vb_pool_lacks_scratch(const vb_pool *pool) { return atomic_load(&pool->lacks_scratch); }

int vb_pool_run(vb_pool *pool, uint32_t count, void (*fn)(void *, size_t), void *context) {
  if (!count) return 1;
  if (atomic_exchange_explicit(&pool->busy, 1, memory_order_acquire)) return 0;
  if (!pool->workers || count == 1) {
    for (uint32_t i = 0; i < count; i++) fn(context, i);
    atomic_store_explicit(&pool->busy, 0, memory_order_release);
    return 1;
  }
  if (atomic_load_explicit(&pool->resting, memory_order_relaxed)) atomic_store(&pool->resting, 0);
  uint32_t next = (uint32_t)(atomic_load_explicit(&pool->word, memory_order_relaxed) >> 32) + 1;
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  // The old word says "everything claimed" for the old count; it must not look claimable while count grows.
  atomic_store_explicit(&pool->word, (uint64_t)(next - 1) << 32 | UINT32_MAX, memory_order_seq_cst);
  atomic_store_explicit(&pool->count, count, memory_order_release);
  atomic_store_explicit(&pool->fn, fn, memory_order_release);
  atomic_store_explicit(&pool->context, context, memory_order_release);
  atomic_store_explicit(&pool->word, (uint64_t)next << 32, memory_order_seq_cst);
  atomic_fetch_add(&pool->epoch, 1);
  if (atomic_load(&pool->sleepers)) futex_wake(&pool->epoch, count - 1 < pool->workers ? count - 1 : pool->workers);
  drain(pool);
  for (uint32_t spins = 0;; spins++) {
    uint32_t done = atomic_load_explicit(&pool->done, memory_order_acquire);
    if (done == count) break;
    if (!pool->spin_microseconds) futex_wait(&pool->done, done);
    else if (spins < 20000) VB_RELAX();
    else sched_yield();
  }
  atomic_store_explicit(&pool->busy, 0, memory_order_release);
  return 1;
}

void vb_pool_rest(vb_pool *pool) { atomic_store(&pool->resting, 1); }

void vb_pool_destroy(vb_pool *pool) {
  atomic_store(&pool->stop, 1);
  atomic_fetch_add(&pool->epoch, 1);
  futex_wake(&pool->epoch, INT_MAX);
  for (uint32_t i = 0; i < pool->workers; i++) pthread_join(pool->threads[i], NULL);
  free(pool->threads);
  free(pool);
}
