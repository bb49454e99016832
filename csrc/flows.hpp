// What flows back through a whole sample, in one pass: a product with a pathwise derivative and what stands around it.
// For 64 numbers a call of torch costs more than all the arithmetic.
#pragma once

#include "dispatch.hpp"

namespace reparam {

// From y = x / rate, x ~ Gamma(a, 1), to a and, where there is room for it, to the rate; in: flow, a, y, rate.
template <class T>
void gamma_flows(ElementwiseKernel<T> to_shape, const Input *in, T *to_a, T *to_rate, int64_t n, int threads) {
  over_blocks(n, threads, [=](int64_t begin, int64_t end) {
    T buffers[4][BLOCK];
    const T *pieces[4];
    for (int k = 0; k < 4; k++) pieces[k] = piece(in[k], begin, end - begin, buffers[k]);
    to_shape(pieces, to_a + begin, end - begin);
    const auto [flow, a, y, rate] = pieces;
    if (to_rate)
      for (int64_t i = 0; i < end - begin; i++) to_rate[begin + i] = -flow[i] * y[i] / rate[i];
  });
}

// From x ~ Beta(a, b) to both, which lie side by side in pairs, as their flows do.
template <class T>
void beta_flows(ElementwiseKernel<T> in_a, ElementwiseKernel<T> in_b, const Input &flow, const T *pairs, const T *x,
                T *out, int64_t n, int threads) {
  over_blocks(n, threads, [=](int64_t begin, int64_t end) {
    T a[BLOCK], b[BLOCK], to_a[BLOCK], to_b[BLOCK], buffer[BLOCK];
    const int64_t count = end - begin;
    for (int64_t i = 0; i < count; i++) a[i] = pairs[2 * (begin + i)], b[i] = pairs[2 * (begin + i) + 1];
    const T *const points[] = {a, b, x + begin}, *const given = piece(flow, begin, count, buffer);
    in_a(points, to_a, count);
    in_b(points, to_b, count);
    for (int64_t i = 0; i < count; i++) {
      out[2 * (begin + i)] = given[i] * to_a[i];
      out[2 * (begin + i) + 1] = given[i] * to_b[i];
    }
  });
}

// From the shares y = x / total of independent x ~ Gamma(a, 1), rows of at most BLOCK, to a:
// dx/da (flow - sum over the row of flow y) / total.
template <class T>
void dirichlet_flows(ElementwiseKernel<T> in_a, const Input &flow, const Input &a, const T *y, const T *total, T *out,
                     int64_t rows, int64_t width, int threads) {
  const int64_t at_once = BLOCK / width, blocks = (rows + at_once - 1) / at_once;
  over_blocks(blocks * BLOCK, threads, [=](int64_t begin, int64_t) {
    T x[BLOCK], slopes[BLOCK], buffers[2][BLOCK];
    const int64_t first = begin / BLOCK * at_once, count = rows - first < at_once ? rows - first : at_once;
    const int64_t start = first * width, n = count * width;
    const T *const given = piece(flow, start, n, buffers[0]), *const points[] = {piece(a, start, n, buffers[1]), x};
    for (int64_t i = 0; i < n; i++) x[i] = y[start + i] * total[first + i / width];
    in_a(points, slopes, n);
    for (int64_t row = 0; row < count; row++) {
      T mean = 0;
      for (int64_t i = row * width; i < (row + 1) * width; i++) mean += given[i] * y[start + i];
      for (int64_t i = row * width; i < (row + 1) * width; i++)
        out[start + i] = slopes[i] * (given[i] - mean) / total[first + row];
    }
  });
}

}  // namespace reparam
