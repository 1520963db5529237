/**
 * Counts the results in ava's TAP output line by line, so that a run that dies half-way still has the right numbers; the
 * totals at its end are not relied on.
 */

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

export class TapCounter {
  #rest = ''
  /** @type {Counts} */
  #counts = { passed: 0, failed: 0, skipped: 0 }

  /** @param {string} chunk - may end anywhere */
  push (chunk) {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
  }

  /** @returns {Counts} */
  end () {
    this.#line(this.#rest)
    this.#rest = ''
    return { ...this.#counts }
  }

  /** Only unindented result lines count: what a failed test printed is indented. */
  #line (line) {
    const match = /^(not )?ok \d+ - /.exec(line)
    if (match == null) return
    if (/ # (?:SKIP|TODO)\b[^#]*$/i.test(line)) this.#counts.skipped++
    else if (match[1] != null) this.#counts.failed++
    else this.#counts.passed++
  }
}

/**
 * What the counts and ava's own exit status say together. No test at all is no success, and a run that failed outside any
 * test counts as one failure.
 *
 * @param {Counts} counts
 * @param {number} status
 */
export function verdict (counts, status) {
  if (counts.passed + counts.failed === 0) return { ...counts, failed: status === 0 ? 0 : 1, ok: false, note: 'no test was run' }
  if (counts.failed === 0 && status !== 0) return { ...counts, failed: 1, ok: false, note: `ava ended with status ${status} outside any test` }
  return { ...counts, ok: counts.failed === 0, note: '' }
}

/** @param {Counts} counts */
export function formatSummary ({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
