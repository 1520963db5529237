/** Progress goes to stderr: whoever started us may want stdout for itself (`--format json`). */
const started = performance.now()

export function say (line) {
  process.stderr.write(`setup ${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}\n`)
}
