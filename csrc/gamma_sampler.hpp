// The Gamma law by Marsaglia and Tsang's rejection (ACM TOMS, 2000): a vector of candidates at a time, and a list of
// the places whose candidate was refused, tried again together until it is empty.
//
// Attempt t of a number looks at the counter (place in the row, row, step, tag) under the key of attempt t: its first
// words make a normal candidate, its last a uniform. Each number has counters of its own, so its value depends on where
// it stands and on its concentration alone.
#pragma once

#include "quantile.hpp"

namespace reparam::REPARAM_ARCH {

// The counters' first two words for the numbers [begin, end).
inline void places(const Stream &stream, int64_t begin, int64_t end, uint32_t *c0, uint32_t *c1) {
  const int64_t length = stream.row_length, n = end - begin;
  if (length == 1 && !stream.rows) {
    for (int64_t i = 0; i < n; i++) c0[i] = 0, c1[i] = uint32_t(stream.first_row + begin + i);
    return;
  }
  int64_t r = begin / length, j = begin % length;
  for (int64_t i = 0; i < n; r++, j = 0) {
    const uint32_t row = uint32_t(stream.rows ? stream.rows[r] : stream.first_row + r);
    const int64_t stop = i + (length - j) < n ? i + (length - j) : n;
    for (; i < stop; i++, j++) c0[i] = uint32_t(j), c1[i] = row;
  }
}

// The bits of one candidate in each lane: for a normal number, and for a uniform one.
template <class T> struct Candidate {
  Bits<T> normal, uniform;
};

inline FourWords words_at(const Stream &stream, const uint32_t *c0, const uint32_t *c1, const Keys &keys) {
  typedef uint32_t Half __attribute__((vector_size(BYTES / 2)));
  Half low0, low1;
  std::memcpy(&low0, c0, sizeof(Half));
  std::memcpy(&low1, c1, sizeof(Half));
  return philox(__builtin_convertvector(low0, Word), __builtin_convertvector(low1, Word), stream.step, stream.tag, keys);
}

template <class T>
inline Candidate<T> candidate(const Stream &stream, const uint32_t *c0, const uint32_t *c1, const Keys &keys) {
  const FourWords x = words_at(stream, c0, c1, keys);
  if constexpr (sizeof(T) == 8) {
    return {x.w[0] | (x.w[1] << 32), x.w[2] | (x.w[3] << 32)};
  } else {
    const FourWords y = words_at(stream, c0 + COUNTERS, c1 + COUNTERS, keys);
    const auto pairs = bit_cast<V<uint32_t>>(x.w[0] | (x.w[1] << 32));
    const auto more = bit_cast<V<uint32_t>>(y.w[0] | (y.w[1] << 32));
    return {even_lanes(pairs, more), odd_lanes(pairs, more)};
  }
}

// (3 log(1 + y) - 3 y + 3 y^2 / 2 - y^3) d: the logarithm of the chance of keeping d (1 + y)^3.
template <class T> inline V<T> log_kept(V<T> y, V<T> d) {
  const V<T> square = y * y;
  const V<T> near = square * square * horner2(Elementary<T>::GAMMA_KEPT, y);
  const V<T> far = T(3) * (log1p<T>(y) - y * (T(1) - y * (T(0.5) - y / T(3))));
  return d * (absolute<T>(y) < Elementary<T>::GAMMA_BOUND ? near : far);
}

// One attempt: values where it succeeds, and whether it does. A concentration out of range makes NaN at once.
template <class T>
inline Mask<T> attempt_gamma(const Candidate<T> &bits, V<T> a, V<T> *value) {
  const V<T> d = (a < T(1) ? a + T(1) : a) - T(1) / T(3);
  const V<T> x = normal(cell(bits.normal)), u = uniform(cell(bits.uniform));
  const V<T> y = x / (T(3) * sqrt(d)), v = y + T(1), square = y * y;
  const Mask<T> in_range = (a > T(0)) & (a < INFINITE<T>);
  *value = in_range ? d * (v * v * v) : splat(NOT_A_NUMBER<T>);
  // The logarithm of the chance is at least -d y^4 on the near side of -0.3, and log u <= u - 1.
  Mask<T> kept = (y > T(-0.3)) & (u < T(1) - d * (square * square));
  if (!all(kept | ~in_range)) {
    const Mask<T> inside = v > T(0);
    kept |= inside & (log_normal_range<T>(u) < log_kept<T>(inside ? y : V<T>{}, d));
  }
  return kept | ~in_range;
}

constexpr uint64_t ATTEMPT = 0xD1342543DE82EF95u;  // what tells the key of one attempt from the next
constexpr uint64_t BOOST = ~uint64_t(0);           // and the number of the attempt that is none: U below

// Attempts number `t` at n places; the values, and the positions of those refused, of which it returns the count.
template <class T>
inline int64_t attempts(const Stream &stream, uint64_t t, int64_t n, const T *a, const uint32_t *c0, const uint32_t *c1,
                        T *values, int32_t *refused) {
  const Keys keys(stream.seed ^ t * ATTEMPT);
  return positions_where<T>(n, refused, [&](int64_t i, int count) {
    V<T> value;
    const V<T> shape = count == LANES<T> ? load(a + i) : load_first(a + i, count);
    const Mask<T> kept = attempt_gamma<T>(candidate<T>(stream, c0 + i, c1 + i, keys), shape, &value);
    store_up_to(values, i, n, value);
    return ~kept;
  });
}

// G(a) = G(a + 1) U^(1/a) for a < 1 (Stuart, 1962), in logarithms or not.
template <class T>
inline void boost(const Stream &stream, int64_t n, const T *a, const uint32_t *c0, const uint32_t *c1, bool log_space, T *out) {
  const Keys keys(stream.seed ^ BOOST * ATTEMPT);
  for (int64_t i = 0; i < n; i += LANES<T>) {
    const bool whole = i + LANES<T> <= n;
    const V<T> shape = whole ? load(a + i) : load_first(a + i, n - i);
    V<T> x = whole ? load(out + i) : load_first(out + i, n - i);
    const Mask<T> small = shape < T(1);
    if (log_space) x = log<T>(x);
    if (any(small)) {
      const V<T> log_u = -exponential(cell(candidate<T>(stream, c0 + i, c1 + i, keys).normal)) / shape;
      const V<T> boosted = log_space ? x + log_u : x * exp<T>(log_u);
      x = small ? boosted : x;
    }
    store_up_to(out, i, n, x);
  }
}

template <class T, bool LOG_SPACE>
void gamma_variates(const Stream &stream, int64_t begin, int64_t end, const T *const *parameters, T *out) {
  constexpr int64_t ROOM = BLOCK + BYTES;
  const int64_t n = end - begin;
  const T *a = parameters[0];
  uint32_t c0[ROOM], c1[ROOM];
  std::memset(c0 + n, 0, BYTES * sizeof(uint32_t));
  std::memset(c1 + n, 0, BYTES * sizeof(uint32_t));
  places(stream, begin, end, c0, c1);
  int32_t list[BLOCK];
  int64_t pending = attempts(stream, 0, n, a, c0, c1, out, list);
  for (uint64_t t = 1; pending; t++) {
    T some_a[BLOCK], values[BLOCK];
    uint32_t some_c0[ROOM], some_c1[ROOM];
    int32_t refused[BLOCK];
    gather(a, list, pending, some_a);
    gather(c0, list, pending, some_c0);
    gather(c1, list, pending, some_c1);
    std::memset(some_c0 + pending, 0, BYTES);
    std::memset(some_c1 + pending, 0, BYTES);
    const int64_t again = attempts(stream, t, pending, some_a, some_c0, some_c1, values, refused);
    scatter(values, list, pending, out);
    for (int64_t i = 0; i < again; i++) list[i] = list[refused[i]];
    pending = again;
  }
  boost<T>(stream, n, a, c0, c1, LOG_SPACE, out);
}

}  // namespace reparam::REPARAM_ARCH
