// Elementary functions of a vector, each lane alone. The polynomials come from tools/elementary.py.
#pragma once

#include "simd.hpp"
#include "tables/elementary.hpp"

namespace reparam::REPARAM_ARCH {

// ln 2 in two parts, the first short enough for exact products with any exponent.
template <class T> constexpr T LN2_HIGH = sizeof(T) == 4 ? T(0x1.62e4p-1) : T(0x1.62e42fefa38p-1);
template <class T> constexpr T LN2_LOW = sizeof(T) == 4 ? T(0x1.7f7d1cf79abcap-20) : T(0x1.ef35793c7673p-45);
template <class T> constexpr T LOG2E = T(0x1.71547652b82fe1777d0ffda0d23ap+0);
template <class T> constexpr T INFINITE = T(__builtin_inf());
template <class T> constexpr T NOT_A_NUMBER = T(__builtin_nan(""));
// 1.5 * 2^MANTISSA: adding it rounds to an integer, which then stands in the low bits.
template <class T> constexpr T ROUNDER = T(1.5) * T(uint64_t(1) << BitsOf<T>::MANTISSA);

// log x of positive normal numbers, to about one rounding: several vectors side by side, since the sums of one alone
// would wait for each other. Always inlined: a call would pass the vectors through memory.
template <class T, int COUNT>
__attribute__((always_inline)) inline void log_normal_range(const V<T> (&x)[COUNT], V<T> (&y)[COUNT], V<T> scale = V<T>{}) {
  using B = BitsOf<T>;
  using Int = typename B::Int;
  // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
  constexpr Int SQRT_HALF = sizeof(T) == 4 ? Int(0x3f3504f3) : Int(0x3fe6a09e667f3bcd);
  V<T> exponent[COUNT], f[COUNT], s[COUNT], z[COUNT], remainder[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const Mask<T> k = (bit_cast<Mask<T>>(x[i]) - SQRT_HALF) >> B::MANTISSA;
    f[i] = bit_cast<V<T>>(bit_cast<Mask<T>>(x[i]) - (k << B::MANTISSA)) - T(1);
    exponent[i] = bit_cast<V<T>>(k + bit_cast<Mask<T>>(splat(ROUNDER<T>))) - ROUNDER<T> + scale;
  }
  // log m = 2 s + s z R(z), and 2 s = f - s f, of which f is exact.
  for (int i = 0; i < COUNT; i++) s[i] = f[i] / ((f[i] + T(1)) + T(1)), z[i] = s[i] * s[i];
  horner_chains<2>(Elementary<T>::LOG, z, remainder);
  for (int i = 0; i < COUNT; i++) {
    const V<T> low = fma(exponent[i], splat(LN2_LOW<T>), s[i] * (z[i] * remainder[i] - f[i]));
    y[i] = fma(exponent[i], splat(LN2_HIGH<T>), f[i]) + low;
  }
}

template <class T> inline V<T> log_normal_range(V<T> x, V<T> scale_exponent = V<T>{}) {
  const V<T> in[] = {x};
  V<T> out[1];
  log_normal_range<T>(in, out, scale_exponent);
  return out[0];
}

// log x for every x: -inf at 0, inf at inf, NaN below 0; subnormal numbers too.
template <class T> inline V<T> log(V<T> x) {
  using B = BitsOf<T>;
  constexpr T TINY = sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022), LIFT = T(uint64_t(1) << (B::MANTISSA + 1));
  const Mask<T> subnormal = x < TINY;
  const V<T> lifted = subnormal ? x * LIFT : x;
  const V<T> y = log_normal_range<T>(lifted, subnormal ? splat(T(-(B::MANTISSA + 1))) : V<T>{});
  const V<T> end = x == T(0) ? splat(-INFINITE<T>) : (x > T(0) ? x : splat(NOT_A_NUMBER<T>));
  return (x > T(0)) & (x < INFINITE<T>) ? y : end;
}

// 2^k for integers k of magnitude at most 2 * BIAS, in two factors, so that neither leaves the floats.
template <class T> inline V<T> scale_by_power(V<T> x, Mask<T> k) {
  using B = BitsOf<T>;
  const Mask<T> half = k >> 1;
  return x * bit_cast<V<T>>((half + B::BIAS) << B::MANTISSA) * bit_cast<V<T>>((k - half + B::BIAS) << B::MANTISSA);
}

// x = k ln 2 + r with |r| at most ln 2 / 2: k, and exp(r) - 1.
template <class T> struct Reduced {
  Mask<T> k;
  V<T> expm1;
};
template <class T> inline Reduced<T> reduce_exp(V<T> x) {
  const V<T> shifted = fma(x, splat(LOG2E<T>), ROUNDER<T>);
  const V<T> k = shifted - ROUNDER<T>;
  const V<T> r = fma(k, splat(-LN2_LOW<T>), fma(k, splat(-LN2_HIGH<T>), x));
  const Mask<T> integer = bit_cast<Mask<T>>(shifted) - bit_cast<Mask<T>>(splat(ROUNDER<T>));
  return {integer, fma(r * r, horner(Elementary<T>::EXP, r), r)};
}

// Beyond these exp is inf, and 0.
template <class T> constexpr T EXP_HIGH = sizeof(T) == 4 ? T(88.8) : T(709.9);
template <class T> constexpr T EXP_LOW = sizeof(T) == 4 ? T(-104) : T(-746);

template <class T> inline V<T> exp(V<T> x) {
  const V<T> inside = minimum(maximum(x, splat(EXP_LOW<T>)), splat(EXP_HIGH<T>));
  const Reduced<T> part = reduce_exp<T>(inside);
  const V<T> y = scale_by_power<T>(part.expm1 + T(1), part.k);
  return x == x ? y : x;
}

// exp(x) - 1, to relative accuracy near 0.
template <class T> inline V<T> expm1(V<T> x) {
  const V<T> inside = minimum(maximum(x, splat(EXP_LOW<T> / 2)), splat(EXP_HIGH<T>));
  const Reduced<T> part = reduce_exp<T>(inside);
  const V<T> whole = scale_by_power<T>(splat(T(1)), part.k);
  // At the largest exponent 2^k alone is infinite, where 2^k exp(r) may not be.
  const V<T> large = scale_by_power<T>(part.expm1 + T(1), part.k) - T(1);
  const V<T> y = part.k > BitsOf<T>::MANTISSA ? large : fma(whole, part.expm1, whole - T(1));
  return x == x ? y : x;
}

// log(1 + x), to relative accuracy near 0; NaN below -1.
template <class T> inline V<T> log1p(V<T> x) {
  const V<T> u = x + T(1);
  const V<T> lost = absolute<T>(x) < T(1) ? x - (u - T(1)) : T(1) - (u - x);
  const V<T> y = log<T>(u) + lost / u;
  return (u > T(0)) & (u < INFINITE<T>) ? (x == T(0) ? x : y) : log<T>(u);
}

// sin and cos of an angle of magnitude up to 1e5 (double) or 1e3 (float), beyond which they lose digits.
template <class T> struct SinCos {
  V<T> sin, cos;
};
template <class T> inline SinCos<T> sincos(V<T> x) {
  // pi / 2 in three parts, the first two short enough for exact products with the quadrant.
  constexpr T HIGH = sizeof(T) == 4 ? T(0x1.92p+0) : T(0x1.921fb544p+0);
  constexpr T MIDDLE = sizeof(T) == 4 ? T(0x1.fb4p-12) : T(0x1.0b4611a6p-34);
  constexpr T LOW = sizeof(T) == 4 ? T(0x1.4442d18469899p-24) : T(0x1.3198a2e037073p-69);
  const V<T> shifted = fma(x, splat(T(0.636619772367581343)), ROUNDER<T>);
  const V<T> q = shifted - ROUNDER<T>;
  V<T> r = fma(q, splat(-HIGH), x);
  r = fma(q, splat(-MIDDLE), r);
  r = fma(q, splat(-LOW), r);
  const V<T> z = r * r;
  const V<T> s = fma(r * z, horner(Elementary<T>::SIN, z), r);
  const V<T> c = fma(z * z, horner(Elementary<T>::COS, z), fma(z, splat(T(-0.5)), T(1)));
  const Mask<T> quadrant = bit_cast<Mask<T>>(shifted) - bit_cast<Mask<T>>(splat(ROUNDER<T>));
  const Mask<T> swapped = (quadrant & 1) != 0;
  const V<T> sine = swapped ? c : s, cosine = swapped ? s : c;
  return {(quadrant & 2) != 0 ? -sine : sine, ((quadrant + 1) & 2) != 0 ? -cosine : cosine};
}

}  // namespace reparam::REPARAM_ARCH
