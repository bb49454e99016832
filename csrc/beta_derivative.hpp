// The pathwise derivative of a Beta(a, b) variate, h = d logit x / da at fixed probability.
//
// Three ways, by region. For small a, or in far tails: the continued fraction of the distribution function,
// differentiated (beta_fraction.hpp). For large a, whatever b is: trivariate polynomials (tools/beta_tables.py). At the
// ends of the floats: quadrature (beta_quadrature.hpp).
#pragma once

#include "beta_fraction.hpp"
#include "beta_quadrature.hpp"
#include "chart.hpp"
#include "regions.hpp"
#include "tables/beta.hpp"
#include "wide.hpp"

namespace reparam::REPARAM_ARCH::beta {

// Regions 0 to 3 are the fractions of these depths.
enum Region { ELSEWHERE = 4, A20_48, A48_200, A200_UP, REGIONS };

// Everything is computed in double: for float results the same formulas stop earlier.
template <class T> struct Fractions;
template <> struct Fractions<double> {
  static constexpr Depth DEPTHS[] = {{9, 0.03, 0.035}, {14, 0.075, 0.15}, {22, 0.2, 0.3}, {36, 0.37, 0.45}};
};
template <> struct Fractions<float> {
  static constexpr Depth DEPTHS[] = {{6, 0.04, 0.045}, {9, 0.1, 0.16}, {14, 0.25, 0.35}, {24, 0.4, 0.5}};
};

// The variate: given as itself, or as its logit.
enum class Space { PLAIN, LOGIT };

// x, 1 - x and log x; of the mirror image, whose derivative in a is minus that of the variate in b.
struct Located {
  D x, y, log_x;
};
template <Space SPACE, bool MIRRORED> inline Located locate(D v) {
  if constexpr (SPACE == Space::PLAIN) {
    const D rest = 1.0 - v;
    if constexpr (!MIRRORED) return {v, rest, log<double>(v)};
    const D lost = (1.0 - rest) - v;  // of 1 - v, which log x must not lose where v is small
    return {rest, v, log<double>(rest) + lost / maximum(rest, splat(0x1p-53))};
  } else {
    const D u = MIRRORED ? -v : v, e = exp<double>(-absolute<double>(u)), sum = e + 1.0, r = 1.0 / sum;
    const D log_sum = fma(e - (sum - 1.0), r, log_normal_range<double>(sum));
    const auto right = u > 0.0;
    return {right ? r : e * r, right ? e * r : r, right ? -log_sum : u - log_sum};
  }
}

template <class Chart, int COUNT, class At> inline Vectors<double, COUNT> by_chart(At at) {
  Vectors<double, COUNT> inverse, share, ell, result;
  for (int k = 0; k < COUNT; k++) {
    const D a = at(0, k), total = a + at(1, k), both = 1.0 / (a * total);
    inverse.at[k] = both * total;
    share.at[k] = a * (both * a);
    ell.at[k] = log_normal_range<double>(at(2, k) * total * inverse.at[k]);
  }
  result = chart<Chart>(inverse, share, ell);
  for (int k = 0; k < COUNT; k++) result.at[k] /= fma(at(0, k) + at(1, k), at(2, k), at(0, k));
  return result;
}

template <class Chart> inline void by_chart(const double *const *in, double *out, int64_t n) {
  constexpr int L = LANES<double>;
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    const auto both = by_chart<Chart, 2>([=](int j, int k) { return load(in[j] + i + k * L); });
    store(out + i, both.at[0]);
    store(out + i + L, both.at[1]);
  }
  const double *const rest[] = {in[0] + i, in[1] + i, in[2] + i};
  map(rest, out + i, n - i, [](auto at) { return by_chart<Chart, 1>([=](int j, int) { return at(j); }).at[0]; });
}

// The depth of the fraction at each lane, or ELSEWHERE; where none of those asked for is deep, only whether they are.
template <class T> inline Mask<double> depth_of(D a, D b, const Located &at, Mask<double> asked) {
  constexpr auto &DEPTHS = Fractions<T>::DEPTHS;
  const Side side(a, b, {at.x, at.y});
  const auto shallow = converges(side, DEPTHS[0]);
  if (!any(asked & ~shallow)) return Mask<double>{};
  const auto deepest = shallow | converges(side, DEPTHS[3]);
  const auto deep = shallow | (deepest & converges(side, DEPTHS[2]));
  const auto middle = shallow | (deep & converges(side, DEPTHS[1]));
  return int64_t(ELSEWHERE) + deepest + deep + middle + shallow;  // a condition that holds is -1
}

template <class T> inline Mask<double> region_of(D a, D b, const Located &at) {
  const D total = a + b, ratio = total * at.x;
  const auto sane = (at.log_x > -INFINITE<double>) & (at.x >= 0.0) & (at.y >= 0.0) & (b > 1e-150) & (total < 1e150);
  const Mask<double> elsewhere = Mask<double>{} + int64_t(ELSEWHERE);
  Mask<double> region = elsewhere;
  const auto chart = [&](Region id, double least, double most, double low, double high) {
    const auto here = (a >= least) & (a < most) & (ratio >= low * a) & (ratio <= high * a);
    region = here ? Mask<double>{} + int64_t(id) : region;
  };
  // The boxes of tools/beta_tables.py, ell between their ends.
  chart(A20_48, 20, 48, 0.11221, 3.6011);
  chart(A48_200, 48, 200, 0.28651, 2.3988);
  chart(A200_UP, 200, INFINITE<double>, 0.56979, 1.5979);
  const auto others = sane & (region == elsewhere) & (a > 1e-150) & (total < 1e12);
  if (any(others)) region = others ? depth_of<T>(a, b, at, others) : region;
  return sane ? region : elsewhere;
}

// points: a, b, x, 1 - x and log x, in a region other than ELSEWHERE.
template <class T> void in_known_region(int region, const double *const *points, double *out, int64_t n) {
  const auto fraction = [=]<int LEVEL>(std::integral_constant<int, LEVEL>) {
    map(points, out, n, [](auto at) {
      return by_fraction<Fractions<T>::DEPTHS[LEVEL].steps>(at(0), at(1), {at(2), at(3)}, at(4));
    });
  };
  switch (region) {
    case 0: return fraction(std::integral_constant<int, 0>());
    case 1: return fraction(std::integral_constant<int, 1>());
    case 2: return fraction(std::integral_constant<int, 2>());
    case 3: return fraction(std::integral_constant<int, 3>());
    case A20_48: return by_chart<beta_tables::a20_48<T>>(points, out, n);
    case A48_200: return by_chart<beta_tables::a48_200<T>>(points, out, n);
    default: return by_chart<beta_tables::a200_up<T>>(points, out, n);
  }
}

// The variate itself is the sixth.
template <class T, Space SPACE, bool MIRRORED>
void in_region(int region, const double *const *points, double *out, int64_t n) {
  if (region != ELSEWHERE) return in_known_region<T>(region, points, out, n);
  map(points, out, n, [](auto at) {
    const D v = at(5), u = SPACE == Space::LOGIT ? v : log<double>(v) - log1p<double>(-v);
    return anywhere(at(0), at(1), MIRRORED ? -u : u);
  });
}

// in: a, b and the variate; out: its derivative in a or, for the mirror image, b.
template <class T, Space SPACE, bool MIRRORED> void derivative(const double *const *in, double *out, int64_t n) {
  alignas(64) double x[BLOCK], y[BLOCK], log_x[BLOCK];
  const double *const points[] = {in[MIRRORED], in[!MIRRORED], x, y, log_x, in[2]};
  each<double>(n, [&](auto read, auto write) {
    const Located at = locate<SPACE, MIRRORED>(read(in[2]));
    write(x, at.x);
    write(y, at.y);
    write(log_x, at.log_x);
  });
  const auto region = [](auto at) { return region_of<T>(at(0), at(1), {at(2), at(3), at(4)}); };
  by_regions<REGIONS, 6>(points, out, n, region, in_region<T, SPACE, MIRRORED>);
  each<double>(n, [&](auto read, auto write) {
    const D h = MIRRORED ? -read(out) : read(out), product = read(x) * read(y);
    const D dx = (product == 0.0) & (h == h) ? D{} : product * h;
    write(out, SPACE == Space::PLAIN ? dx : h);
  });
}

}  // namespace reparam::REPARAM_ARCH::beta

namespace reparam::REPARAM_ARCH {

#define REPARAM_BETA(name, space, mirrored)                                                  \
  template <class T> void name##_kernel(const T *const *in, T *out, int64_t n) {             \
    in_double<3>(in, out, n, beta::derivative<T, beta::Space::space, mirrored>);             \
  }

// in: a, b and u or x; out: du/da, du/db, dx/da, dx/db.
REPARAM_BETA(beta_dlogit_da, LOGIT, false)
REPARAM_BETA(beta_dlogit_db, LOGIT, true)
REPARAM_BETA(beta_dx_da, PLAIN, false)
REPARAM_BETA(beta_dx_db, PLAIN, true)
#undef REPARAM_BETA

}  // namespace reparam::REPARAM_ARCH
