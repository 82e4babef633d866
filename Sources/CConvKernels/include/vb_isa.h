// Which instruction set the kernels run on. The choice is made once, by what the CPU has, or by
// VBENCH_ISA=avx512|avx2|baseline.
#pragma once
#include <stddef.h>

/// One instruction set's kernels. Opaque: handed to the entry points of every family.
typedef struct vb_kernels vb_kernels;

enum {
  VB_ISA_OK = 0,
  VB_ISA_UNKNOWN = 1,   ///< no instruction set has this name
  VB_ISA_MISSING = 2,   ///< this CPU lacks it
};

/// The kernels called `name` ("avx512", "avx2", "baseline"); NULL when the CPU lacks them or the name is unknown.
const vb_kernels *vb_kernels_named(const char *name);

/// The kernels that every entry point uses when it is given NULL.
const vb_kernels *vb_kernels_current(void);

/// Makes `name` the current kernels; NULL or "" picks the best that the CPU has. Returns a VB_ISA_ code; nothing
/// changes unless it is VB_ISA_OK.
int vb_isa_select(const char *name);

/// What became of the environment's VBENCH_ISA: a VB_ISA_ code (VB_ISA_OK when it is not set). When it is not OK,
/// the best kernels of this CPU are current.
int vb_isa_environment_status(void);

/// Name of the current instruction set.
const char *vb_isa_name(void);

/// Name of the instruction set of `kernels`.
const char *vb_kernels_name(const vb_kernels *kernels);

/// Bytes of the vectors that `kernels` compute with.
size_t vb_kernels_vector_bytes(const vb_kernels *kernels);
