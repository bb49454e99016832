// Which instruction set serves, and how an array is cut into blocks for the threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace reparam {

// The instruction sets that were built and that this processor has, the best last.
const std::vector<const Kernels *> &available();
const Kernels &active();
void select(const std::string &name);

// Whether blocks can run on several threads here: built with OpenMP.
bool has_threads();

// An input that repeats with a period dividing n: the whole array (period n), a batch of parameters under many
// samples, or one number (period 1).
struct Input {
  const void *data;
  int64_t period;
};

// out[i] = f(inputs[0][i % period], ...) for i < n.
template <class T>
void elementwise(ElementwiseKernel<T> f, int inputs, const Input *in, T *out, int64_t n, int threads);

// body(context, begin, end) over [0, n) in blocks.
void over_blocks(int64_t n, int threads, void (*body)(const void *, int64_t, int64_t), const void *context);

template <class F> void over_blocks(int64_t n, int threads, const F &body) {
  over_blocks(
      n, threads, [](const void *f, int64_t begin, int64_t end) { (*static_cast<const F *>(f))(begin, end); }, &body);
}

// `count` elements from `begin` on: in place where they lie together, else copied into the buffer, which holds BLOCK.
template <class T> const T *piece(const Input &in, int64_t begin, int64_t count, T *buffer) {
  const T *data = static_cast<const T *>(in.data);
  int64_t at = in.period == 1 ? 0 : begin % in.period;
  if (at + count <= in.period) return data + at;
  for (int64_t i = 0; i < count; i++) {
    buffer[i] = data[at];
    if (++at == in.period) at = 0;
  }
  return buffer;
}

}  // namespace reparam
