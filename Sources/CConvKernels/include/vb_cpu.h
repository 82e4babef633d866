// What the CPU, with this system, can run: for judging which code of a library is the right one.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Bits of `vb_cpu_features`. None is set on other architectures than x86-64.
enum {
  VB_CPU_AVX = 1 << 0,
  VB_CPU_AVX2_FMA = 1 << 1,      ///< AVX2 and FMA3, what our own AVX2 kernels need
  VB_CPU_AVX512 = 1 << 2,        ///< F, VL, BW and DQ, what our own AVX-512 kernels need
  VB_CPU_AVX512_BF16 = 1 << 3,
  VB_CPU_AVX512_FP16 = 1 << 4,
  VB_CPU_AMX_BF16 = 1 << 5,
  VB_CPU_FMA4 = 1 << 6,          ///< AMD's four-operand FMA, Bulldozer to Excavator
  VB_CPU_3DNOW = 1 << 7,         ///< AMD up to 2011
};

/// The VB_CPU_ bits of this CPU.
uint32_t vb_cpu_features(void);

/// The processors that the calling thread may run on: bit i of words[i / 64]. Returns how many words the system wrote, 0 where `words`
/// are too few or the system does not say.
size_t vb_cpu_affinity(uint64_t *words, size_t count);
