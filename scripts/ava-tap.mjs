/**
 * ava's command line with its TAP reporter mended. In ava 8.0.0 that reporter hands a plain Error to a function that expects
 * ava's own serialised form, throws, and takes the whole run with it, exactly where it should name the test that hung or
 * called process.exit(). Everything else is ava's.
 */
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { MODULES } from './setup/paths.mjs'

const load = async (...path) => await import(pathToFileURL(join(MODULES, 'ava', ...path)).href)

const { default: TapReporter } = await load('lib', 'reporters', 'tap.js')
const { writeTest } = TapReporter.prototype

TapReporter.prototype.writeTest = function (event, flags) {
  const { err } = event
  const serialised = err instanceof Error
    ? { type: 'native', name: err.name, message: err.message, stack: err.stack ?? '', formattedDetails: [], originalError: err }
    : err
  return writeTest.call(this, { ...event, err: serialised }, flags)
}

await load('entrypoints', 'cli.js')
