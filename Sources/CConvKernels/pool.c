#include "cconvkernels.h"
