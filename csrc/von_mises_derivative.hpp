// The pathwise derivative of a von Mises variate in its concentration, by quadrature of the score along the arc.
//
// The mathematics is that of src/reparam/special/spherical.py in dimension 2. The position on the arc from the variate
// to the pole on its side of the mean angle is y, from 0 to 1; in it nothing needs trigonometry.
#pragma once

#include "tail_pieces.hpp"
#include "wide.hpp"

namespace reparam::REPARAM_ARCH::von_mises {

constexpr double PI = 3.14159265358979323846;
constexpr int NODES = 40, MEAN_NODES = 56;

// 1 - A(kappa), the mean of 1 - cos t, as the ratio of two positive integrals over where the density is not negligible.
inline D mean_versine(D kappa) {
  const D reach = PI * minimum(sqrt(0.5 * DROP / kappa), splat(1.0));
  D mass{}, moment{};
  for (int k = 0; k < MEAN_NODES; k++) {
    const D s = sincos<double>(0.5 * Legendre<MEAN_NODES>::NODES[k] * reach).sin, versine = 2.0 * s * s;
    const D density = Legendre<MEAN_NODES>::WEIGHTS[k] * exp<double>(-kappa * versine);
    mass += density;
    moment = fma(density, versine, moment);
  }
  return moment / mass;
}

struct Arc {
  D tilt, a2, b, cosine;  // the sine squared and the cosine of half the distance from the pole to the variate

  D chord(D y) const { return sqrt(1.0 - a2 * y * y); }
  // How far the log-density lies below its value at the variate.
  D fall(D y) const { return 2.0 * tilt * a2 * y * (cosine * y - 2.0 * b * chord(y)); }

  // Where the fall reaches DROP, within a tenth, by bisection in log y; 1 if it does not.
  D window() const {
    D low = splat(-20.0), high{};
    for (int i = 0; i < 8; i++) {
      const D middle = 0.5 * (low + high);
      const auto enough = fall(exp<double>(middle)) > DROP;
      low = enough ? low : middle;
      high = enough ? middle : high;
    }
    return exp<double>(high);
  }
};

// For kappa >= 0 and finite, and x in [-pi, pi].
inline D dx_dkappa(D kappa, D x) {
  const auto half = sincos<double>(0.5 * x);
  const D sin2 = half.sin * half.sin, cos2 = half.cos * half.cos, versine = mean_versine(kappa);
  const auto near = 2.0 * sin2 <= versine;
  const D a2 = near ? sin2 : cos2, b2 = near ? cos2 : sin2;
  const Arc arc{near ? kappa : -kappa, a2, sqrt(b2), b2 - a2};
  const D width = arc.window();
  D integral{};
  for (int k = 0; k < NODES; k++) {
    const D y = width * Legendre<NODES>::NODES[k], chord = arc.chord(y);
    const D inner = chord - arc.b * y, outer = fma(arc.b, chord, a2 * y);
    const D score = near ? versine - 2.0 * a2 * inner * inner : 2.0 * outer * outer - versine;
    integral = fma(score, Legendre<NODES>::WEIGHTS[k] * exp<double>(-arc.fall(y)) / chord, integral);
  }
  return -2.0 * half.sin * half.cos * width / arc.b * integral;
}

inline D anywhere(D kappa, D x, double pi) {
  const auto inside = (kappa >= 0.0) & (kappa < INFINITE<double>) & (absolute<double>(x) <= pi);
  return inside ? dx_dkappa(inside ? kappa : D{}, inside ? x : D{}) : splat(NOT_A_NUMBER<double>);
}

}  // namespace reparam::REPARAM_ARCH::von_mises

namespace reparam::REPARAM_ARCH {

// in: kappa, x; out: dx/dkappa. Each type's own rounding of pi counts as pi.
template <class T> void von_mises_dx_dkappa_kernel(const T *const *in, T *out, int64_t n) {
  in_double<2>(in, out, n, [](auto wide, double *results, int64_t count) {
    map(wide, results, count, [](auto at) { return von_mises::anywhere(at(0), at(1), double(T(von_mises::PI))); });
  });
}

}  // namespace reparam::REPARAM_ARCH
