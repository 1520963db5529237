/** Named options of rules and weightings: what each may be, checked in one way wherever they are given. */
import { InvalidParametersError } from './errors.ts'

/** As a charter holds them. */
export type Options = Readonly<Record<string, string | number>>

export interface NumberRange {
  /** 'a number from 0' */
  readonly what: string
  readonly fits: (value: number) => boolean
}

export type OptionRanges = Readonly<Record<string, readonly string[] | NumberRange>>

/**
 * @param where - the section that they stand in, for the message
 * @param whose - what knows them, 'rule cagrad'
 * @throws {InvalidParametersError} one that nobody knows, or a value that cannot be
 */
export function checkOptions (where: string, whose: string, options: unknown, known: OptionRanges): void {
  if (options === null || typeof options !== 'object' || Array.isArray(options)) throw new InvalidParametersError(`${where} must be a section of settings, got ${JSON.stringify(options)}`)
  const names = Object.keys(known)
  for (const [key, value] of Object.entries(options as Readonly<Record<string, unknown>>)) {
    if (value === undefined) continue
    const range = Object.hasOwn(known, key) ? known[key] : undefined
    if (range === undefined) throw new InvalidParametersError(`${where}.${key} is no option of ${whose}`, { next: names.length === 0 ? `leave it out: ${whose} has no options` : `known: ${names.join(', ')}` })
    const fits = 'fits' in range ? typeof value === 'number' && range.fits(value) : range.includes(value as string)
    if (!fits) throw new InvalidParametersError(`${where}.${key} must be ${'fits' in range ? range.what : range.join(' or ')}, got ${JSON.stringify(value)}`)
  }
}
