// Kernels made of several formulas, each for a region of its arguments. A block that lies in one region is evaluated
// where it is; any other is sorted by region first, so that few lanes compute a formula that is not their own.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace reparam::REPARAM_ARCH {

// The positions of the elements, by region: those of region r from order[starts[r]] to before order[starts[r + 1]].
//
// Counted and placed in four streams at once: one alone would wait for the counter that it wrote an element before.
template <class Int, int REGIONS> class ByRegion {
 public:
  int32_t order[BLOCK];
  int starts[REGIONS + 1];

  ByRegion(const Int *regions, int64_t n) {
    int next[STREAMS][REGIONS] = {};
    each(n, [&](int stream, int64_t i) { next[stream][regions[i]]++; });
    int total = 0;
    for (int r = 0; r < REGIONS; r++) {
      starts[r] = total;
      for (auto &stream : next) {
        const int count = stream[r];
        stream[r] = total;
        total += count;
      }
    }
    starts[REGIONS] = total;
    each(n, [&](int stream, int64_t i) { order[next[stream][regions[i]]++] = int32_t(i); });
  }

  int count(int region) const { return starts[region + 1] - starts[region]; }

  int most_common() const {
    int best = 0;
    for (int r = 1; r < REGIONS; r++) best = count(r) > count(best) ? r : best;
    return best;
  }

 private:
  static constexpr int STREAMS = 4;

  template <class F> static void each(int64_t n, F f) {
    const int64_t quarter = n / STREAMS;
    for (int64_t i = 0; i < quarter; i++) {
      for (int stream = 0; stream < STREAMS; stream++) f(stream, stream * quarter + i);
    }
    for (int64_t i = STREAMS * quarter; i < n; i++) f(0, i);
  }
};

// region_of(at) gives the region of each lane, at(k) being the k-th input; evaluate(region, in, out, n) its formula.
template <int REGIONS, int INPUTS, class T, class Classify, class Evaluate>
void by_regions(const T *const *in, T *out, int64_t n, Classify region_of, Evaluate evaluate) {
  using I = typename BitsOf<T>::Int;
  constexpr int L = LANES<T>;
  alignas(64) I regions[BLOCK + L];
  Mask<T> differing{};
  const auto classify = [&](int64_t i, auto at) {
    const Mask<T> region = region_of(at);
    store(regions + i, region);
    differing |= region != regions[0];
  };
  int64_t i = 0;
  for (; i + L <= n; i += L) classify(i, [=](int k) { return load(in[k] + i); });
  if (i < n) classify(i, [=](int k) { return load_first(in[k] + i, n - i); });
  if (!any(differing)) return evaluate(int(regions[0]), in, out, n);

  const ByRegion<I, REGIONS> sorted(regions, n);
  alignas(64) T gathered[INPUTS][BLOCK], results[BLOCK];
  const T *sources[INPUTS];
  for (int k = 0; k < INPUTS; k++) sources[k] = gathered[k];
  // Moving an element costs about a fifth of a formula: a few are better computed in vain, and then replaced.
  const int common = sorted.most_common(), few = int(n / 16);
  const bool in_place = n - sorted.count(common) <= few;
  if (in_place) evaluate(common, in, out, n);
  for (int r = 0; r < REGIONS; r++) {
    const int32_t *list = sorted.order + sorted.starts[r];
    const int count = sorted.count(r);
    if (count == 0 || (in_place && r == common)) continue;
    for (int k = 0; k < INPUTS; k++) gather(in[k], list, count, gathered[k]);
    evaluate(r, sources, results, count);
    scatter(results, list, count, out);
  }
}

}  // namespace reparam::REPARAM_ARCH
