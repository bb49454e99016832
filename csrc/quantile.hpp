// From integers uniform over cells to the three standard laws, by their quantile functions: one integer, one number.
#pragma once

#include "math.hpp"
#include "philox.hpp"

namespace reparam::REPARAM_ARCH {

// 32-bit cells make floats, 53-bit cells doubles.
template <class T> constexpr int WORDS = int(sizeof(T)) / 4;

// A uniform number at the middle of its cell: the probability of the nearer tail, which tail that is, and the distance
// from the centre, 2 u - 1, each to the last digit.
template <class T> struct Cell {
  V<T> tail;
  Mask<T> upper;
  V<T> centred;
};

inline Cell<float> cell(V<uint32_t> word) {
  const V<int32_t> bits = bit_cast<V<int32_t>>(word), upper = bits < 0;
  const V<float> nearer = __builtin_convertvector(bits ^ upper, V<float>);
  const V<float> centred = __builtin_convertvector(bits ^ INT32_MIN, V<float>);
  return {(nearer + 0.5f) * 0x1p-32f, upper, (centred + 0.5f) * 0x1p-31f};
}

inline Cell<double> cell(V<uint64_t> pair) {
  // The first word of the pair holds the high bits.
  const V<uint64_t> number = ((pair & 0xFFFFFFFFu) << 21) | (pair >> 43);
  const V<int64_t> upper = bit_cast<V<int64_t>>(number) >= (int64_t(1) << 52);
  const V<uint64_t> nearer = upper ? ((uint64_t(1) << 53) - 1) - number : number;
  const V<double> n = bit_cast<V<double>>(nearer | 0x4330000000000000u) - 0x1p52;
  const V<double> distance = ((0x1p52 - n) - 0.5) * 0x1p-52;
  return {(n + 0.5) * 0x1p-53, upper, upper ? distance : -distance};
}

template <class T> inline V<T> uniform(const Cell<T> &c) {
  constexpr T EPS = sizeof(T) == 4 ? T(0x1p-23) : T(0x1p-52);
  const V<T> u = c.upper ? T(1) - c.tail : c.tail;
  return minimum(maximum(u, splat(EPS / 4)), splat(1 - EPS / 2));
}

template <class T> inline V<T> exponential(const Cell<T> &c) {
  // -log(tail) in the upper half; -log1p(-tail) in the lower, with what 1 - tail has lost put back.
  const V<T> rest = c.upper ? c.tail : T(1) - c.tail;
  const V<T> lost = c.upper ? V<T>{} : (T(1) - rest) - c.tail;
  return -(log_normal_range<T>(rest) + lost / rest);
}

// Once in some hundred vectors, and therefore out of the way.
template <class T> __attribute__((noinline, cold)) void far_ratios(V<T> w, V<T> *ratio) {
  using E = Elementary<T>;
  const Mask<T> far = w > E::NORMAL_BOUND;
  const V<T> depth = log_normal_range<T>(far ? w : splat(E::NORMAL_BOUND)) - E::NORMAL_TAIL_MIDDLE;
  *ratio = far ? horner2(E::NORMAL_TAIL, depth) : *ratio;
}

// The centred number times a function of w = -log(1 - centred^2): a polynomial in w, and in log w far out.
template <class T, int COUNT> __attribute__((always_inline)) inline void normal(const Cell<T> (&c)[COUNT], V<T> (&x)[COUNT]) {
  using E = Elementary<T>;
  V<T> w[COUNT], shifted[COUNT];
  Mask<T> any_far{};
  for (int i = 0; i < COUNT; i++) w[i] = T(4) * c[i].tail * (T(1) - c[i].tail);
  log_normal_range<T>(w, w);
  for (int i = 0; i < COUNT; i++) {
    w[i] = -w[i];
    shifted[i] = w[i] - E::NORMAL_BOUND / 2;
    any_far |= w[i] > E::NORMAL_BOUND;
  }
  horner_chains<sizeof(T) == 4 ? 2 : 4>(E::NORMAL_CENTRE, shifted, x);
  if (__builtin_expect(any(any_far), 0)) {
    for (int i = 0; i < COUNT; i++) far_ratios<T>(w[i], &x[i]);
  }
  for (int i = 0; i < COUNT; i++) x[i] = c[i].centred * x[i];
}

template <class T> inline V<T> normal(const Cell<T> &c) {
  const Cell<T> in[] = {c};
  V<T> out[1];
  normal<T>(in, out);
  return out[0];
}

constexpr int ABREAST = 2;

// f(cells, position) over n integers; f stores what it makes of ABREAST vectors of cells, of which the last may lie
// beyond n, where the integers must be readable.
template <class T, class F> inline void over_cells(const typename BitsOf<T>::UInt *integers, int64_t n, F f) {
  for (int64_t i = 0; i < n; i += ABREAST * LANES<T>) {
    Cell<T> cells[ABREAST];
    for (int k = 0; k < ABREAST; k++) cells[k] = cell(load(integers + i + k * LANES<T>));
    f(cells, i);
  }
}

// The same over the numbers [begin, end) of a stream.
template <class T, class F> inline void over_cells(const Stream &stream, int64_t begin, int64_t end, F f) {
  alignas(64) uint32_t buffer[BLOCK * WORDS<T> + ABREAST * BYTES / 4];
  const int64_t n = end - begin;
  words(Source(stream, WORDS<T>), WORDS<T>, begin, end, buffer);
  std::memset(buffer + n * WORDS<T>, 0x55, ABREAST * BYTES);
  over_cells<T>(reinterpret_cast<const typename BitsOf<T>::UInt *>(buffer), n, f);
}

template <class T> inline void store_up_to(T *out, int64_t i, int64_t n, V<T> v) {
  if (i + LANES<T> <= n)
    store(out + i, v);
  else if (i < n)
    store_first(out + i, v, n - i);
}

template <class T> using Made = V<T>[ABREAST];

template <class T> inline void uniform(const Cell<T> (&c)[ABREAST], Made<T> &x) {
  for (int k = 0; k < ABREAST; k++) x[k] = uniform(c[k]);
}
template <class T> inline void exponential(const Cell<T> (&c)[ABREAST], Made<T> &x) {
  for (int k = 0; k < ABREAST; k++) x[k] = exponential(c[k]);
}

#define REPARAM_LAW(law)                                                                           \
  template <class T> void law##_noise(const Stream &stream, int64_t begin, int64_t end, T *out) { \
    over_cells<T>(stream, begin, end, [=](const Cell<T>(&c)[ABREAST], int64_t i) {                 \
      Made<T> x;                                                                                   \
      law<T>(c, x);                                                                                \
      for (int k = 0; k < ABREAST; k++) store_up_to(out, i + k * LANES<T>, end - begin, x[k]);     \
    });                                                                                            \
  }
REPARAM_LAW(uniform)
REPARAM_LAW(normal)
REPARAM_LAW(exponential)

// loc + scale * noise with the noise made on the spot; without a loc, scale * noise. Product and sum round apart, as
// they do in a composition of torch's operations.
template <class T>
void scaled_normal(const Stream &stream, int64_t begin, int64_t end, const T *loc, const T *scale, T *out) {
  const int64_t n = end - begin;
  const auto moved = [=](V<T> x, int64_t i, auto read) {
    const V<T> by = x * read(scale + i);
    return loc ? read(loc + i) + by : by;
  };
  over_cells<T>(stream, begin, end, [=](const Cell<T>(&c)[ABREAST], int64_t at) {
    Made<T> x;
    normal<T>(c, x);
    for (int k = 0; k < ABREAST; k++) {
      const int64_t i = at + k * LANES<T>;
      if (i + LANES<T> <= n)
        store(out + i, moved(x[k], i, [](const T *p) { return load(p); }));
      else if (i < n)
        store_first(out + i, moved(x[k], i, [=](const T *p) { return load_first(p, n - i); }), n - i);
    }
  });
}

}  // namespace reparam::REPARAM_ARCH
