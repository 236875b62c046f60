"""When plane Poiseuille flow becomes unstable, from the Navier–Stokes equations as they stand.

Linearised about the flow on one wavelength, Fourier × Chebyshev, they are the eigenproblem of Orr
and Sommerfeld, which nobody has to type. At Re 10 000 a wave grows; at Re 5000 all decay.
"""

import jax

jax.config.update("jax_enable_x64", True)

import physml as pm


def main() -> dict[float, float]:
    method = pm.Chebyshev(points=(3, 56))
    rates = {}
    for reynolds in (5000.0, 10_000.0):
        problem = pm.library.poiseuille(reynolds, wavenumber=1.0)
        modes = pm.eigenvalues(problem, method, count=1, target=-0.24j, about=problem.exact)
        value = modes.values[0]
        rates[reynolds] = value.real
        print(f"Re {reynolds:6.0f}: growth {value.real:+.8f}, phase speed {-value.imag:.8f}")
    # Orszag (1971): c = 0.23752649 + 0.00373967i at Re 10 000.
    assert abs(rates[10_000.0] - 0.00373967) < 1e-7
    assert rates[5000.0] < 0.0
    return rates


if __name__ == "__main__":
    main()
