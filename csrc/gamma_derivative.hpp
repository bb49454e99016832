// The pathwise derivative of a Gamma(a, 1) variate, h = d log x / da at fixed probability.
//
// Three ways, by region of (a, x). Where x is small: the recurrence h(a) = (x h(a + 1) + psi(a + 1) - log x) / a, run
// backwards, all of whose terms are positive. Around the centre: bivariate polynomials (tools/gamma_tables.py). In the
// far tails: quadrature.
#pragma once

#include "chart.hpp"
#include "gamma_quadrature.hpp"
#include "kernels.hpp"
#include "math.hpp"
#include "regions.hpp"
#include "tables/gamma.hpp"

namespace reparam::REPARAM_ARCH::gamma {

enum Region {
  RECURRENCE,
  A01_LOW,
  A01_HIGH,
  A14_LOW,
  A14_HIGH,
  A4_16,
  A16_100,
  A100_UP,
  ELSEWHERE,
  REGIONS
};

template <class T> struct Limits;
template <> struct Limits<double> {
  static constexpr double SMALLEST = 0x1p-1022, LEAST = reparam::LEAST_SHAPE, LARGEST = 1e150, LOG_RANGE = 700;
  static constexpr int STEPS = 15;
};
template <> struct Limits<float> {
  static constexpr float SMALLEST = 0x1p-126f, LEAST = SMALLEST, LARGEST = 1e18f, LOG_RANGE = 80;
  static constexpr int STEPS = 9;
};

// 1 / p and 1 / q for one division.
template <class T> struct Pair {
  V<T> first, second;
};
template <class T> inline Pair<T> reciprocals(V<T> p, V<T> q) {
  const V<T> both = T(1) / (p * q);
  return {q * both, p * both};
}

// psi(y), to rounding error for y >= 10 in float and y >= 16 in double.
template <class T> inline V<T> digamma_asymptotic(V<T> y, V<T> reciprocal) {
  constexpr T SINGLE[] = {T(1) / 12, T(-1) / 120, T(1) / 252};
  constexpr T DOUBLE[] = {T(1) / 12, T(-1) / 120, T(1) / 252, T(-1) / 240, T(1) / 132, T(-691) / 32760};
  const V<T> r = reciprocal * reciprocal;
  const V<T> series = sizeof(T) == 4 ? horner(SINGLE, r) : horner(DOUBLE, r);
  return log_normal_range<T>(y) - fma(series, r, T(0.5) * reciprocal);
}

template <class T> inline V<T> by_recurrence(V<T> a, V<T> x, V<T> log_x) {
  constexpr int STEPS = Limits<T>::STEPS;  // odd: reciprocals come in pairs
  auto [r, beyond] = reciprocals<T>(a + T(STEPS), a + T(STEPS + 1));
  V<T> gap = digamma_asymptotic<T>(a + T(STEPS + 1), beyond) - log_x;
  V<T> h = r * fma(x * beyond, gap + beyond, gap);
  gap -= r;
  for (int k = STEPS - 1; k > 0; k -= 2) {
    auto [upper, lower] = reciprocals<T>(a + T(k), a + T(k - 1));
    h = upper * fma(x, h, gap);
    gap -= upper;
    h = lower * fma(x, h, gap);
    gap -= lower;
  }
  return fma(x, h, gap) / a;
}

// In plain space the input is x and the result dx/da; in log space log x and d log x / da.
enum class Space { PLAIN, LOG };

template <class T, Space SPACE> struct Point {
  V<T> a, x, log_x;

  V<T> log_of_x() const { return SPACE == Space::LOG ? log_x : log_normal_range<T>(x); }
  V<T> from_h(V<T> h) const { return SPACE == Space::LOG ? h : x * h; }

  V<T> recurrence() const { return from_h(by_recurrence<T>(a, x, log_of_x())); }
  template <class Chart> V<T> small() const {
    const V<T> dx = chart<T, Chart>(a, log_of_x()) / (a * (a + T(1)) * (a + T(2)));
    return SPACE == Space::LOG ? dx / x : dx;
  }
  template <class Chart> V<T> large() const {
    const auto [inverse, of_sum] = reciprocals<T>(a, a + x);
    const V<T> log_ratio = SPACE == Space::LOG ? log_x - log_normal_range<T>(a) : log_normal_range<T>(x * inverse);
    return from_h(chart<T, Chart>(inverse, log_ratio) * of_sum);
  }
};

// The region of each lane, as a number.
template <class T> inline Mask<T> region_of(V<T> a, V<T> x) {
  using I = typename BitsOf<T>::Int;
  constexpr T SPLIT = 5.0784190, END = 45.2;  // exp(1.625) and a little below exp(3.8125)
  Mask<T> region = I(A01_LOW) - 2 * (a >= T(1)) - (x > SPLIT);
  Mask<T> inside = x <= END;
  const auto above = [&](T limit, I id, T low, T high) {
    const Mask<T> here = a >= limit;
    region = here ? Mask<T>{} + id : region;
    inside = here ? (x >= low * a) & (x <= high * a) : inside;
  };
  above(4, A4_16, T(0.13534), T(11.44));
  above(16, A16_100, T(0.11945), T(4.21));
  above(100, A100_UP, T(0.40405), T(1.9275));
  const Mask<T> small = x < fma(a, splat(T(0.1)), T(0.6));
  region = small ? Mask<T>{} : region;
  using Bounds = Limits<T>;
  inside = (inside | small) & (x >= Bounds::SMALLEST) & (a >= Bounds::LEAST) & (a <= Bounds::LARGEST);
  return inside ? region : Mask<T>{} + I(ELSEWHERE);
}

template <class T, Space SPACE> void in_region(int region, const T *const *in, T *out, int64_t n) {
  const auto run = [&](auto f) {
    map(in, out, n, [f](auto at) {
      const V<T> u = at(1);
      return f(Point<T, SPACE>{at(0), SPACE == Space::LOG ? at(2) : u, u});
    });
  };
  using P = Point<T, SPACE>;
  switch (region) {
    case RECURRENCE: return run([](P p) { return p.recurrence(); });
    case A01_LOW: return run([](P p) { return p.template small<gamma_tables::a01_low<T>>(); });
    case A01_HIGH: return run([](P p) { return p.template small<gamma_tables::a01_high<T>>(); });
    case A14_LOW: return run([](P p) { return p.template small<gamma_tables::a14_low<T>>(); });
    case A14_HIGH: return run([](P p) { return p.template small<gamma_tables::a14_high<T>>(); });
    case A4_16: return run([](P p) { return p.template large<gamma_tables::a4_16<T>>(); });
    case A16_100: return run([](P p) { return p.template large<gamma_tables::a16_100<T>>(); });
    case A100_UP: return run([](P p) { return p.template large<gamma_tables::a100_up<T>>(); });
    default:
      for (int64_t i = 0; i < n; i++) {
        out[i] = SPACE == Space::LOG ? gamma_quadrature::dlogx_da_at_log(in[0][i], in[1][i])
                                     : gamma_quadrature::dx_da(in[0][i], in[1][i]);
      }
  }
}

}  // namespace reparam::REPARAM_ARCH::gamma

namespace reparam::REPARAM_ARCH {

// in: a, x; out: dx/da.
template <class T> void gamma_dx_da_kernel(const T *const *in, T *out, int64_t n) {
  const auto region = [](auto at) { return gamma::region_of<T>(at(0), at(1)); };
  by_regions<gamma::REGIONS, 2>(in, out, n, region, gamma::in_region<T, gamma::Space::PLAIN>);
}

// in: flow, a, y, rate; out: what flows back to a of a Gamma(a, rate) variate y, flow * dy/da.
template <class T> void gamma_flow_kernel(const T *const *in, T *out, int64_t n) {
  alignas(64) T x[BLOCK];
  map(in + 2, x, n, [](auto at) { return at(0) * at(1); });
  const T *const points[] = {in[1], x};
  gamma_dx_da_kernel(points, out, n);
  const T *const factors[] = {in[0], out, in[3]};
  map(factors, out, n, [](auto at) { return at(0) * at(1) / at(2); });
}

// in: a, log x; out: d log x / da.
template <class T> void gamma_dlogx_da_kernel(const T *const *in, T *out, int64_t n) {
  constexpr T RANGE = gamma::Limits<T>::LOG_RANGE;
  alignas(64) T x[BLOCK];
  // Where x leaves the floats it is negligible, below, or sent to the quadrature, above, for any x as far out.
  map(in + 1, x, n, [](auto at) { return exp<T>(minimum(maximum(at(0), splat(-RANGE)), splat(RANGE))); });
  const T *const points[] = {in[0], in[1], x};
  const auto region = [](auto at) { return gamma::region_of<T>(at(0), at(2)); };
  by_regions<gamma::REGIONS, 3>(points, out, n, region, gamma::in_region<T, gamma::Space::LOG>);
}

}  // namespace reparam::REPARAM_ARCH
