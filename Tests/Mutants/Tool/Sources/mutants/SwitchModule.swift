/// A C module of the copied tree: which mutant is switched on.
enum SwitchModule {
  static let header = """
    #pragma once
    #include <stdbool.h>

    extern int vb_mutant;
    void vb_mutant_mark(void);

    /// Whether a mutant is the one of VBENCH_MUTANT; leaves a mark where it is.
    static inline bool vb_mutant_is(int number) {
      if (__builtin_expect(vb_mutant != number, 1)) return false;
      vb_mutant_mark();
      return true;
    }

    /// Whether a kernel's source is compiled for an instruction set.
    #define VB_MUTANT_TEXT(x) #x
    #define VB_MUTANT_TEXT_OF(x) VB_MUTANT_TEXT(x)
    #define VB_MUTANT_SET(name) (__builtin_strcmp(VB_MUTANT_TEXT_OF(VB_ISA), name) == 0)

    """

  static let source = """
    #include "vb_mutants.h"
    #include <fcntl.h>
    #include <stdatomic.h>
    #include <stdlib.h>
    #include <unistd.h>

    int vb_mutant = 0;
    static atomic_bool is_marked;

    __attribute__((constructor)) static void vb_mutant_choose(void) {
      const char *number = getenv("VBENCH_MUTANT");
      if (number) vb_mutant = atoi(number);
    }

    void vb_mutant_mark(void) {
      if (atomic_load_explicit(&is_marked, memory_order_relaxed) || atomic_exchange(&is_marked, true)) return;
      const char *path = getenv("VBENCH_MUTANT_REACHED");
      int file = path ? open(path, O_WRONLY | O_CREAT, 0666) : -1;
      if (file >= 0) close(file);
    }

    """

  /// Everything depends on it, and is compiled with it.
  static let manifest = """

    for target in package.targets where target.type != .system { target.dependencies.append("CMutants") }
    package.targets.append(.target(name: "CMutants"))

    """
}
