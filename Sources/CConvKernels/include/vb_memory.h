// Aligned memory, and what the machine has of it.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// `bytes` of uninitialised memory, 64-byte aligned; from 2 MB on 2 MB-aligned, with huge pages asked for.
/// NULL when there is none. Give it back with vb_memory_free.
void *vb_memory_allocate(size_t bytes);

void vb_memory_free(void *memory);

/// Whether so many bytes of addresses could be had in one piece now.
int vb_memory_leaves(size_t bytes);

/// Bytes of physical memory of this machine; 0 when unknown.
uint64_t vb_memory_physical(void);

/// This thread's scratch memory, at least `bytes` large and 64-byte aligned; it stays until the thread ends.
/// The content does not survive the next call with the same `slot`: 0 and 1 are the matrix kernels', 2 is free for the work of an
/// engine that calls them. NULL when there is no memory.
#define VB_SCRATCH_SLOTS 3
void *vb_scratch(int slot, size_t bytes);

/// Asks for `bytes` from `memory` on to be brought into the cache; never faults.
static inline void vb_prefetch(const void *memory, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)memory + i);
}
