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

// The work on some places at a time, a pass for each step, so that the sums of one do not wait for those of the next.
constexpr int64_t PLACES = 512, ROOM = PLACES + BYTES;

// The bits of a candidate at each of n places: for a normal number, and for a uniform one.
template <class T> struct Candidates {
  using UInt = typename BitsOf<T>::UInt;
  alignas(64) UInt normal[ROOM], uniform[ROOM];

  Candidates(const Stream &stream, const uint32_t *c0, const uint32_t *c1, int64_t n, const Keys &keys) {
    for (int64_t i = 0; i < n; i += 2 * COUNTERS) {
      const Word first[] = {widened(c0 + i), widened(c0 + i + COUNTERS)};
      const Word second[] = {widened(c1 + i), widened(c1 + i + COUNTERS)};
      FourWords x[2];
      philox(first, second, stream.step, stream.tag, keys, x);
      const Word low[] = {x[0].w[0] | (x[0].w[1] << 32), x[1].w[0] | (x[1].w[1] << 32)};
      if constexpr (sizeof(T) == 8) {
        for (int k = 0; k < 2; k++) {
          store(normal + i + k * COUNTERS, low[k]);
          store(uniform + i + k * COUNTERS, x[k].w[2] | (x[k].w[3] << 32));
        }
      } else {
        const auto pairs = bit_cast<V<uint32_t>>(low[0]), more = bit_cast<V<uint32_t>>(low[1]);
        store(normal + i, even_lanes(pairs, more));
        store(uniform + i, odd_lanes(pairs, more));
      }
    }
  }

  static Word widened(const uint32_t *words) {
    typedef uint32_t Half __attribute__((vector_size(BYTES / 2)));
    Half half;
    std::memcpy(&half, words, sizeof(Half));
    return __builtin_convertvector(half, Word);
  }
};

// (3 log(1 + y) - 3 y + 3 y^2 / 2 - y^3) d: the logarithm of the chance of keeping d (1 + y)^3.
template <class T> inline V<T> log_kept(V<T> y, V<T> d) {
  const V<T> square = y * y;
  const V<T> near = square * square * horner2(Elementary<T>::GAMMA_KEPT, y);
  const Mask<T> is_near = absolute<T>(y) < Elementary<T>::GAMMA_BOUND;
  if (all(is_near)) return d * near;
  const V<T> far = T(3) * (log1p<T>(y) - y * (T(1) - y * (T(0.5) - y / T(3))));
  return d * (is_near ? near : far);
}

// A concentration below 1 is sampled as one above, and boosted down.
template <class T> inline V<T> depth_of(V<T> a) { return (a < T(1) ? a + T(1) : a) - T(1) / T(3); }

constexpr uint64_t ATTEMPT = 0xD1342543DE82EF95u;  // what tells the key of one attempt from the next
constexpr uint64_t BOOST = ~uint64_t(0);           // and the number of the attempt that is none: U below

// Attempts number `t` at n places; the values, and the positions of those refused, of which it returns the count. A
// concentration out of range makes NaN at once.
template <class T>
inline int64_t attempts(const Stream &stream, uint64_t t, int64_t n, const T *a, const uint32_t *c0, const uint32_t *c1,
                        T *values, int32_t *refused) {
  const Candidates<T> bits(stream, c0, c1, n, Keys(stream.seed ^ t * ATTEMPT));
  alignas(64) T y[ROOM], u[ROOM];
  over_cells<T>(bits.normal, n, [&](const Cell<T>(&c)[ABREAST], int64_t i) {
    Made<T> x;
    normal<T>(c, x);
    for (int k = 0; k < ABREAST; k++) store(y + i + k * LANES<T>, x[k]);
  });
  over_cells<T>(bits.uniform, n, [&](const Cell<T>(&c)[ABREAST], int64_t i) {
    for (int k = 0; k < ABREAST; k++) store(u + i + k * LANES<T>, uniform(c[k]));
  });
  int32_t undecided[PLACES];
  const int64_t asked = positions_where<T>(n, undecided, [&](int64_t i, int count) {
    const V<T> shape = count == LANES<T> ? load(a + i) : load_first(a + i, count), d = depth_of<T>(shape);
    const V<T> z = load(y + i) / (T(3) * sqrt(d)), v = z + T(1), square = z * z;
    const Mask<T> in_range = (shape > T(0)) & (shape < INFINITE<T>);
    store(y + i, z);
    store_up_to(values, i, n, in_range ? d * (v * v * v) : splat(NOT_A_NUMBER<T>));
    // The logarithm of the chance is at least -d z^4 on the near side of -0.3, and log u <= u - 1.
    return ~((z > T(-0.3)) & (load(u + i) < T(1) - d * (square * square))) & in_range;
  });
  T some_a[ROOM], some_y[ROOM], some_u[ROOM];
  gather(a, undecided, asked, some_a);
  gather(y, undecided, asked, some_y);
  gather(u, undecided, asked, some_u);
  const int64_t count = positions_where<T>(asked, refused, [&](int64_t i, int) {
    const V<T> z = load(some_y + i);
    const Mask<T> inside = z > T(-1);
    const V<T> chance = log_kept<T>(inside ? z : V<T>{}, depth_of<T>(load(some_a + i)));
    return ~(inside & (log_normal_range<T>(load(some_u + i)) < chance));
  });
  for (int64_t i = 0; i < count; i++) refused[i] = undecided[refused[i]];
  return count;
}

// G(a) = G(a + 1) U^(1/a) for a < 1 (Stuart, 1962), in logarithms or not.
template <class T>
inline void boost(const Stream &stream, int64_t n, const T *a, const uint32_t *c0, const uint32_t *c1, bool log_space, T *out) {
  bool needed = log_space;
  for (int64_t i = 0; i < n; i++) needed |= a[i] < T(1);
  if (!needed) return;
  const Candidates<T> bits(stream, c0, c1, n, Keys(stream.seed ^ BOOST * ATTEMPT));
  alignas(64) T log_u[ROOM];
  over_cells<T>(bits.normal, n, [&](const Cell<T>(&c)[ABREAST], int64_t i) {
    for (int k = 0; k < ABREAST; k++) store(log_u + i + k * LANES<T>, -exponential(c[k]));
  });
  const T *const in[] = {a, out, log_u};
  map(in, out, n, [=](auto at) {
    const V<T> shape = at(0), log_power = at(2) / shape, x = log_space ? log<T>(at(1)) : at(1);
    return shape < T(1) ? (log_space ? x + log_power : x * exp<T>(log_power)) : x;
  });
}

template <class T, bool LOG_SPACE>
void gamma_at(const Stream &stream, int64_t begin, int64_t end, const T *a, T *out) {
  const int64_t n = end - begin;
  uint32_t c0[ROOM], c1[ROOM];
  std::memset(c0 + n, 0, BYTES);
  std::memset(c1 + n, 0, BYTES);
  places(stream, begin, end, c0, c1);
  int32_t list[PLACES];
  int64_t pending = attempts(stream, 0, n, a, c0, c1, out, list);
  for (uint64_t t = 1; pending; t++) {
    T some_a[PLACES], values[PLACES];
    uint32_t some_c0[ROOM], some_c1[ROOM];
    int32_t refused[PLACES];
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

template <class T, bool LOG_SPACE>
void gamma_variates(const Stream &stream, int64_t begin, int64_t end, const T *const *parameters, T *out) {
  for (int64_t i = begin; i < end; i += PLACES) {
    const int64_t stop = i + PLACES < end ? i + PLACES : end;
    gamma_at<T, LOG_SPACE>(stream, i, stop, parameters[0] + (i - begin), out + (i - begin));
  }
}

}  // namespace reparam::REPARAM_ARCH
