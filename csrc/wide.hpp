// Kernels that work in double whatever they are given: float inputs are widened, and the result is rounded once.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

// run(in, out, n) on doubles.
template <int INPUTS, class F> inline void in_double(const double *const *in, double *out, int64_t n, F run) {
  run(in, out, n);
}

template <int INPUTS, class F> inline void in_double(const float *const *in, float *out, int64_t n, F run) {
  double inputs[INPUTS][BLOCK], results[BLOCK];
  const double *pointers[INPUTS];
  for (int k = 0; k < INPUTS; k++) {
    for (int64_t i = 0; i < n; i++) inputs[k][i] = in[k][i];
    pointers[k] = inputs[k];
  }
  run(pointers, results, n);
  for (int64_t i = 0; i < n; i++) out[i] = float(results[i]);
}

}  // namespace reparam::REPARAM_ARCH
