#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// What became of a request for an OpenBLAS core.
enum vb_openblas_result {
  /// OpenBLAS runs on the core that was asked for.
  VB_OPENBLAS_OK = 0,
  /// This OpenBLAS was built for one core only, or is not linked.
  VB_OPENBLAS_FIXED = 1,
  /// OpenBLAS knows no such core, or the CPU cannot run it; it runs on the core that it had before.
  VB_OPENBLAS_REFUSED = 2,
};

/// Makes OpenBLAS choose its core again: `core`, or its own choice for this CPU where `core` is NULL, whatever
/// OPENBLAS_CORETYPE says. The environment is left as it was. No BLAS call may be in flight. Whether the CPU can run the core is
/// the caller's business.
int vb_openblas_set_core(const char *core);

#ifdef __cplusplus
}
#endif
