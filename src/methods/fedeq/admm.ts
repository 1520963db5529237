/**
 * Consensus ADMM on one shared unit's flat weights. Site i descends
 *
 *     F_i(theta_i) + <lam_i, theta_i - bar> + rho / 2 |theta_i - bar|^2
 *
 *     exact        bar = mean(theta_i + lam_i / rho),  then  lam_i += rho (theta_i - bar)
 *     published    bar = mean(theta_i),  and  lam_i += rho (theta_i - the bar before)
 *
 * With means by rows and duals per row of a site, `exact` has the minimum of all sites' loss over all rows as its fixed point.
 * `published` is the rule of the released code: for quadratics a_i / 2 (t - c_i)^2 it ends at
 * (sum a c + N rho t0) / (sum a + N rho), not at sum a c / sum a.
 * Source: Le et al., arXiv 2309.15659, and its code; Boyd et al., Distributed optimization, 2011, section 7.1.
 */
export type AdmmMode = 'exact' | 'published'
type Numbers = Float32Array | Float64Array

/** Gradient of the site's augmented loss. */
export function augmented<T extends Numbers> (gradient: T, { theta, bar, lam }: { theta: T, bar: T, lam: T }, rho: number): T {
  return map(gradient, i => (gradient[i] as number) + (lam[i] as number) + rho * ((theta[i] as number) - (bar[i] as number)))
}

/** What a site adds to the mean. */
export function share<T extends Numbers> (theta: T, lam: T, rho: number, mode: AdmmMode): T {
  return mode === 'published' ? theta : map(theta, i => (theta[i] as number) + (lam[i] as number) / rho)
}

/** @param bar - the mean of this exchange where the rule is exact, of the one before where it is the published one */
export function dualStep<T extends Numbers> (lam: T, theta: T, bar: T, rho: number): T {
  return map(lam, i => (lam[i] as number) + rho * ((theta[i] as number) - (bar[i] as number)))
}

function map<T extends Numbers> (like: T, at: (i: number) => number): T {
  const values = like.slice() as T
  for (let i = 0; i < values.length; i++) values[i] = at(i)
  return values
}
