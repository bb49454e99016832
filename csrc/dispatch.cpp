#include "dispatch.hpp"

#include <pthread.h>

#include <stdexcept>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace reparam {

#ifdef REPARAM_HAS_SSE2
namespace sse2 {
extern const Kernels KERNELS;
}
namespace avx2 {
extern const Kernels KERNELS;
}
namespace avx512 {
extern const Kernels KERNELS;
}
#endif
#ifdef REPARAM_HAS_NEON
namespace neon {
extern const Kernels KERNELS;
}
#endif

namespace {

std::vector<const Kernels *> find_available() {
#ifdef REPARAM_HAS_SSE2
  std::vector<const Kernels *> found{&sse2::KERNELS};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::KERNELS);
  if (found.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    found.push_back(&avx512::KERNELS);
  return found;
#else
  return {&neon::KERNELS};
#endif
}

const Kernels *chosen = nullptr;

#ifdef _OPENMP
// OpenMP's threads do not survive a fork: a child whose parent had used them waits for them for ever. It runs alone.
bool used_threads = false;
bool orphaned = false;
const int watch_forks = pthread_atfork(nullptr, nullptr, [] { orphaned = used_threads; });
#endif

}  // namespace

const std::vector<const Kernels *> &available() {
  static const std::vector<const Kernels *> found = find_available();
  return found;
}

const Kernels &active() { return *(chosen ? chosen : available().back()); }

void select(const std::string &name) {
  for (const Kernels *kernels : available()) {
    if (kernels->name == name) {
      chosen = kernels;
      return;
    }
  }
  throw std::invalid_argument("no such instruction set here: " + name);
}

bool has_threads() {
#ifdef _OPENMP
  return watch_forks == 0 && !orphaned;
#else
  return false;
#endif
}

void over_blocks(int64_t n, int threads, void (*body)(const void *, int64_t, int64_t), const void *context) {
  const int64_t blocks = (n + BLOCK - 1) / BLOCK;
  auto block = [=](int64_t b) { body(context, b * BLOCK, b + 1 == blocks ? n : (b + 1) * BLOCK); };
#ifdef _OPENMP
  if (threads > 1 && blocks > 1 && has_threads() && !omp_in_parallel()) {
    used_threads = true;
    const int team = blocks < threads ? int(blocks) : threads;
#pragma omp parallel for num_threads(team) schedule(dynamic, 4)
    for (int64_t b = 0; b < blocks; b++) block(b);
    return;
  }
#endif
  for (int64_t b = 0; b < blocks; b++) block(b);
}

template <class T>
void elementwise(ElementwiseKernel<T> f, int inputs, const Input *in, T *out, int64_t n, int threads) {
  over_blocks(n, threads, [=](int64_t begin, int64_t end) {
    T buffers[MOST_INPUTS][BLOCK];
    const T *pieces[MOST_INPUTS];
    for (int k = 0; k < inputs; k++) pieces[k] = piece(in[k], begin, end - begin, buffers[k]);
    f(pieces, out + begin, end - begin);
  });
}

template void elementwise(ElementwiseKernel<float>, int, const Input *, float *, int64_t, int);
template void elementwise(ElementwiseKernel<double>, int, const Input *, double *, int64_t, int);

}  // namespace reparam
