// A fork-join thread pool: workers spin for a while, then sleep; chunks are claimed one by one.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct vb_pool vb_pool;

/// A pool of `threads` threads, the caller of vb_pool_run among them. `spin_microseconds` is how long an idle worker
/// polls before it sleeps. NULL when memory runs out; fewer threads when the system refuses more.
vb_pool *vb_pool_create(uint32_t threads, uint32_t spin_microseconds);

/// Threads that the pool really has, the caller included.
uint32_t vb_pool_threads(const vb_pool *pool);
/// Whether a thread of the pool found no memory for what kernels usually need (see vb_scratch): they would end the process.
int vb_pool_lacks_scratch(const vb_pool *pool);

/// Calls fn(context, i) once for every i < count on the pool's threads and returns when all calls have returned.
/// Returns 0, having called nothing, when the pool is busy (a nested or a concurrent call): the caller then runs the
/// loop itself. 1 otherwise.
int vb_pool_run(vb_pool *pool, uint32_t count, void (*fn)(void *context, size_t index), void *context);

/// Sends the workers to sleep, which would poll for a while yet. No run may be under way.
void vb_pool_rest(vb_pool *pool);

/// Ends the workers. No run may be under way.
void vb_pool_destroy(vb_pool *pool);
