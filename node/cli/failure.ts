/** How a command says that it failed: one line on standard error, the same as JSON on standard output, and an exit status. */
import { FmtlError } from '../../src/errors.ts'
import { clean } from './format.ts'
import type { Format } from './help.ts'

export interface Failure {
  readonly code: string
  readonly message: string
  readonly next?: string
}

/** An error that nobody foresaw is a fault of ours, whatever it says. */
export function failureOf (error: unknown): Failure {
  if (error instanceof FmtlError) return { code: error.code, message: error.message, ...error.next === undefined ? {} : { next: error.next } }
  return { code: 'ERR_INTERNAL', message: error instanceof Error ? error.message : String(error) }
}

/** Example files in `next` keep their lines; everything else is one. */
export function failureLine ({ message, next }: Failure): string {
  return `fmtl-node: ${clean(message)}${next === undefined ? '' : `; next: ${next}`}\n`
}

/** The last line on standard output of a command that was to speak JSON. */
export function failureJson ({ code, message, next }: Failure): string {
  return `${JSON.stringify({ success: false, code, message: clean(message), next: next ?? null })}\n`
}

/** What was asked for, also where the command line was not understood. */
export function formatOf (argv: readonly string[]): Format {
  return argv.some((arg, i) => arg === '--format=json' || (arg === '--format' && argv[i + 1] === 'json')) ? 'json' : 'text'
}
