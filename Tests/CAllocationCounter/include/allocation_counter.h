// Counts the allocations of a whole process, whoever makes them: linking this target puts its malloc, calloc, realloc,
// aligned_alloc, memalign, posix_memalign and mmap before the C library's.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// 0 where nothing is counted: not glibc, or a sanitizer that has allocation functions of its own.
int allocation_counter_is_available(void);

/// Counts from 0, requests of more than `limit` bytes only.
void allocation_counter_start(size_t limit);

/// Ends the counting; requests since the start.
uint64_t allocation_counter_stop(void);

/// Bytes of all requests of the last count.
uint64_t allocation_counter_bytes(void);

/// Writes sizes and call stacks of the first requests of the last count to a file descriptor.
void allocation_counter_report(int file);
