// The kernels of one instruction set, REPARAM_ARCH: compiled once for each, into a namespace of its own. Nothing here
// may come from the standard library's templates, which every instruction set would define under one name.
#include "kernels.hpp"

#include "beta_derivative.hpp"
#include "gamma_derivative.hpp"
#include "math.hpp"
#include "quantile.hpp"
#include "rejection.hpp"
#include "student_t_derivative.hpp"
#include "von_mises_derivative.hpp"

#define REPARAM_QUOTE_(x) #x
#define REPARAM_QUOTE(x) REPARAM_QUOTE_(x)

namespace reparam::REPARAM_ARCH {

namespace {

// The elementary functions themselves, so that their accuracy can be tested from Python.
#define REPARAM_UNARY(name)                                                  \
  template <class T> void name##_kernel(const T *const *in, T *out, int64_t n) { \
    map<T>(in, out, n, [](auto x) { return name<T>(x(0)); });                \
  }
REPARAM_UNARY(log)
REPARAM_UNARY(log1p)
REPARAM_UNARY(exp)
REPARAM_UNARY(expm1)
template <class T> void sin_kernel(const T *const *in, T *out, int64_t n) {
  map<T>(in, out, n, [](auto x) { return sincos<T>(x(0)).sin; });
}
template <class T> void cos_kernel(const T *const *in, T *out, int64_t n) {
  map<T>(in, out, n, [](auto x) { return sincos<T>(x(0)).cos; });
}

// Name, how many inputs, and the kernel for both dtypes: `name_kernel<T>(in, out, n)`.
#define REPARAM_ELEMENTWISE(name, inputs) {#name, inputs, name##_kernel<float>, name##_kernel<double>}
constexpr Elementwise ELEMENTWISE[] = {
    REPARAM_ELEMENTWISE(log, 1),
    REPARAM_ELEMENTWISE(log1p, 1),
    REPARAM_ELEMENTWISE(exp, 1),
    REPARAM_ELEMENTWISE(expm1, 1),
    REPARAM_ELEMENTWISE(sin, 1),
    REPARAM_ELEMENTWISE(cos, 1),
    REPARAM_ELEMENTWISE(beta_dlogit_da, 3),
    REPARAM_ELEMENTWISE(beta_dlogit_db, 3),
    REPARAM_ELEMENTWISE(beta_dx_da, 3),
    REPARAM_ELEMENTWISE(beta_dx_db, 3),
    REPARAM_ELEMENTWISE(gamma_dx_da, 2),
    REPARAM_ELEMENTWISE(gamma_dlogx_da, 2),
    REPARAM_ELEMENTWISE(gamma_flow, 4),
    REPARAM_ELEMENTWISE(student_t_dt_dnu, 2),
    REPARAM_ELEMENTWISE(von_mises_dx_dkappa, 2),
};

template <class T>
constexpr Samplers<T> SAMPLERS = {
    uniform_noise<T>,
    normal_noise<T>,
    exponential_noise<T>,
    scaled_normal<T>,
    {gamma_variates<T, false>, gamma_variates<T, true>, rejection_variates<T, VonMises, 1>,
     rejection_variates<T, Poisson, 1>, rejection_variates<T, Binomial, 2>},
};

}  // namespace

extern const Kernels KERNELS = {
    .name = REPARAM_QUOTE(REPARAM_ARCH),
    .elementwise = ELEMENTWISE,
    .elementwise_count = sizeof(ELEMENTWISE) / sizeof(ELEMENTWISE[0]),
    .f32 = SAMPLERS<float>,
    .f64 = SAMPLERS<double>,
};

}  // namespace reparam::REPARAM_ARCH
