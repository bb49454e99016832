// Kernels that work in double whatever they are given: float inputs are widened, and the result is rounded once.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

template <int INPUTS, class F> inline void map_in_double(const double *const *in, double *out, int64_t n, F f) {
  map<double>(in, out, n, f);
}

template <int INPUTS, class F> inline void map_in_double(const float *const *in, float *out, int64_t n, F f) {
  double inputs[INPUTS][BLOCK], results[BLOCK];
  const double *pointers[INPUTS];
  for (int k = 0; k < INPUTS; k++) {
    for (int64_t i = 0; i < n; i++) inputs[k][i] = in[k][i];
    pointers[k] = inputs[k];
  }
  map<double>(pointers, results, n, f);
  for (int64_t i = 0; i < n; i++) out[i] = float(results[i]);
}

}  // namespace reparam::REPARAM_ARCH
