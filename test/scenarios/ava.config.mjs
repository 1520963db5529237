/** Scenarios run alone, and a test in them may be silent for minutes. */
export default {
  extensions: ['ts'],
  files: ['test/scenarios/**/*.scenario.ts'],
  timeout: '20m',
  workerThreads: false,
  concurrency: 1
}
