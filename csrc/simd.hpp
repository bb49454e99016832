// Vectors of the width this translation unit is compiled for, and what the language's vector extensions leave out.
//
// V<float> and V<double> take the arithmetic operators, comparisons (which give V<int32_t> and V<int64_t>: 0 or -1 a
// lane) and `mask ? a : b` from the compiler. Every function here computes each lane alone and alike, wherever it
// stands, so a result depends neither on the width of the vectors nor on how an array is cut into pieces. The one
// exception is fma without hardware for it (SSE2), which rounds twice.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace reparam::REPARAM_ARCH {

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

template <class T> struct VectorOf {
  typedef T type __attribute__((vector_size(BYTES)));
};
template <class T> using V = typename VectorOf<T>::type;
template <class T> constexpr int LANES = BYTES / int(sizeof(T));

// The integers as wide as T.
template <class T> struct BitsOf;
template <> struct BitsOf<float> {
  using Int = int32_t;
  using UInt = uint32_t;
  static constexpr int MANTISSA = 23, BIAS = 127;
};
template <> struct BitsOf<double> {
  using Int = int64_t;
  using UInt = uint64_t;
  static constexpr int MANTISSA = 52, BIAS = 1023;
};
template <class T> using Mask = V<typename BitsOf<T>::Int>;

template <class T> inline V<T> load(const T *p) {
  V<T> v;
  std::memcpy(&v, p, BYTES);
  return v;
}
template <class T> inline void store(T *p, V<T> v) { std::memcpy(p, &v, BYTES); }
template <class T> inline V<T> splat(T x) { return V<T>{} + x; }

// The first n lanes; the others repeat lane 0, so that they take no path of their own.
template <class T> inline V<T> load_first(const T *p, int64_t n) {
  V<T> v = splat<T>(p[0]);
  std::memcpy(&v, p, n * sizeof(T));
  return v;
}
template <class T> inline void store_first(T *p, V<T> v, int64_t n) { std::memcpy(p, &v, n * sizeof(T)); }

template <class To, class From> inline To bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof(To));
  return y;
}

// x * y + z, rounded once.
#if defined(__AVX512F__)
inline V<double> fma(V<double> x, V<double> y, V<double> z) { return _mm512_fmadd_pd(x, y, z); }
inline V<float> fma(V<float> x, V<float> y, V<float> z) { return _mm512_fmadd_ps(x, y, z); }
inline V<double> sqrt(V<double> x) { return _mm512_sqrt_pd(x); }
inline V<float> sqrt(V<float> x) { return _mm512_sqrt_ps(x); }
#elif defined(__AVX2__)
inline V<double> fma(V<double> x, V<double> y, V<double> z) { return _mm256_fmadd_pd(x, y, z); }
inline V<float> fma(V<float> x, V<float> y, V<float> z) { return _mm256_fmadd_ps(x, y, z); }
inline V<double> sqrt(V<double> x) { return _mm256_sqrt_pd(x); }
inline V<float> sqrt(V<float> x) { return _mm256_sqrt_ps(x); }
#elif defined(__aarch64__)
inline V<double> fma(V<double> x, V<double> y, V<double> z) { return vfmaq_f64(z, x, y); }
inline V<float> fma(V<float> x, V<float> y, V<float> z) { return vfmaq_f32(z, x, y); }
inline V<double> sqrt(V<double> x) { return vsqrtq_f64(x); }
inline V<float> sqrt(V<float> x) { return vsqrtq_f32(x); }
#else
inline V<double> fma(V<double> x, V<double> y, V<double> z) { return x * y + z; }
inline V<float> fma(V<float> x, V<float> y, V<float> z) { return x * y + z; }
inline V<double> sqrt(V<double> x) { return _mm_sqrt_pd(x); }
inline V<float> sqrt(V<float> x) { return _mm_sqrt_ps(x); }
#endif
inline V<double> fma(V<double> x, V<double> y, double z) { return fma(x, y, splat(z)); }
inline V<float> fma(V<float> x, V<float> y, float z) { return fma(x, y, splat(z)); }

// Whether a comparison holds in some lane, and in every lane. A mask is 0 or -1 in each lane.
template <class M> inline bool any(M mask) {
#if defined(__AVX512F__)
  return _mm512_movepi8_mask(bit_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8(bit_cast<__m256i>(mask)) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_epi8(bit_cast<__m128i>(mask)) != 0;
#else
  const auto words = bit_cast<V<uint64_t>>(mask);
  uint64_t bits = 0;
  for (int i = 0; i < LANES<uint64_t>; i++) bits |= words[i];
  return bits != 0;
#endif
}
template <class M> inline bool all(M mask) { return !any(~mask); }

// The product of the low 32 bits of each 64-bit lane, whatever the high ones hold.
inline V<uint64_t> multiply_low_halves(V<uint64_t> x, V<uint64_t> y) {
#if defined(__AVX512F__)
  return bit_cast<V<uint64_t>>(_mm512_mul_epu32(bit_cast<__m512i>(x), bit_cast<__m512i>(y)));
#elif defined(__AVX2__)
  return bit_cast<V<uint64_t>>(_mm256_mul_epu32(bit_cast<__m256i>(x), bit_cast<__m256i>(y)));
#elif defined(__x86_64__)
  return bit_cast<V<uint64_t>>(_mm_mul_epu32(bit_cast<__m128i>(x), bit_cast<__m128i>(y)));
#else
  return (x & 0xFFFFFFFFu) * (y & 0xFFFFFFFFu);
#endif
}

// Lanes of two vectors, chosen by number: those of the second follow those of the first.
#if defined(__clang__)
#define REPARAM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define REPARAM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Mask32Or64<decltype(a)>{__VA_ARGS__})
template <class X> using Mask32Or64 = V<std::conditional_t<sizeof(X{}[0]) == 4, int32_t, int64_t>>;
#endif

// The even and the odd lanes of x followed by y.
inline V<uint32_t> even_lanes(V<uint32_t> x, V<uint32_t> y) {
#if defined(__AVX512F__)
  return REPARAM_SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif defined(__AVX2__)
  return REPARAM_SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14);
#else
  return REPARAM_SHUFFLE(x, y, 0, 2, 4, 6);
#endif
}
inline V<uint32_t> odd_lanes(V<uint32_t> x, V<uint32_t> y) {
#if defined(__AVX512F__)
  return REPARAM_SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif defined(__AVX2__)
  return REPARAM_SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  return REPARAM_SHUFFLE(x, y, 1, 3, 5, 7);
#endif
}
// The lanes of x and y by turns: the first half of that sequence, and the second.
inline V<uint64_t> interleaved_low(V<uint64_t> x, V<uint64_t> y) {
#if defined(__AVX512F__)
  return REPARAM_SHUFFLE(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
#elif defined(__AVX2__)
  return REPARAM_SHUFFLE(x, y, 0, 4, 1, 5);
#else
  return REPARAM_SHUFFLE(x, y, 0, 2);
#endif
}
inline V<uint64_t> interleaved_high(V<uint64_t> x, V<uint64_t> y) {
#if defined(__AVX512F__)
  return REPARAM_SHUFFLE(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
#elif defined(__AVX2__)
  return REPARAM_SHUFFLE(x, y, 2, 6, 3, 7);
#else
  return REPARAM_SHUFFLE(x, y, 1, 3);
#endif
}

template <class T> inline V<T> absolute(V<T> x) {
  using U = typename BitsOf<T>::UInt;
  return bit_cast<V<T>>(bit_cast<V<U>>(x) & (~U(0) >> 1));
}
template <class T> inline V<T> with_sign_of(V<T> magnitude, V<T> sign) {
  using U = typename BitsOf<T>::UInt;
  return bit_cast<V<T>>((bit_cast<V<U>>(magnitude) & (~U(0) >> 1)) | (bit_cast<V<U>>(sign) & ~(~U(0) >> 1)));
}
template <class X> inline X minimum(X x, X y) { return x < y ? x : y; }
template <class X> inline X maximum(X x, X y) { return x > y ? x : y; }

// c[0] + c[1] x + ... + c[N - 1] x^(N - 1), by Horner's rule.
template <class T, int N> inline V<T> horner(const T (&c)[N], V<T> x) {
  V<T> y = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; i--) y = fma(y, x, c[i]);
  return y;
}

// The same in CHAINS interleaved chains, each as much shorter, for several x side by side: for long polynomials, where
// latency is what counts. Always inlined: a call would pass the vectors through memory.
template <int CHAINS, class T, int N, int COUNT>
__attribute__((always_inline)) inline void
horner_chains(const T (&c)[N], const V<T> (&x)[COUNT], V<T> (&y)[COUNT]) {
  static_assert(N >= CHAINS);
  V<T> step[COUNT], chain[CHAINS][COUNT];
  for (int j = 0; j < COUNT; j++) step[j] = x[j];
  for (int i = 1; i < CHAINS; i++)
    for (int j = 0; j < COUNT; j++) step[j] = step[j] * x[j];
  for (int k = 0; k < CHAINS; k++) {
    const int top = k + (N - 1 - k) / CHAINS * CHAINS;
    for (int j = 0; j < COUNT; j++) chain[k][j] = splat(c[top]);
    for (int i = top - CHAINS; i >= 0; i -= CHAINS)
      for (int j = 0; j < COUNT; j++) chain[k][j] = fma(chain[k][j], step[j], c[i]);
  }
  for (int j = 0; j < COUNT; j++) {
    y[j] = chain[CHAINS - 1][j];
    for (int k = CHAINS - 2; k >= 0; k--) y[j] = fma(y[j], x[j], chain[k][j]);
  }
}
template <int CHAINS, class T, int N> inline V<T> horner_chains(const T (&c)[N], V<T> x) {
  const V<T> in[] = {x};
  V<T> out[1];
  horner_chains<CHAINS>(c, in, out);
  return out[0];
}
template <class T, int N> inline V<T> horner2(const T (&c)[N], V<T> x) { return horner_chains<2>(c, x); }
template <class T, int N> inline V<T> horner4(const T (&c)[N], V<T> x) { return horner_chains<4>(c, x); }

// f on every lane of an array, the last lanes through a vector of their own: the same code, hence the same bits.
template <class T, class F> inline void map(const T *const *in, T *out, int64_t n, F f) {
  constexpr int L = LANES<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store(out + i, f([=](int k) { return load(in[k] + i); }));
  if (i < n) store_first(out + i, f([=](int k) { return load_first(in[k] + i, n - i); }), n - i);
}

// f(read, write) for every vector of arrays of n: read(p) gives that of array p, write(p, v) stores it.
template <class T, class F> inline void each(int64_t n, F f) {
  constexpr int L = LANES<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) f([=](const T *p) { return load(p + i); }, [=](T *p, V<T> v) { store(p + i, v); });
  if (i == n) return;
  f([=](const T *p) { return load_first(p + i, n - i); }, [=](T *p, V<T> v) { store_first(p + i, v, n - i); });
}

// The positions i < n at which mask_of(first, count) is set, in order, appended to `list`; returns how many there are.
// mask_of is given the first of `count` <= LANES elements; what it says of lanes beyond `count` is ignored.
template <class T, class F> inline int64_t positions_where(int64_t n, int32_t *list, F mask_of) {
  constexpr int L = LANES<T>;
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += L) {
    const int count = int(n - i < L ? n - i : L);
    const Mask<T> mask = mask_of(i, count);
    if (!any(mask)) continue;
    for (int lane = 0; lane < count; lane++) {
      list[found] = int32_t(i + lane);
      found += mask[lane] != 0;
    }
  }
  return found;
}

template <class T> inline void gather(const T *from, const int32_t *list, int64_t n, T *to) {
  for (int64_t i = 0; i < n; i++) to[i] = from[list[i]];
}
template <class T> inline void scatter(const T *from, const int32_t *list, int64_t n, T *to) {
  for (int64_t i = 0; i < n; i++) to[list[i]] = from[i];
}

}  // namespace reparam::REPARAM_ARCH
